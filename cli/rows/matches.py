"""The rows and lines of `layerfs grep`: lines as grep(1) prints them, and columns for other formats."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from ..colors import colored
from ..escape import printable_lines
from ..table import Column, Table
from .entries import escaped, lossless
from .findings import hidden_value, owner_value, owners_text
from .identities import cache_id_column, chain_id_column, diff_id_column, id_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.analysis.grep.lines import Line
    from layerfs.analysis.grep.texts import Text
    from layerfs.analysis.store.forest import Owner, Stage
    from layerfs.analysis.store.seen import Sights
    from layerfs.model import LayerInfo
    from layerfs.store import Store

__all__ = ["Printer", "Row", "Shown", "Source", "match_table"]

_NAME, _NUMBER, _SEPARATOR, _MATCH = "35", "32", "36", "01;31"
"""The colours of grep(1)."""


class Source(NamedTuple):
    """Where a text is from.

    Attributes:
        text: what was searched.
        record: whether it is of the record of an image or container; else it is a file.
        name: the NAME with which other commands show it; empty in the tree that was asked for.
        layer: the layer of a file, in one tree.
        sights: of a file of a whole store, how each tree with its layer stands to it.
        owner: whose record it is.
    """

    text: Text
    record: bool = False
    name: str = ""
    layer: LayerInfo | None = None
    sights: Sights | None = None
    owner: Owner | None = None

    @property
    def stage(self) -> Stage | None:
        """Its layer, in a whole store."""
        return self.text.hit.stage if self.text.hit else None

    @property
    def number(self) -> int | None:
        """The number of its layer."""
        place = self.layer or self.stage
        return place.number if place else None

    @property
    def state(self) -> str:
        """As `find` has it: `visible`, `hidden`, `unknown` for damage, `used` by a build, or `unused`."""
        if self.stage is None or self.sights is None:
            return "hidden" if self.text.hidden else "visible"
        if self.sights.seen:
            return "visible"
        if self.sights.missed:
            return "hidden"
        if self.sights.every or self.stage.used is None:
            return "unknown"
        return "used" if self.stage.used else "unused"

    @property
    def hider(self) -> Any:
        """What hides it, where nothing shows it."""
        if self.text.hidden or self.state != "hidden" or self.sights is None:
            return self.text.hidden
        return self.sights.missed[0].hidden

    def identity(self, name: str) -> str | None:
        """The ID of its layer that is called so."""
        found = getattr(self.layer or self.stage, name, None)
        return None if found is None else str(found)

    @property
    def remark(self) -> str:
        """What there is to say behind its path; empty for what is visible."""
        if self.state == "visible":
            return ""
        if self.hider is None:
            return f" [{self.state}]"
        own = f"layer {self.number}, " if self.layer else ""
        return f" [{own}hidden by layer {self.hider.by}]"


class Row(NamedTuple):
    """A line of a text that fits, or that is near one; or a text, with how many lines of it do."""

    source: Source
    line: Line | None = None
    fitted: int | None = None
    spans: tuple[tuple[int, int], ...] = ()


# -- lines ---------------------------------------------------------------------------------------


class Shown(NamedTuple):
    """What of a line is printed.

    Attributes:
        names: the name of its text.
        numbers, offsets: its number, and its offset.
        matches: only what matches in it.
        zero: a NUL behind the name, which is the name as it is.
    """

    names: bool = True
    numbers: bool = False
    offsets: bool = False
    matches: bool = False
    zero: bool = False


class Printer:
    """Makes lines as grep(1) does: bytes unchanged, but escaped on a terminal."""

    def __init__(self, shown: Shown) -> None:
        """Print what `shown` says; in colours on a terminal."""
        self._shown = shown
        self._escapes = sys.stdout.isatty()
        self._colored = colored()
        self._source: Source | None = None
        self._name = b""

    def name(self, source: Source) -> bytes:
        """The name of a text: the NAME and the path, and what there is to say of it."""
        if source is not self._source:
            path = source.text.path
            path = escaped(path).encode() if self._escapes and not self._shown.zero else path
            label = (source.name.encode("utf-8", "surrogateescape") + b":") if source.name else b""
            if self._escapes:
                label = escaped(label).encode()
            self._source, self._name = source, label + path + source.remark.encode()
        return self._name

    def file(self, source: Source) -> bytes:
        """The line of `-l`."""
        return self._paint(self.name(source), _NAME) + (b"\0" if self._shown.zero else b"\n")

    def count(self, source: Source, count: int) -> bytes:
        """The line of `-c`."""
        return self._head(source, b":") + b"%d\n" % count

    def line(self, source: Source, line: Line) -> Iterator[bytes]:
        """The line of a line, or one for each match."""
        text = line.text or b""
        if self._shown.matches:
            for first, last in line.spans if line.fits else ():
                match = self._paint(self._text(text[first:last]), _MATCH)
                yield self._line_head(source, line, line.offset + first, b":") + match + b"\n"
        else:
            separator = b":" if line.fits else b"-"
            head = self._line_head(source, line, line.offset, separator)
            yield head + self._marked(line) + b"\n"

    def separator(self) -> bytes:
        """What is between groups of lines."""
        return self._paint(b"--", _SEPARATOR) + b"\n"

    def _marked(self, line: Line) -> bytes:
        """A line with its matches in colour."""
        text = line.text or b""
        if not self._colored or not line.fits:
            return self._text(text)
        pieces, done = [], 0
        for first, last in line.spans:
            pieces += [self._text(text[done:first]), self._paint(self._text(text[first:last]), _MATCH)]
            done = last
        return b"".join(pieces) + self._text(text[done:])

    def _line_head(self, source: Source, line: Line, offset: int, separator: bytes) -> bytes:
        pieces = [self._head(source, separator)]
        numbers = [line.number] * self._shown.numbers + [offset] * self._shown.offsets
        for number in numbers:
            pieces += [self._paint(b"%d" % number, _NUMBER), self._paint(separator, _SEPARATOR)]
        return b"".join(pieces)

    def _head(self, source: Source, separator: bytes) -> bytes:
        if not self._shown.names:
            return b""
        behind = b"\0" if self._shown.zero else self._paint(separator, _SEPARATOR)
        return self._paint(self.name(source), _NAME) + behind

    def _text(self, text: bytes) -> bytes:
        if not self._escapes:
            return text
        return printable_lines(lossless(text)).encode()

    def _paint(self, text: bytes, color: str) -> bytes:
        if not self._colored or not text:
            return text
        return b"\x1b[%bm\x1b[K%b\x1b[m\x1b[K" % (color.encode(), text)


# -- columns -------------------------------------------------------------------------------------


def _column(key: str, placeholder: str, value: Callable[[Row], Any], cell: Any = None) -> Column[Row]:
    return Column(key, value, placeholder, placeholder.upper(), cell)


def _text_of(row: Row) -> str | None:
    return None if row.line is None or row.line.text is None else lossless(row.line.text)


def _binary(row: Row) -> bool | None:
    return None if row.line is None else row.line.text is None


def match_table(store: Store, *, whole: bool, lines: bool, counts: bool) -> Table[Row]:
    """The columns.

    Args:
        store: where the rows are from.
        whole: whether they are of the whole store; else of one tree.
        lines: whether a row is a line; else a text.
        counts: whether it is the number of lines in a text.
    """
    words = id_words(full=False)
    shown = ["Name"] * whole + ["Layer", "State", "HiddenBy"] + ["Path"]
    shown += ["Count"] * counts + ["Line", "Text"] * lines
    return Table(
        (
            _column("path", "Path", lambda row: lossless(row.source.text.path), _path_words),
            _column("source", "Source", lambda row: "record" if row.source.record else "file"),
            _column("name", "Name", lambda row: row.source.name or None),
            _column("state", "State", lambda row: row.source.state),
            _column("layer", "Layer", lambda row: row.source.number),
            Column("hidden_by", _hidden_by, "HiddenBy", "HIDDEN BY"),
            _column("how", "How", lambda row: str(row.source.hider.how) if row.source.hider else None),
            _column("line", "Line", lambda row: (row.line.number or None) if row.line else None),
            _column("offset", "Offset", lambda row: row.line.offset if row.line else None),
            _column("text", "Text", _text_of),
            _column("matches", "Matches", lambda row: [list(span) for span in row.spans]),
            _column("context", "Context", lambda row: not row.line.fits if row.line else None),
            _column("binary", "Binary", _binary),
            _column("count", "Count", lambda row: row.fitted),
            diff_id_column(lambda row: row.source.identity("diff_id"), words),
            chain_id_column(lambda row: row.source.identity("chain_id"), words),
            cache_id_column(lambda row: row.source.identity("cache_id"), words, store.place_word),
            Column("visible_in", _visible_in, "VisibleIn", "VISIBLE IN", _visible_words),
            Column("hidden_in", _hidden_in, "HiddenIn", "HIDDEN IN", _hidden_words),
        ),
        shown + ["VisibleIn"] * whole if not lines else shown,
    )


def _path_words(row: Row) -> str:
    return os.fsdecode(escaped(row.source.text.path))


def _hidden_by(row: Row) -> int | None:
    found: int | None = row.source.hider.by if row.source.hider else None
    return found


def _visible_in(row: Row) -> list[dict[str, Any]] | None:
    if row.source.owner:
        return [owner_value(row.source.owner)]
    sights = row.source.sights
    return None if sights is None else [owner_value(sight.owner) for sight in sights.seen]


def _hidden_in(row: Row) -> list[dict[str, Any]] | None:
    sights = row.source.sights
    if sights is None:
        return None
    return [owner_value(sight.owner) | (hidden_value(sight.hidden) or {}) for sight in sights.missed]


def _visible_words(row: Row) -> str:
    sights = row.source.sights
    owners = [sight.owner for sight in sights.seen] if sights else []
    return owners_text(owners, full=False)


def _hidden_words(row: Row) -> str:
    sights = row.source.sights
    return owners_text([sight.owner for sight in sights.missed] if sights else [], full=False)
