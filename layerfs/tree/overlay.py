"""A layer as Docker's overlay2 stores it: a `diff/` directory read in one whiteout dialect.

`OverlayLayer` is the `LayerSource` of real data roots. It reads what a `RawLayer` has stored: the
directory as it is on disk, marks and all. That is itself a `LayerSource`, of a layer alone.

Sources: Linux `fs/overlayfs/xattrs.c`, `fs/overlayfs/util.c`.
"""

from __future__ import annotations

import errno
import stat
import time
from typing import TYPE_CHECKING

from layerfs.formats.idmap import SAME
from layerfs.formats.unpacked import CAPABILITY, capability_inside
from layerfs.formats.whiteouts import OPAQUE
from layerfs.hostdir import xattr_of_open
from layerfs.tree.node import FileStat
from layerfs.tree.openfile import OpenFile
from layerfs.tree.source import NO_MARKS, Entry, Marks, Unmarked

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Iterable

    from layerfs.formats.idmap import Owners
    from layerfs.formats.whiteouts import Dialect
    from layerfs.hostdir import HostDir
    from layerfs.tree.content import Content
    from layerfs.tree.source import StoredLayer

__all__ = ["OverlayLayer", "RawLayer"]

_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Of a path: nothing, something that is no directory on the way, or a link, which is not followed."""

_SURE = 0.1
"""Seconds for which a layer that was there counts as there: most names are absent in most layers."""


class RawLayer(Unmarked):
    """A `diff/` directory as it is on disk: whiteouts are devices, every attribute shows.

    Of an engine in a user namespace, owners are those inside, as its own containers see them.
    """

    def __init__(self, directory: HostDir, owners: Owners = SAME) -> None:
        """Read the layer whose root is `directory`; `owners` is the namespace of the engine."""
        self._directory = directory
        self._owners = None if owners.are_same else owners
        self._there_until = 0.0

    @property
    def directory(self) -> HostDir:
        """The directory on disk."""
        return self._directory

    @property
    def is_as_on_disk(self) -> bool:
        """Whether whiteouts, marks and attributes are shown as they lie in the directory."""
        return True

    def marker(self, path: bytes, *, opaque: bool = False) -> bytes | None:  # noqa: ARG002
        """The file that hides the name, or makes the directory opaque; None where a mark is no file."""
        return None

    def opaque_attribute(self, path: bytes) -> bytes | None:  # noqa: ARG002
        """The attribute that makes a directory opaque; None where it is overlayfs's, as everywhere."""
        return None

    @property
    def has_owners_of_disk(self) -> bool:
        """Whether owners are those on disk: those of no user namespace."""
        return self._owners is None

    @property
    def label(self) -> str:
        """The directory's name in messages."""
        return self._directory.display

    @property
    def identity(self) -> Hashable:
        """The directory by its inode, and how it is read."""
        found = self._directory.lstat()
        return found.st_dev, found.st_ino, type(self)

    def statvfs(self) -> os.statvfs_result:
        """The file system `diff/` is on."""
        return self._directory.statvfs()

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        try:
            directory, name = self._at(path)
            found = self._stat_of(directory.lstat(name))
        except OSError as error:
            # ENAMETOOLONG: a layer on another file system may hold longer names (ovl_lookup_single)
            if error.errno == errno.ENAMETOOLONG:
                return None
            if error.errno in _NOTHING_THERE:
                self._check_it_is_there()
                return None
            raise
        return Entry(name, found, whiteout=False)

    def _check_it_is_there(self) -> None:
        """Raise `OSError` where the layer itself is gone: what it had is lost then, and not absent."""
        now = time.monotonic()
        if now < self._there_until:
            return
        try:
            links = self._directory.lstat().st_nlink
        except OSError as error:
            if error.errno not in _NOTHING_THERE:
                raise
            links = 0  # it was closed meanwhile, and is not found again
        if not links:
            raise OSError(errno.EIO, "the layer's directory was removed or replaced")
        self._there_until = now + _SURE

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`."""
        found = self._directory.scan_at(path)
        if self._owners:
            return [Entry(name, self._stat_of(stat), whiteout=False) for name, stat in found]
        return [Entry(name, FileStat.of(stat), whiteout=False) for name, stat in found]

    def readlink(self, path: bytes) -> bytes:
        """The target of the link at `path`."""
        directory, name = self._at(path)
        return directory.readlink(name)

    def open(self, path: bytes) -> Content:
        """The regular file at `path`."""
        directory, name = self._at(path)
        return OpenFile(directory.open_file(name))

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Every extended attribute this process may see."""
        directory, name = self._at(path)
        return directory.xattr_names(name)

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one extended attribute."""
        directory, last = self._at(path)
        value = directory.xattr(last, name)
        if value and name == CAPABILITY and self._owners:
            return capability_inside(value, self._owners.users)
        return value

    def xattr_of_open(self, path: bytes, content: Content, name: bytes) -> bytes | None:
        """One extended attribute of the file at `path`, which is open as `content`."""
        fd = content.backing_fd()
        return self.xattr(path, name) if fd is None else xattr_of_open(fd, name)

    def _at(self, path: bytes) -> tuple[HostDir, bytes]:
        """The open directory that `path` is in, and its last component."""
        parent, slash, name = path.rpartition(b"/")
        # who looks into a directory mostly asks for several of its names
        return (self._directory.at(parent) if slash and parent else self._directory), name

    def _stat_of(self, found: os.stat_result) -> FileStat:
        stat_of = FileStat.of(found)
        if self._owners is not None:
            uid, gid = self._owners.inside(stat_of.uid, stat_of.gid)
            return stat_of._replace(uid=uid, gid=gid)
        return stat_of


class OverlayLayer:
    """A stored layer read as overlayfs reads it."""

    def __init__(self, stored: StoredLayer, dialect: Dialect) -> None:
        """Read `stored` in `dialect`, which says what attribute prefix is private: `trusted.` or `user.`."""
        self._stored = stored
        self._dialect = dialect

    @property
    def stored(self) -> StoredLayer:
        """What is read."""
        return self._stored

    @property
    def dialect(self) -> Dialect:
        """What its marks are."""
        return self._dialect

    @property
    def label(self) -> str:
        """The directory's name in messages."""
        return self._stored.label

    @property
    def identity(self) -> Hashable:
        """What is read, and in which dialect."""
        return self._stored.identity, self._dialect

    @property
    def root_is_opaque(self) -> bool:
        """What the stored layer says, which knows whether its engine asks the root."""
        return self._stored.root_is_opaque

    def lies_at(self, path: bytes) -> bytes:
        """As the stored layer has it."""
        return self._stored.lies_at(path)

    def statvfs(self) -> os.statvfs_result:
        """The file system `diff/` is on."""
        return self._stored.statvfs()

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        found = self._stored.entry(path)
        if found is None or found.stat.size or not _may_be_whiteout(found.stat):
            return found
        return self._judged(path, found)

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`."""
        prefix = path + b"/" if path else b""
        return [
            entry
            if entry.stat.size or not _may_be_whiteout(entry.stat)  # nearly all: decided without a call
            else self._judged(prefix + entry.name, entry)
            for entry in self._stored.scan(path)
        ]

    def marks(self, path: bytes) -> Marks:
        """Opaque and redirect of the directory at `path`."""
        private = self._dialect.private
        if not any(private(name) for name in self._stored.xattr_names(path)):
            return NO_MARKS
        opaque = self._stored.xattr(path, self._dialect.opaque) == OPAQUE
        return Marks(opaque, self._stored.xattr(path, self._dialect.redirect))

    def has_data(self, path: bytes, content: Content) -> bool:
        """Whether the open file is no metacopy."""
        return self._stored.xattr_of_open(path, content, self._dialect.metacopy) is None

    def metacopy(self, path: bytes) -> Marks | None:
        """The marks of a file whose data are further down, or None for a file that has its own."""
        if self._stored.xattr(path, self._dialect.metacopy) is None:
            return None
        return Marks(redirect=self._stored.xattr(path, self._dialect.redirect))

    def readlink(self, path: bytes) -> bytes:
        """The target of the link at `path`."""
        return self._stored.readlink(path)

    def open(self, path: bytes) -> Content:
        """The content of the regular file at `path`."""
        return self._stored.open(path)

    def xattr_names(self, path: bytes) -> list[bytes]:
        """The attributes overlayfs would list: private ones hidden, escaped ones unescaped."""
        presented = (self._dialect.presented_name(name) for name in self._stored.xattr_names(path))
        return [name for name in presented if name is not None]

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of the attribute that overlayfs would show as `name`."""
        return self._stored.xattr(path, self._dialect.stored_name(name))

    def _judged(self, path: bytes, found: Entry) -> Entry:
        """A character device 0:0 is a whiteout, and so is an empty file that carries the attribute."""
        if found.stat.is_file and self._stored.xattr(path, self._dialect.whiteout) is None:
            return found
        return found._replace(whiteout=True)


def _may_be_whiteout(found: FileStat) -> bool:
    kind = stat.S_IFMT(found.mode)
    return (kind == stat.S_IFCHR and found.rdev == 0) or (kind == stat.S_IFREG and found.size == 0)
