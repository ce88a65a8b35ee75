"""A content that is a file of the host: reads are at explicit offsets, so threads never share a position."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

__all__ = ["OpenFile"]

_CHUNK = 1 << 20


class OpenFile:
    """A descriptor of a layer's file; close it, or use it as a context manager."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        """Take over `fd`."""
        self._fd = fd

    def __enter__(self) -> Self:
        """The open file."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Close a file that went out of use."""
        self.close()

    def backing_fd(self) -> int | None:
        """The descriptor."""
        return self._fd

    def status(self) -> os.stat_result:
        """What fstat(2) says of it."""
        return os.fstat(self._fd)

    def statvfs(self) -> os.statvfs_result:
        """The file system it is on."""
        return os.fstatvfs(self._fd)

    @property
    def size(self) -> int:
        """How many bytes it has now."""
        found = os.fstat(self._fd)
        return found.st_size

    @property
    def identity(self) -> Hashable:
        """The file's inode."""
        found = os.fstat(self._fd)
        return found.st_dev, found.st_ino

    def seek(self, offset: int, whence: int) -> int:
        """Where data or a hole begins, as lseek(2) says."""
        return os.lseek(self._fd, offset, whence)

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes at `offset`; fewer only at the end of the file."""
        data = os.pread(self._fd, size, offset)
        if len(data) in (0, size):
            return data
        pieces = [data]
        done = len(data)
        while done < size and (data := os.pread(self._fd, size - done, offset + done)):
            pieces.append(data)
            done += len(data)
        return b"".join(pieces)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; the bytes read, fewer than its size only at the end of the file."""
        return os.preadv(self._fd, [buffer], offset)

    def chunks(self) -> Iterator[bytes]:
        """The whole content, a mebibyte at a time."""
        offset = 0
        while data := os.pread(self._fd, _CHUNK, offset):
            offset += len(data)
            yield data

    def read(self) -> bytes:
        """The whole content."""
        return b"".join(self.chunks())

    def close(self) -> None:
        """Close the descriptor; harmless when repeated."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
