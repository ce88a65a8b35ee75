"""What a layer's files take as engines count them."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from layerfs.stores.files import explain, open_optional

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["bytes_below", "bytes_in", "inode_sizes"]


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


def bytes_in(top: HostDir) -> int:
    """The sum of `inode_sizes`; raises `CorruptStore`."""
    try:
        return sum(inode_sizes(top).values())
    except OSError as error:
        raise explain(error, top.display) from error


def bytes_below(directory: HostDir, path: str) -> int:
    """The same of the directory at `path`, 0 where there is none; raises `CorruptStore`."""
    found = open_optional(directory, path)
    if found is None:
        return 0
    with found:
        return bytes_in(found)
