"""The rows of the tables of `layerfs system df`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..table import Column, Table
from ..units import age, human_size, rfc3339, short_id
from .containers import View, container_table
from .identities import NONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.accounts import AccountRules
    from layerfs.analysis.store.diskusage import CacheUsage, DiskUsage, ImageLine, Total, VolumeUsage
    from layerfs.model import Container
    from layerfs.store import Store

__all__ = [
    "CACHE_TABLE",
    "VOLUME_TABLE",
    "container_usage_table",
    "image_usage_table",
    "size_words",
    "summary_table",
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


def _reclaimable(row: Total, rules: AccountRules) -> str:
    """With its part of the whole, as the engine has it: Docker's build cache is without."""
    text = size_words(row.reclaimable)
    if row.reclaimable is None or row.size is None or row.kind == "Build Cache":
        return text
    if rules.rounded:
        return f"{text} ({(row.reclaimable * 200 + row.size) // (row.size * 2) if row.size else 0}%)"
    return f"{text} ({row.reclaimable * 100 // row.size}%)" if row.size else text


def summary_table(rules: AccountRules) -> Table[Total]:
    """The table of all parts of a store."""
    return Table(
        (
            Column("type", lambda row: row.kind, "Type", "TYPE"),
            Column(
                "total_count", lambda row: row.total, "TotalCount", "TOTAL", lambda row: _count(row.total)
            ),
            Column("active", lambda row: row.active, "Active", "ACTIVE", lambda row: _count(row.active)),
            _sized("size", "Size", "SIZE", lambda row: row.size),
            Column(
                "reclaimable_size",
                lambda row: row.reclaimable,
                "Reclaimable",
                "RECLAIMABLE",
                lambda row: _reclaimable(row, rules),
            ),
        ),
        ("Type", "TotalCount", "Active", "Size", "Reclaimable"),
    )


def _id(row: ImageLine) -> str:
    return row.usage.image.id


def _created(row: ImageLine) -> int | None:
    return row.usage.image.config.created_ns


def _ago(time_ns: int | None) -> str:
    return "" if time_ns is None else age(time_ns)


def image_usage_table(digits: int) -> Table[ImageLine]:
    """The table of images; the whole size has so many digits."""
    return Table(
        (
            Column(
                "repository",
                lambda row: row.repository,
                "Repository",
                "REPOSITORY",
                lambda row: row.repository or NONE,
            ),
            Column("tag", lambda row: row.tag, "Tag", "TAG", lambda row: row.tag or NONE),
            Column("id", _id, "ID", "IMAGE ID", lambda row: short_id(_id(row))),
            Column("created", lambda row: rfc3339(_created(row))),
            Column("", lambda row: _ago(_created(row)), "CreatedSince", "CREATED"),
            _sized("size", "Size", "SIZE", lambda row: row.usage.size, digits),
            _sized("shared_size", "SharedSize", "SHARED SIZE", lambda row: row.usage.shared),
            _sized("unique_size", "UniqueSize", "UNIQUE SIZE", lambda row: row.usage.unique),
            Column("containers", lambda row: row.usage.containers, "Containers", "CONTAINERS"),
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
