"""The directories of layers, opened through one mount of our own, and open only while they are used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from layerfs.pool import Pool, PooledDir

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.hostdir import HostDir

__all__ = ["SealedDirs"]


class SealedDirs:
    """What is below one directory of a store that holds the directories of all layers.

    Attributes:
        mount: that directory on a mount of our own, see `HostDir.sealed`; itself where that is not allowed,
            None where it is not there.
    """

    def __init__(self, root: HostDir, path: str, directory: HostDir | None) -> None:
        """Below `path` of `root`, which is open as `directory`; None where it is not there."""
        self._root = root
        self._path = path
        self._directory = directory
        self._pool = Pool()
        self.mount = directory.sealed() if directory else None

    def open(self, path: str) -> HostDir:
        """The directory at `path` below, which holds a descriptor only while it is used; raises `OSError`."""
        name = f"{self._path}/{path}"
        found = PooledDir(self._pool, name, self._root, self._opener(os.fsencode(path)))
        found.lstat()
        return found

    def _opener(self, prefix: bytes) -> Callable[[bytes], HostDir]:
        """What opens a directory below a layer's root: through one sealed mount for all, as each takes time.

        What is mounted on the way is not there; such a layer gets a mount of its own. (Below a layer's
        root overlayfs does not cross mounts either.)
        """
        sealed = self.mount or self._root
        whole = os.fsencode(self._path) + b"/" + prefix
        if sealed is self._root:
            return lambda path: self._root.subdir(_join(whole, path))
        if sealed is not self._directory:
            with self._root.subdir(whole) as found:
                apart = found.sealed() if not _is_same(sealed, prefix, found) else None
            if apart is not None:
                return apart.subdir
        return lambda path: sealed.subdir(_join(prefix, path))


def _join(prefix: bytes, path: bytes) -> bytes:
    return prefix + b"/" + path if path else prefix


def _is_same(sealed: HostDir, path: bytes, directory: HostDir) -> bool:
    """Whether `path` leads to the same directory there."""
    try:
        with sealed.subdir(path) as found:
            return _identity(found) == _identity(directory)
    except OSError:
        return False


def _identity(directory: HostDir) -> tuple[int, int]:
    found = directory.lstat()
    return found.st_dev, found.st_ino
