"""Disk usage of a directory, counted as containerd does.

Source: containerd/continuity `fs/du_unix.go`.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["disk_usage"]

_BLOCK = 512  # the unit of st_blocks in bytes


def disk_usage(top: HostDir) -> int:
    """Bytes on disk of a directory and all below, each inode once, in blocks; raises `OSError`."""
    found = top.lstat()
    blocks = {(found.st_dev, found.st_ino): found.st_blocks}
    pending = [b""]
    while pending:
        path = pending.pop()
        with top.subdir(path) as directory:
            for name, found in directory.scan():
                blocks[found.st_dev, found.st_ino] = found.st_blocks
                if stat.S_ISDIR(found.st_mode):
                    pending.append(path + b"/" + name if path else name)
    return _BLOCK * sum(blocks.values())
