"""A bolt database: buckets and keys, nothing else; only the pages that are asked for are read.

Pages of a fixed size; pages 0 and 1 are metas, the valid one with the higher transaction wins. A page with
more in it than fits goes on in the pages behind it. The writer gives each page to one bucket and lays
elements down one behind the other; what says otherwise is refused, so no byte is read twice, whatever a
hostile file makes of its pages. Used for BuildKit's `snapshots.db`.

Source: etcd-io/bbolt `internal/common/{page,meta,bucket}.go`, `node.go` (write).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Bucket", "open_bolt"]

_MAGIC = 0xED0CDAED
_VERSION = 2
_PAGE_HEADER = struct.Struct("<QHHI")  # id, flags, count, overflow
_META = struct.Struct(
    "<IIIIQQQQQQ"
)  # magic, version, page size, flags, root, sequence, freelist, high, txid, sum
_BRANCH_ELEMENT = struct.Struct("<IIQ")  # position, key size, child page
_LEAF_ELEMENT = struct.Struct("<IIII")  # flags, position, key size, value size
_BUCKET_HEADER = struct.Struct("<QQ")  # root page, sequence
_BRANCH, _LEAF = 1, 2
_IS_BUCKET = 1
_MAX_DEPTH = 64
_PAGE_SIZES = [1 << power for power in range(9, 17)]
_MAX_EXTENT = 16 << 20  # bytes of a page with those behind it: engines put in a few hundred an element
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class _Item(NamedTuple):
    key: bytes
    value: memoryview
    is_bucket: bool
    at: int  # where the value lies, which no other has: a byte of the file


class _File:
    """The file, page by page."""

    def __init__(self, read: Callable[[int, int], bytes], size: int, page_size: int) -> None:
        self._read = read
        self._size = size
        self._page_size = page_size
        self._owners: dict[int, tuple[int, int]] = {}

    def extent(self, page: int, owner: int) -> tuple[memoryview, int]:
        """A page with those it goes on in, and where it begins; `owner` is the bucket it is read for."""
        start = page * self._page_size
        overflow = _unpack(_PAGE_HEADER, memoryview(self._exactly(start, _PAGE_HEADER.size)), 0)[3]
        size = (1 + overflow) * self._page_size
        if size > _MAX_EXTENT:
            raise FormatError(
                "a bolt page is too large", expected=f"at most {_MAX_EXTENT} bytes", found=f"{size} bytes"
            )
        if start + size > self._size:
            raise FormatError("the bolt file is truncated", found=f"{self._size} bytes")
        for number in range(page, page + 1 + overflow):
            if self._owners.setdefault(number, (owner, page)) != (owner, page):
                raise FormatError("bolt pages overlap", found=f"page {number}")
        return memoryview(self._exactly(start, size)), start

    def _exactly(self, start: int, size: int) -> bytes:
        content = self._read(start, size) if start + size <= self._size else b""
        if len(content) != size:
            raise FormatError("the bolt file is truncated", found=f"{self._size} bytes")
        return content


class Bucket:
    """One bucket: its values and the buckets inside it. Every method raises `FormatError`."""

    def __init__(self, file: _File, root: int, at: int, inline: memoryview | None = None) -> None:
        """The bucket whose tree starts at page `root`, or in `inline`; it is noted at byte `at`."""
        self._file = file
        self._root = root
        self._at = at
        self._inline = inline

    def values(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key that holds a value."""
        yield from ((item.key, bytes(item.value)) for item in self._items() if not item.is_bucket)

    def value(self, key: bytes) -> bytes | None:
        """The value of `key`, or None; looks at every key."""
        return next((value for found, value in self.values() if found == key), None)

    def buckets(self) -> Iterator[tuple[bytes, Bucket]]:
        """Every bucket inside this one."""
        for item in self._items():
            if item.is_bucket:
                root, _ = _unpack(_BUCKET_HEADER, item.value, 0)
                inline = item.value[_BUCKET_HEADER.size :] if root == 0 else None
                yield item.key, Bucket(self._file, root, item.at, inline)

    def bucket(self, name: bytes) -> Bucket | None:
        """The bucket called `name` inside this one, or None; looks at every key."""
        return next((bucket for found, bucket in self.buckets() if found == name), None)

    def _items(self) -> Iterator[_Item]:
        """Every element of the tree, in key order; a page met twice is damage, so it ends."""
        if self._inline is not None:
            yield from _leaf(self._inline, self._at + _BUCKET_HEADER.size)
            return
        seen: set[int] = set()
        pending = [(self._root, 0)]
        while pending:
            page, depth = pending.pop()
            if page in seen or depth > _MAX_DEPTH:
                raise FormatError("a bolt page is reached twice", found=f"page {page}")
            seen.add(page)
            data, start = self._file.extent(page, self._at)
            flags = _unpack(_PAGE_HEADER, data, 0)[1]
            if flags & _LEAF:
                yield from _leaf(data, start)
            elif flags & _BRANCH:
                pending.extend((child, depth + 1) for child in reversed(_children(data)))
            else:
                raise FormatError("unexpected bolt page", expected="branch or leaf", found=f"flags {flags}")


