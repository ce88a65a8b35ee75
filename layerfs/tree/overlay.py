"""A layer as Docker's overlay2 stores it: a `diff/` directory read in one whiteout dialect.

`OverlayLayer` is the `LayerSource` of real data roots; `RawLayer` shows the same directory as it
is on disk, marks and all. Where a copy of the root lost device nodes or `trusted.*` attributes, the
marks of the original archive (tar-split) stand in for what the disk no longer says.

Sources: Linux `fs/overlayfs/xattrs.c`, `fs/overlayfs/util.c`; moby `pkg/archive/archive_linux.go`.
"""

from __future__ import annotations

import errno
import functools
import logging
import stat
from typing import TYPE_CHECKING

from layerfs.formats.whiteouts import OPAQUE
from layerfs.hostdir import xattr_of
from layerfs.tree.node import FileStat
from layerfs.tree.source import NO_MARKS, Entry, Marks

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Hashable, Iterable

    from layerfs.formats.tarsplit import ArchiveMarks
    from layerfs.formats.whiteouts import Dialect
    from layerfs.hostdir import HostDir

__all__ = ["OverlayLayer", "RawLayer"]

_DIRECTORIES_HELD = 3
"""Descriptors a layer keeps at most: 125 layers have to stay below the usual limit of 1,024."""

_log = logging.getLogger(__name__)


