"""The names of a directory that more than one layer has, or that are not shown: `names`."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.explain.rows import component
from layerfs.errors import TreeError
from layerfs.tree.trace import TracedTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.analysis.explain.rows import Component
    from layerfs.tree.node import Node, Part
    from layerfs.tree.union import UnionTree

__all__ = ["Named", "Names", "names"]


class Named(NamedTuple):
    """One name: what the layers hold under it, and whether the union shows it."""

    name: bytes
    found: Component
    shown: bool


class Names(NamedTuple):
    """The names of a directory.

    Attributes:
        shown: how many the union shows.
        notable: those that more than one layer has, or that are not shown, in byte order.
        left_out: how many more such there are.
    """

    shown: int
    notable: Sequence[Named]
    left_out: int


def names(tree: UnionTree, at: Component, directory: Node, most: int | None = None) -> Names:
    """The names of a directory.

    Args:
        tree: the tree.
        at: the look-up that found the directory.
        directory: the directory.
        most: how many notable ones to give; None is all.

    Raises:
        TreeError: the directory cannot be listed.
    """
    traced = TracedTree(tree.layers)
    shown = set(traced.listing(directory).names)
    counts: Counter[bytes] = Counter()
    for part in (*directory.parts, *at.cuts):
        counts.update(_in(tree, part))
    notable = sorted(name for name, count in counts.items() if count > 1 or name not in shown)
    taken = notable[:most]
    for name in taken:
        _look_up(traced, directory, name)
    found = [
        Named(lookup.name, component(tree.layers, lookup, at.cuts), lookup.found is not None)
        for lookup in traced.lookups
    ]
    return Names(len(shown), found, len(notable) - len(taken))


def _in(tree: UnionTree, part: Part) -> list[bytes]:
    """The names in a directory of a layer; none where it is none, or cannot be read."""
    try:
        return [entry.name for entry in tree.layers[part.layer].scan(part.path)]
    except OSError:
        return []


def _look_up(traced: TracedTree, directory: Node, name: bytes) -> None:
    """Look a name up; what cannot be read is in its rows."""
    with contextlib.suppress(TreeError):
        traced.child(directory, name)
