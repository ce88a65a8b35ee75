"""Changes counted: how many entries of each kind, and how many bytes they hold.

Used by the commands `diff` and `changes`, and by `layerchanges`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from layerfs.analysis.changes import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.analysis.changes import Change

__all__ = ["Tally"]


class Tally:
    """Counts by the word of the kind; a file with several hard links counts its bytes once.

    Attributes:
        entries: how many entries of each kind, directories among them.
        size: bytes of all but directories, as Docker counts a layer's size (a symbolic link has its
            target's length): of what is deleted the old ones, else the new ones.
    """

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self.entries: Counter[str] = Counter()
        self.size: Counter[str] = Counter()
        self._linked: set[tuple[int, int]] = set()

    @classmethod
    def of(cls, changes: Iterable[Change]) -> Tally:
        """Count all of them."""
        tally = cls()
        for change in changes:
            tally.add(change)
        return tally

    def add(self, change: Change) -> None:
        """Count one change."""
        self.entries[change.kind] += 1
        found = change.node.stat
        if found.is_dir:
            return
        if found.nlink > 1:
            inode = found.dev, found.ino
            if inode in self._linked:
                return
            self._linked.add(inode)
        self.size[change.kind] += found.size

    @property
    def new_size(self) -> int:
        """Bytes of what is there afterwards."""
        return self.size.total() - self.size[Kind.DELETED]
