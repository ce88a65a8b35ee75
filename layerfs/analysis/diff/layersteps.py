"""A tree to which one layer after the other is added, and the pairs that each layer may have changed.

`difference.Walk` looks up every name in all layers of both trees. Here the merged tree of the lower layers is
kept in memory, so the time for a layer depends on its own entries, not on how many layers are below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.diff.difference import Pair
from layerfs.errors import TreeError, UnreadableEntry, UnsupportedOverlay
from layerfs.tree.lower import join
from layerfs.tree.merge import look_up, put_on
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.tree.node import Node
    from layerfs.tree.source import Entry

__all__ = ["LayerSteps"]


class LayerSteps:
    """The layers of one tree, added base first; every entry of the tree so far is kept in memory."""

    def __init__(self, tree: UnionTree, complain: Callable[[TreeError], None]) -> None:
        """Begin with an empty tree; `complain` is called for what cannot be read, which is left out."""
        self._tree = tree
        self._complain = complain
        self._root = UnionTree(()).root
        self._top = len(tree.layers)

    def add(self, top: int) -> Iterator[Pair]:
        """Add the layer of an index (the last is the base), and give each pair that it may have changed.

        In the order of `difference.Walk`: parents first, names in byte order; with what was in a directory
        that is gone. All pairs must be taken before the next layer is added. The nodes belong to the whole
        tree.
        """
        made_up = self._top == len(self._tree.layers)
        top_pair = Pair(self._root, self._tree.root_as_of(top))
        self._top, self._root = top, top_pair.node
        pending = [top_pair]
        while pending:
            pair = pending.pop()
            if pair is not top_pair or not made_up:
                yield pair
            try:
                pending += reversed(self._below(pair))
            except TreeError as error:
                self._complain(error)

    def _below(self, pair: Pair) -> list[Pair]:
        """The pairs in a directory; raises `TreeError` if it cannot be read, with or without the layer."""
        before = pair.before if pair.before is not None and pair.before.is_dir else None
        after = pair.after if pair.after is not None and pair.after.is_dir else None
        if before and after:
            for node in (before, after):
                if node.refusal:
                    raise UnsupportedOverlay(node.path, node.refusal)
            if before.parts == self._places_below(after):
                return self._merged(before, after)
        old = self._tree.children(before) if before else {}
        new = self._tree.children(after) if after else {}
        return [Pair(old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())]

    def _places_below(self, node: Node) -> tuple[object, ...]:
        """The parts of a directory that are in lower layers."""
        return node.lower if node.within.layer == self._top else node.parts

    def _merged(self, before: Node, after: Node) -> list[Pair]:
        """The pairs of a directory that still merges with the same lower ones: names in the new layer."""
        known = before.entries if before.entries is not None and before.entries.complete else None
        entries = self._entries(after)
        if known is None:
            return [self._looked_up(before, after, entry.name) for entry in entries]
        pairs: list[Pair] = []
        for entry in entries:
            old = known.get(entry.name)
            pairs.append(Pair(old, put_on(self._tree.layers, after, entry, old)))
        after.entries = known
        for entry, (_, new) in zip(entries, pairs, strict=True):
            if new is None:
                known.pop(entry.name, None)
            else:
                known[entry.name] = new
        return [pair for pair in pairs if any(pair)]

    def _entries(self, node: Node) -> list[Entry]:
        """The entries of the new layer in a directory, in byte order of names."""
        if node.within.layer != self._top:
            return []
        layer = self._tree.layers[self._top]
        try:
            return sorted(layer.scan(node.part.path))
        except OSError as error:
            raise UnreadableEntry(node.path, f"{layer.label}: {error.strerror or error}") from error

    def _looked_up(self, before: Node, after: Node, name: bytes) -> Pair:
        """One name of a directory that cannot be listed in every layer."""
        try:
            return Pair(*(look_up(self._tree.layers, node, name) for node in (before, after)))
        except OSError as error:
            self._complain(UnreadableEntry(join(after.path, name), str(error.strerror or error)))
            return Pair(None, None)
