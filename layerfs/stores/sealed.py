"""The directories of layers, opened through a read-only mount of this process, only while they are used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from layerfs.pool import Pool, PooledDir

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.hostdir import HostDir

__all__ = ["SealedDirs"]


class SealedDirs:
    """Opens directories below the one in a store that has those of all layers.

    Attributes:
        mount: that directory on a mount of this process, see `HostDir.sealed`; the plain directory if
            mounting is not allowed; None if it does not exist.
    """

    def __init__(self, root: HostDir, path: str, directory: HostDir | None) -> None:
        """Open below `path` of `root`; `directory` is that, opened, or None if it does not exist."""
        self._root = root
        self._path = path
        self._directory = directory
        self._pool = Pool()
        self.mount = directory.sealed() if directory else None

    def open(self, path: str) -> HostDir:
        """The directory at `path`, which has a descriptor only while it is used; raises `OSError`."""
        name = f"{self._path}/{path}"
        found = PooledDir(self._pool, name, self._root, self._opener(os.fsencode(path)))
        found.lstat()
        return found

    def _opener(self, prefix: bytes) -> Callable[[bytes], HostDir]:
        """A function that opens directories below a layer's root, through one mount for all layers.

        File systems that are mounted on the way are not visible in it; such a layer gets a mount of its own.
        (Below a layer's root overlayfs does not cross mounts either.)
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
    """Whether `path` below `sealed` is the same directory."""
    try:
        with sealed.subdir(path) as found:
            return _identity(found) == _identity(directory)
    except OSError:
        return False


def _identity(directory: HostDir) -> tuple[int, int]:
    found = directory.lstat()
    return found.st_dev, found.st_ino
