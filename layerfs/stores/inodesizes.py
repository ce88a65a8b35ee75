"""What a layer's files take as engines count them."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["inode_sizes"]


def inode_sizes(top: HostDir) -> dict[int, int]:
    """The size of every inode below `top` that is not a directory (moby `pkg/directory`)."""
    sizes: dict[int, int] = {}
    pending = [b""]
    while pending:
        path = pending.pop()
        with top.subdir(path) as directory:
            for name, found in directory.scan():
                if stat.S_ISDIR(found.st_mode):
                    pending.append(path + b"/" + name if path else name)
                else:
                    sizes[found.st_ino] = found.st_size
    return sizes
