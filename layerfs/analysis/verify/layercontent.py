"""The stream of a layer's tar: its sha256, and the CRC-64 of each file in it.

Source: vbatts/tar-split `tar/asm/assemble.go`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Self

from layerfs.analysis.verify.joinedhash import ROOM, JoinedHash
from layerfs.formats.checksum import crc64
from layerfs.ids import DiffID

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.formats.tarsplit import FilePayload

__all__ = ["LayerContent", "Misfit"]

_SMALL = 1 << 16
_TELL = 1 << 22


class Misfit(NamedTuple):
    """A file that differs from the archive; `what` differs: `size` or `content`."""

    what: str
    expected: str
    actual: str


class LayerContent:
    """Hashes a tar piece by piece; a context manager, as a thread may do the hashing.

    Attributes:
        size: the bytes so far.
        whole: whether nothing was missing so far; otherwise the sha256 means nothing.
    """

    def __init__(self, told: Callable[[int], object], *, beside: bool = False) -> None:
        """Start.

        Args:
            told: called with the number of bytes from time to time.
            beside: whether there is a processor for the hashing alone.
        """
        self.size = 0
        self.whole = True
        self._told, self._tell_at = told, _TELL
        self._hash = JoinedHash(beside=beside)

    def __enter__(self) -> Self:
        """The content."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End the hashing."""
        self._hash.__exit__(*exc_info)

    @property
    def diff_id(self) -> DiffID:
        """The sha256 of all bytes, as a diff ID."""
        return DiffID.from_hex(self._hash.hexdigest())

    def add(self, piece: bytes) -> None:
        """Add bytes of the tar."""
        if self.whole:
            self._hash.add(piece)
        self.size += len(piece)
        if self.size >= self._tell_at:
            self._tell()

    def _tell(self) -> None:
        """Call `told` with the number of bytes since the last call."""
        self._told(self.size + _TELL - self._tell_at)
        self._tell_at = self.size + _TELL

    def add_file(self, fd: int, wanted: FilePayload) -> Misfit | None:
        """Add the content of an open file, and compare it; if its size is wrong, the tar is not whole."""
        size = wanted.size
        if size <= _SMALL:
            room = self._hash.room(size + 1)  # one byte more would be another size
            if os.preadv(fd, [room], 0) == size:
                self._fill(size)
                return _judged(crc64(room[:size]), wanted)
        return self._add_large(fd, wanted)

    def _add_large(self, fd: int, wanted: FilePayload) -> Misfit | None:
        size = checksum = 0
        found = os.fstat(fd)
        while size < wanted.size == found.st_size:
            room = self._hash.room(min(wanted.size - size, ROOM))
            count = os.preadv(fd, [room], size)
            if not count:
                break
            checksum = crc64(room[:count], checksum)
            self._fill(count)
            size += count
            if self.size >= self._tell_at:
                self._tell()
        if size != wanted.size:
            self.whole = False
            return Misfit("size", f"{wanted.size} bytes", f"{found.st_size} bytes")
        return _judged(checksum, wanted)

    def _fill(self, count: int) -> None:
        if self.whole:
            self._hash.fill(count)
        self.size += count


def _judged(checksum: int, wanted: FilePayload) -> Misfit | None:
    if checksum.to_bytes(8) == wanted.crc64:
        return None
    return Misfit("content", f"CRC-64 {wanted.crc64.hex()}", f"CRC-64 {checksum:016x}")
