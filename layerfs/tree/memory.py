"""A stored layer in memory, made from a plain description: what lies at each path.

`MemoryLayer` stands where `RawLayer` would: whiteouts are devices or attributes, marks are attributes, so
`OverlayLayer` reads it like a directory of the host. For callers that make layers themselves, and for
tests of everything that works on trees, which need neither root nor a disk.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from layerfs.tree.lower import join
from layerfs.tree.node import FileStat
from layerfs.tree.source import Entry, Unmarked

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    from layerfs.tree.content import Content

__all__ = ["Inode", "MemoryContent", "MemoryLayer"]

_DIRECTORY_SIZE = 4096
_BLOCK = 512
_CHUNK = 1 << 20
_NO_XATTRS: Mapping[bytes, bytes] = MappingProxyType({})
_FILE_SYSTEM = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))

_devices = itertools.count(-(1 << 40), -1)  # below 0 is no disk, and this far below no layer's archive
_inodes = itertools.count(1 << 51)  # above those of real disks, below those of archives


@dataclass(frozen=True, slots=True, eq=False)
class Inode:
    """One object of a layer. The same `Inode` at two paths is one file of two names (a hard link).

    Attributes:
        mode: type and permissions, as `stat.S_IFREG | 0o644`.
        uid: numeric owner.
        gid: numeric group.
        mtime_ns: time of modification, in nanoseconds since 1970.
        content: of a regular file.
        target: of a symbolic link.
        rdev: device number; a character device of number 0 is a whiteout.
        xattrs: all extended attributes, overlayfs's marks among them.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    content: bytes = b""
    target: bytes = b""
    rdev: int = 0
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: _NO_XATTRS)

    @property
    def kind(self) -> int:
        """The file type bits, as `stat.S_IFREG`."""
        return stat.S_IFMT(self.mode)


