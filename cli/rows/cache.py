"""The row of `layerfs cache`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..table import Column, Table
from ..units import human_size

if TYPE_CHECKING:
    from layerfs.cache.directory import Usage

__all__ = ["CacheRow", "cache_table"]


class CacheRow(NamedTuple):
    """A cache of decompressed layers.

    Attributes:
        path: its directory.
        usage: what it holds, or held before it was cleared.
        cleared: whether it was cleared.
    """

    path: str
    usage: Usage
    cleared: bool


def cache_table() -> Table[CacheRow]:
    """The columns of a cache."""
    columns: tuple[Column[CacheRow], ...] = (
        Column("path", lambda row: row.path, "Path", "PATH"),
        Column("entries", lambda row: row.usage.files, "Entries", "ENTRIES"),
        Column("size", lambda row: row.usage.size, "Size", "SIZE", lambda row: human_size(row.usage.size)),
        Column("cleared", lambda row: row.cleared, "Cleared", "CLEARED"),
    )
    return Table(columns, ("Path", "Entries", "Size", "Cleared"))
