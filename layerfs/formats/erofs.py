"""The size of an image of EROFS, as its superblock tells: whether the image is there whole.

Source: Linux `fs/erofs/erofs_fs.h` (struct erofs_super_block).
"""

from __future__ import annotations

import struct

from layerfs.formats.errors import FormatError

__all__ = ["BEGINNING", "image_size"]

BEGINNING = 1024 + 128
"""Bytes at the beginning of an image, of which the last 128 are the superblock."""

_AT = 1024
_MAGIC = 0xE0F5E1E2
_SUPERBLOCK = struct.Struct("<I8xB23xI")  # magic, the logarithm of a block's bytes, blocks
_SMALLEST, _LARGEST = 9, 16


def image_size(beginning: bytes) -> int:
    """Bytes of the whole image, by its first `BEGINNING` bytes; raises `FormatError`."""
    if len(beginning) < BEGINNING:
        raise FormatError("not an EROFS image", found=f"{len(beginning)} bytes")
    magic, bits, blocks = _SUPERBLOCK.unpack_from(beginning, _AT)
    if magic != _MAGIC or not _SMALLEST <= bits <= _LARGEST:
        raise FormatError("not an EROFS image", found=f"a superblock of {beginning[_AT : _AT + 16].hex()}")
    found: int = blocks << bits
    return found
