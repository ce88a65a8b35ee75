"""Bolt databases written without layerfs: `bolt_database` of buckets of values, `bolt_file` of any pages.

Source: etcd-io/bbolt `internal/common/{page,meta,bucket}.go`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PAGE", "bolt_database", "bolt_file", "leaf"]

PAGE = 4096
_LEAF, _META, _FREE_LIST = 2, 4, 16
_BUCKET = 1
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
        inline = bytearray(leaf(0, inner))
        inline[12:16] = bytes(4)  # no pages of its own
        items.append((name.encode(), struct.pack("<QQ", 0, 0) + bytes(inline), True))
    return bolt_file([leaf(_FIRST, items)])
