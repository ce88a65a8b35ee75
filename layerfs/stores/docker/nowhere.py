"""A directory that does not exist, for readers of one that may be missing."""

from __future__ import annotations

import errno
import os

from layerfs.hostdir import HostDir

__all__ = ["Nowhere"]


class Nowhere(HostDir):
    """A directory without entries, which takes the place of a missing one."""

    __slots__ = ()

    def __init__(self, above: HostDir) -> None:
        """`above` gives the name for messages."""
        super().__init__(-1, b"", above)

    def lstat(self, path: bytes | str = b"") -> os.stat_result:
        """Raises ENOENT."""
        raise self._missing(os.fsencode(path))

    def _open(self, path: bytes, flags: int) -> int:  # noqa: ARG002 - the signature of a directory's
        raise self._missing(path)

    def _missing(self, path: bytes) -> OSError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.name_of(path))
