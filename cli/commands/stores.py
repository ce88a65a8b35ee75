"""`layerfs stores`: every store below a directory, of whatever engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..emit import emit
from ..escape import printable
from ..options import DEFAULT_ROOT, complete_directory, format_option, root_option, selected_root
from ..rows.stores import store_table
from ..stores import store_options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.stores.search import FoundStore

__all__ = ["command"]


@click.command("stores")
@click.argument("path", required=False, shell_complete=complete_directory)
@format_option
@root_option
@click.pass_context
def command(ctx: click.Context, path: str | None, form: str) -> None:
    """List every store below a directory: of all engines, in homes, and in volumes of each other.

    PATH is the top of a system (by default --root, or this system), such as a mounted disk image, or a
    directory that contains stores, homes or copies of systems. The usual places of Docker, containerd, k3s,
    RKE2, k0s, MicroK8s, Podman and BuildKit are searched, also in the homes of its /etc/passwd, where a
    configuration file below PATH moved them (data-root of daemon.json, root of containerd's config.toml,
    data-dir of k3s, and the like), and in the volumes of each store that is found, for engines that ran in
    containers. Every path is resolved beneath PATH; a store that is configured and not there is listed.

    \b
    Examples:
      layerfs stores
      layerfs stores --format json
    """
    from layerfs.stores.search import find_stores

    is_table = form == "table"
    root = selected_root(ctx)
    top = path or ("/" if root == DEFAULT_ROOT else root)
    rows: Iterable[FoundStore] = find_stores(top, store_options(ctx))
    rows = list(rows) if is_table else rows
    emit(store_table(joined=is_table), rows, form)
    notes = {f"{row.path}: {row.problem}": None for row in rows if row.problem} if is_table else {}
    if notes:
        click.echo("\n" + "\n".join(map(printable, notes)))
