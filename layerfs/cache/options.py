"""How much may be used to decompress; apart from `blobs`, as every command has these, and few need more."""

from __future__ import annotations

from typing import NamedTuple

from layerfs.formats.compression import MEMORY_LIMIT

__all__ = ["CacheOptions"]


class CacheOptions(NamedTuple):
    """How much may be used to decompress.

    Attributes:
        directory: where the cache is; None to keep nothing.
        scratch: where the unlinked file of what is not kept goes.
        limit: bytes that the cache may hold; what was not used for the longest time goes first.
        largest: bytes that one blob may have when it is decompressed.
        reserve: bytes that stay free on the disk, but at most a twentieth of it.
        memory: bytes that a decoder may use.
    """

    directory: str | None = None
    scratch: str = "/tmp"  # noqa: S108 - what is made there has no name
    limit: int = 20 << 30
    largest: int = 64 << 30
    reserve: int = 1 << 30
    memory: int = MEMORY_LIMIT
