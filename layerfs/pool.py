"""Directories that are open only while they are needed: so many layers can be used by few descriptors.

A `PooledDir` stands for a directory, and opens it again when it is asked and was closed meanwhile. What
is in use is held by whoever uses it, so closing never takes a descriptor from under another thread.
"""

from __future__ import annotations

import collections
import fcntl
import os
import resource
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from layerfs.hostdir import HostDir, check_depth
from layerfs.reserves import RESERVES

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pool", "PooledDir", "on_host", "share_of_descriptors", "widen_table"]

_FEWEST, _MOST = 8, 1024
_TABLE = 4 * _MOST
_PART = 3
"""Of the descriptors that a process may have, the pool takes one in three."""

_ITSELF = b""


def share_of_descriptors(part: int, most: int) -> int:
    """One in `part` of the descriptors that this process may have, at most `most`."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if limit == resource.RLIM_INFINITY else max(_FEWEST, min(most, limit // part))


def widen_table() -> None:
    """Give the kernel's table of descriptors room for all that pools keep.

    A table that several threads share grows at their cost: each time it is doubled, whoever opens a file
    waits until every processor has let go of the old one, 10 to 25 ms. So this is to be called before there
    are threads. The table has 8 bytes a descriptor, and does not shrink.

    Source: Linux `fs/file.c` (`expand_fdtable`, `synchronize_rcu`).
    """
    with suppress(OSError, ValueError):  # the table then grows when it must, which costs time alone
        last = share_of_descriptors(1, _TABLE) - 1
        os.close(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, last))


class _Opened:
    """An open directory.

    Attributes:
        directory: it, or None once it is no longer in the pool.
        known: where its `PooledDir` looks for it, under `path`.
        used: whether it was used since the pool last looked at it.
    """

    __slots__ = ("directory", "known", "path", "used")

    def __init__(self, directory: HostDir, known: dict[bytes, _Opened], path: bytes) -> None:
        self.directory: HostDir | None = directory
        self.known = known
        self.path = path
        self.used = False


class Pool:
    """The directories used of late, open; safe to use from several threads.

    A use only sets a mark. What is to be closed is looked for in the order in which it was opened, and what
    has a mark loses it and gets another turn: nearly as good as closing what was used longest ago, and a use
    costs next to nothing.
    """

    def __init__(self, most: int | None = None) -> None:
        """Keep at most `most` open, by default a part of what this process may have."""
        self._most = share_of_descriptors(_PART, _MOST) if most is None else most
        self._lock = threading.RLock()  # a directory may be collected, and forgotten, amid an allocation
        self._queue: collections.deque[_Opened] = collections.deque()  # some of them no longer in the pool
        self._number = 0
        RESERVES.add(self)

    def put(self, known: dict[bytes, _Opened], path: bytes, directory: HostDir) -> None:
        """Take a directory into the pool, to be found in `known` under `path` while it is there."""
        opened = _Opened(directory, known, path)
        dropped: list[HostDir | None] = []  # closed outside the lock, by whoever lets go of them last
        with self._lock:
            if path in known:  # opened by another thread meanwhile
                dropped.append(self._drop(known[path]))
            known[path] = opened
            self._queue.append(opened)
            self._number += 1
            while self._number > self._most or len(self._queue) > _FEWEST + 2 * self._most:
                dropped.append(self._drop_one())

    def _drop(self, opened: _Opened) -> HostDir | None:
        """Take a directory out of the pool; to be called with the lock held."""
        directory, opened.directory = opened.directory, None
        if directory is not None:
            del opened.known[opened.path]
            self._number -= 1
        return directory

    def _drop_one(self) -> HostDir | None:
        """Take one out that was not used of late; to be called with the lock held."""
        while True:
            opened = self._queue.popleft()
            if opened.directory is None or not opened.used:
                return self._drop(opened)
            opened.used = False
            self._queue.append(opened)

    def give_back(self) -> bool:
        """Close half of what is open, and keep no more from now on; False where nothing is."""
        dropped: list[HostDir | None] = []
        with self._lock:
            self._most = self._number // 2
            while self._number > self._most:
                dropped.append(self._drop_one())
        return bool(dropped)

    def forget(self, known: dict[bytes, _Opened]) -> None:
        """Take out all that are in `known`."""
        with self._lock:
            dropped = [self._drop(opened) for opened in list(known.values())]
        del dropped


class PooledDir(HostDir):
    """A `HostDir` that a pool may close, and that opens itself again."""

    __slots__ = ("_known", "_opener", "_pool")

    def __init__(
        self, pool: Pool, name: str | bytes, above: HostDir | None, opener: Callable[[bytes], HostDir]
    ) -> None:
        """Stand for a directory whose name in messages is `name` below `above`.

        Args:
            pool: keeps it open, and what is below it.
            name: see above.
            above: likewise.
            opener: opens the directory at a path below it; `b""` is itself. Raises `OSError`.
        """
        super().__init__(-1, name, above)
        self._pool = pool
        self._known: dict[bytes, _Opened] = {}
        self._opener = opener

    def _now(self) -> HostDir:
        return self.at(_ITSELF)

    def close(self) -> None:
        """Forget it now, and what `at` gave."""
        self._pool.forget(self._known)

    def at(self, path: bytes) -> HostDir:
        """The directory at `path`, kept open for the next who asks."""
        opened = self._known.get(path)
        directory = opened.directory if opened else None
        if opened is None or directory is None:
            directory = self._open_at(path)
            self._pool.put(self._known, path, directory)
        else:
            opened.used = True
        return directory

    def _open_at(self, path: bytes) -> HostDir:
        """Open a directory below, from the one it is in if that is open: a way of one step."""
        parent, _, name = path.rpartition(b"/")
        check_depth(path)  # whatever is open now: what can be reached must not depend on that
        opened = self._known.get(parent) if name else None
        above = opened.directory if opened else None
        return self._opener(path) if above is None else above.below(name)

    def subdir(self, path: bytes | str) -> HostDir:
        """See `HostDir`."""
        return self._now().subdir(path)

    def sealed(self) -> HostDir:
        """See `HostDir`."""
        return self._now().sealed()

    def on_host(self) -> HostDir:
        """See the function `on_host`: it is where its name below `above` leads."""
        return self._above.subdir(self._name) if self._above else self.subdir(_ITSELF)

    def statvfs(self) -> os.statvfs_result:
        """See `HostDir`."""
        return self._now().statvfs()

    def names(self) -> list[bytes]:
        """See `HostDir`."""
        return self._now().names()

    def scan(self) -> list[tuple[bytes, os.stat_result]]:
        """See `HostDir`."""
        return self._now().scan()

    def scan_at(self, path: bytes) -> list[tuple[bytes, os.stat_result]]:
        """See `HostDir`; who lists a directory often looks into it next."""
        return self.at(path).scan()

    def lstat(self, path: bytes | str = b"") -> os.stat_result:
        """See `HostDir`."""
        return self._now().lstat(path)

    def readlink(self, path: bytes | str) -> bytes:
        """See `HostDir`."""
        return self._now().readlink(path)

    def open_file(self, path: bytes | str) -> int:
        """See `HostDir`."""
        return self._now().open_file(path)

    def open_seen(self, name: bytes) -> int:
        """See `HostDir`."""
        return self._now().open_seen(name)

    def listing(self) -> list[tuple[bytes, int]]:
        """See `HostDir`."""
        return self._now().listing()

    def read(self, path: bytes | str, limit: int) -> bytes:
        """See `HostDir`."""
        return self._now().read(path, limit)

    def xattr_names(self, path: bytes = b"") -> list[bytes]:
        """See `HostDir`."""
        return self._now().xattr_names(path)

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """See `HostDir`."""
        return self._now().xattr(path, name)


def on_host(directory: HostDir) -> HostDir:
    """The same directory opened once more, on the host's own mount and no sealed one; raises `OSError`."""
    return directory.on_host() if isinstance(directory, PooledDir) else directory.subdir(_ITSELF)
