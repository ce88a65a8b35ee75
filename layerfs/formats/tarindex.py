"""The members of a tar that is read at offsets: the header of each, and where its content lies.

Only headers are read, so the time depends on the number of members, not on their sizes. As for the engine's
own reader, a tar ends at two blocks of zeros or at the end of the data. A damaged header is an error that
names its place; Python's `tarfile` takes it for the end.

Sources: POSIX pax(1); GNU tar manual, "Storing Sparse Files" (old GNU; PAX 0.0, 0.1, 1.0);
Go `archive/tar` (`reader.go`).
"""

from __future__ import annotations

import stat
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats import tarheader
from layerfs.formats.errors import FormatError
from layerfs.formats.tarheader import BLOCK, Header
from layerfs.formats.tarsplit import clean_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Extent", "TarMember", "members", "sole_files"]

_MAX_HEADERS = 16 << 20  # bytes of extended headers before one member
_MAX_EXTENTS = 1 << 20  # parts of one sparse file
_EXTENSIONS = (b"x", b"L", b"K")
_GLOBAL = b"g"
_PLAIN = frozenset(b"%d" % kind for kind in range(8))  # whose size is that of their content
_AHEAD = 1 << 12
_CLOSE = 1 << 16


class Extent(NamedTuple):
    """A part of a file's content: `length` bytes from `start` of the file lie at `offset` of the tar."""

    start: int
    length: int
    offset: int


class TarMember(NamedTuple):
    """One member.

    Attributes:
        header: what the tar says of it.
        at: where its headers begin, in bytes from the beginning of the tar.
        size: bytes of the file, holes included.
        extents: where the content lies, in order; everything between them reads as zeros.
    """

    header: Header
    at: int
    size: int
    extents: tuple[Extent, ...]


def members(read: Callable[[int, int], bytes], size: int, begin: int = 0) -> Iterator[TarMember]:
    """Every member of a tar, in order.

    Args:
        read: called with an offset of the file and a length, gives those bytes; fewer only at the end of the
            file.
        size: bytes of the tar.
        begin: where in the file it begins; extents count from the beginning of the file.

    Raises:
        FormatError: a header is damaged, or the tar is cut off inside of a member.
    """
    at, window, limit = begin, _Window(read, begin + size), begin + size
    while True:
        block = window(at, BLOCK)
        if len(block) == BLOCK and block[156:157] in _PLAIN:  # most: nothing extends its header
            start = at + BLOCK
            header = tarheader.parse_block(block)
            content = stored = header.size
            extents: tuple[Extent, ...] = (tuple.__new__(Extent, (0, stored, start)),) if stored else ()
        elif (found := _headers(window, at)) is not None:
            at, raw = found
            header, records = tarheader.parse_with_records(raw)
            stored = _stored(header, raw, records)
            content, extents, start = _content(window, header, records, raw, at + len(raw), stored)
        else:
            return
        end = start + stored
        if end > limit:
            raise FormatError(
                "a tar is cut off inside of a member", expected=f"{end - begin} bytes", found=f"{size} bytes"
            )
        # as _make does: every member of every layer goes through here
        yield tuple.__new__(TarMember, (header, at - begin, content, extents))
        at = end + -stored % BLOCK


def sole_files(found: Iterable[TarMember]) -> dict[bytes, bytes]:
    """By its cleaned name each regular file's name as it is written, where no other member has the name.

    A program that is asked for such a name gives the content of one file, and all of it.
    """
    times: Counter[bytes] = Counter()
    files: dict[bytes, bytes] = {}
    for item in found:
        name = clean_name(item.header.name)
        times[name] += 1
        if stat.S_ISREG(item.header.kind) and not item.header.is_hard_link:
            files[name] = item.header.name
    return {name: raw for name, raw in files.items() if times[name] == 1}


def _content(
    window: _Window, header: Header, records: Mapping[bytes, bytes], raw: bytes, begin: int, stored: int
) -> tuple[int, tuple[Extent, ...], int]:
    """The size of a member's file, its extents, and the offset of its stored bytes."""
    if header.type == b"S":
        return _old_sparse(window, raw[-BLOCK:], begin, stored)
    if header.sparse:
        return *_pax_sparse(window, records, begin, stored), begin
    size = header.size
    return size, ((Extent(0, size, begin),) if size else ()), begin


def _stored(header: Header, raw: bytes, records: Mapping[bytes, bytes]) -> int:
    """Bytes of content behind the headers, also for a type that makes no entry."""
    if header.kind == stat.S_IFREG:
        return header.size
    if header.kind or header.is_hard_link:
        return 0
    return _decimal(records[b"size"]) if b"size" in records else tarheader.size_of(raw[-BLOCK:][124:136])


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


