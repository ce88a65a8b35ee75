"""The lines of one content that fit, as grep(1) selects them; read a mebibyte at a time.

A content with a NUL is binary: as in grep, a NUL ends a line there, and all that is told is that one fits.
A line that is longer than `LONGEST` is taken in pieces, each as a line; holes are passed over.

Source: GNU grep 3.8 `src/grep.c` (`grep`, `prtext`, `zap_nuls`).
"""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerfs.analysis.grep.matcher import Matcher
    from layerfs.tree.content import Content

__all__ = ["LONGEST", "Line", "Search", "Wanted"]

LONGEST = 16 << 20
"""Bytes of the longest line that is taken as one."""

_BLOCK = 1 << 20
_MOST_CONTEXT = 64 << 20  # bytes of lines that are kept as they may come before one that fits
_LINE = b"\n"
_NUL = b"\0"


class Wanted(NamedTuple):
    """What is wanted of a content.

    Attributes:
        invert: the lines in which nothing matches.
        most: so many lines that fit; None for all.
        before: lines before one that fits.
        after: lines behind it.
        binary: what of binary contents: that one fits (`binary`), lines (`text`), nothing (`without-match`).
        lines: the lines; else only how many fit.
        spans: where in the lines the matches are.
        numbers: the numbers of lines.
    """

    invert: bool = False
    most: int | None = None
    before: int = 0
    after: int = 0
    binary: str = "binary"
    lines: bool = True
    spans: bool = False
    numbers: bool = True


class Line(NamedTuple):
    """A line.

    Attributes:
        number: 1 for the first; 0 if numbers are not wanted, or the content is binary.
        offset: of its first byte in the content.
        text: its bytes, without what ends it; None for that of a binary content.
        fits: whether it does; else it is near one that does.
        spans: where the matches are in it, if that is wanted; to be taken before the next line is.
        apart: whether lines are left out between the one given before and this one.
    """

    number: int
    offset: int
    text: bytes | None
    fits: bool = True
    spans: Iterable[tuple[int, int]] = ()
    apart: bool = False


class _Window(NamedTuple):
    """Whole lines of a content, and where the first begins; in binary ones NULs end lines too."""

    data: bytes
    offset: int


