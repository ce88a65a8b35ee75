"""A layer as its archive had it: attributes from the headers, contents from disk.

For copies that lost owners, modes, times, extended attributes, devices or links. `ArchivedLayer` stands
where `RawLayer` would: a directory as it was on the disk of its engine, marks of overlayfs and all. What
has no content is there even if the copy has nothing of it; what no header names is as it is on disk.

Times that no tar keeps (access, change) are the time of modification.
"""

from __future__ import annotations

import errno
import logging
import stat
import threading
from typing import TYPE_CHECKING

from layerfs.formats.idmap import SAME
from layerfs.hostdir import empty_file
from layerfs.tree.inodebase import inode_base
from layerfs.tree.node import FileStat
from layerfs.tree.openfile import OpenFile
from layerfs.tree.overlay import RawLayer
from layerfs.tree.source import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerfs.formats.idmap import Owners
    from layerfs.hostdir import HostDir
    from layerfs.tree.content import Content
    from layerfs.tree.original import Original
    from layerfs.tree.originals import Originals

__all__ = ["ArchivedLayer"]

_DIRECTORY_SIZE = 4096
_SECOND = 1_000_000_000
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_OTHER_TYPE = (errno.EINVAL, errno.EISDIR)

_log = logging.getLogger(__name__)


class ArchivedLayer(RawLayer):
    """A `diff/` directory with the attributes of its archive; safe to use from several threads."""

    def __init__(
        self,
        directory: HostDir,
        key: int,
        originals: Callable[[], Originals | None],
        owners: Owners = SAME,
        *,
        told_by: str = "its archive",
    ) -> None:
        """Show `directory`.

        Args:
            directory: the layer's `diff/`.
            key: distinct among layers, and always the same for this one: inode numbers are made of it.
            originals: asked once, when the layer is first looked at; None leaves it as it is on disk.
            owners: of what is shown as it is on disk, as `RawLayer` has it.
            told_by: what the originals were read from, for messages.
        """
        super().__init__(directory, owners)
        self._load = originals
        self._told_by = told_by
        self._lock = threading.Lock()
        self._loaded: tuple[Originals | None] | None = None
        self._device, self._inodes = inode_base(key)
        self._said: set[str] = set()
        self._kept_at: dict[int, bytes | None] = {}

    @property
    def weight(self) -> int:
        """How much of memory it holds, as `Originals` reckons."""
        originals = self._loaded and self._loaded[0]
        return originals.weight if originals else 0

    @property
    def _originals(self) -> Originals | None:
        if self._loaded is None:
            with self._lock:
                if self._loaded is None:
                    self._loaded = (self._load(),)
        return self._loaded[0]

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        found = super().entry(path)
        original = self._original(path)
        if original is None:
            if found:
                self._say_unknown(path)
            return found
        return Entry(path.rpartition(b"/")[2], self._stat(path, original, found), whiteout=False)

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`: those on disk in its order, then those it lost."""
        original = self._original(path)
        if original is None:
            return super().scan(path)
        if original.kind != stat.S_IFDIR:
            raise NotADirectoryError(errno.ENOTDIR, f"is not a directory in {self._told_by}")
        try:
            found = {entry.name: entry for entry in super().scan(path)}
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            found = {}
        children = original.children or {}
        prefix = path + b"/" if path else b""
        entries: list[Entry] = []
        for name in {**found, **children}:
            child = children.get(name)
            if child is None:
                self._say_unknown(prefix + name)
                entries.append(found[name])
            else:
                status = self._stat(prefix + name, child, found.get(name))
                entries.append(Entry(name, status, whiteout=False))
        return entries

    def readlink(self, path: bytes) -> bytes:
        """The target of the link at `path`."""
        original = self._original(path)
        return original.target if original and original.kind == stat.S_IFLNK else super().readlink(path)

    def open(self, path: bytes) -> Content:
        """The content of the regular file at `path`; of an empty one also where the copy has none."""
        original = self._original(path)
        if original is None:
            return super().open(path)
        if original.kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, f"is no regular file in {self._told_by}")
        for name in (path, self._other_place(original)):
            if name is not None:
                try:
                    return super().open(name)
                except OSError as error:
                    if error.errno not in (*_NOT_THERE, *_OTHER_TYPE):
                        raise
        if original.size == 0:
            return OpenFile(empty_file())
        raise OSError(errno.EIO, f"its content is not on disk: it is known from {self._told_by} only")

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Every extended attribute it had."""
        original = self._original(path)
        return super().xattr_names(path) if original is None else list(original.xattrs)

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one extended attribute."""
        original = self._original(path)
        return super().xattr(path, name) if original is None else original.xattrs.get(name)

    def xattr_of_open(self, path: bytes, content: Content, name: bytes) -> bytes | None:
        """One extended attribute of the file at `path`, which is open as `content`."""
        original = self._original(path)
        return super().xattr_of_open(path, content, name) if original is None else original.xattrs.get(name)

    # -- attributes ----------------------------------------------------------------------------

    def _original(self, path: bytes) -> Original | None:
        originals = self._originals
        return originals.find(path) if originals else None

    def _stat(self, path: bytes, original: Original, found: Entry | None) -> FileStat:
        """The attributes of the header; of the disk those that no header has."""
        disk = found.stat if found and found.stat.kind == original.kind else None
        size = len(original.target)
        if original.kind == stat.S_IFREG:
            disk = disk or self._elsewhere(original)
            size = disk.size if disk else original.size
            self._check_content(path, original, disk)
        elif original.kind == stat.S_IFDIR:
            size = disk.size if disk else _DIRECTORY_SIZE
        blocks = disk.blocks if disk else 0
        time = _time(original.mtime_ns, disk)
        return FileStat(
            original.mode, original.links, original.uid, original.gid, original.rdev, size, blocks,
            self._device, self._inodes + original.number, time, time, time,
        )  # fmt: skip

    def _elsewhere(self, original: Original) -> FileStat | None:
        """A file whose content is at another of its names: a copy may have left out hard links."""
        place = self._other_place(original)
        found = super().entry(place) if place is not None else None
        return found.stat if found and found.stat.is_file else None

    def _other_place(self, original: Original) -> bytes | None:
        """The first name of a file of several names that is a regular file on disk; looked for once."""
        if original.links < 2 or not self._originals:
            return None
        number = original.number
        if number not in self._kept_at:
            names = self._originals.names.get(number, ())
            self._kept_at[number] = next(filter(self._is_regular, names), None)
        return self._kept_at[number]

    def _is_regular(self, path: bytes) -> bool:
        found = super().entry(path)
        return found is not None and found.stat.is_file

    # -- saying --------------------------------------------------------------------------------

    def _check_content(self, path: bytes, original: Original, disk: FileStat | None) -> None:
        if disk is None and original.size:
            self._say("missing", path, "its content is not on disk", damage=True)
        elif disk and disk.size != original.size:
            what = f"{disk.size} bytes on disk, {original.size} in the archive"
            self._say("size", path, what, damage=True)

    def _say_unknown(self, path: bytes) -> None:
        if self._loaded and self._loaded[0]:
            self._say("unknown", path, "not in the layer's archive: shown as on disk", damage=False)

    def _say(self, what: str, path: bytes, message: str, *, damage: bool) -> None:
        """Report the first of a kind, not hundreds of them."""
        if what not in self._said:
            self._said.add(what)
            name = self._directory.name_of(path)
            _log.warning("%s: %s (so may others be in this layer)", name, message, extra={"damage": damage})


def _time(archived: int | None, disk: FileStat | None) -> int:
    """When it was modified: of two that agree to the second, the one with fractions."""
    if archived is None:
        return disk.mtime_ns if disk else 0
    if disk and not archived % _SECOND and disk.mtime_ns // _SECOND == archived // _SECOND:
        return disk.mtime_ns
    return archived
