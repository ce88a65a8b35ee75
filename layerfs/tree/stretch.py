"""The content of a file that lies inside another one: a member of a tar, with the holes of a sparse one.

The file belongs to whoever opened the archive, and can be read as long as a layer of it is in use.
"""

from __future__ import annotations

import bisect
import errno
import os
from typing import TYPE_CHECKING, Self

from layerfs.formats.tarindex import Extent

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from layerfs.tree.pooledfile import Readable

__all__ = ["Stretch"]

_CHUNK = 1 << 20


class Stretch:
    """A content made of extents of an open file; what no extent covers reads as zeros."""

    __slots__ = ("_extents", "_file", "_size", "_starts")

    def __init__(self, file: Readable, size: int, extents: Sequence[Extent]) -> None:
        """Show `size` bytes, of which `extents`, in order and apart, tell where they lie in `file`."""
        self._file = file
        self._size = size
        self._extents = extents
        self._starts = [extent.start for extent in extents]

    @classmethod
    def whole(cls, file: Readable, size: int, offset: int) -> Self:
        """A content in one piece, which lies at `offset` of `file`."""
        return cls(file, size, (Extent(0, size, offset),) if size else ())

    def __enter__(self) -> Self:
        """The content."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing is to be closed."""

    @property
    def size(self) -> int:
        """How many bytes it has, holes included."""
        return self._size

    @property
    def identity(self) -> Hashable:
        """The archive's inode, and where in it."""
        found = self._file.status()
        return found.st_dev, found.st_ino, self._size, tuple(self._extents)

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes at `offset`; fewer only at the end."""
        buffer = bytearray(max(0, min(size, self._size - offset)))
        return bytes(buffer[: self.read_into(memoryview(buffer), offset)])

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; the bytes read, fewer than its size only at the end."""
        count = max(0, min(len(buffer), self._size - offset))
        end, at = offset + count, offset
        for extent in self._from(offset):
            if extent.start >= end:
                break
            begin, stop = max(at, extent.start), min(end, extent.start + extent.length)
            _clear(buffer[at - offset : begin - offset])
            self._fill(buffer[begin - offset : stop - offset], extent.offset + begin - extent.start)
            at = stop
        _clear(buffer[at - offset : count])
        return count

    def chunks(self) -> Iterator[bytes]:
        """The whole content, a mebibyte at a time."""
        for offset in range(0, self._size, _CHUNK):
            yield self.pread(_CHUNK, offset)

    def read(self) -> bytes:
        """The whole content."""
        return b"".join(self.chunks())

    def seek(self, offset: int, whence: int) -> int:
        """Where data or a hole begins, as lseek(2) has it."""
        if not 0 <= offset < self._size:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        at = offset
        for extent in self._from(offset):
            if at < extent.start:
                if whence == os.SEEK_HOLE:
                    return at
                return extent.start
            if whence == os.SEEK_DATA:
                return at
            at = extent.start + extent.length
        if whence == os.SEEK_DATA and at < self._size:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        return at

    def backing_fd(self) -> int | None:
        """None: there is no file that is just this."""
        return None

    def close(self) -> None:
        """Nothing is to be closed."""

    def _from(self, offset: int) -> Iterator[Extent]:
        """The extents that end behind `offset`."""
        first = max(0, bisect.bisect_right(self._starts, offset) - 1)
        for index in range(first, len(self._extents)):
            extent = self._extents[index]
            if extent.start + extent.length > offset:
                yield extent

    def _fill(self, buffer: memoryview, offset: int) -> None:
        while buffer:
            done = self._file.read_into(buffer, offset)
            if not done:
                raise OSError(errno.EIO, "the archive became shorter while it was read")
            buffer, offset = buffer[done:], offset + done


def _clear(buffer: memoryview) -> None:
    buffer[:] = bytes(len(buffer))
