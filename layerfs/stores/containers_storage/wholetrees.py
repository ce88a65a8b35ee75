"""Layers of the driver vfs, which keeps the whole tree of each in a directory: shown is what is its own.

That is told by the headers of its tar (`OwnLayer`). A layer without them, as a container's, is the difference
of two directories (`DifferenceLayer`). Both are stored layers as the kernel's overlayfs has them, so the tree
of a stack is that in the uppermost directory.

Source: containers/storage `drivers/vfs/driver.go`.
"""

from __future__ import annotations

import stat
from contextlib import closing
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, MalformedFile
from layerfs.formats.errors import FormatError
from layerfs.formats.idmap import SAME
from layerfs.formats.whiteouts import TRUSTED
from layerfs.stores.files import explain
from layerfs.stores.inodesizes import bytes_in
from layerfs.tree.node import FileStat
from layerfs.tree.originals import Originals
from layerfs.tree.overlay import RawLayer
from layerfs.tree.source import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerfs.formats.idmap import Owners
    from layerfs.hostdir import HostDir
    from layerfs.stores.containers_storage.layers import Layers
    from layerfs.stores.containers_storage.parts import Stored
    from layerfs.stores.layerarchive import LayerArchive
    from layerfs.tree.content import Content
    from layerfs.tree.original import Original
    from layerfs.tree.source import StoredLayer

__all__ = ["DifferenceLayer", "OwnLayer", "WholeTree", "WholeTrees"]

