"""What files cost on disk: blocks allocated, every inode once.

Unlike the engine's sizes this counts directories, rounding and extended blocks, and holes not at all: it
is what removing the files would give back.

Source: POSIX du(1).
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from layerfs.hostdir import HostDir

__all__ = ["Allocation"]

_BLOCK = 512  # of st_blocks, whatever the file system's own


class Allocation:
    """Counts what lies below paths of one directory.

    Attributes:
        total: bytes of everything counted so far, each inode once.
        complete: whether nothing was met that could not be read.
    """

    def __init__(self, directory: HostDir) -> None:
        """Count below `directory`; nothing is counted yet."""
        self.total = 0
        self.complete = True
        self._directory = directory
        self._seen: set[tuple[int, int]] = set()

    def of(self, paths: Iterable[bytes]) -> int:
        """Bytes allocated for the entries at `paths` and all below them, each inode once.

        Other file systems that are mounted there are not entered; paths that are gone cost nothing.
        """
        counted = 0
        own: set[tuple[int, int]] = set()
        for path in paths:
            for found in self._walk(path):
                inode = (found.st_dev, found.st_ino)
                if inode in own:
                    continue
                own.add(inode)
                counted += found.st_blocks * _BLOCK
                if inode not in self._seen:
                    self._seen.add(inode)
                    self.total += found.st_blocks * _BLOCK
        return counted

    def _walk(self, top: bytes) -> Iterator[os.stat_result]:
        try:
            first = self._directory.lstat(top)
        except OSError as error:
            self.complete = self.complete and isinstance(error, FileNotFoundError)
            return
        yield first
        pending = [top] if stat.S_ISDIR(first.st_mode) else []
        while pending:
            path = pending.pop()
            try:
                with self._directory.subdir(path) as directory:
                    entries = list(directory.scan())
            except OSError as error:
                self.complete = self.complete and isinstance(error, FileNotFoundError)
                continue
            for name, found in entries:
                if found.st_dev != first.st_dev:
                    continue
                yield found
                if stat.S_ISDIR(found.st_mode):
                    pending.append(path + b"/" + name)
