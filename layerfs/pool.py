"""Directories that are open only while they are needed: so many layers can be used by few descriptors.

A `PooledDir` stands for a directory, and opens it again when it is asked and was closed meanwhile. What
is in use is held by whoever uses it, so closing never takes a descriptor from under another thread.
"""

from __future__ import annotations

import collections
import itertools
import resource
import threading
from typing import TYPE_CHECKING

from layerfs.hostdir import RESERVES, HostDir

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

__all__ = ["Pool", "PooledDir", "on_host", "share_of_descriptors"]

_FEWEST, _MOST = 8, 1024
_PART = 3
"""Of the descriptors that a process may have, the pool takes one in three."""

_ITSELF = b""


def share_of_descriptors(part: int, most: int) -> int:
    """One in `part` of the descriptors that this process may have, at most `most`."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if limit == resource.RLIM_INFINITY else max(_FEWEST, min(most, limit // part))


class Pool:
    """The directories used last, open; safe to use from several threads."""

    def __init__(self, most: int | None = None) -> None:
        """Keep at most `most` open, by default a part of what this process may have."""
        self._most = share_of_descriptors(_PART, _MOST) if most is None else most
        self._lock = threading.RLock()  # a directory may be collected, and forgotten, amid an allocation
        self._open: collections.OrderedDict[tuple[int, bytes], HostDir] = collections.OrderedDict()
        self._paths: collections.defaultdict[int, set[bytes]] = collections.defaultdict(set)
        self._numbers = itertools.count()
        RESERVES.add(self)

    def new_key(self) -> int:
        """A number for one more directory, distinct in this pool."""
        return next(self._numbers)

    def get(self, key: int, path: bytes, opener: Callable[[bytes], HostDir]) -> HostDir:
        """The directory at `path` of the one with this key, opened by `opener` if it is not; raises alike."""
        name = key, path
        with self._lock:
            found = self._open.get(name)
            if found is not None:
                self._open.move_to_end(name)
                return found
        found = opener(path)
        dropped: list[HostDir] = []  # closed outside the lock, by whoever lets go of them last
        with self._lock:
            self._open[name] = found
            self._paths[key].add(path)
            while len(self._open) > self._most:
                dropped.append(self._drop_oldest())
        return found

    def _drop_oldest(self) -> HostDir:
        """The least recently used directory, taken out of the pool; to be called with the lock held."""
        (key, path), dropped = self._open.popitem(last=False)
        if paths := self._paths.get(key):
            paths.discard(path)
        return dropped

    def give_back(self) -> bool:
        """Close half of what is open, and keep no more from now on; False where nothing is."""
        with self._lock:
            self._most = len(self._open) // 2
            dropped = [self._drop_oldest() for _ in range(len(self._open) - self._most)]
        return bool(dropped)

    def forget(self, key: int) -> None:
        """Forget a directory and those below it."""
        with self._lock:
            dropped = [self._open.pop((key, path)) for path in self._paths.pop(key, ())]
        del dropped


class PooledDir(HostDir):
    """A `HostDir` that a pool may close, and that opens itself again."""

    __slots__ = ("_key", "_opener", "_pool")

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
        self._key = pool.new_key()
        self._opener = opener

    def _now(self) -> HostDir:
        return self._pool.get(self._key, _ITSELF, self._opener)

    def close(self) -> None:
        """Forget it now, and what `at` gave."""
        self._pool.forget(self._key)

    def at(self, path: bytes) -> HostDir:
        """The directory at `path`, kept open for the next who asks."""
        return self._pool.get(self._key, path, self._opener)

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

    def scan(self) -> Iterator[tuple[bytes, os.stat_result]]:
        """See `HostDir`."""
        return self._now().scan()

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

    def listing(self) -> list[tuple[bytes, bool]]:
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
