"""`layerfs containers`: the containers of a data root, as `docker ps --all` lists them, offline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..emit import emit
from ..filters import Filters, filter_option
from ..options import format_option, no_trunc_option, root_option
from ..rows.containerfilters import container_filter, filter_values
from ..rows.containers import View, container_table
from ..stores import open_root

if TYPE_CHECKING:
    from layerfs.store import Store

__all__ = ["View", "command", "container_table"]


@click.command("containers")
@click.option(
    *("-a", "--all", "every"),
    is_flag=True,
    help="Show the sandboxes of pods too; all other containers are always shown.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show container IDs only.")
@click.option(
    "-s", "--size", is_flag=True, help="Show the bytes that each container has written, and its total size."
)
@click.option("-n", "--last", type=click.IntRange(-1), default=-1, metavar="N", help="Show the N newest.")
@click.option("-l", "--latest", is_flag=True, help="Show the newest.")
@filter_option(
    *("ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name", "network"),
    *("pod", "publish", "since", "status", "volume"),
    values=filter_values,
)
@no_trunc_option
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    every: bool,
    quiet: bool,
    size: bool,
    last: int,
    latest: bool,
    filters: Filters,
    no_trunc: bool,
    form: str,
) -> None:
    """List containers, newest first, as `docker ps --all` does.

    The state is the one last recorded. A container recorded as running may have ended since, so it is shown
    as last seen running; in JSON its `state` is null and `recorded_running` is true. Containers of Kubernetes
    are shown with their pods; --filter pod=NAME asks for those of one, label=NAME=VALUE for labels of the pod
    too. Of containers of nerdctl and ctr, and of Buildah's, nothing on disk tells the state.

    \b
    Examples:
      layerfs containers --size
      layerfs containers --filter ancestor=nginx --filter status=exited
      layerfs containers --format '{{.Names}}: {{.Status}}'
      layerfs containers --format json
      layerfs containers --filter pod=web-0
    """
    from layerfs.analysis.store.containers import listed_containers

    data_root = _with_containers(open_root(ctx))
    found = listed_containers(data_root, container_filter(data_root, filters))
    rows = [row for row in found if every or row.kind != "sandbox"]
    limit = 1 if latest and last == -1 else last
    if form == "table" and quiet:
        form = "{{.ID}}"
    view = View(data_root, full=no_trunc)
    rows = rows[:limit] if limit > 0 else rows
    emit(container_table(view, size=size, pods=data_root.has_pods), rows, form)


def _with_containers(root: Store) -> Store:
    """`root` itself; raises `NotInThisKind` if stores of its kind have no containers."""
    from layerfs.errors import NotInThisKind

    if not root.has_containers:
        raise NotInThisKind(root.path, root.noun, "it has no containers")
    return root
