"""Counts changes: entries of each kind, and their bytes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from layerfs.analysis.diff.changes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.analysis.diff.changes import Change
    from layerfs.tree.node import Node

__all__ = ["Tally"]


class Tally:
    """Counts by kind; the bytes of a file with several hard links count once.

    Attributes:
        entries: how many entries of each kind, directories included.
        size: bytes by kind, of all but directories, as Docker counts a layer's size (of a symbolic link the
            length of its target): for deletions of the old entry, else of the new one.
        identical: how many entries of the layer are equal to those of the layers below.
    """

    def __init__(self, layer: int | None = None) -> None:
        """Nothing is counted yet.

        Args:
            layer: the index of a layer in the newer tree: only bytes in this layer count; None counts all.
        """
        self.entries: Counter[str] = Counter()
        self.size: Counter[str] = Counter()
        self.identical = 0
        self._layer = layer
        self._linked: set[tuple[int, int]] = set()
        self._identical_size = 0
        self._identical_links: dict[tuple[int, int], int] = {}

    @classmethod
    def of(cls, changes: Iterable[Change]) -> Tally:
        """Count all changes."""
        tally = cls()
        for change in changes:
            tally.add(change)
        return tally

    def add(self, change: Change) -> None:
        """Count one change."""
        self.entries[change.kind] += 1
        found = change.node.stat
        if found.is_dir or (change.after and not self._is_new(change.after)):
            return  # the bytes of what a redirect moves here are in another layer
        if found.nlink > 1:
            inode = found.dev, found.ino
            if inode in self._linked:
                return
            self._linked.add(inode)
        self.size[change.kind] += found.size

    def _is_new(self, node: Node) -> bool:
        return self._layer is None or node.part.layer == self._layer

    def add_same(self, node: Node) -> None:
        """Count an entry that did not change, if it is in the layer."""
        if not self._is_new(node) or node.parent is None:
            return
        self.identical += 1
        found = node.stat
        if found.is_dir:
            return
        if found.nlink > 1:
            self._identical_links[found.dev, found.ino] = found.size
        else:
            self._identical_size += found.size

    @property
    def identical_size(self) -> int:
        """Bytes of the identical entries, without files of which another name changed."""
        linked = self._identical_links.items()
        return self._identical_size + sum(size for inode, size in linked if inode not in self._linked)

    @property
    def new_size(self) -> int:
        """Bytes of all changed entries but the deleted ones."""
        return self.size.total() - self.size[Kind.DELETED]
