"""What all forms of container logs have in common: their records, cut out of bytes that nobody may trust.

A form cuts the bytes of a file into `Frame`s, and reads a record out of one. Cutting goes on behind damage,
and takes a bounded memory: a record that does not end is passed over.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = [
    "LINE_LIMIT",
    "PASSED_OVER",
    "Frame",
    "LogForm",
    "LogRecord",
    "cut_lines",
    "start_of_last_lines",
]

LINE_LIMIT = 16 << 20
"""The most bytes of a record. Engines write at most 16 KiB of text in one; old ones any line as it came."""

PASSED_OVER = 64 << 20
"""The most bytes of one record that are passed over to find the next: behind that a file is not read on."""

_BLOCK = 1 << 18
_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


class LogRecord(NamedTuple):
    """What a container wrote at one time: a line, or a part of one that was longer than its engine takes.

    Attributes:
        time_ns: when, in ns since the epoch; None where nothing tells.
        stream: `stdout` or `stderr`.
        text: what it wrote, as the engine's client shows it: with a line feed where the line ends.
        ends: whether the line ends here.
        attributes: what the engine was told to note with each line.
        zone: in how many seconds east of UTC the time was written.
    """

    time_ns: int | None
    stream: str
    text: bytes
    ends: bool = True
    attributes: Mapping[str, str] = _NO_ATTRIBUTES
    zone: int = 0


class Frame(NamedTuple):
    """A record as it lies in a file, or bytes that are none.

    Attributes:
        offset: where it begins.
        size: how many bytes it takes there.
        content: its bytes; empty for damage.
        problem: what is wrong with it; empty for a record.
    """

    offset: int
    size: int
    content: bytes
    problem: str = ""


class LogForm(NamedTuple):
    """How a file of a log is written.

    Attributes:
        cut: the frames of a file, from its bytes in pieces and the offset of the first of them.
        parse: the record of a frame; raises `FormatError`.
        start_of_last: where the last N frames of a file begin, and how many there are, from a function that
            reads at an offset, and the file's size; None where only reading it from its beginning tells.
        continues: whether a line that was written in parts has its time, for the engine's client, only once.
    """

    cut: Callable[[Iterable[bytes], int], Iterator[Frame]]
    parse: Callable[[bytes], LogRecord]
    start_of_last: Callable[[ReadAt, int, int], tuple[int, int] | None]
    continues: bool = False


class ReadAt(Protocol):
    """Reads a file: so many bytes, at an offset; fewer only at its end."""

    def __call__(self, size: int, offset: int) -> bytes:
        """The bytes."""


def cut_lines(pieces: Iterable[bytes], offset: int = 0) -> Iterator[Frame]:
    """The lines of a file, without their line feeds; empty ones are left out.

    Zeros before a line, which a file system leaves after a power failure, are damage for themselves.
    """
    for at, size, line in _lines(pieces, offset):
        if line is None:
            yield Frame(at, size, b"", f"a line of more than {LINE_LIMIT >> 20} MiB")
        elif line.startswith(b"\0"):
            rest = line.lstrip(b"\0")
            zeros = len(line) - len(rest)
            yield Frame(at, zeros, b"", "zeros in place of lines, as after a power failure")
            if rest:
                yield Frame(at + zeros, len(rest), rest)
        elif line:
            yield Frame(at, size, line)


def _lines(pieces: Iterable[bytes], offset: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Offset, size and content of each line; None for the content of one that is too long."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        first, *others = piece.split(b"\n")
        held.append(first)
        size += len(first)
        if size > LINE_LIMIT:
            held.clear()
            if size > PASSED_OVER:
                yield offset, size, None
                return
        if not others:
            continue
        yield offset, size, b"".join(held) if size <= LINE_LIMIT else None
        offset += size + 1
        for line in others[:-1]:
            yield offset, len(line), line
            offset += len(line) + 1
        held, size = [others[-1]], len(others[-1])
    if size:
        yield offset, size, b"".join(held) if size <= LINE_LIMIT else None


def start_of_last_lines(read: ReadAt, size: int, number: int) -> tuple[int, int]:
    """Where the last lines of a file begin, so many or all, and how many there are; read from the end."""
    found, end = 0, size
    if size and read(1, size - 1) != b"\n":
        found = 1  # a last line without its line feed
    while end > 0:
        start = max(0, end - _BLOCK)
        block = read(end - start, start)
        feeds = block.count(b"\n")
        if found + feeds <= number:
            found += feeds
            end = start
            continue
        at = len(block)
        for _ in range(number + 1 - found):
            at = block.rindex(b"\n", 0, at)
        return start + at + 1, number
    return 0, found
