"""The log driver `local` of Docker, also what it caches for drivers that send logs elsewhere.

A record is its size, a protobuf message, and its size once more, both in 4 bytes, big-endian.

Sources: moby `daemon/logger/local/local.go`, `local/read.go`, `api/types/plugins/logdriver/entry.proto`.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from layerfs.formats.errors import FormatError
from layerfs.formats.logrecords import PASSED_OVER, Frame, LogForm, LogRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerfs.formats.logrecords import ReadAt

__all__ = ["LOCAL", "parse_entry"]

_MOST = 1_000_000  # the engine's own limit of a message
_SIZE = struct.Struct(">I")
_AROUND = 2 * _SIZE.size
_SOURCE, _TIME, _LINE, _PARTIAL, _METADATA = 1, 2, 3, 4, 5
_LAST = 1  # of the metadata of a part: whether it is the last one
_BEGINNING = re.compile(rb"\0[\0-\x0f]..\n\x06std(?:out|err)", re.DOTALL)
"""How every record begins: a size below the limit, and the source."""
_NEEDED = 12


class _Window:
    """The bytes of a file from some offset on, as many as were asked for."""

    def __init__(self, pieces: Iterable[bytes], offset: int) -> None:
        self._pieces = iter(pieces)
        self._held = b""
        self._at = 0
        self.offset = offset

    def peek(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end."""
        while len(self._held) - self._at < size and (piece := next(self._pieces, b"")):
            self._held, self._at = self._held[self._at :] + piece, 0
        return self._held[self._at : self._at + size]

    def drop(self, size: int) -> None:
        """Go on behind `size` bytes that were peeked at."""
        self._at += size
        self.offset += size

    def skip_to_beginning(self) -> int:
        """Go on where a record seems to begin, or at the end; the bytes passed over, at least one."""
        passed = 1
        self.drop(1)
        while passed <= PASSED_OVER:
            self.peek(_NEEDED)
            found = _BEGINNING.search(self._held, self._at)
            left = len(self._held) - self._at
            step = found.start() - self._at if found else left if left < _NEEDED else left - _NEEDED + 1
            self.drop(step)
            passed += step
            if found or left < _NEEDED:
                return passed
        self._pieces, self._held, self._at = iter(()), b"", 0
        return passed


def cut_entries(pieces: Iterable[bytes], offset: int = 0) -> Iterator[Frame]:
    """The messages of a file; behind one whose two sizes differ the next is searched for."""
    window = _Window(pieces, offset)
    while head := window.peek(_SIZE.size):
        begin = window.offset
        size = _SIZE.unpack(head)[0] if len(head) == _SIZE.size else 0
        whole = window.peek(size + _AROUND) if 0 < size <= _MOST else b""
        if len(whole) == size + _AROUND and whole.endswith(head):
            window.drop(len(whole))
            yield Frame(begin, len(whole), whole[_SIZE.size : -_SIZE.size])
            continue
        is_cut = len(head) < _SIZE.size or 0 < len(whole) < size + _AROUND
        passed = window.skip_to_beginning()
        ends = not window.peek(1)
        problem = "it ends within a record" if is_cut and ends else "bytes that are no record"
        yield Frame(begin, passed, b"", problem)


def start_of_last_entries(read: ReadAt, size: int, number: int) -> tuple[int, int] | None:
    """Where the last records of a file begin, by the sizes behind them; None where one of these is wrong."""
    found, end = 0, size
    while end > 0 and found < number:
        behind = read(_SIZE.size, end - _SIZE.size) if end >= _AROUND else b""
        start = end - _AROUND - _SIZE.unpack(behind)[0] if len(behind) == _SIZE.size else -1
        if start < 0 or read(_SIZE.size, start) != behind:
            return None
        found, end = found + 1, start
    return end, found


def parse_entry(content: bytes) -> LogRecord:
    """The record of a message; raises `FormatError`."""
    stream, time, line, is_partial, is_last = "", 0, b"", False, False
    for number, value in _fields(content):
        if number == _SOURCE and isinstance(value, bytes):
            stream = value.decode("ascii", "replace")
        elif number == _TIME and isinstance(value, int):
            time = value - (1 << 64) if value >> 63 else value
        elif number == _LINE and isinstance(value, bytes):
            line = value
        elif number == _PARTIAL:
            is_partial = bool(value)
        elif number == _METADATA and isinstance(value, bytes):
            is_last = any(part == _LAST and said for part, said in _fields(value))
    if stream not in ("stdout", "stderr"):
        raise FormatError(
            "no record of a log", expected="the stream stdout or stderr", found=ascii(stream[:60])
        )
    # the engine's client leaves out the line feed behind the last part of a line too
    return LogRecord(time, stream, line if is_partial else line + b"\n", not is_partial or is_last)


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message by their numbers; raises `FormatError`."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind, size = key & 7, 0
        if kind == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(content, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        if kind in (3, 4, 6, 7) or at + size > len(content):
            raise FormatError("no protobuf message", found=f"a field of kind {kind} at byte {at}")
        yield key >> 3, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at + place >= len(content):
            break
        byte = content[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value & (1 << 64) - 1, at + place + 1
    raise FormatError("no protobuf message", found=f"a number that does not end at byte {at}")


LOCAL = LogForm(cut_entries, parse_entry, start_of_last_entries)
