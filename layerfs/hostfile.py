"""A regular file of the host, open for reading parts of it."""

from __future__ import annotations

import errno
import os
import stat
from typing import Self

__all__ = ["HostFile", "Refused", "kind_listed", "read_once", "refusal"]

_LARGE_CHUNK = 1 << 20

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFREG: "a regular file",
}


class Refused(OSError):
    """The entry is of a type that is never opened; `strerror` says which it is."""


def kind_listed(entry: os.DirEntry[str]) -> int:
    """The file type bits of an entry, as its directory notes them; 0 of a device, a FIFO, a socket."""
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    return stat.S_IFLNK if entry.is_symlink() else 0


class HostFile:
    """A regular file read in parts, of `size` bytes as it was opened; not mapped, as it may shrink."""

    def __init__(self, fd: int) -> None:
        """Take over `fd`."""
        self._fd = fd
        self.size = os.fstat(fd).st_size

    def __enter__(self) -> Self:
        """Use as a context manager to close the descriptor at the end."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the descriptor."""
        os.close(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer at the end."""
        return os.pread(self._fd, size, offset)

    def beginning(self, size: int) -> memoryview:
        """The first `size` bytes, at once in memory; holes take none, what is behind the end is zero."""
        content, at = memoryview(bytearray(size)), 0
        while at < size:
            try:
                at = os.lseek(self._fd, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole is left; others know no holes
                    break
            if not (done := os.preadv(self._fd, [content[at : at + _LARGE_CHUNK]], at)):
                break
            at += done
        return content


def read_once(fd: int, size: int) -> bytes:
    """The first `size` bytes of a regular file, fewer where it has fewer; takes over `fd` and closes it."""
    try:
        return os.pread(fd, size, 0)
    finally:
        os.close(fd)


def refusal(kind: int, name: str) -> OSError:
    """Why what is called `name` in messages, of the type `kind` (`stat.S_IFIFO`, ...), is not opened."""
    if kind == stat.S_IFDIR:
        return IsADirectoryError(errno.EISDIR, "is a directory", name)
    return Refused(errno.EINVAL, f"is {_KINDS.get(kind, 'no regular file')}", name)
