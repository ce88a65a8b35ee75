"""The bytes of a layer's tar as a stream: their sha256, and the CRC-64 of each file in it.

Source: vbatts/tar-split `tar/asm/assemble.go`.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.checksum import crc64
from layerfs.ids import DiffID

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.formats.tarsplit import FilePayload

__all__ = ["LayerContent", "Misfit"]

_SMALL = 1 << 16
_CHUNK = 1 << 18  # what is read stays in the processor's cache until it is hashed
_TELL = 1 << 22


class Misfit(NamedTuple):
    """A file whose content is not that of the archive; `what` is `size` or `content`."""

    what: str
    expected: str
    actual: str


class LayerContent:
    """Takes a tar piece by piece.

    Attributes:
        size: its bytes so far.
        whole: whether nothing was missing so far; without that the sha256 says nothing.
    """

    def __init__(self, told: Callable[[int], object]) -> None:
        """Start; `told` is called with the number of bytes from time to time."""
        self.size = 0
        self.whole = True
        self._told, self._untold = told, 0
        self._digest = hashlib.sha256()
        self._buffer = memoryview(bytearray(_CHUNK))

    @property
    def diff_id(self) -> DiffID:
        """The diff ID of a layer of this content."""
        return DiffID.from_hex(self._digest.hexdigest())

    def add(self, piece: bytes | memoryview) -> None:
        """Add bytes of the tar."""
        if self.whole:
            self._digest.update(piece)
        count = len(piece)
        self.size += count
        self._untold += count
        if self._untold >= _TELL:
            self._told(self._untold)
            self._untold = 0

    def add_file(self, fd: int, wanted: FilePayload) -> Misfit | None:
        """Add the content of the open file, and compare it; after a wrong size the tar is not whole."""
        size = wanted.size
        if size <= _SMALL:
            content = os.pread(fd, size + 1, 0)
            if len(content) == size:
                self.add(content)
                return self._judged(crc64(content), wanted)
        return self._add_large(fd, wanted)

    def _add_large(self, fd: int, wanted: FilePayload) -> Misfit | None:
        size = checksum = 0
        found = os.fstat(fd)
        while size < wanted.size == found.st_size and (count := os.preadv(fd, [self._buffer], size)):
            piece = self._buffer[: min(count, wanted.size - size)]
            checksum = crc64(piece, checksum)
            self.add(piece)
            size += count
        if size != wanted.size:
            self.whole = False
            return Misfit("size", f"{wanted.size} bytes", f"{found.st_size} bytes")
        return self._judged(checksum, wanted)

    @staticmethod
    def _judged(checksum: int, wanted: FilePayload) -> Misfit | None:
        if checksum.to_bytes(8) == wanted.crc64:
            return None
        return Misfit("content", f"CRC-64 {wanted.crc64.hex()}", f"CRC-64 {checksum:016x}")
