"""The differences between two trees. Directories of the layers that both share are not listed.

Two stacks often end in the same lower layers, the common base. If a directory merges with the same
directories of the base in both trees, then only names that a layer above the base has in it, as an entry or a
whiteout, can differ. These names are collected from those layers, and looked up in both trees. If the
directory merges with different directories of the base (one side has a mark that hides some, or a redirect),
it is listed in both trees, and so are those below it.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.diff.changes import Change, Comparison
from layerfs.errors import TreeError, UnreadableEntry, UnsupportedOverlay
from layerfs.tree.lower import join
from layerfs.tree.merge import look_up
from layerfs.tree.node import Part
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from layerfs.tree.node import Node

__all__ = ["Pair", "Walk", "below_top", "compared", "differences"]


class Pair(NamedTuple):
    """The entries at one path of two trees; None if that tree has nothing there."""

    before: Node | None
    after: Node | None

    @property
    def node(self) -> Node:
        """The entry of the second tree, or else that of the first."""
        node = self.after or self.before
        assert node is not None  # noqa: S101 - a pair is of something
        return node


def below_top(tree: UnionTree) -> UnionTree:
    """A tree without its uppermost layer."""
    return UnionTree(tree.layers[1:])


def differences(
    before: UnionTree,
    after: UnionTree,
    complain: Callable[[TreeError], None],
    *,
    ignore: Collection[str] = (),
    skip: Callable[[bytes], bool] | None = None,
    same: Callable[[Node], None] | None = None,
) -> Iterator[Change]:
    """Every path that differs: parents first, names in byte order.

    Args:
        before: the older tree.
        after: the newer tree.
        complain: called for what cannot be read, which is left out.
        ignore: attributes (of `changes.ATTRIBUTES`) that are not compared.
        skip: called with a path; true leaves it out, with all that is below it.
        same: called for each entry of `after` that was compared and does not differ. An entry that both trees
            take from the common base is not compared.
    """
    pairs = Walk(before, after, complain, skip)
    return compared(pairs, Comparison(before, after, complain, ignore), same)


def compared(
    pairs: Iterable[Pair], comparison: Comparison, same: Callable[[Node], None] | None = None
) -> Iterator[Change]:
    """The changes among some pairs; `same` as in `differences`."""
    for pair in pairs:
        change = comparison.change(*pair)
        if change is not None:
            yield change
        elif same and pair.after is not None:
            same(pair.after)


class _Side:
    """One of the two trees, its layers divided into its own and those of the common base."""

    def __init__(self, tree: UnionTree, common: int) -> None:
        self.tree = tree
        self._own = len(tree.layers) - common

    def own(self, node: Node) -> Iterator[Part]:
        """The parts of a directory that are in its own layers."""
        return (part for part in node.parts if part.layer < self._own)

    def base(self, node: Node) -> tuple[Part, ...]:
        """The parts in the common base, layers counted from its top, so that parts of both trees compare."""
        return tuple(
            Part(part.layer - self._own, part.path) for part in node.parts if part.layer >= self._own
        )

    def is_of_base(self, node: Node) -> bool:
        """Whether an entry comes from the common base: then all of its parts do."""
        return node.part.layer >= self._own

    def mentioned(self, node: Node) -> set[bytes]:
        """The names of entries and whiteouts that its own layers have in a directory."""
        names: set[bytes] = set()
        for part in self.own(node):
            layer = self.tree.layers[part.layer]
            try:
                names.update(entry.name for entry in layer.scan(part.path))
            except OSError as error:
                raise UnreadableEntry(node.path, f"{layer.label}: {error.strerror or error}") from error
        return names

    def find(self, directory: Node, name: bytes) -> Node | None:
        """The entry of that name, or None; never lists the directory for it."""
        try:
            return look_up(self.tree.layers, directory, name)
        except OSError as error:
            path = join(directory.path, name)
            raise UnreadableEntry(path, str(error.strerror or error)) from error


class Walk:
    """Iterates over the pairs that may differ: parents first, names in byte order."""

    def __init__(
        self,
        before: UnionTree,
        after: UnionTree,
        complain: Callable[[TreeError], None],
        skip: Callable[[bytes], bool] | None = None,
        *,
        into_deleted: bool = True,
    ) -> None:
        """Walk two trees; see `differences`. `into_deleted`: also visit what was in a directory now gone."""
        common = _common_base(before, after)
        self._before, self._after = _Side(before, common), _Side(after, common)
        self._complain = complain
        self._skip = skip
        self._into_deleted = into_deleted

    def __iter__(self) -> Iterator[Pair]:
        """The pairs; the roots are the first one, unless a tree has no layer."""
        top = Pair(self._before.tree.root, self._after.tree.root)
        pending = [] if self._both_of_base(top) else [top]
        while pending:
            pair = pending.pop()
            if self._skip and self._skip(pair.node.path):
                continue
            if pair is not top or (self._before.tree.layers and self._after.tree.layers):
                yield pair
            try:
                pending += reversed(self._below(pair))
            except TreeError as error:
                self._complain(error)

    def _below(self, pair: Pair) -> list[Pair]:
        """The pairs in a directory; raises `TreeError` if one of the two cannot be read."""
        before = pair.before if pair.before is not None and pair.before.is_dir else None
        after = pair.after if pair.after is not None and pair.after.is_dir else None
        if before is None or after is None:
            return self._one_sided(before, after)
        for node in (before, after):
            if node.refusal:
                raise UnsupportedOverlay(node.path, node.refusal)
        base = self._before.base(before)
        agree = base == self._after.base(after)
        if agree and base:
            names = self._before.mentioned(before) | self._after.mentioned(after)
            found = [self._found(before, after, name) for name in sorted(names)]
        else:
            old, new = self._before.tree.children(before), self._after.tree.children(after)
            found = [Pair(old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())]
        # the base merges in alike, and no layer above it has the name: it is the same entry
        return [pair for pair in found if any(pair) and not (agree and self._both_of_base(pair))]

    def _one_sided(self, before: Node | None, after: Node | None) -> list[Pair]:
        """The pairs in a directory that only one tree has."""
        if after is not None:
            children = self._after.tree.children(after)
            return [Pair(None, node) for _, node in sorted(children.items())]
        if before is not None and self._into_deleted:
            children = self._before.tree.children(before)
            return [Pair(node, None) for _, node in sorted(children.items())]
        return []

    def _found(self, before: Node, after: Node, name: bytes) -> Pair:
        try:
            return Pair(self._before.find(before, name), self._after.find(after, name))
        except TreeError as error:
            self._complain(error)
            return Pair(None, None)

    def _both_of_base(self, pair: Pair) -> bool:
        before, after = pair
        return (
            before is not None
            and after is not None
            and self._before.is_of_base(before)
            and self._after.is_of_base(after)
        )


def _common_base(before: UnionTree, after: UnionTree) -> int:
    """How many lower layers both stacks have in common."""
    pairs = zip(reversed(before.layers), reversed(after.layers), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0].identity == pair[1].identity, pairs))