class Search:
    """The search of one content.

    Attributes:
        count: how many lines fitted so far.
        binary: whether a NUL was met.
        in_pieces: whether a line was longer than `LONGEST`.
        failed: whether the content could not be read to its end.
    """

    def __init__(self, matcher: Matcher, wanted: Wanted) -> None:
        """Search with `matcher`."""
        self._matcher = matcher
        self._wanted = wanted
        self.count = 0
        self.binary = False
        self.in_pieces = False
        self.failed = False
        self._done = False
        self._numbers = _Numbers()
        self._context = _Context(wanted, self._numbers) if wanted.before or wanted.after else None

    def lines(self, content: Content) -> Iterator[Line]:
        """The lines of a content that fit, and those near them; raises `OSError` as the content does."""
        for window in self._windows(content):
            if self._nul_ends and self._wanted.binary == "without-match":
                return
            told_only = self._nul_ends and self._wanted.binary == "binary" and self._wanted.lines
            if self._nul_ends:
                if self._cannot_fit(window.data):
                    continue
                window = window._replace(data=window.data.replace(_NUL, _LINE))  # noqa: PLW2901 - the same bytes
            yield from self._binary(window) if told_only else self._text(window)
            if self._done or (told_only and self.count):
                return
            self._numbers.leave(window.data, wanted=self._wanted.numbers and not told_only)

    @property
    def _nul_ends(self) -> bool:
        """Whether a NUL ends a line."""
        return self.binary and self._wanted.binary != "text"

    def _cannot_fit(self, data: bytes) -> bool:
        """Whether no line of binary data can fit, as no pattern matches even if NULs are like other bytes."""
        if self._matcher.anchored or self._wanted.invert or self._context:
            return False
        return self._matcher.first(data, 0, len(data)) is None

    # -- one window ----------------------------------------------------------------------------

    def _binary(self, window: _Window) -> Iterator[Line]:
        """That a line fits, once."""
        for begin, _ in self._fitting(window.data):
            if self._enough:
                return
            self.count += 1
            yield Line(0, window.offset + begin, None)
            return

    def _text(self, window: _Window) -> Iterator[Line]:
        """The lines that fit, and those near them."""
        for begin, end in () if self._enough else self._fitting(window.data):
            self.count += 1
            if self._wanted.lines:
                yield from self._line(window, begin, end)
            if self._enough:
                break
        if self._context:
            yield from self._context.up_to(window, len(window.data))
            self._context.leave(window)
        self._done = self._enough and not (self._context and self._context.waits)

    @property
    def _enough(self) -> bool:
        return self._wanted.most is not None and self.count >= self._wanted.most

    def _line(self, window: _Window, begin: int, end: int) -> Iterator[Line]:
        """A line that fits, with what comes before it."""
        apart = False
        if self._context:
            yield from self._context.before(window, begin)
            apart = self._context.apart(window.offset + begin)
            self._context.took(window, end)
        spans: Iterable[tuple[int, int]] = ()
        if self._wanted.spans and not self._wanted.invert:
            found = self._matcher.spans(window.data, begin, end)
            spans = ((first - begin, last - begin) for first, last in found)  # may be millions
        number = self._numbers.at(window.data, begin) if self._wanted.numbers else 0
        yield Line(number, window.offset + begin, window.data[begin:end], spans=spans, apart=apart)

    def _fitting(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where the lines begin and end that are to be selected."""
        found = self._matching(data)
        if not self._wanted.invert:
            yield from found
            return
        done = 0
        for begin, end in found:
            yield from _lines_between(data, done, begin)
            done = end + 1
        yield from _lines_between(data, done, len(data))

    def _matching(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where the lines begin and end in which a pattern matches."""
        begin, size = 0, len(data)
        while begin < size:
            found = self._matcher.first(data, begin, size)
            if found is None:
                return
            first, last = found
            if first == size and data.endswith(_LINE):  # behind the last line
                return
            begin = data.rfind(_LINE, begin, first) + 1 or begin
            end = data.find(_LINE, last)
            end = size if end < 0 else end
            yield begin, end
            begin = end + 1

    # -- reading -------------------------------------------------------------------------------

    def _windows(self, content: Content) -> Iterator[_Window]:
        """A content in windows of whole lines."""
        size, offset = content.size, 0
        rest: list[bytes] = []  # the beginning of a line that is not read to its end
        held = 0
        while offset < size:
            if size > _BLOCK and (data_at := _behind_hole(content, offset, size)) - offset >= _BLOCK:
                if held:
                    yield _Window(b"".join(rest), offset - held)
                rest, held, offset = [], 0, data_at
                self.binary = True
                continue
            block = content.pread(min(_BLOCK, size - offset), offset)
            if not block:
                break
            offset += len(block)
            self.binary = self.binary or _NUL in block
            whole = len(block) if offset >= size else self._behind_lines(block)
            if not whole and held + len(block) < LONGEST:
                rest.append(block)
                held += len(block)
                continue
            self.in_pieces = self.in_pieces or not whole
            whole = whole or len(block)
            data = (
                b"".join((*rest, block[:whole])) if held else block if whole == len(block) else block[:whole]
            )
            begin = offset - len(block) - held
            rest, held = ([block[whole:]], len(block) - whole) if whole < len(block) else ([], 0)
            yield _Window(data, begin)
        if held:
            yield _Window(b"".join(rest), offset - held)

    def _behind_lines(self, block: bytes) -> int:
        """Where the last line of a block ends; 0 if none does."""
        return max(block.rfind(_LINE), block.rfind(_NUL) if self._nul_ends else -1) + 1


class _Numbers:
    """Counts lines on the way through a content."""

    def __init__(self) -> None:
        self._before = 0  # line feeds before the place
        self._place = 0  # in the window

    def at(self, data: bytes, place: int) -> int:
        """The number of the line that begins at a place; places do not go back."""
        self._before += data.count(_LINE, self._place, place)
        self._place = place
        return self._before + 1

    def leave(self, data: bytes, *, wanted: bool) -> None:
        """The window has ended."""
        if wanted:
            self._before += data.count(_LINE, self._place)
        self._place = 0


class _Context:
    """The lines near those that fit."""

    def __init__(self, wanted: Wanted, numbers: _Numbers) -> None:
        self._wanted = wanted
        self._numbers = numbers
        self._earlier: deque[Line] = deque(maxlen=wanted.before)  # of windows before, not given so far
        self._held = 0
        self._place = 0  # in the window: what is before it was given, or passed over
        self._left = 0  # lines to give behind the last one that fits
        self._given: int | None = None  # the offset behind the last line that was given

    def up_to(self, window: _Window, place: int) -> Iterator[Line]:
        """The lines that are still wanted behind the last one that fits, but not what begins at a place."""
        for begin, end in _lines_between(window.data, self._place, place):
            if not self._left:
                return
            self._left -= 1
            yield self._near(window, begin, end)
            self._place, self._given = end + 1, window.offset + end + 1

    def before(self, window: _Window, place: int) -> Iterator[Line]:
        """The lines behind the last one and before this one."""
        yield from self.up_to(window, place)
        begins: list[int] = []
        at = place
        while at > self._place and len(begins) < self._wanted.before:
            at = max(window.data.rfind(_LINE, self._place, at - 1) + 1, self._place)
            begins.append(at)
        if at == 0:
            while self._earlier and len(self._earlier) + len(begins) > self._wanted.before:
                self._earlier.popleft()
            for line in self._earlier:
                assert line.text is not None  # noqa: S101 - none of these is of a binary content
                yield line._replace(apart=self.apart(line.offset))
                self._given = line.offset + len(line.text) + 1
        self._earlier.clear()
        for begin in reversed(begins):
            end = window.data.find(_LINE, begin)
            yield self._near(window, begin, end)
            self._given = window.offset + end + 1

    def took(self, window: _Window, end: int) -> None:
        """A line that fits was given, which ends there."""
        self._place, self._left = end + 1, self._wanted.after
        self._given = window.offset + end + 1

    def apart(self, offset: int) -> bool:
        """Whether lines are left out before what begins there."""
        return self._given is not None and offset > self._given

    @property
    def waits(self) -> bool:
        """Whether lines are still wanted behind the last one that fits."""
        return self._left > 0

    def leave(self, window: _Window) -> None:
        """The window has ended: keep what may come before a line that fits."""
        data, at = window.data, len(window.data)
        kept: list[tuple[int, int]] = []
        while at > self._place and len(kept) < self._wanted.before:
            begin = max(data.rfind(_LINE, self._place, at - 1) + 1, self._place)
            kept.append((begin, at - data.endswith(_LINE, begin, at)))
            at = begin
        for begin, end in reversed(kept):
            self._keep(self._near(window, begin, end))
        self._place = 0

    def _keep(self, line: Line) -> None:
        self._earlier.append(line)
        while sum(len(item.text or b"") for item in self._earlier) > _MOST_CONTEXT and len(self._earlier) > 1:
            self._earlier.popleft()

    def _near(self, window: _Window, begin: int, end: int) -> Line:
        number = self._numbers.at(window.data, begin) if self._wanted.numbers else 0
        offset = window.offset + begin
        return Line(number, offset, window.data[begin:end], fits=False, apart=self.apart(offset))


def _lines_between(data: bytes, begin: int, end: int) -> Iterable[tuple[int, int]]:
    """Where the lines begin and end from one place, at the beginning of a line, to another."""
    while begin < end:
        found = data.find(_LINE, begin, end)
        found = end if found < 0 else found
        yield begin, found
        begin = found + 1


def _behind_hole(content: Content, offset: int, size: int) -> int:
    """Where data comes from an offset on; the size if there is none."""
    try:
        return content.seek(offset, os.SEEK_DATA)
    except OSError as error:
        return size if error.errno == errno.ENXIO else offset
