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
from layerfs.views.everything.names import as_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from layerfs.tree.content import Content
    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["NO_DEVICE", "Borrowed", "Directory", "DirectoryLayer", "Door", "Item", "Text", "number_of"]

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

    listed: Callable[[], Mapping[bytes, Item]]
    mtime_ns: int | None = None

    @functools.cached_property
    def entries(self) -> Mapping[bytes, Item]:
        """What is in it, by name; raises `OSError`."""
        try:
            return self.listed()
        except CorruptStore as error:
            raise OSError(errno.EIO, str(error)) from error


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


@dataclass(frozen=True, eq=False)
class Borrowed:
    """A file, link or device that is an entry of another tree.

    Attributes:
        tree: that tree.
        node: the entry in it.
        notes: extended attributes that it has here besides; they can be read, and are not listed.
    """

    tree: UnionTree
    node: Node
    notes: Mapping[bytes, bytes]


Item: TypeAlias = Borrowed | Directory | Door | Text


def number_of(path: bytes) -> int:
    """The inode number of a path, the same in every mount: 64 bits of its hash."""
    number = int.from_bytes(hashlib.sha256(path).digest()[:8])
    return number if number >= _RESERVED else number + _RESERVED


class DirectoryLayer(Unmarked):
    """Directories below a top one; safe to use from several threads."""

    label = "layerfs"
    identity: Hashable = None

    def __init__(self, top: Directory, mtime_ns: int, device: int = NO_DEVICE) -> None:
        """Show `top`, which the user of this process owns.

        Args:
            top: what the root is.
            mtime_ns: the time of what has none of its own.
            device: of all that is not borrowed.
        """
        self._top = top
        self._mtime_ns = mtime_ns
        self._device = device
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
        name = path.rpartition(b"/")[2]
        if isinstance(item, Borrowed):
            return Entry(name, item.node.stat, whiteout=False)
        uid, gid = self._owner
        if isinstance(item, Text):
            mode, size, time = stat.S_IFREG | 0o444, len(item.content), None
        else:
            mode, size, time = stat.S_IFDIR | 0o755, _SIZE, item.mtime_ns
        time = self._mtime_ns if time is None else time
        found = FileStat(
            mode, 1, uid, gid, 0, size, -(-size // _BLOCK), self._device, number_of(path), time, time, time
        )
        return Entry(name, found, whiteout=False)

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`."""
        found = self.item(path)
        if not isinstance(found, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return [self._entry(join(path, name), item) for name, item in found.entries.items()]

    def readlink(self, path: bytes) -> bytes:
        """The target of a link."""
        found = self.item(path)
        if isinstance(found, Borrowed):
            return found.tree.readlink(found.node)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)

    def open(self, path: bytes) -> Content:
        """The content of a file."""
        found = self.item(path)
        if isinstance(found, Borrowed):
            return found.tree.open(found.node)
        if not isinstance(found, Text):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return MemoryContent(found.content, number_of(path))

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Those of what is borrowed; ours can be read, and are not listed, so that copies do not get them."""
        found = self.item(path)
        return found.tree.xattr_names(found.node) if isinstance(found, Borrowed) else []

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """Of what is borrowed its own, or a note; `user.layerfs.name` of a door."""
        found = self.item(path)
        if isinstance(found, Borrowed):
            value = found.tree.xattr(found.node, name)
            return found.notes.get(name) if value is None else value
        if name == b"user.layerfs.name" and isinstance(found, Door) and found.name is not None:
            return as_bytes(found.name)
        return None
