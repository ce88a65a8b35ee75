"""What descriptors are of: a path by device and inode, as /proc tells none of a mount nobody else has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Places"]


class Places:
    """Everything below a directory, by identity; of hard links one path."""

    def __init__(self, top: Path | str) -> None:
        """Look at all of it."""
        self._paths: dict[tuple[int, int], str] = {}
        for directory, names, files in os.walk(top):
            for path in (directory, *(os.path.join(directory, name) for name in (*names, *files))):
                found = os.lstat(path)
                self._paths.setdefault((found.st_dev, found.st_ino), path)

    def path(self, place: int | str | bytes) -> str:
        """The path of what is open as a descriptor, or named by /proc/self/fd; another path as it is."""
        if not isinstance(place, int):
            text = os.fsdecode(place)
            if not text.startswith("/proc/self/fd/"):
                return text
            place = text
        found = os.stat(place)
        return self.named(found.st_dev, found.st_ino)

    def named(self, device: int, inode: int) -> str:
        """The path of an inode; empty for one that is not below."""
        return self._paths.get((device, inode), "")
