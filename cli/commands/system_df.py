"""`layerfs system df`: what images, containers, volumes and the build cache take, as the Engine tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..emit import emit, emit_json
from ..options import format_option, root_option
from ..rows.containers import View, container_table
from ..rows.identities import NONE
from ..stores import open_root
from ..table import Column, Table
from ..units import age, human_size, rfc3339, short_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerfs.analysis.store.diskusage import CacheUsage, DiskUsage, Total, VolumeUsage
    from layerfs.analysis.store.usage import ImageUsage
    from layerfs.model import Container
    from layerfs.store import Store

__all__ = ["command"]

UNKNOWN = "N/A"


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
        emit(_SUMMARY, usage.summary(), form)
    elif form == "json":
        emit_json(_document(store, usage))
    else:
        _tell(store, usage)


def _tell(root: Store, usage: DiskUsage) -> None:
    """Docker's four tables, each under its headline."""
    click.echo("Images space usage:\n")
    emit(_images(root.account_rules.digits), usage.images, "table")
    click.echo("\nContainers space usage:\n")
    emit(_containers(root, usage), [item.container for item in usage.containers], "table")
    click.echo("\nLocal Volumes space usage:\n")
    emit(_VOLUMES, usage.volumes or (), "table")
    click.echo(f"\nBuild cache usage: {_size(usage.summary()[-1].size)}\n")
    emit(_CACHE, usage.cache or (), "table")


def _document(root: Store, usage: DiskUsage) -> dict[str, Any]:
    """The same in one object; null for what is not known."""

    def records(table: Table[Any], rows: Iterable[Any] | None) -> list[dict[str, Any]] | None:
        return None if rows is None else [table.record(row) for row in rows]

    containers = [item.container for item in usage.containers]
    return {
        "summary": records(_SUMMARY, usage.summary()),
        "images": records(_images(root.account_rules.digits), usage.images),
        "containers": records(_containers(root, usage), containers),
        "volumes": records(_VOLUMES, usage.volumes),
        "build_cache": records(_CACHE, usage.cache),
    }


# -- columns -------------------------------------------------------------------------------------


def _size(size: int | None, digits: int = 4) -> str:
    return UNKNOWN if size is None else human_size(size, digits)


def _sized(
    key: str, placeholder: str, header: str, size: Callable[[Any], int | None], digits: int = 4
) -> Column[Any]:
    """A size in bytes, and in Docker's words, which have three digits in some lists and four in others."""
    return Column(key, size, placeholder, header, lambda row: _size(size(row), digits))


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _reclaimable(row: Total) -> str:
    """With its part of the whole, but of the build cache, as Docker has it."""
    text = _size(row.reclaimable)
    if not row.size or row.reclaimable is None or row.kind == "Build Cache":
        return text
    return f"{text} ({row.reclaimable * 100 // row.size}%)"


_SUMMARY: Table[Total] = Table(
    (
        Column("type", lambda row: row.kind, "Type", "TYPE"),
        Column("total_count", lambda row: row.total, "TotalCount", "TOTAL", lambda row: _count(row.total)),
        Column("active", lambda row: row.active, "Active", "ACTIVE", lambda row: _count(row.active)),
        _sized("size", "Size", "SIZE", lambda row: row.size),
        Column("reclaimable_size", lambda row: row.reclaimable, "Reclaimable", "RECLAIMABLE", _reclaimable),
    ),
    ("Type", "TotalCount", "Active", "Size", "Reclaimable"),
)


def _named(key: str, placeholder: str, part: int) -> Column[ImageUsage]:
    return Column(
        key,
        lambda row: row.image.first_tag[part],
        placeholder,
        key.upper(),
        lambda row: row.image.first_tag[part] or NONE,
    )


def _ago(time_ns: int | None) -> str:
    return "" if time_ns is None else age(time_ns)


def _images(digits: int) -> Table[ImageUsage]:
    """The table of images; the whole size has so many digits."""
    return Table(
        (
            Column(
                "repository",
                lambda row: row.image.first_tag[0],
                "Repository",
                "REPOSITORY",
                lambda row: row.image.first_tag[0] or NONE,
            ),
            Column(
                "tag",
                lambda row: row.image.first_tag[1],
                "Tag",
                "TAG",
                lambda row: row.image.first_tag[1] or NONE,
            ),
            Column("id", lambda row: row.image.id, "ID", "IMAGE ID", lambda row: short_id(row.image.id)),
            Column("created", lambda row: rfc3339(row.image.config.created_ns)),
            Column("", lambda row: _ago(row.image.config.created_ns), "CreatedSince", "CREATED"),
            _sized("size", "Size", "SIZE", lambda row: row.size, digits),
            _sized("shared_size", "SharedSize", "SHARED SIZE", lambda row: row.shared),
            _sized("unique_size", "UniqueSize", "UNIQUE SIZE", lambda row: row.unique),
            Column("containers", lambda row: row.containers, "Containers", "CONTAINERS"),
        ),
        ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"),
    )


def _containers(root: Store, usage: DiskUsage) -> Table[Container]:
    """The table of `containers` with Docker's columns for this list: sizes are what each has written."""
    written = {item.container.id: item.size for item in usage.containers}
    table = container_table(View(root, full=False), size=False)
    columns = [column for column in table.columns if not column.key.startswith("size_")]
    columns.append(_sized("size_rw", "Size", "SIZE", lambda row: written[row.id], digits=3))
    shown = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    return Table(columns, shown, table.methods)


_VOLUMES: Table[VolumeUsage] = Table(
    (
        Column("name", lambda row: row.name, "Name", "VOLUME NAME"),
        Column("links", lambda row: row.links, "Links", "LINKS"),
        _sized("size", "Size", "SIZE", lambda row: row.size),
    ),
    ("Name", "Links", "Size"),
)


_CACHE: Table[CacheUsage] = Table(
    (
        Column("id", lambda row: row.record.key, "ID", "CACHE ID", lambda row: row.record.key[:12]),
        Column("parent", lambda row: row.record.parent or None, "Parent", "PARENT"),
        Column("type", lambda row: row.record.kind, "CacheType", "CACHE TYPE"),
        Column("description", lambda row: row.record.description, "Description", "DESCRIPTION"),
        _sized("size", "Size", "SIZE", lambda row: row.size, digits=3),
        Column("created", lambda row: rfc3339(row.record.created_ns)),
        Column(
            "",
            lambda row: row.record.created_ns,
            "CreatedSince",
            "CREATED",
            lambda row: _ago(row.record.created_ns),
        ),
        Column("last_used", lambda row: rfc3339(row.record.last_used_ns)),
        Column(
            "",
            lambda row: row.record.last_used_ns,
            "LastUsedSince",
            "LAST USED",
            lambda row: _ago(row.record.last_used_ns),
        ),
        Column("usage_count", lambda row: row.record.usage_count, "UsageCount", "USAGE"),
        Column("shared", lambda row: row.shared, "Shared", "SHARED", lambda row: str(row.shared).lower()),
    ),
    ("ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"),
)
