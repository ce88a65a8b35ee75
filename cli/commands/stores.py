"""`layerfs stores`: every store below a directory, of whatever engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..emit import emit
from ..options import DEFAULT_ROOT, complete_directory, format_option, root_option, selected_root
from ..stores import store_options
from ..table import Column, Table
from ..units import human_size

if TYPE_CHECKING:
    from layerfs.stores.search import FoundStore

__all__ = ["command"]

UNKNOWN = "N/A"


@click.command("stores")
@click.argument("path", required=False, shell_complete=complete_directory)
@format_option
@root_option
@click.pass_context
def command(ctx: click.Context, path: str | None, form: str) -> None:
    """List every store below a directory: of all engines, in homes, and in volumes of each other.

    PATH is the top of a system (by default --root, or this system), such as a mounted disk image, or a
    directory that contains stores or copies of systems. The usual places of Docker, containerd, k3s, RKE2,
    k0s, MicroK8s, Podman and BuildKit are searched, also in the homes of its /etc/passwd, and in the
    volumes of each store that is found, for engines that ran in containers. Every path is resolved beneath
    PATH.

    \b
    Examples:
      layerfs stores
      layerfs stores --format json
    """
    from layerfs.stores.search import find_stores

    columns: list[Column[FoundStore]] = [
        Column("kind", lambda row: row.kind, "Kind", "KIND"),
        Column("owner", lambda row: row.owner, "Owner", "OWNER", _owner),
        Column("user", lambda row: row.user, "User", "USER"),
        Column("images", lambda row: row.images, "Images", "IMAGES", lambda row: _number(row.images)),
        Column("containers", lambda row: row.containers, "Containers", "CONTAINERS", _containers),
        Column("size", lambda row: row.size, "Size", "SIZE", _size),
        Column("path", lambda row: row.path, "Path", "PATH", _path),
        Column("namespace", lambda row: row.part, "Namespace", "NAMESPACE"),
        Column("inside", lambda row: row.inside, "Inside", "INSIDE"),
        Column("problem", lambda row: row.problem, "Problem", "PROBLEM"),
    ]
    shown = ["Kind", "Owner", "Images", "Containers", "Size", "Path"]
    root = selected_root(ctx)
    top = path or ("/" if root == DEFAULT_ROOT else root)
    emit(Table(columns, shown), find_stores(top, store_options(ctx)), form)


def _owner(row: FoundStore) -> str:
    return f"{row.owner} of {row.user}" if row.user else row.owner


def _containers(row: FoundStore) -> str:
    return _number(row.containers)


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _size(row: FoundStore) -> str:
    return UNKNOWN if row.size is None else human_size(row.size)


def _path(row: FoundStore) -> str:
    return f"{row.path} ({row.problem})" if row.problem else row.path