class RawLayer:
    """A `diff/` directory as it is on disk: whiteouts are devices, every attribute shows."""

    def __init__(self, directory: HostDir) -> None:
        """Read the layer whose root is `directory`."""
        self._directory = directory
        # who looks into a directory mostly asks for several of its names
        self._subdir = functools.lru_cache(_DIRECTORIES_HELD)(directory.subdir)

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
            found = FileStat.of(directory.lstat(name))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise
        return Entry(name, found, self._is_whiteout(directory, name, found))

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`."""
        # a listing needs a descriptor of its own, as its position belongs to the descriptor
        with self._at(path + b"/")[0].subdir(b"") as directory:
            return [
                Entry(name, attributes := FileStat.of(found), self._is_whiteout(directory, name, attributes))
                for name, found in directory.scan()
            ]

    def lost_whiteouts(self, path: bytes, present: Collection[bytes]) -> Iterable[bytes]:
        """None: the disk is shown as it is."""
        del path, present
        return ()

    def lost_whiteout(self, path: bytes) -> bool:
        """No: the disk is shown as it is."""
        del path
        return False

    def marks(self, path: bytes) -> Marks:
        """None: marks are plain data here."""
        del path
        return NO_MARKS

    def has_data(self, fd: int) -> bool:
        """Always: a file's own bytes are shown."""
        del fd
        return True

    def metacopy(self, path: bytes) -> Marks | None:
        """None: a file's own bytes are shown."""
        del path
        return None

    def readlink(self, path: bytes) -> bytes:
        """The target of the link at `path`."""
        directory, name = self._at(path)
        return directory.readlink(name)

    def open(self, path: bytes) -> int:
        """A descriptor of the regular file at `path`."""
        directory, name = self._at(path)
        return directory.open_file(name)

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Every extended attribute this process may see."""
        directory, name = self._at(path)
        return directory.xattr_names(name)

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one extended attribute."""
        directory, last = self._at(path)
        return directory.xattr(last, name)

    def _at(self, path: bytes) -> tuple[HostDir, bytes]:
        """The open directory that `path` is in, and its last component."""
        parent, slash, name = path.rpartition(b"/")
        return (self._subdir(parent) if slash and parent else self._directory), name

    def _is_whiteout(self, directory: HostDir, path: bytes, found: FileStat) -> bool:
        """Nothing is hidden in a raw view."""
        del directory, path, found
        return False


class OverlayLayer(RawLayer):
    """A `diff/` directory read as overlayfs reads it."""

    def __init__(
        self,
        directory: HostDir,
        dialect: Dialect,
        archive_marks: Callable[[], ArchiveMarks | None] | None = None,
    ) -> None:
        """Read `directory` in `dialect`.

        Args:
            directory: the layer's `diff/`.
            dialect: which attribute prefix is private: `trusted.` or `user.`.
            archive_marks: asked, at most once, for what the layer's archive marked; None where the
                disk is known to have kept its marks.
        """
        super().__init__(directory)
        self._dialect = dialect
        self._archive_marks = archive_marks
        self._restored = False

    @property
    def identity(self) -> Hashable:
        """The directory by its inode, its dialect, and whether its archive has a say."""
        return super().identity, self._dialect, self._archive_marks is None

    def lost_whiteouts(self, path: bytes, present: Collection[bytes]) -> Iterable[bytes]:
        """Names the original archive whites out in `path` and the disk no longer has."""
        lost = set(self._archived_whiteouts.get(path, ())).difference(present)
        if lost:
            self._say_restored()
        return lost

    def lost_whiteout(self, path: bytes) -> bool:
        """Whether the original archive whites out `path`, which is not on disk."""
        lost = self._archived is not None and path in self._archived.whiteouts
        if lost:
            self._say_restored()
        return lost

    def marks(self, path: bytes) -> Marks:
        """Opaque and redirect of the directory at `path`, or what its archive says of it."""
        directory, last = self._at(path)
        private = self._dialect.private
        if any(private(name) for name in directory.xattr_names(last)):
            opaque = directory.xattr(last, self._dialect.opaque) == OPAQUE
            redirect = directory.xattr(last, self._dialect.redirect)
            if opaque or redirect is not None:
                return Marks(opaque, redirect)
        if self._archived is not None and path in self._archived.opaque:
            self._say_restored()
            return Marks(opaque=True)
        return NO_MARKS

    def has_data(self, fd: int) -> bool:
        """Whether the open file is no metacopy."""
        return xattr_of(fd, self._dialect.metacopy) is None

    def metacopy(self, path: bytes) -> Marks | None:
        """The marks of a file whose data are further down, or None for a file that has its own."""
        directory, last = self._at(path)
        if directory.xattr(last, self._dialect.metacopy) is None:
            return None
        return Marks(redirect=directory.xattr(last, self._dialect.redirect))

    def xattr_names(self, path: bytes) -> list[bytes]:
        """The attributes overlayfs would list: private ones hidden, escaped ones unescaped."""
        presented = (self._dialect.presented_name(name) for name in super().xattr_names(path))
        return [name for name in presented if name is not None]

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of the attribute that overlayfs would show as `name`."""
        return super().xattr(path, self._dialect.stored_name(name))

    def _is_whiteout(self, directory: HostDir, path: bytes, found: FileStat) -> bool:
        """A character device 0:0, or an empty file that carries the whiteout attribute."""
        kind = stat.S_IFMT(found.mode)
        if kind == stat.S_IFCHR:
            return found.rdev == 0
        if kind == stat.S_IFREG and found.size == 0:
            return directory.xattr(path, self._dialect.whiteout) is not None
        return False

    @functools.cached_property
    def _archived(self) -> ArchiveMarks | None:
        """What the archive marked, where it is needed and known."""
        return self._archive_marks() if self._archive_marks else None

    @functools.cached_property
    def _archived_whiteouts(self) -> dict[bytes, list[bytes]]:
        """The archive's whiteouts by directory."""
        by_directory: dict[bytes, list[bytes]] = {}
        for path in self._archived.whiteouts if self._archived else ():
            directory, _, name = path.rpartition(b"/")
            by_directory.setdefault(directory, []).append(name)
        return by_directory

    def _say_restored(self) -> None:
        """Report, once a layer, that the copy lost marks."""
        if not self._restored:
            self._restored = True
            _log.warning(
                "%s: opaque marks or whiteouts are not on disk (a copy without trusted.* attributes or "
                "device nodes?): restored from tar-split.json.gz",
                self.label,
            )