_CHUNK = 1 << 20
_WHITEOUT = FileStat(stat.S_IFCHR, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class WholeTrees:
    """Makes the layers of one store."""

    def __init__(
        self,
        layers: Layers,
        archive: Callable[[Stored], LayerArchive],
        report: Callable[[CorruptStore], object],
    ) -> None:
        """Make them.

        Args:
            layers: tells what is below a layer, and which are images'.
            archive: gives the tar that a layer was unpacked from; raises `CorruptStore`.
            report: is told of damage that stops nothing.
        """
        self._layers = layers
        self._archive = archive
        self._report = report

    def stored(self, stored: Stored, owners: Owners) -> StoredLayer:
        """A layer by itself, in the kernel's terms; raises `CorruptStore`."""
        directory = stored.part.files(stored.record.id)
        if stored.record.parent is None:
            return WholeTree(directory, owners)
        if originals := self._originals(stored):
            return OwnLayer(directory, originals, owners)
        below = self._layers.stored(stored.record.parent)
        return DifferenceLayer(directory, below.part.files(below.record.id), owners)

    def own_bytes(self, stored: Stored) -> int:
        """Bytes of files that are not the same in the tree below, each inode once; raises `CorruptStore`.

        As the engine counts: a file of the same size and time is taken for the same.
        """
        directory = stored.part.files(stored.record.id)
        if stored.record.parent is None:
            return bytes_in(directory)
        below = self._layers.stored(stored.record.parent)
        layer = _QuickDifference(directory, below.part.files(below.record.id))
        sizes: dict[int, int] = {}
        pending = [b""]
        try:
            while pending:
                path = pending.pop()
                for entry in layer.scan(path):
                    if entry.stat.is_dir:
                        pending.append(path + b"/" + entry.name if path else entry.name)
                    else:
                        sizes[entry.stat.ino] = entry.stat.size
        except OSError as error:
            raise explain(error, directory.display) from error
        return sum(sizes.values())

    def _originals(self, stored: Stored) -> Originals | None:
        """What a layer's tar had; None for a container's, or where headers are lost (reported)."""
        if self._layers.layer(stored.record.id) is None:
            return None
        archive = self._archive(stored)
        problem: CorruptStore
        try:
            with closing(archive.members()) as members:
                return Originals(members, TRUSTED.opaque)
        except FormatError as error:
            problem = MalformedFile(archive.name, error.problem, expected=error.expected, found=error.found)
        except CorruptStore as error:
            problem = error
        self._report(problem.instead("the layer is shown as its difference to the one below"))
        return None


class WholeTree(RawLayer):
    """A directory that overlayfs never stacked: attributes that look like its marks are plain, so escaped."""

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Every attribute on disk, as overlayfs would store it."""
        return [TRUSTED.stored_name(name) for name in super().xattr_names(path)]

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one attribute; None for a mark, as there are none."""
        plain = TRUSTED.presented_name(name)
        return None if plain is None else super().xattr(path, plain)

    def xattr_of_open(self, path: bytes, content: Content, name: bytes) -> bytes | None:
        """One attribute of an open file."""
        plain = TRUSTED.presented_name(name)
        return None if plain is None else super().xattr_of_open(path, content, plain)


class OwnLayer(WholeTree):
    """Of a whole tree the entries that the headers of a layer's tar name, and its whiteouts."""

    def __init__(self, directory: HostDir, originals: Originals, owners: Owners = SAME) -> None:
        """Show of `directory` what `originals` has; marks are the kernel's for root."""
        super().__init__(directory, owners)
        self._originals = originals

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        original = self._originals.find(path)
        if original is None:
            return None
        if _is_whiteout(original):
            return Entry(path.rpartition(b"/")[2], _WHITEOUT, whiteout=False)
        return super().entry(path)

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`."""
        original = self._originals.find(path)
        children = (original.children if original else None) or {}
        found = [entry for entry in super().scan(path) if entry.name in children]
        marks = [name for name, child in children.items() if _is_whiteout(child)]
        return [*found, *(Entry(name, _WHITEOUT, whiteout=False) for name in marks)]

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Every attribute on disk, and the mark of an opaque directory."""
        original = self._originals.find(path)
        if original and _is_whiteout(original):
            return []
        found = super().xattr_names(path)
        return [*found, TRUSTED.opaque] if original and TRUSTED.opaque in original.xattrs else found

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one attribute."""
        original = self._originals.find(path)
        if original and _is_whiteout(original):
            return None
        if name == TRUSTED.opaque and original:
            return original.xattrs.get(name)
        return super().xattr(path, name)


class DifferenceLayer(WholeTree):
    """Of a whole tree what is not in the one below in the same way; what only that has is a whiteout.

    A directory is never opaque: each entry that it lost has a whiteout of its own.
    """

    def __init__(self, directory: HostDir, below: HostDir, owners: Owners = SAME) -> None:
        """Show how `directory` differs from `below`."""
        super().__init__(directory, owners)
        self._below = WholeTree(below, owners)
        self._known: dict[bytes, bool] = {}

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        own = super().entry(path)
        if own is None:
            other = self._below.entry(path)
            parent = super().entry(path.rpartition(b"/")[0])
            is_lost = other and parent and parent.stat.is_dir
            return other._replace(stat=_WHITEOUT) if other and is_lost else None
        return own if not path or self._differs(path, own) else None

    def scan(self, path: bytes) -> Iterable[Entry]:
        """Every entry of the directory at `path`."""
        prefix = path + b"/" if path else b""
        own = list(super().scan(path))
        names = {entry.name for entry in own}
        shown = [entry for entry in own if self._differs(prefix + entry.name, entry)]
        other = self._below.entry(path)
        lost = self._below.scan(path) if other and other.stat.is_dir else ()
        return [*shown, *(entry._replace(stat=_WHITEOUT) for entry in lost if entry.name not in names)]

    def xattr_names(self, path: bytes) -> list[bytes]:
        """Every attribute on disk."""
        return super().xattr_names(path) if super().entry(path) else []

    def xattr(self, path: bytes, name: bytes) -> bytes | None:
        """The value of one attribute."""
        return super().xattr(path, name) if super().entry(path) else None

    def _differs(self, path: bytes, own: Entry) -> bool:
        if path not in self._known:
            other = self._below.entry(path)
            self._known[path] = other is None or not self._is_same(path, own.stat, other.stat)
        return self._known[path]

    def _is_same(self, path: bytes, own: FileStat, other: FileStat) -> bool:
        """Whether the tree below has the same there: attributes, contents, and all that is in a directory."""
        if (own.mode, own.uid, own.gid, own.rdev) != (other.mode, other.uid, other.gid, other.rdev):
            return False
        if own.mtime_ns != other.mtime_ns or self._attributes(self, path) != self._attributes(
            self._below, path
        ):
            return False
        if own.is_dir:
            return not any(True for _ in self.scan(path))
        if own.is_symlink:
            return self.readlink(path) == self._below.readlink(path)
        return not own.is_file or (own.size == other.size and self._has_same_content(path))

    @staticmethod
    def _attributes(layer: WholeTree, path: bytes) -> dict[bytes, bytes | None]:
        return {name: WholeTree.xattr(layer, path, name) for name in WholeTree.xattr_names(layer, path)}

    def _has_same_content(self, path: bytes) -> bool:
        with self.open(path) as own, self._below.open(path) as other:
            at = 0
            while piece := own.pread(_CHUNK, at):
                if piece != other.pread(_CHUNK, at):
                    return False
                at += len(piece)
        return True


class _QuickDifference(DifferenceLayer):
    """The same, but no content is read."""

    def _has_same_content(self, path: bytes) -> bool:
        del path
        return True


def _is_whiteout(original: Original) -> bool:
    return original.kind == stat.S_IFCHR and not original.rdev
