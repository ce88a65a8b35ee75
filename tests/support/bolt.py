"""Bolt databases written without layerfs: `bolt_tree` of buckets and values, `bolt_file` of any pages.

Source: etcd-io/bbolt `internal/common/{page,meta,bucket}.go`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PAGE", "bolt_database", "bolt_file", "bolt_tree", "leaf"]

PAGE = 4096
_BRANCH, _LEAF, _META, _FREE_LIST = 1, 2, 4, 16
_BUCKET = 1
_FAN = 20  # pages that a branch leads to
_FIRST = 3  # behind two metas and the list of free pages


def bolt_file(pages: Sequence[bytes], root: int = _FIRST) -> bytes:
    """A database of these pages, numbered from 3 on; each is filled up to whole pages."""
    body = b"".join(page.ljust(-(-len(page) // PAGE) * PAGE, b"\0") for page in pages)
    high = _FIRST + len(body) // PAGE
    free = struct.pack("<QHHI", 2, _FREE_LIST, 0, 0).ljust(PAGE, b"\0")
    return _meta(0, 1, root, high) + _meta(1, 2, root, high) + free + body


def _meta(number: int, transaction: int, root: int, high: int) -> bytes:
    content = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, PAGE, 0, root, 0, 2, high, transaction)
    checksum = 0xCBF29CE484222325
    for byte in content:
        checksum = ((checksum ^ byte) * 0x100000001B3) & (2**64 - 1)
    return (struct.pack("<QHHI", number, _META, 0, 0) + content + struct.pack("<Q", checksum)).ljust(
        PAGE, b"\0"
    )


def leaf(number: int, items: Sequence[tuple[bytes, bytes, bool]]) -> bytes:
    """A leaf page of keys, values, and whether each is a bucket."""
    at = 16 * (1 + len(items))
    elements, data = b"", b""
    for index, (key, value, is_bucket) in enumerate(items):
        position = at + len(data) - 16 * (1 + index)
        elements += struct.pack("<IIII", _BUCKET if is_bucket else 0, position, len(key), len(value))
        data += key + value
    size = at + len(data)
    return struct.pack("<QHHI", number, _LEAF, len(items), -(-size // PAGE) - 1) + elements + data


def bolt_database(buckets: Mapping[str, Mapping[str, str]]) -> bytes:
    """A database of buckets of values; each bucket is kept inside its parent."""
    items = []
    for name, values in sorted(buckets.items()):
        inner = [(key.encode(), value.encode(), False) for key, value in sorted(values.items())]
        items.append((name.encode(), struct.pack("<QQ", 0, 0) + _inline(inner), True))
    return bolt_file([leaf(_FIRST, items)])


def _inline(items: Sequence[tuple[bytes, bytes, bool]]) -> bytes:
    inline = bytearray(leaf(0, items))
    inline[12:16] = bytes(4)  # no pages of its own
    return bytes(inline)


Nested: TypeAlias = "Mapping[bytes, bytes | int | Nested]"
"""A bucket: values by key, another for a bucket, and its sequence at the empty key, else its length."""


def bolt_tree(tree: Nested) -> bytes:
    """A database as the engine lays one out: leaves of a page, branches above them, small buckets inside."""
    pages: list[bytes] = []
    root = _write(tree, pages)
    return bolt_file(pages, root)


def _write(tree: Nested, pages: list[bytes]) -> int:
    """Write a bucket's pages behind those there are, and give its root page."""
    items = [_item(key, value, pages) for key, value in sorted(tree.items()) if not isinstance(value, int)]
    below = [(page[0][0] if page else b"", _add(pages, page)) for page in _split(items)]
    while len(below) > 1:
        groups = [below[at : at + _FAN] for at in range(0, len(below), _FAN)]
        below = [(group[0][0], _add_branch(pages, group)) for group in groups]
    return below[0][1]


def _item(key: bytes, value: bytes | Nested, pages: list[bytes]) -> tuple[bytes, bytes, bool]:
    if isinstance(value, bytes):
        return key, value, False
    sequence = value.get(b"", len(value))
    inner = [(name, found, False) for name, found in sorted(value.items()) if isinstance(found, bytes)]
    if not any(isinstance(found, Mapping) for found in value.values()):
        inline = _inline(inner)
        if len(inline) <= PAGE // 4:
            return key, struct.pack("<QQ", 0, sequence) + inline, True
    return key, struct.pack("<QQ", _write(value, pages), sequence), True


def _split(items: Sequence[tuple[bytes, bytes, bool]]) -> list[list[tuple[bytes, bytes, bool]]]:
    """Items in groups that fill a page; one that is larger has a group of its own."""
    groups: list[list[tuple[bytes, bytes, bool]]] = [[]]
    used = 16
    for item in items:
        size = 16 + len(item[0]) + len(item[1])
        if groups[-1] and used + size > PAGE:
            groups.append([])
            used = 16
        groups[-1].append(item)
        used += size
    return groups


def _add(pages: list[bytes], items: Sequence[tuple[bytes, bytes, bool]]) -> int:
    number = _next(pages)
    pages.append(leaf(number, items))
    return number


def _add_branch(pages: list[bytes], below: Sequence[tuple[bytes, int]]) -> int:
    number = _next(pages)
    elements, data = b"", b""
    for index, (key, child) in enumerate(below):
        elements += struct.pack("<IIQ", 16 * (len(below) - index) + len(data), len(key), child)
        data += key
    size = 16 + len(elements) + len(data)
    pages.append(struct.pack("<QHHI", number, _BRANCH, len(below), -(-size // PAGE) - 1) + elements + data)
    return number


def _next(pages: Sequence[bytes]) -> int:
    return _FIRST + sum(-(-len(page) // PAGE) for page in pages)
