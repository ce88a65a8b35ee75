"""The contents of a file as rows: text and bytes, of which only what is seen is read."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING

from .spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.tree.content import Content

    from .reader import Ticket
    from .seeking import Needle

__all__ = ["ByteRows", "TextFile", "looks_binary", "visible_text"]

BLOCK = 1 << 16
LONGEST_LINE = 4096
MOST_LINES = 2_000_000


class _Blocks:
    """A file read in blocks, of which the last few are kept."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self._kept: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def read(self, offset: int, size: int) -> bytes:
        """Bytes at an offset; raises `OSError`."""
        pieces = [self._block(at) for at in range(offset // BLOCK, (offset + size - 1) // BLOCK + 1)]
        begin = offset % BLOCK
        return b"".join(pieces)[begin : begin + size]

    def _block(self, number: int) -> bytes:
        with self._lock:
            if number not in self._kept:
                if len(self._kept) >= 8:
                    del self._kept[next(iter(self._kept))]
                self._kept[number] = self.content.pread(BLOCK, number * BLOCK)
            return self._kept[number]


def looks_binary(content: Content) -> bool:
    """Whether there is a NUL in the first 8 KiB."""
    return b"\0" in content.pread(8192, 0)


def visible_text(data: bytes) -> str:
    """Bytes as a line of text: a tab as spaces, and a dot in the middle for what is not visible."""
    text = data.decode("utf-8", "replace").expandtabs(8)
    return text if text.isprintable() else "".join(char if char.isprintable() else "·" for char in text)


class TextFile:
    """The lines of a file, whose beginnings are found beside the screen.

    Attributes:
        complete: whether all beginnings are known.
        cut: whether the file has more lines than are shown.
        needle: what is searched in it.
    """

    def __init__(self, content: Content) -> None:
        """Show `content`; no line is known before `index`."""
        self._blocks = _Blocks(content)
        self._size = content.size
        self._begins = array("Q")
        self.needle: Needle | None = None
        self.complete = self.cut = False

    def index(self, ticket: Ticket, until: int = MOST_LINES) -> None:
        """Find the lines; those that are too long for one row are several. Raises `OSError`."""
        at = 0
        begins = self._begins
        if self._size:
            begins.append(0)
        while at < self._size:
            ticket.check()
            data = self._blocks.content.pread(1 << 20, at)
            if not data:
                break
            found = -1
            while True:
                found = data.find(b"\n", found + 1)
                line_end = at + (found if found >= 0 else len(data))
                while line_end - begins[-1] > LONGEST_LINE:
                    begins.append(begins[-1] + LONGEST_LINE)
                if found < 0:
                    break
                if at + found + 1 < self._size:
                    begins.append(at + found + 1)
                if len(begins) >= until:
                    self.cut = self.complete = True
                    return
            at += len(data)
        self.complete = True

    def __len__(self) -> int:
        """How many lines are known."""
        return len(self._begins)

    def offset(self, index: int) -> int:
        """Where a line begins."""
        return self._begins[index]

    def index_of(self, offset: int) -> int | None:
        """The line that holds a byte; None if its beginning is not known."""
        if offset >= self._begins[-1] and not self.complete:
            return None
        at = bisect_right(self._begins, offset) - 1
        return None if self.cut and at == len(self) - 1 else at

    def heading(self, width: int) -> Sequence[Span]:  # noqa: ARG002 - it has none
        """None."""
        return ()

    def row(self, index: int, width: int) -> Sequence[Span]:
        """One line with its number."""
        begin = self._begins[index]
        end = self._begins[index + 1] if index + 1 < len(self._begins) else self._size
        digits = len(str(len(self._begins)))
        try:
            data = self._blocks.read(begin, min(end - begin, LONGEST_LINE, 4 * width + 4))
        except OSError as error:
            return (Span(f"cannot be read: {error.strerror or error}", "error"),)
        text = visible_text(data.removesuffix(b"\n").removesuffix(b"\r"))
        return (Span(f"{index + 1:>{digits}} ", "dim"), *_parted(text, self.needle))


def _parted(text: str, needle: Needle | None) -> Iterator[Span]:
    """A line, with each place of what is searched as a span of its own."""
    wanted = visible_text(needle.data) if needle else ""
    line = text if needle is None or needle.exact else text.lower()
    if not wanted or len(line) != len(text):  # a letter that has another length in lower case
        yield Span(text)
        return
    at = 0
    while (found := line.find(wanted, at)) >= 0:
        yield Span(text[at:found])
        yield Span(text[found : found + len(wanted)], "hit")
        at = found + len(wanted)
    yield Span(text[at:])


class ByteRows:
    """The bytes of a file, sixteen a row: offset, hexadecimal, characters.

    Attributes:
        hit: the offset of what was found, and how many bytes it has.
    """

    def __init__(self, content: Content) -> None:
        """Show `content`."""
        self.hit = (0, 0)
        self._blocks = _Blocks(content)
        self._size = content.size

    def __len__(self) -> int:
        """How many rows."""
        return (self._size + 15) // 16

    def offset(self, index: int) -> int:
        """Where a row begins."""
        return index * 16

    def index_of(self, offset: int) -> int:
        """The row that holds a byte."""
        return offset // 16

    def heading(self, width: int) -> Sequence[Span]:  # noqa: ARG002 - always the same
        """None."""
        return ()

    def row(self, index: int, width: int) -> Sequence[Span]:
        """Sixteen bytes."""
        try:
            data = self._blocks.read(index * 16, 16)
        except OSError as error:
            return (Span(f"cannot be read: {error.strerror or error}", "error"),)
        offset = f"{index * 16:08x}"
        text = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in data)
        gap = "  " if width >= 78 else " "
        cells = [f"{byte:02x}" for byte in data] + ["  "] * (16 - len(data))
        begin, size = self.hit
        first, last = begin - index * 16, begin + size - index * 16
        spans = [Span(f"{offset}{gap}", "dim")]
        for at, cell in enumerate(cells):
            spans.append(Span(cell, "hit" if first <= at < last else ""))
            spans.append(Span(gap if at in (7, 15) else " "))
        return (*spans, Span(text))
