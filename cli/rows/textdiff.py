"""The contents of two files as a unified diff, in bytes, as diff -u and git write it.

Names that patch(1) would misread are quoted as git quotes them.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ..units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["LARGEST", "unified"]

LARGEST = 1 << 20
"""Bytes of a file beyond which its contents are not shown: the work grows faster than the size."""

_NOWHERE = b"/dev/null"
_LOOKED_AT = 8000  # bytes in which a zero byte makes a file binary, as in git (xdiff-interface.c)
_QUOTED = {0x22: b'\\"', 0x5C: b"\\\\", 0x07: b"\\a", 0x08: b"\\b", 0x09: b"\\t", 0x0A: b"\\n"}
_QUOTED |= {0x0B: b"\\v", 0x0C: b"\\f", 0x0D: b"\\r"}


def unified(
    before: tuple[UnionTree, Node] | None, after: tuple[UnionTree, Node] | None, path: bytes
) -> Iterator[bytes]:
    """The lines that turn one regular file into the other; None where there is none.

    Raises:
        TreeError: one of them cannot be read.
    """
    old_name = _NOWHERE if before is None else _name(b"a" + path)
    new_name = _NOWHERE if after is None else _name(b"b" + path)
    sizes = [side[1].stat.size for side in (before, after) if side]
    if max(sizes, default=0) > LARGEST:
        limit = human_size(LARGEST).encode()
        yield b"Files %s and %s differ: not shown, more than %s\n" % (old_name, new_name, limit)
        return
    old, new = _content(before), _content(after)
    if old == new:
        return
    if b"\0" in old[:_LOOKED_AT] or b"\0" in new[:_LOOKED_AT]:
        yield b"Binary files %s and %s differ\n" % (old_name, new_name)
        return
    import difflib  # few look at differences of texts

    lines = difflib.diff_bytes(difflib.unified_diff, _lines(old), _lines(new), old_name, new_name)
    for line in lines:
        yield line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"


def _content(side: tuple[UnionTree, Node] | None) -> bytes:
    if side is None:
        return b""
    tree, node = side
    with tree.open(node) as file:
        return file.pread(LARGEST, 0)


def _lines(content: bytes) -> list[bytes]:
    return io.BytesIO(content).readlines()


def _name(name: bytes) -> bytes:
    """A name for the header: quoted where it is odd, ended by a tab where it holds a space."""
    if all(0x20 <= byte != 0x7F and byte not in _QUOTED for byte in name) and name.isascii():
        return name + b"\t" if b" " in name else name
    return b'"' + b"".join(map(_quoted, name)) + b'"'


def _quoted(byte: int) -> bytes:
    if byte in _QUOTED:
        return _QUOTED[byte]
    return bytes([byte]) if 0x20 <= byte < 0x7F else b"\\%03o" % byte
