"""Counted changes as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..table import Column, Table
from ..units import human_size
from .entries import escaped, lossless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerfs.analysis.diff.changes import Change
    from layerfs.analysis.diff.tally import Tally

__all__ = ["StatRow", "stat_rows", "stat_table"]

DOCKER_KINDS = ("added", "changed", "deleted")
KINDS = ("added", "modified", "metadata", "type", "deleted")
_HEADERS = {"metadata": "METADATA ONLY", "type": "OTHER TYPE"}


class StatRow(NamedTuple):
    """What changed in one directory; the last row, of all of them, has none."""

    directory: bytes | None
    tally: Tally


def stat_rows(changes: Iterable[Change], *, only_total: bool) -> Iterator[StatRow]:
    """A row a directory, sorted by path, and one of all."""
    from layerfs.analysis.diff.tally import Tally

    total = Tally()
    directories: dict[bytes, Tally] = {}
    for change in changes:
        total.add(change)
        if not only_total:
            directory = change.path.rpartition(b"/")[0] or b"/"
            directories.setdefault(directory, Tally()).add(change)
    for directory in sorted(directories):
        yield StatRow(directory, directories[directory])
    yield StatRow(None, total)


def stat_table(*, docker: bool, only_total: bool) -> Table[StatRow]:
    """The counts by kind: entries, and bytes of the files among them."""
    kinds = DOCKER_KINDS if docker else KINDS
    columns: list[Column[StatRow]] = [
        Column(
            "directory",
            lambda row: None if row.directory is None else lossless(row.directory),
            "Directory",
            "DIRECTORY",
            lambda row: "total" if row.directory is None else escaped(row.directory),
        ),
        *(_kind_column(kind) for kind in kinds),
    ]
    shown = [kind.capitalize() for kind in kinds]
    return Table(columns[1:] if only_total else columns, shown if only_total else ["Directory", *shown])


def _kind_column(kind: str) -> Column[StatRow]:
    def value(row: StatRow) -> dict[str, Any]:
        return {"entries": row.tally.entries[kind], "bytes": row.tally.size[kind]}

    def words(row: StatRow) -> str:
        entries, size = value(row).values()
        return "-" if not entries else f"{entries} ({human_size(size)})" if size else str(entries)

    return Column(kind, value, kind.capitalize(), _HEADERS.get(kind, kind.upper()), words)
