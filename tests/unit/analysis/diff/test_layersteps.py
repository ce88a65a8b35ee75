"""Layers added one after the other tell the same as two whole trees compared for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs.analysis.diff.changes import Comparison
from layerfs.analysis.diff.difference import compared, differences
from layerfs.analysis.diff.layerchanges import step
from layerfs.analysis.diff.layersteps import LayerSteps
from layerfs.stores.docker.dataroot import DataRoot
from layerfs.tree.union import UnionTree
from tests.support.inmemory import Layout, Unreadable, overlay_of
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec
from tests.support.stacks import layers, redirect_stacks

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.analysis.diff.changes import Change
    from layerfs.tree.node import Node

Told = list[tuple[Any, ...]]


def _told(change: Change, layers_above: int) -> tuple[Any, ...]:
    """All that a change says, whichever tree its nodes are of."""
    after = change.after.part.layer - layers_above if change.after else None
    return change.kind, change.path, change.attributes, change.before and change.before.stat, after


def _by_steps(tree: UnionTree) -> list[Told]:
    """What is told of each layer, base first, and what cannot be read."""
    found: list[Told] = []
    errors: list[tuple[str, bytes]] = []
    steps = LayerSteps(tree, lambda error: errors.append((type(error).__name__, error.path)))
    comparison = Comparison(tree, tree, lambda error: errors.append((type(error).__name__, error.path)))
    for top in reversed(range(len(tree.layers))):
        same: list[tuple[bytes, int]] = []
        errors.clear()

        def note(node: Node, same: list[tuple[bytes, int]] = same, top: int = top) -> None:
            same.append((node.path, node.part.layer - top))

        told = [_told(change, top) for change in compared(steps.add(top), comparison, note)]
        found.append([*told, tuple(same), tuple(sorted(set(errors)))])
    return found


def _by_trees(tree: UnionTree) -> list[Told]:
    """The same, by comparing what is below each layer with what it makes of it."""
    found: list[Told] = []
    for number in range(1, len(tree.layers) + 1):
        same: list[tuple[bytes, int]] = []
        errors: list[tuple[str, bytes]] = []

        def note(node: Node, same: list[tuple[bytes, int]] = same) -> None:
            same.append((node.path, node.part.layer))

        before, after = step(tree, number)
        changes = differences(
            before,
            after,
            lambda error, errors=errors: errors.append((type(error).__name__, error.path)),  # type: ignore[misc]
            same=note,
        )
        told = [_told(change, 0) for change in changes]
        found.append([*told, tuple(same), tuple(sorted(set(errors)))])
    return found


@settings(max_examples=30)
@given(st.lists(layers(), min_size=1, max_size=5))
def test_stacks(specs: list[LayerSpec]) -> None:
    """Whatever layers are on each other."""
    tree = UnionTree(overlay_of(*specs))
    assert _by_steps(tree) == _by_trees(tree)


@settings(max_examples=30)
@given(redirect_stacks(5))
def test_redirects_metacopies_and_what_is_refused(specs: list[LayerSpec]) -> None:
    """Also where marks lead elsewhere, or nowhere."""
    tree = UnionTree(overlay_of(*specs))
    assert _by_steps(tree) == _by_trees(tree)


def test_the_recorded_images(dataroot_path: Path) -> None:
    """And of every image that an engine made."""
    root = DataRoot.open(dataroot_path)
    for image in root.images():
        tree = root.tree(image)
        assert _by_steps(tree) == _by_trees(tree), image.name


@pytest.mark.parametrize("at", range(3))
def test_a_directory_that_cannot_be_read(at: int) -> None:
    """It is told of at its own layer, and what other layers do in it is told all the same."""
    specs: list[Layout] = [
        {b"d": Dir({b"x": WHITEOUT, b"new": File(b"1")}), b"top": File()},
        {b"d": Dir({b"x": File(b"2"), b"y": File(b"2")})},
        {b"d": Dir({b"x": File(b"3"), b"z": File(b"3")}), b"base": File()},
    ]
    sources = overlay_of(*specs)
    sources[at] = Unreadable(sources[at], b"d")
    tree = UnionTree(sources)
    told = _by_steps(tree)
    assert told == _by_trees(tree)
    assert ("UnreadableEntry", b"/d") in told[2 - at][-1]
