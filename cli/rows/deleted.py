"""The rows of `layerfs deleted`, and the line of sums below them."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from ..table import Column, Table
from ..units import human_size, rfc3339
from .entries import escaped, lossless, type_word
from .identities import cache_id_column, diff_id_column
from .provenance import backing_path, command_words, maker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.analysis.tree.deleted import Deleted
    from layerfs.subject import Subject
    from layerfs.tree.node import FileStat

__all__ = ["DeletedRow", "deleted_table", "sums"]

SHOWN = ("Path", "Size", "Layer", "HiddenBy", "How", "Wasted")
RECOVERED = ("Path", "Size", "Layer", "HiddenBy", "How", "Recovered")


class DeletedRow(NamedTuple):
    """A hidden version, its target if it is a symbolic link, and its copy below DIR, if there is one."""

    item: Deleted
    target: bytes | None = None
    copy: bytes | None = None

    @property
    def stat(self) -> FileStat:
        """Its attributes."""
        return self.item.version.stat


def sums(rows: Sequence[DeletedRow]) -> str:
    """What is below the table."""
    layers = sorted({row.item.version.layer for row in rows})
    size, wasted = sum(row.stat.size for row in rows), sum(row.item.wasted for row in rows)
    where = f" in layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}" if layers else ""
    files = f"{len(rows)} hidden file{'' if len(rows) == 1 else 's'}{where}"
    return f"{files}: {human_size(size, 4)}, {human_size(wasted, 4)} wasted"


def _column(
    key: str, placeholder: str, header: str, value: Callable[[DeletedRow], Any], words: Any = None
) -> Column[DeletedRow]:
    return Column(key, value, placeholder, header, words and (lambda row: words(value(row))))


def deleted_table(subject: Subject, *, full: bool, recovered: bool) -> Table[DeletedRow]:
    """The columns of hidden versions of `subject`; `recovered` shows where the copies are."""
    command = command_words(full=full)

    def maker_column(
        key: str, placeholder: str, header: str, number: Callable[[DeletedRow], int]
    ) -> Column[DeletedRow]:
        def cell(row: DeletedRow) -> str:
            return command(maker(subject, number(row)))

        return Column(key, lambda row: subject.created_by(number(row)), placeholder, header, cell)

    def text(value: str | None) -> str:
        return "" if value is None else escaped(value.encode("utf-8", "surrogateescape"))

    def size(value: int) -> str:
        return human_size(value, 4)

    def layer(row: DeletedRow) -> int:
        return row.item.version.layer

    columns: tuple[Column[DeletedRow], ...] = (
        _column("path", "Path", "PATH", lambda row: lossless(row.item.version.path), text),
        _column("type", "Type", "TYPE", lambda row: type_word(row.stat.mode)),
        _column("size", "Size", "SIZE", lambda row: row.stat.size, size),
        _column("layer", "Layer", "LAYER", layer),
        _column("hidden_by", "HiddenBy", "HIDDEN BY", lambda row: row.item.hidden.by),
        _column("how", "How", "HOW", lambda row: str(row.item.hidden.how)),
        _column("hidden_at", "HiddenAt", "HIDDEN AT", lambda row: lossless(row.item.hidden.at), text),
        _column("wasted", "Wasted", "WASTED", lambda row: row.item.wasted, size),
        _column("mode", "Mode", "MODE", lambda row: f"{stat.S_IMODE(row.stat.mode):04o}"),
        _column("uid", "UID", "UID", lambda row: row.stat.uid),
        _column("gid", "GID", "GID", lambda row: row.stat.gid),
        _column("mtime", "MTime", "MTIME", lambda row: rfc3339(row.stat.mtime_ns)),
        _column("nlink", "NLink", "NLINK", lambda row: row.stat.nlink),
        _column("inode", "Inode", "INODE", lambda row: row.stat.ino),
        _column("target", "Target", "TARGET", lambda row: row.target and lossless(row.target), text),
        diff_id_column(lambda row: subject.layer(layer(row)).diff_id),
        cache_id_column(lambda row: subject.layer(layer(row)).cache_id),
        _column(
            "backing_path",
            "BackingPath",
            "BACKING PATH",
            lambda row: backing_path(subject, layer(row), row.item.version.part),
        ),
        maker_column("created_by", "CreatedBy", "CREATED BY", layer),
        maker_column(
            "hidden_by_command", "HiddenByCommand", "HIDDEN BY COMMAND", lambda row: row.item.hidden.by
        ),
        _column("recovered", "Recovered", "RECOVERED", lambda row: row.copy and lossless(row.copy), text),
    )
    return Table(columns, RECOVERED if recovered else SHOWN)
