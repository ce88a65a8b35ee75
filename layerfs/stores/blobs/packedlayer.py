"""A layer's blob looked through once, if it is small: its digests, and the names in its tar."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CorruptStore, MalformedFile
from layerfs.formats.compression import Compression, decompressed
from layerfs.formats.errors import FormatError
from layerfs.formats.tarindex import members
from layerfs.stores.blobs.layers import packed

if TYPE_CHECKING:
    from layerfs.stores.blobs.outer import Blob

__all__ = ["PackedLayer", "looked_through"]

_MOST_PACKED = 8 << 20
_MOST_PLAIN = 32 << 20
"""More bytes are not read for an explanation."""


class PackedLayer(NamedTuple):
    """What is known of a layer's blob; of a large one only its compression.

    Attributes:
        compression: by its first bytes.
        digest: hexadecimal digits of the sha256 of its bytes; None where it is too large.
        diff: the same of its tar.
        names: the names in the tar, in order.
        problem: why the tar cannot be read; None if it can, or is too large.
    """

    compression: Compression
    digest: str | None = None
    diff: str | None = None
    names: tuple[bytes, ...] | None = None
    problem: CorruptStore | None = None


def looked_through(blob: Blob) -> PackedLayer:
    """What is known of a blob; raises `CorruptStore` where it cannot be read."""
    what = packed(blob)
    if blob.size > _MOST_PACKED:
        return PackedLayer(what.compression)
    raw = hashlib.sha256()
    stored = b"".join(what.pieces(raw.update))
    found = PackedLayer(what.compression, raw.hexdigest())
    plain, size = [], 0
    try:
        for piece in decompressed([stored], what.compression):
            plain.append(piece)
            size += len(piece)
            if size > _MOST_PLAIN:
                return found
        tar = b"".join(plain)
        diff = hashlib.sha256(tar).hexdigest()
        names = tuple(item.header.name for item in members(lambda at, length: tar[at : at + length], size))
    except FormatError as error:
        problem = MalformedFile(blob.label, error.problem, expected=error.expected, found=error.found)
        return found._replace(problem=problem)
    return found._replace(diff=diff, names=names)
