"""The rows of the tables of `layerfs system df`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..table import Column, Table
from ..units import age, human_size, rfc3339, short_id
from .containers import View, container_table
from .identities import NONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.analysis.store.diskusage import CacheUsage, DiskUsage, Total, VolumeUsage
    from layerfs.analysis.store.usage import ImageUsage
    from layerfs.model import Container
    from layerfs.store import Store

__all__ = [
    "CACHE_TABLE",
    "SUMMARY_TABLE",
    "VOLUME_TABLE",
    "container_usage_table",
    "image_usage_table",
    "size_words",
]

UNKNOWN = "N/A"


def size_words(size: int | None, digits: int = 4) -> str:
    """Bytes in Docker's words, or `N/A`."""
    return UNKNOWN if size is None else human_size(size, digits)


def _sized(
    key: str, placeholder: str, header: str, size: Callable[[Any], int | None], digits: int = 4
) -> Column[Any]:
    """A size in bytes, and in Docker's words, which have three digits in some lists and four in others."""
    return Column(key, size, placeholder, header, lambda row: size_words(size(row), digits))


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _reclaimable(row: Total) -> str:
    """With its part of the whole, but of the build cache, as Docker has it."""
    text = size_words(row.reclaimable)
    if not row.size or row.reclaimable is None or row.kind == "Build Cache":
        return text
    return f"{text} ({row.reclaimable * 100 // row.size}%)"


SUMMARY_TABLE: Table[Total] = Table(
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
    """A part of the image's first name."""
    return Column(
        key,
        lambda row: row.image.first_tag[part],
        placeholder,
        key.upper(),
        lambda row: row.image.first_tag[part] or NONE,
    )


def _ago(time_ns: int | None) -> str:
    return "" if time_ns is None else age(time_ns)


def image_usage_table(digits: int) -> Table[ImageUsage]:
    """The table of images; the whole size has so many digits."""
    return Table(
        (
            _named("repository", "Repository", 0),
            _named("tag", "Tag", 1),
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


def container_usage_table(root: Store, usage: DiskUsage) -> Table[Container]:
    """The table of `containers` with Docker's columns for this list: sizes are what each has written."""
    written = {item.container.id: item.size for item in usage.containers}
    table = container_table(View(root, full=False), size=False)
    columns = [column for column in table.columns if not column.key.startswith("size_")]
    columns.append(_sized("size_rw", "Size", "SIZE", lambda row: written[row.id], digits=3))
    shown = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    return Table(columns, shown, table.methods)


VOLUME_TABLE: Table[VolumeUsage] = Table(
    (
        Column("name", lambda row: row.name, "Name", "VOLUME NAME"),
        Column("links", lambda row: row.links, "Links", "LINKS"),
        _sized("size", "Size", "SIZE", lambda row: row.size),
    ),
    ("Name", "Links", "Size"),
)


CACHE_TABLE: Table[CacheUsage] = Table(
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