class _Window:
    """Reads more than asked for, as the next header often lies close behind.

    While it does, all is read that lies between, in large pieces one behind the other: the kernel then reads
    the disk ahead of them. What it takes for single short reads would each wait for the disk.
    """

    def __init__(self, read: Callable[[int, int], bytes], end: int) -> None:
        """Read by `read`, but nothing from `end` on: a tar may be only a part of its file."""
        self._read = read
        self._end = end
        self._start, self._data = end, b""

    def __call__(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        begin = offset - self._start
        if begin < 0 or begin + length > len(self._data):
            begin = self._move(offset, length)
        return self._data[begin : begin + length]

    def _move(self, offset: int, length: int) -> int:
        """Read what was asked for; where in it that begins."""
        behind = self._start + len(self._data)
        is_close = behind <= offset and offset + length <= behind + _CLOSE
        self._start = behind if is_close else offset
        size = _CLOSE if is_close else max(length, _AHEAD)
        self._data = self._read(self._start, min(size, max(0, self._end - self._start)))
        return offset - self._start


def _headers(window: _Window, at: int) -> tuple[int, bytes] | None:
    """Where the next member's headers begin, and their blocks; None at the end of the tar."""
    begin, pieces = at, b""
    while True:
        block = window(at, BLOCK)
        if not pieces and not any(block):
            if len(block) < BLOCK or not any(window(at + BLOCK, BLOCK)):
                return None
            raise FormatError("a tar has an empty block between its members", found=f"at byte {at}")
        if len(block) < BLOCK:
            raise FormatError("a tar is cut off in a header", found=f"at byte {at}")
        at += BLOCK
        kind = block[156:157]
        if kind not in _EXTENSIONS and kind != _GLOBAL:
            return begin, pieces + block
        size = _padded(tarheader.size_of(block[124:136]))
        if size > _MAX_HEADERS - len(pieces):
            raise FormatError("an extended tar header is too large", found=f"at byte {begin}")
        if kind == _GLOBAL:  # the engines' reader takes it for a member, which the engines ignore
            tarheader.parse(block)
            at += size
            begin, pieces = at, b""
            continue
        content = window(at, size)
        if len(content) < size:
            raise FormatError("a tar is cut off in a header", found=f"at byte {at}")
        pieces += block + content
        at += size


# -- sparse files ----------------------------------------------------------------------------------


def _old_sparse(
    window: _Window, block: bytes, begin: int, stored: int
) -> tuple[int, tuple[Extent, ...], int]:
    """Size, extents, and where the content begins; the map is in the header and in blocks behind it."""
    real = tarheader.size_of(block[483:495])
    pairs = list(_old_map(block, 386, 4))
    more = block[482]
    while more:
        block = window(begin, BLOCK)
        if len(block) < BLOCK or len(pairs) > _MAX_EXTENTS:
            raise FormatError("malformed map of a sparse file in a tar", found=f"at byte {begin}")
        begin += BLOCK
        pairs += _old_map(block, 0, 21)
        more = block[504]
    return real, _extents(pairs, begin, stored, real), begin


def _old_map(block: bytes, at: int, count: int) -> Iterator[tuple[int, int]]:
    for place in range(at, at + count * 24, 24):
        if not block[place]:
            return
        yield (
            tarheader.number(block[place : place + 12], "sparse offset"),
            tarheader.number(block[place + 12 : place + 24], "sparse size"),
        )


def _pax_sparse(
    window: _Window, records: Mapping[bytes, bytes], begin: int, stored: int
) -> tuple[int, tuple[Extent, ...]]:
    """Size and extents: the map is in the records (formats 0.0, 0.1), or begins the content (1.0)."""
    real = _decimal(records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size"))
    if records.get(b"GNU.sparse.major") == b"1":
        pairs, length = _leading_map(window, begin, stored)
        return real, _extents(pairs, begin + length, stored - length, real)
    texts = (records.get(b"GNU.sparse.map") or b"").split(b",")
    if len(texts) % 2 and texts != [b""]:
        raise FormatError("malformed map of a sparse file in a tar")
    numbers = [] if texts == [b""] else [_decimal(text) for text in texts]
    return real, _extents(list(zip(numbers[::2], numbers[1::2], strict=True)), begin, stored, real)


def _leading_map(window: _Window, begin: int, stored: int) -> tuple[list[tuple[int, int]], int]:
    """The pairs of a map of format 1.0 (decimal lines: first how many, then the numbers), and its bytes."""
    numbers: list[int] = []
    rest, length = b"", 0
    while not numbers or len(numbers) <= 2 * numbers[0]:
        block = window(begin + length, BLOCK)
        length += BLOCK
        if len(block) < BLOCK or length > stored or (numbers and numbers[0] > _MAX_EXTENTS):
            raise FormatError("malformed map of a sparse file in a tar", found=f"at byte {begin}")
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if not numbers or len(numbers) <= 2 * numbers[0]:
                numbers.append(_decimal(line))
    pairs = numbers[1 : 1 + 2 * numbers[0]]
    return list(zip(pairs[::2], pairs[1::2], strict=True)), length


def _decimal(text: bytes | None) -> int:
    if text is None or not text.isdigit() or len(text) > 18:
        raise FormatError("malformed map of a sparse file in a tar", found=ascii(text))
    return int(text)


def _extents(pairs: list[tuple[int, int]], begin: int, stored: int, real: int) -> tuple[Extent, ...]:
    """The extents of a sparse file; they must be in order and not overlap (Go `validateSparseEntries`)."""
    found, at, end = [], begin, 0
    for start, length in pairs:
        if start < end or length < 0 or start + length > real:
            raise FormatError("malformed map of a sparse file in a tar", found=f"{start}, {length}")
        end = start + length
        if length:
            found.append(Extent(start, length, at))
            at += length
    if at > begin + stored:
        raise FormatError("a sparse file in a tar is cut off", expected=f"{at - begin} bytes")
    return tuple(found)
