"""What can be copied out of the evidence: `LayerOriginal`, hidden or not, and `TreeOriginal`.

An `Original` is all that `copyout` needs to know of an entry.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from layerfs.tree.openfile import OpenFile

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from layerfs.tree.node import FileStat, Node
    from layerfs.tree.source import LayerSource
    from layerfs.tree.union import UnionTree

__all__ = ["LayerOriginal", "Original", "TreeOriginal"]


class Original(Protocol):
    """An entry to copy. Methods raise `OSError`."""

    @property
    def stat(self) -> FileStat:
        """Its attributes."""

    @property
    def inode(self) -> Hashable:
        """Equal for two names of one file."""

    def open(self) -> OpenFile:
        """A regular file's content."""

    def readlink(self) -> bytes:
        """A symbolic link's target."""

    def xattrs(self) -> Iterator[tuple[bytes, bytes]]:
        """Its extended attributes, without those that are overlayfs's own."""


@dataclass(frozen=True, slots=True)
class LayerOriginal:
    """An entry of one layer, hidden or not; `path` is below the layer's root."""

    layer: LayerSource
    path: bytes
    stat: FileStat

    @property
    def inode(self) -> Hashable:
        """Of the backing file."""
        return self.stat.dev, self.stat.ino

    def open(self) -> OpenFile:
        """The backing file; raises `OSError` for a metacopy, whose data are not in this layer."""
        opened = OpenFile(self.layer.open(self.path))
        if not self.layer.has_data(opened.fileno()):
            opened.close()
            raise OSError(errno.ENODATA, "a metacopy: its data are in a lower layer")
        return opened

    def readlink(self) -> bytes:
        """Verbatim."""
        return self.layer.readlink(self.path)

    def xattrs(self) -> Iterator[tuple[bytes, bytes]]:
        """As the union would show them."""
        for name in self.layer.xattr_names(self.path):
            value = self.layer.xattr(self.path, name)
            if value is not None:
                yield name, value


@dataclass(frozen=True, slots=True)
class TreeOriginal:
    """A visible entry of a tree."""

    tree: UnionTree
    node: Node

    @property
    def stat(self) -> FileStat:
        """Of the topmost object."""
        return self.node.stat

    @property
    def inode(self) -> Hashable:
        """Of the backing file."""
        return self.node.stat.dev, self.node.stat.ino

    def open(self) -> OpenFile:
        """The content, a metacopy's from below."""
        return self.tree.open(self.node)

    def readlink(self) -> bytes:
        """Verbatim."""
        return self.tree.readlink(self.node)

    def xattrs(self) -> Iterator[tuple[bytes, bytes]]:
        """As the union shows them."""
        for name in self.tree.xattr_names(self.node):
            value = self.tree.xattr(self.node, name)
            if value is not None:
                yield name, value