def _children(data: memoryview) -> list[int]:
    """The pages that a branch page names."""
    count = _unpack(_PAGE_HEADER, data, 0)[2]
    places = range(_PAGE_HEADER.size, _PAGE_HEADER.size + count * _BRANCH_ELEMENT.size, _BRANCH_ELEMENT.size)
    return [_unpack(_BRANCH_ELEMENT, data, at)[2] for at in places]


def _leaf(data: memoryview, start: int) -> Iterator[_Item]:
    """The elements of a leaf page, which begins at byte `start` of the file."""
    count = _unpack(_PAGE_HEADER, data, 0)[2]
    used = _PAGE_HEADER.size + count * _LEAF_ELEMENT.size
    for index in range(count):
        at = _PAGE_HEADER.size + index * _LEAF_ELEMENT.size
        flags, position, key_size, value_size = _unpack(_LEAF_ELEMENT, data, at)
        key_at = at + position
        value_at = key_at + key_size
        if key_at < used:
            raise FormatError("bolt elements overlap", found=f"byte {start + key_at}")
        used = value_at + value_size
        if used > len(data):
            raise FormatError("a bolt element points outside its page", found=f"byte {start + key_at}")
        yield _Item(
            bytes(data[key_at:value_at]), data[value_at:used], bool(flags & _IS_BUCKET), start + value_at
        )


def open_bolt(read: Callable[[int, int], bytes], size: int) -> Bucket:
    """The root bucket of a database.

    Args:
        read: gives the bytes at an offset, so many; fewer at the end of the file.
        size: of the file, in bytes.

    Raises:
        FormatError: it is none.
    """
    # the second meta is wherever the page size puts it
    places = (0, *_PAGE_SIZES)
    metas = [meta for at in places if (meta := _meta(read, at)) and at in (0, meta.page_size)]
    if not metas:
        raise FormatError("not a bolt database, or both of its meta pages are damaged")
    newest = max(metas, key=lambda meta: meta.transaction)
    return Bucket(_File(read, size, newest.page_size), newest.root, 0)


class _Meta(NamedTuple):
    page_size: int
    root: int
    transaction: int


def _meta(read: Callable[[int, int], bytes], at: int) -> _Meta | None:
    """The meta at `at`, if it is sound."""
    content = read(at + _PAGE_HEADER.size, _META.size)
    if len(content) != _META.size:
        return None
    magic, version, page_size, _, root, _, _, _, txid, checksum = _META.unpack(content)
    if (magic, version) != (_MAGIC, _VERSION) or page_size not in _PAGE_SIZES:
        return None
    return _Meta(page_size, root, txid) if checksum == _fnv1a(content[:-8]) else None


def _fnv1a(content: bytes) -> int:
    value = _FNV_OFFSET
    for byte in content:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


def _unpack(form: struct.Struct, data: memoryview, at: int) -> tuple[int, ...]:
    if at + form.size > len(data):
        raise FormatError("a bolt page ends before its elements", found=f"{len(data)} bytes")
    return form.unpack_from(data, at)
