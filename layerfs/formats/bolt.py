"""A bolt database held in memory: buckets and keys, nothing else.

Pages of a fixed size; pages 0 and 1 are metas, the valid one with the higher transaction wins. Used
for BuildKit's `snapshots.db`.

Source: etcd-io/bbolt `internal/common/{page,meta,bucket}.go`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


class _Item(NamedTuple):
    key: bytes
    value: bytes
    is_bucket: bool


class Bucket:
    """One bucket: its values and the buckets inside it."""

    def __init__(self, data: bytes, page_size: int, root: int, inline: bytes = b"") -> None:
        """The bucket whose tree starts at page `root`, or in `inline` when `root` is 0."""
        self._data = data
        self._page_size = page_size
        self._root = root
        self._inline = inline

    def values(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key that holds a value; raises `FormatError`."""
        yield from ((item.key, item.value) for item in self._items() if not item.is_bucket)

    def value(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        return next((value for found, value in self.values() if found == key), None)

    def buckets(self) -> Iterator[tuple[bytes, Bucket]]:
        """Every bucket inside this one; raises `FormatError`."""
        for item in self._items():
            if item.is_bucket:
                root, _ = _unpack(_BUCKET_HEADER, item.value, 0)
                inline = item.value[_BUCKET_HEADER.size :] if root == 0 else b""
                yield item.key, Bucket(self._data, self._page_size, root, inline)

    def bucket(self, name: bytes) -> Bucket | None:
        """The bucket called `name` inside this one, or None."""
        return next((bucket for found, bucket in self.buckets() if found == name), None)

    def _items(self) -> Iterator[_Item]:
        """Every element of the tree, in key order; a page met twice is damage, so it ends."""
        seen: set[int] = set()
        if self._root == 0:
            yield from self._leaf(self._inline, 0, len(self._inline))
            return
        pending = [(self._root, 0)]
        while pending:
            page, depth = pending.pop()
            if page in seen or depth > _MAX_DEPTH:
                raise FormatError("a bolt page is reached twice", found=f"page {page}")
            seen.add(page)
            start = page * self._page_size
            _, flags, count, _ = _unpack(_PAGE_HEADER, self._data, start)
            if flags & _LEAF:
                yield from self._leaf(self._data, start, len(self._data))
            elif flags & _BRANCH:
                base = start + _PAGE_HEADER.size
                children = [
                    _unpack(_BRANCH_ELEMENT, self._data, base + index * _BRANCH_ELEMENT.size)[2]
                    for index in range(count)
                ]
                pending.extend((child, depth + 1) for child in reversed(children))
            else:
                raise FormatError("unexpected bolt page", expected="branch or leaf", found=f"flags {flags}")

    def _leaf(self, data: bytes, start: int, end: int) -> Iterator[_Item]:
        count = _unpack(_PAGE_HEADER, data, start)[2]
        for index in range(count):
            at = start + _PAGE_HEADER.size + index * _LEAF_ELEMENT.size
            flags, position, key_size, value_size = _unpack(_LEAF_ELEMENT, data, at)
            key_at = at + position
            if key_at + key_size + value_size > end:
                raise FormatError("a bolt element points outside the file")
            value_at = key_at + key_size
            yield _Item(
                data[key_at:value_at], data[value_at : value_at + value_size], bool(flags & _IS_BUCKET)
            )


def open_bolt(data: bytes) -> Bucket:
    """The root bucket of a database; raises `FormatError`."""
    metas = [meta for meta in (_meta(data, 0), _second_meta(data)) if meta]
    if not metas:
        raise FormatError("not a bolt database, or both of its meta pages are damaged")
    page_size, root, _ = max(metas, key=lambda meta: meta[2])
    return Bucket(data, page_size, root)


def _second_meta(data: bytes) -> tuple[int, int, int] | None:
    """The meta of page 1: wherever the page size puts it."""
    sizes = (1 << power for power in range(9, 17))
    return next((meta for size in sizes if (meta := _meta(data, size)) and meta[0] == size), None)


def _meta(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Page size, root page and transaction of the meta at `at`, if it is sound."""
    start = at + _PAGE_HEADER.size
    if start + _META.size > len(data):
        return None
    magic, version, page_size, _, root, _, _, _, txid, checksum = _META.unpack_from(data, start)
    if (magic, version) != (_MAGIC, _VERSION) or page_size < 512:
        return None
    return (page_size, root, txid) if checksum == _fnv1a(data[start : start + _META.size - 8]) else None


def _fnv1a(content: bytes) -> int:
    value = _FNV_OFFSET
    for byte in content:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


def _unpack(form: struct.Struct, data: bytes, at: int) -> tuple[int, ...]:
    if at < 0 or at + form.size > len(data):
        raise FormatError("the bolt file is truncated", found=f"{len(data)} bytes")
    return form.unpack_from(data, at)
