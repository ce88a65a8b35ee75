"""What is in one directory of a tree, column by column: an entry costs no object of its own.

Most entries of a directory are never asked for anything but what a listing shows. So a `Node` is made only
of what somebody looks up, and of directories, as the merge finds out what merges into each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from layerfs.tree.node import Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.tree.node import FileStat, Part

__all__ = ["Listing", "Numbering"]


class Listing(NamedTuple):
    """The entries of a directory, in the kernel's order.

    Attributes:
        directory: the directory.
        names: the names.
        stats: the attributes of each, in the same order.
        places: the place in a layer where each lies (see `Node.within`), in the same order.
        directories: the nodes of those that are directories, by name.
    """

    directory: Node
    names: list[bytes]
    stats: list[FileStat]
    places: list[Part]
    directories: dict[bytes, Node]

    def nodes(self) -> Iterator[Node]:
        """A node of each entry, made anew but for directories."""
        above, made = self.directory, self.directories.get
        for name, stat, place in zip(self.names, self.stats, self.places, strict=True):
            yield made(name) or Node(name, above, stat, place)


class Numbering(Protocol):
    """What tells the inode numbers of entries of several devices apart."""

    def device_bits(self, device: int) -> int:
        """The bits that the inode numbers of a device differ by."""
