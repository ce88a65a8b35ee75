"""`layerfs stores`: every store below a directory, of whatever engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..emit import emit
from ..escape import printable
from ..options import DEFAULT_ROOT, complete_directory, format_option, root_option, selected_root
from ..stores import store_options
from ..table import Column, Table
from ..units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.stores.search import FoundStore

__all__ = ["command"]

UNKNOWN = "N/A"
_STORES = {"podman": "containers-storage"}  # of whom nobody would say that


@click.command("stores")
@click.argument("path", required=False, shell_complete=complete_directory)
@format_option
@root_option
@click.pass_context
def command(ctx: click.Context, path: str | None, form: str) -> None:
    """List every store below a directory: of all engines, in homes, and in volumes of each other.

    PATH is the top of a system (by default --root, or this system), such as a mounted disk image, or a
    directory that contains stores or copies of systems. The usual places of Docker, containerd, k3s, RKE2,
    k0s, MicroK8s, Podman and BuildKit are searched, also in the homes of its /etc/passwd, where a
    configuration file below PATH moved them (data-root of daemon.json, root of containerd's config.toml,
    data-dir of k3s, and the like), and in the volumes of each store that is found, for engines that ran in
    containers. Every path is resolved beneath PATH; a store that is configured and not there is listed.

    \b
    Examples:
      layerfs stores
      layerfs stores --format json
    """
    from layerfs.stores.search import find_stores

    def owner(row: FoundStore) -> str:
        return _owner(row, kind=form == "table")

    columns: list[Column[FoundStore]] = [
        Column("kind", lambda row: row.kind, "Kind", "KIND"),
        Column("owner", lambda row: row.owner, "Owner", "OWNER", owner),
        Column("user", lambda row: row.user, "User", "USER"),
        Column("images", lambda row: row.images, "Images", "IMAGES", lambda row: _number(row.images)),
        Column("containers", lambda row: row.containers, "Containers", "CONTAINERS", _containers),
        Column("size", lambda row: row.size, "Size", "SIZE", _size),
        Column("path", lambda row: row.path, "Path", "PATH"),
        Column("namespace", lambda row: row.part, "Namespace", "NAMESPACE"),
        Column("inside", lambda row: row.inside, "Inside", "INSIDE"),
        Column("problem", lambda row: row.problem, "Problem", "PROBLEM"),
    ]
    is_table = form == "table"
    shown = ["Owner", "Images", "Containers", "Size", "Path"]
    root = selected_root(ctx)
    top = path or ("/" if root == DEFAULT_ROOT else root)
    rows: Iterable[FoundStore] = find_stores(top, store_options(ctx))
    rows = list(rows) if is_table else rows
    emit(Table(columns, shown if is_table else ["Kind", *shown, "Problem"]), rows, form)
    notes = {f"{row.path}: {row.problem}": None for row in rows if row.problem} if is_table else {}
    if notes:
        click.echo("\n" + "\n".join(map(printable, notes)))


def _owner(row: FoundStore, *, kind: bool) -> str:
    """The engine and the user whose it is; with `kind` also what is no matter of course of the store."""
    usual = row.kind in (row.owner, _STORES.get(row.owner))
    what = " ".join(filter(None, ["" if usual else row.kind, row.part])) if kind else ""
    return row.owner + (f" ({what})" if what else "") + (f" of {row.user}" if row.user else "")


def _containers(row: FoundStore) -> str:
    return _number(row.containers)


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _size(row: FoundStore) -> str:
    return UNKNOWN if row.size is None else human_size(row.size)
