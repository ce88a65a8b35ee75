"""What can be read only once, as standard input, kept in an unlinked file for as long as it is read."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from layerfs.cache.directory import unlinked
from layerfs.errors import CacheError, DataRootError, reason
from layerfs.tree.openfile import OpenFile

if TYPE_CHECKING:
    from layerfs.cache.options import CacheOptions

__all__ = ["open_named", "open_standard_input", "spool"]

_PIECE = 1 << 20


def open_named(path: str) -> int:
    """A descriptor of what the user named, links followed; raises `OSError`, also for a directory.

    Its access time stays, where the file is ours or we are root.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY
    try:
        fd = os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        fd = os.open(path, flags)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise IsADirectoryError(errno.EISDIR, "is a directory")
    return fd


def open_standard_input() -> int:
    """A descriptor of standard input of its own."""
    return os.dup(0)


def spool(source: OpenFile, label: str, options: CacheOptions) -> OpenFile:
    """All that comes from an open pipe or the like.

    Raises:
        CacheError: there is more than `options` allow, or no room for it.
        DataRootError: it cannot be read.
    """
    try:
        copy = OpenFile(unlinked(options.scratch))
    except OSError as error:
        raise CacheError(f"{options.scratch}: cannot be written to: {reason(error)}") from error
    fd, target, size = source.backing_fd(), copy.backing_fd(), 0
    assert fd is not None  # noqa: S101 - both are files
    assert target is not None  # noqa: S101
    while piece := _read(fd, label):
        size += len(piece)
        room = os.fstatvfs(target)
        if size > options.largest:
            raise CacheError(
                f"{label}: more than {options.largest} bytes", hint="--largest-layer allows more"
            )
        if room.f_bavail * room.f_frsize < len(piece):
            raise CacheError(f"{options.scratch}: no room for what comes from {label}")
        try:
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]
        except OSError as error:
            raise CacheError(f"{options.scratch}: cannot be written to: {reason(error)}") from error
    return copy


def _read(fd: int, label: str) -> bytes:
    try:
        return os.read(fd, _PIECE)
    except OSError as error:
        raise DataRootError(f"{label}: {reason(error)}") from error
