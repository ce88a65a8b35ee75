"""What snapshots stand on, for one that is checked after the other.

Layers are mostly checked in their order. So the layers below the last one are kept, and those of the next are
put on them: of layers on each other each is opened once, and each of their directories listed once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore
from layerfs.tree.parents import Stack

if TYPE_CHECKING:
    from layerfs.stores.containerd.layers import Placed
    from layerfs.stores.containerd.snapshotters import Snapshotter
    from layerfs.stores.containerd.store import ContainerdStore
    from layerfs.tree.parents import Given

__all__ = ["Standing"]


class Standing:
    """The layers below the snapshots of one store."""

    def __init__(self, store: ContainerdStore) -> None:
        """Those of `store`."""
        self._store = store
        self._start(None)

    def _start(self, snapshotter: Snapshotter | None) -> None:
        self._snapshotter = snapshotter
        self._stack = Stack()
        self._numbers: dict[str, int] = {"": -1}  # by the names of snapshots
        self._last = ""  # the uppermost

    def given(self, placed: Placed, path: bytes) -> Given | None:
        """What a directory at `path` of a snapshot takes of those below it; None if nothing, as in a base.

        Raises:
            CorruptStore: what is below cannot be told, or cannot be read.
            OSError: likewise.
        """
        if placed.snapshotter is not self._snapshotter:
            self._start(placed.snapshotter)
        if placed.snapshot.parent not in self._numbers and not self._grow(placed):
            below = Stack()
            for layer in self._store.stored_under(placed):
                below.add(layer)
            return below.given(path, len(below))
        return self._stack.given(path, self._numbers[placed.snapshot.parent] + 1)

    def _grow(self, placed: Placed) -> bool:
        """Have all that a snapshot stands on; False where its records are damaged."""
        found, problem = self._store.snapshots.below(placed, self._last)
        below = found[-2].snapshot.name if len(found) > 1 else self._last
        if problem or below != placed.snapshot.parent:  # that another's word was taken instead was reported
            return False
        if found[0].snapshot.parent != self._last:  # of another image
            self._start(placed.snapshotter)
        for item in found[:-1]:
            try:
                layer = self._store.stored(item)
            except CorruptStore:
                self._start(placed.snapshotter)
                raise
            self._last = item.snapshot.name
            self._numbers[self._last] = len(self._stack)
            self._stack.add(layer)
        return True
