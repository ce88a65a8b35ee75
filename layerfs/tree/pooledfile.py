"""Files of the host that hold many contents, and are open only while they are read.

An image may have more layers than a process may have descriptors. A `PooledFile` opens itself again when it
is read and was closed meanwhile; whoever reads holds it, so it is never closed under another thread.
"""

from __future__ import annotations

import collections
import functools
import itertools
import threading
from typing import TYPE_CHECKING, Protocol

from layerfs.pool import share_of_descriptors
from layerfs.reserves import RESERVES
from layerfs.tree.openfile import OpenFile

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = ["FilePool", "PooledFile", "Readable", "shared_files"]

_PART, _MOST = 8, 256


class Readable(Protocol):
    """An open file of the host, read at explicit offsets; safe to use from several threads."""

    def status(self) -> os.stat_result:
        """What fstat(2) says of it."""

    def statvfs(self) -> os.statvfs_result:
        """The file system it is on."""

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes at `offset`; fewer only at the end of the file."""

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; the bytes read, none at the end of the file."""


class FilePool:
    """The files used last, open; safe to use from several threads."""

    def __init__(self, most: int | None = None) -> None:
        """Keep at most `most` open, by default a part of what this process may have."""
        self._most = share_of_descriptors(_PART, _MOST) if most is None else most
        self._lock = threading.RLock()  # a file may be collected, and forgotten, amid an allocation
        self._open: collections.OrderedDict[int, OpenFile] = collections.OrderedDict()
        self._numbers = itertools.count()
        RESERVES.add(self)

    def new_key(self) -> int:
        """A number for one more file, distinct in this pool."""
        return next(self._numbers)

    def get(self, key: int, opener: Callable[[], int]) -> OpenFile:
        """The file of this key, opened by `opener` if it is not open; raises what that raises."""
        with self._lock:
            found = self._open.get(key)
            if found is not None:
                self._open.move_to_end(key)
                return found
        return self.put(key, OpenFile(opener()))

    def put(self, key: int, file: OpenFile) -> OpenFile:
        """Keep a file open that was just opened."""
        dropped: list[OpenFile] = []  # closed outside the lock, by whoever lets go of them last
        with self._lock:
            self._open[key] = file
            while len(self._open) > self._most:
                dropped.append(self._open.popitem(last=False)[1])
        return file

    def give_back(self) -> bool:
        """Close half of what is open, what was used longest ago; False where nothing is."""
        with self._lock:
            number = (len(self._open) + 1) // 2
            dropped = [self._open.popitem(last=False)[1] for _ in range(number)]
        return bool(dropped)

    def forget(self, key: int) -> None:
        """Forget a file."""
        with self._lock:
            dropped = self._open.pop(key, None)
        del dropped


@functools.cache
def shared_files() -> FilePool:
    """The pool of this process: so many files are open, however many stores are."""
    return FilePool()


class PooledFile:
    """A `Readable` that its pool may close, and that opens itself again."""

    __slots__ = ("_key", "_opener", "_pool")

    def __init__(self, pool: FilePool, opener: Callable[[], int], fd: int | None = None) -> None:
        """Read what `opener` opens; it sees to it that this is always the same content.

        Args:
            pool: keeps it open.
            opener: gives a new descriptor.
            fd: one that is open already, which is taken over.
        """
        self._pool = pool
        self._key = pool.new_key()
        self._opener = opener
        if fd is not None:
            pool.put(self._key, OpenFile(fd))

    def __del__(self) -> None:
        """Close a file that went out of use."""
        self._pool.forget(self._key)

    def _now(self) -> OpenFile:
        return self._pool.get(self._key, self._opener)

    def status(self) -> os.stat_result:
        """See `Readable`."""
        return self._now().status()

    def statvfs(self) -> os.statvfs_result:
        """See `Readable`."""
        return self._now().statvfs()

    def pread(self, size: int, offset: int) -> bytes:
        """See `Readable`."""
        return self._now().pread(size, offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """See `Readable`."""
        return self._now().read_into(buffer, offset)
