"""Directories that are in no layer, as a `LayerSource`: what is in each is asked when it is looked into.

A `Door` is such a directory too, but what is in it is another tree; from outside it is only a name.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from layerfs.errors import CorruptStore
from layerfs.tree.lower import join
from layerfs.tree.memory import MemoryContent
from layerfs.tree.node import FileStat
from layerfs.tree.source import Entry, Unmarked

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from layerfs.tree.content import Content
    from layerfs.tree.union import UnionTree

__all__ = ["NO_DEVICE", "Directory", "DirectoryLayer", "Door", "Item", "Text", "number_of"]

NO_DEVICE = -1
"""The device of what has an inode number that is distinct already."""

_FILE_SYSTEM = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
_BLOCK = 512
_SIZE = 4096
_RESERVED = 2
"""The first inode number that may be given: 0 is none, 1 a file system's root."""


@dataclass(frozen=True, eq=False)
class Directory:
    """A directory.

    Attributes:
        listed: gives what is in it, by name; it may raise `CorruptStore`, and is called again then.
        mtime_ns: its time of modification.
    """

    listed: Callable[[], Mapping[str, Item]]
    mtime_ns: int | None = None

    @functools.cached_property
    def entries(self) -> Mapping[bytes, Item]:
        """What is in it, by name; raises `OSError`."""
        try:
            listed = self.listed()
        except CorruptStore as error:
            raise OSError(errno.EIO, str(error)) from error
        return {name.encode(): item for name, item in listed.items()}


@dataclass(frozen=True, eq=False)
class Door:
    """A directory in which another tree begins.

    Attributes:
        opened: gives that tree; it may raise any error of the engine.
        name: what a command calls that tree; None for what has no such name.
        mtime_ns: its time of modification.
    """

    opened: Callable[[], UnionTree]
    name: str | None = None
    mtime_ns: int | None = None


@dataclass(frozen=True, eq=False)
class Text:
    """A file."""

    content: bytes


Item: TypeAlias = Directory | Door | Text


def number_of(path: bytes) -> int:
    """The inode number of a path, the same in every mount: 64 bits of its hash."""
    number = int.from_bytes(hashlib.sha256(path).digest()[:8])
    return number if number >= _RESERVED else number + _RESERVED


class DirectoryLayer(Unmarked):
    """Directories below a top one; safe to use from several threads."""

    label = "layerfs"
    identity: Hashable = None

    def __init__(self, top: Directory, mtime_ns: int) -> None:
        """Show `top` for its user alone to own; what has no time of its own has `mtime_ns`."""
        self._top = top
        self._mtime_ns = mtime_ns
        self._owner = os.geteuid(), os.getegid()

    def item(self, path: bytes) -> Item | None:
        """What is at `path`; None for nothing, and for what is behind a door."""
        found: Item | None = self._top
        for name in path.split(b"/") if path else ():
            if not isinstance(found, Directory):
                return None
            found = found.entries.get(name)
        return found

    def statvfs(self) -> os.statvfs_result:
        """A file system without blocks, whose names have up to 255 bytes."""
        return _FILE_SYSTEM

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        item = self.item(path)
        return None if item is None else self._entry(path, item)

    def _entry(self, path: bytes, item: Item) -> Entry:
        uid, gid = self._owner
        if isinstance(item, Text):
            mode, size, time = stat.S_IFREG | 0o444, len(item.content), None
        else:
            mode, size, time = stat.S_IFDIR | 0o755, _SIZE, item.mtime_ns
        time = self._mtime_ns if time is None else time
        found = FileStat(
            mode, 1, uid, gid, 0, size, -(-size // _BLOCK), NO_DEVICE, number_of(path), time, time, time
        )
        return Entry(path.rpartition(b"/")[2], found, whiteout=False)

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`."""
        found = self.item(path)
        if not isinstance(found, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return [self._entry(join(path, name), item) for name, item in found.entries.items()]

    def readlink(self, path: bytes) -> bytes:
        """There are no links."""
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)

    def open(self, path: bytes) -> Content:
        """The content of a file."""
        found = self.item(path)
        if not isinstance(found, Text):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return MemoryContent(found.content, number_of(path))

    def xattr_names(self, path: bytes) -> list[bytes]:
        """None: those of a door can be read, and are not listed, so that copies do not get them."""
        del path
        return []

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """`user.layerfs.name` of a door."""
        found = self.item(path)
        if name == b"user.layerfs.name" and isinstance(found, Door) and found.name is not None:
            return os.fsencode(found.name)
        return None