class MemoryContent:
    """The content of a regular file that is in memory: no holes, and no descriptor for the kernel."""

    __slots__ = ("_data", "identity")

    def __init__(self, data: bytes, identity: Hashable) -> None:
        """Give `data`; `identity` is the same for contents of one inode."""
        self._data = data
        self.identity = identity

    def __enter__(self) -> Self:
        """The content."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing is to be closed."""

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self._data)

    def pread(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes at `offset`; fewer only at the end."""
        return self._data[offset : offset + size]

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; the bytes read, fewer than its size only at the end."""
        piece = self.pread(len(buffer), offset)
        buffer[: len(piece)] = piece
        return len(piece)

    def chunks(self) -> Iterator[bytes]:
        """The whole content, a mebibyte at a time."""
        return (self._data[offset : offset + _CHUNK] for offset in range(0, len(self._data), _CHUNK))

    def read(self) -> bytes:
        """The whole content."""
        return self._data

    def seek(self, offset: int, whence: int) -> int:
        """Where data or a hole begins, as lseek(2) has it of a file without holes."""
        if not 0 <= offset < len(self._data):
            raise _error(errno.ENXIO)
        return offset if whence == os.SEEK_DATA else len(self._data)

    def backing_fd(self) -> int | None:
        """None: there is no file."""
        return None

    def close(self) -> None:
        """Nothing is to be closed."""


class MemoryLayer(Unmarked):
    """A layer of `Inode`s; safe to use from several threads, as it never changes."""

    def __init__(self, entries: Mapping[bytes, Inode], label: str = "memory") -> None:
        """Make a layer.

        Args:
            entries: what lies at each path below the layer's root, in the order of a listing; `b""` is the
                root. Directories that are missing on the way are made for root, with mode 755.
            label: the layer's name in messages.

        Raises:
            ValueError: a path is no path (`a//b`, `/a`, `..`), leads through what is no directory, or a
                directory has two names.
        """
        self.label = label
        self._device = next(_devices)
        self._entries: dict[bytes, Inode] = {}
        self._children: dict[bytes, dict[bytes, Inode]] = {}
        self._names: dict[Inode, int] = {}
        self._numbers: dict[Inode, int] = {}
        self._add(b"", entries.get(b"") or _implied())
        for path, inode in entries.items():
            if path:
                self._add_below(path, inode, entries)

    # -- making --------------------------------------------------------------------------------

    def _add_below(self, path: bytes, inode: Inode, entries: Mapping[bytes, Inode]) -> None:
        """Add an entry, after the directories above it that are not there yet."""
        names = path.split(b"/")
        if any(name in (b"", b".", b"..") or b"\0" in name for name in names):
            raise ValueError(f"no path below a layer's root: {path!r}")
        for depth in range(1, len(names)):
            above = b"/".join(names[:depth])
            if above not in self._entries:
                self._add(above, entries.get(above) or _implied())
        if path not in self._entries:
            self._add(path, inode)

    def _add(self, path: bytes, inode: Inode) -> None:
        directory, _, name = path.rpartition(b"/")
        if path:
            if directory not in self._children:
                raise ValueError(f"not a directory: {directory!r}")
            self._children[directory][name] = inode
        self._entries[path] = inode
        self._names[inode] = self._names.get(inode, 0) + 1
        if self._names[inode] == 1:
            self._numbers[inode] = next(_inodes)
        if inode.kind == stat.S_IFDIR:
            if self._names[inode] > 1:
                raise ValueError(f"a directory of two names: {path!r}")
            self._children[path] = {}

    # -- reading -------------------------------------------------------------------------------

    @property
    def identity(self) -> Hashable:
        """This one object."""
        return self._device, type(self)

    def statvfs(self) -> os.statvfs_result:
        """A file system without blocks, whose names have up to 255 bytes."""
        return _FILE_SYSTEM

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        inode = self._entries.get(path)
        if inode is None:
            return None
        return Entry(path.rpartition(b"/")[2], self._stat_of(path, inode), whiteout=False)

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`, in the order in which they were given."""
        if self._found(path).kind != stat.S_IFDIR:
            raise _error(errno.ENOTDIR)
        return [
            Entry(name, self._stat_of(join(path, name), inode), whiteout=False)
            for name, inode in self._children[path].items()
        ]

    def readlink(self, path: bytes) -> bytes:
        """The target of the link at `path`."""
        inode = self._found(path)
        if inode.kind != stat.S_IFLNK:
            raise _error(errno.EINVAL)
        return inode.target

    def open(self, path: bytes) -> Content:
        """The content of the regular file at `path`."""
        inode = self._found(path)
        if inode.kind != stat.S_IFREG:
            raise _error(errno.EISDIR if inode.kind == stat.S_IFDIR else errno.EINVAL)
        return MemoryContent(inode.content, (self._device, self._numbers[inode]))

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Every extended attribute."""
        return list(self._found(path).xattrs)

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one extended attribute."""
        return self._found(path).xattrs.get(name)

    def xattr_of_open(self, path: bytes, content: Content, name: bytes) -> bytes | None:
        """One extended attribute of the file at `path`, which is open as `content`."""
        del content
        return self.xattr(path, name)

    def _found(self, path: bytes) -> Inode:
        inode = self._entries.get(path)
        if inode is None:
            above = path
            while above not in self._entries:
                above = above.rpartition(b"/")[0]
            raise _error(errno.ENOENT if above in self._children else errno.ENOTDIR)
        return inode

    def _stat_of(self, path: bytes, inode: Inode) -> FileStat:
        if inode.kind == stat.S_IFDIR:
            size = _DIRECTORY_SIZE
            below = self._children[path].values()
            links = 2 + sum(child.kind == stat.S_IFDIR for child in below)
        else:
            size = len(inode.target if inode.kind == stat.S_IFLNK else inode.content)
            links = self._names[inode]
        number = self._numbers[inode]
        return FileStat(
            inode.mode, links, inode.uid, inode.gid, inode.rdev, size, -(-size // _BLOCK),
            self._device, number, inode.mtime_ns, inode.mtime_ns, inode.mtime_ns,
        )  # fmt: skip


def _implied() -> Inode:
    return Inode(stat.S_IFDIR | 0o755)


def _error(number: int) -> OSError:
    """As the operating system would say it."""
    return OSError(number, os.strerror(number))
