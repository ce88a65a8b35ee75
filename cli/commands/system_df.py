"""`layerfs system df`: what images, containers, volumes and the build cache take, as the Engine tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..emit import emit, emit_json
from ..options import format_option, root_option
from ..rows.diskusage import (
    CACHE_TABLE,
    VOLUME_TABLE,
    container_usage_table,
    image_usage_table,
    size_words,
    summary_table,
)
from ..stores import open_root

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.analysis.store.diskusage import DiskUsage
    from layerfs.store import Store

    from ..table import Table

__all__ = ["command"]


@click.command("df")
@click.option("-v", "--verbose", is_flag=True, help="List every image, container, volume and cache record.")
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    verbose: bool,
    form: str,
) -> None:
    """Show what images, containers, volumes and the build cache take, as `docker system df` does.

    ACTIVE counts what is in use as far as it was written down: a container recorded as running, a volume
    that some container mounts. `layerfs du` tells what removing images would really free.

    \b
    Examples:
      layerfs system df
      layerfs system df -v
      layerfs system df --format json
    """
    from layerfs.analysis.store.diskusage import DiskUsage
    from layerfs.capabilities import Accountable, lacking

    if verbose and form not in ("table", "json"):
        raise click.UsageError("-v has several tables: its --format is table or json")
    store = open_root(ctx)
    if not isinstance(store, Accountable):
        raise lacking(store, "system df")
    usage = DiskUsage(store)
    if not verbose:
        emit(summary_table(store.account_rules), usage.summary(), form)
    elif form == "json":
        emit_json(_document(store, usage))
    else:
        _tell(store, usage)


def _tell(root: Store, usage: DiskUsage) -> None:
    """Docker's four tables, each under its headline; three where there is no build cache."""
    click.echo("Images space usage:\n")
    emit(image_usage_table(root.account_rules.digits), usage.image_lines(), "table")
    click.echo("\nContainers space usage:\n")
    emit(container_usage_table(root, usage), [item.container for item in usage.containers], "table")
    click.echo("\nLocal Volumes space usage:\n")
    emit(VOLUME_TABLE, usage.volumes or (), "table")
    if not root.account_rules.has_cache:
        return
    click.echo(f"\nBuild cache usage: {size_words(usage.summary()[-1].size)}\n")
    emit(CACHE_TABLE, usage.cache or (), "table")


def _document(root: Store, usage: DiskUsage) -> dict[str, Any]:
    """The same in one object; null for what is not known."""

    def records(table: Table[Any], rows: Iterable[Any] | None) -> list[dict[str, Any]] | None:
        return None if rows is None else [table.record(row) for row in rows]

    containers = [item.container for item in usage.containers]
    return {
        "summary": records(summary_table(root.account_rules), usage.summary()),
        "images": records(image_usage_table(root.account_rules.digits), usage.image_lines()),
        "containers": records(container_usage_table(root, usage), containers),
        "volumes": records(VOLUME_TABLE, usage.volumes),
        "build_cache": records(CACHE_TABLE, usage.cache),
    }
