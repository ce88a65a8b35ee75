"""A layer that is a tar: its entries in memory, as an engine would have unpacked them; contents in the tar.

`TarLayer` stands where `RawLayer` would: whiteouts are devices and marks are attributes, so the union
knows nothing of archives. What the tar says is read once, when the layer is first looked at. Instead of a
tar it may be anything that is `Unpacked`, such as a table of contents beside the contents.

Sources: `originals` (the rules of unpacking), OCI image-spec `layer.md`.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
import threading
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from layerfs.errors import CorruptStore
from layerfs.formats.errors import FormatError
from layerfs.formats.whiteouts import TRUSTED
from layerfs.tree.inodebase import inode_base
from layerfs.tree.lower import join
from layerfs.tree.node import FileStat
from layerfs.tree.originals import Originals
from layerfs.tree.parents import complete
from layerfs.tree.source import Entry, Unmarked
from layerfs.tree.stretch import Stretch
from layerfs.tree.weights import MOST

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from layerfs.formats.compression import Compression
    from layerfs.formats.tarindex import Extent, TarMember
    from layerfs.tree.content import Content
    from layerfs.tree.original import Original
    from layerfs.tree.parents import Below, Given
    from layerfs.tree.pooledfile import Readable

__all__ = ["TarLayer", "TarPlace", "TarTree", "Unpacked"]

_DIRECTORY_SIZE = 4096
_BLOCK = 512


class TarPlace(NamedTuple):
    """Where a layer's tar lies, for who wants to read it with other tools.

    Attributes:
        path: a file of the host.
        member: of that file, which is a tar, the member that is the layer's; empty where the file is it.
        compression: of the layer's tar.
        files: of the layer's tar, as `sole_files`; to be asked rarely, as all headers are read.
    """

    path: str
    member: bytes
    compression: Compression
    files: Callable[[], Mapping[bytes, bytes]]


class Unpacked(Protocol):
    """Entries in memory, and contents elsewhere."""

    @property
    def originals(self) -> Originals:
        """The entries."""

    def content(self, original: Original) -> Content:
        """The content of a regular file; raises `OSError`."""

    def place(self, original: Original) -> bytes | None:
        """The path of a file that holds just this content; None where there is none."""

    def statvfs(self) -> os.statvfs_result:
        """The file system that the contents are on."""


_Tree = TypeVar("_Tree", bound=Unpacked)


class TarTree:
    """The entries of one tar, and where the contents of its files lie.

    Attributes:
        file: what holds the tar.
        originals: the entries.
        faults: what no engine would have unpacked so, and what was made of it: a sentence each.
    """

    def __init__(
        self,
        file: Readable,
        members: Iterable[TarMember],
        most: int = MOST,
        *,
        markers: bool = True,
        deleting: bool = False,
    ) -> None:
        """Unpack `members`, which lie in `file`, in memory; raises `FormatError`.

        Args:
            file: holds the tar.
            members: in order; extents count from the beginning of the file.
            most: entries that there may be.
            markers: see `Originals`.
            deleting: likewise.
        """
        self.file = file
        self.originals = Originals((), TRUSTED.opaque, most, markers=markers, deleting=deleting)
        self._places: dict[int, int | Sequence[Extent]] = {}
        for header, _, size, extents in members:
            made = self.originals.add(header, size)
            if made is not None and header.kind == stat.S_IFREG:
                whole = len(extents) == 1 and extents[0].length == size
                # most contents are in one piece: a number costs a fifth of an extent
                self._places[made.number] = extents[0].offset if whole else extents
        self.originals.settle()
        self.faults = tuple(self.originals.faults)

    def content(self, original: Original) -> Content:
        """The content of a regular file."""
        place = self._places.get(original.number, ())
        if isinstance(place, int):
            return Stretch.whole(self.file, original.size, place)
        return Stretch(self.file, original.size, place)

    def place(self, original: Original) -> bytes | None:
        """None: contents are parts of the tar."""
        del original
        return None

    def statvfs(self) -> os.statvfs_result:
        """The file system the archive is on."""
        return self.file.statvfs()


class TarLayer(Unmarked, Generic[_Tree]):
    """A tar as a stored layer; safe to use from several threads."""

    def __init__(
        self,
        label: str,
        key: int,
        load: Callable[[], _Tree],
        below: Callable[[], Below | None] = lambda: None,
        place: Callable[[], TarPlace | None] = lambda: None,
    ) -> None:
        """Show a tar.

        Args:
            label: its name in messages.
            key: distinct among layers, and always the same for this one: inode numbers are made of it.
            load: asked once, when the layer is first looked at; may raise `FormatError`, `CorruptStore`,
                `OSError`.
            below: asked once, when a directory without a header is first looked at: what the layer stands on.
            place: asked for where the tar lies; None where no other tool gets at it.
        """
        self.label = label
        self.place = place
        self._key = key
        self._load = load
        self._below = functools.cache(below)  # it is kept as long as this layer
        self._lock = threading.Lock()
        self._tree: _Tree | None = None
        self._device, self._inodes = inode_base(key)

    @property
    def identity(self) -> Hashable:
        """The layer by its key."""
        return self._key, type(self)

    @property
    def tree(self) -> _Tree:
        """What the tar holds; an `OSError` where it cannot be read."""
        if self._tree is None:
            with self._lock:
                if self._tree is None:
                    try:
                        self._tree = self._load()
                    except (FormatError, CorruptStore) as error:
                        raise OSError(errno.EIO, str(error)) from error
        return self._tree

    def lies_at(self, path: bytes) -> bytes:
        """The file that holds its content, if there is one; else its path."""
        found = self._find(path)
        return (found and self.tree.place(found)) or path

    def statvfs(self) -> os.statvfs_result:
        """The file system the contents are on."""
        return self.tree.statvfs()

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        found = self._find(path)
        return self._entry(path.rpartition(b"/")[2], found) if found else None

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`, in the order of the tar."""
        found = self._found(path)
        if found.kind != stat.S_IFDIR:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        children = found.children or {}
        if implied := self.tree.originals.implied:
            for name, child in children.items():
                if child.number in implied:
                    self._find(join(path, name))
        return [self._entry(name, child) for name, child in children.items()]

    def readlink(self, path: bytes) -> bytes:
        """The target of the link at `path`."""
        return self._found(path).target

    def open(self, path: bytes) -> Content:
        """The content of the regular file at `path`."""
        found = self._found(path)
        if found.kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if found.kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, "is no regular file")
        return self.tree.content(found)

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Every extended attribute that the tar gives the entry."""
        return list(self._found(path).xattrs)

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one extended attribute."""
        return self._found(path).xattrs.get(name)

    def xattr_of_open(self, path: bytes, content: Content, name: bytes) -> bytes | None:
        """One extended attribute of the file at `path`, which is open as `content`."""
        del content
        return self.xattr(path, name)

    def implied(self, path: bytes) -> Callable[[Given | None], None] | None:
        """For a directory without a header that was not looked at yet: what takes its attributes."""
        originals = self.tree.originals
        found = originals.find(path)
        if found is None or found.number not in originals.implied:
            return None
        within = originals.find(path.rpartition(b"/")[0]) or originals.root
        return functools.partial(originals.inherit, found, within)

    def _find(self, path: bytes) -> Original | None:
        """What is at `path`, with all that it has."""
        originals = self.tree.originals
        found = originals.find(path)
        if found and found.number in originals.implied:
            try:
                complete(self, path, self._below)
            except FormatError as error:
                raise OSError(errno.EIO, str(error)) from error
        return found

    def _found(self, path: bytes) -> Original:
        found = self._find(path)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return found

    def _entry(self, name: bytes, original: Original) -> Entry:
        kind = original.kind
        if kind == stat.S_IFREG:
            size = original.size
        else:
            size = _DIRECTORY_SIZE if kind == stat.S_IFDIR else len(original.target)
        time = original.mtime_ns or 0
        # as _make does: every entry of every layer goes through here
        status = tuple.__new__(FileStat, (
            original.mode, original.links, original.uid, original.gid, original.rdev, size,
            -(-size // _BLOCK), self._device, self._inodes + original.number, time, time, time,
        ))  # fmt: skip
        return tuple.__new__(Entry, (name, status, False))
