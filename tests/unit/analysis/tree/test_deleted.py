"""Hidden files of stacks in memory, and their bytes."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from hypothesis import given, settings

from layerfs.analysis.tree.deleted import deleted
from layerfs.tree.union import UnionTree
from tests.support.hiding import objects, wasted
from tests.support.inmemory import Unreadable, overlay_of, stored, tree_of
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Link
from tests.support.stacks import stacks

if TYPE_CHECKING:
    from layerfs.errors import TreeError


@settings(max_examples=30)
@given(stacks(max_layers=5))
def test_deleted_files_are_those_of_a_simple_model(stack: list[LayerSpec]) -> None:
    """Every hidden object but directories is told once; the bytes wasted are those no visible name has."""
    held = objects([stored(layer) for layer in stack])
    found = list(deleted(tree_of(*stack)))
    expected = [
        (item.path, item.layer, tuple(item.hidden))
        for item in held
        if item.hidden and not stat.S_ISDIR(item.entry.mode)
    ]
    assert sorted((item.version.path, item.version.layer, tuple(item.hidden)) for item in found) == sorted(
        expected
    )
    assert sum(item.wasted for item in found) == wasted(held)
    assert all(item.wasted in (0, item.version.stat.size) for item in found)


def test_bytes_are_told_at_the_name_that_was_visible_longest() -> None:
    """An inode of three names wastes nothing while one shows, and once, where the last of them was."""
    base = LayerSpec(Dir(dict.fromkeys((b"a", b"b", b"c"), Link(0))), (File(b"12345"),))
    two = tree_of({b"a": WHITEOUT}, {b"b": WHITEOUT}, base)
    assert [(item.version.path, item.wasted) for item in deleted(two)] == [(b"/a", 0), (b"/b", 0)]
    three = tree_of({b"c": WHITEOUT}, {b"a": WHITEOUT}, {b"b": WHITEOUT}, base)
    assert [(item.version.path, item.wasted) for item in deleted(three)] == [
        (b"/a", 0),
        (b"/b", 0),
        (b"/c", 5),
    ]


def test_what_cannot_be_read_is_told_once() -> None:
    """A directory that fails costs what is in it, and nobody hears of it twice."""
    upper, lower = overlay_of({b"x": WHITEOUT}, {b"d": Dir({b"f": File()}), b"x": File(b"1")})
    told: list[TreeError] = []
    found = deleted(UnionTree([upper, Unreadable(lower, b"d")]), problem=told.append)
    assert [item.version.path for item in found] == [b"/x"]
    assert [error.path for error in told] == [b"/d"]
