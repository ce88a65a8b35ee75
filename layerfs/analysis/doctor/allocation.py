"""What files take on disk: their allocated blocks, every inode once.

The engine's sizes are sums of file lengths. This also counts directories and whole blocks, but no holes: it
is the space that removing the files would free.

Source: POSIX du(1).
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from layerfs.capabilities import Progress
    from layerfs.hostdir import HostDir
    from layerfs.model import Diagnosis

__all__ = ["Allocation"]

_BLOCK = 512  # the unit of st_blocks, on every file system


class Allocation:
    """Adds up the blocks of paths below one directory.

    Attributes:
        total: bytes of everything counted so far, each inode once.
        complete: whether everything could be read so far.
    """

    def __init__(self, directory: HostDir) -> None:
        """Count below `directory`; nothing is counted yet."""
        self.total = 0
        self.complete = True
        self._directory = directory
        self._seen: set[tuple[int, int]] = set()

    def of(self, paths: Iterable[bytes]) -> int:
        """Bytes allocated for `paths` and all below them; an inode that was counted before adds nothing.

        Does not enter other file systems that are mounted there. Missing paths count 0.
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

    def priced(self, diagnoses: Sequence[Diagnosis], on_progress: Progress) -> list[Diagnosis]:
        """The diagnoses with what their paths take on disk; `on_progress` is told of the part `costs`."""
        found = []
        for diagnosis in diagnoses:
            found.append(diagnosis._replace(bytes=self.of(diagnosis.costs)))
            on_progress("costs", 1, len(diagnoses))
        return found

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
