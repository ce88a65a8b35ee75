"""The account of stacks in memory, against a model that compares inodes, and by hand."""

from __future__ import annotations

import stat
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from layerfs.analysis.tree.waste import LayerWaste, waste
from tests.support.hiding import objects, wasted
from tests.support.inmemory import stored, tree_of
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Link, Meta
from tests.support.stacks import stacks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.hiding import Held


@settings(max_examples=30)
@given(stacks(max_layers=5))
def test_the_account_is_that_of_a_simple_model(stack: list[LayerSpec]) -> None:
    """Each layer stores its inodes, and wastes those of which no name is visible; each is hidden by one."""
    held = objects([stored(layer) for layer in stack])
    found = waste(tree_of(*stack))
    for account in found.layers:
        own = [item for item in held if item.layer == account.number]
        inodes = {item.entry.links: item for item in own if not stat.S_ISDIR(item.entry.mode)}
        # a whiteout is an inode too, but has no bytes
        assert account.stored == sum(item.entry.size or 0 for item in inodes.values())
        assert account.wasted == wasted(own)
    last: defaultdict[int, int] = defaultdict(int)
    for names in _hidden_inodes(held):
        last[max(item.hidden.by for item in names if item.hidden)] += names[0].entry.size or 0
    assert {account.number: account.hides for account in found.layers if account.hides} == {
        number: size for number, size in last.items() if size
    }
    assert found.wasted == sum(item.wasted for item in found.paths)


def _hidden_inodes(held: Sequence[Held]) -> list[list[Held]]:
    """The names of each inode of which all are hidden."""
    names: defaultdict[object, list[Held]] = defaultdict(list)
    for item in held:
        if not stat.S_ISDIR(item.entry.mode):
            names[item.layer, item.entry.links].append(item)
    return [items for items in names.values() if all(item.hidden for item in items)]


def test_an_account_by_hand() -> None:
    """Replaced, removed and linked files, layer by layer; paths with the most waste first."""
    base = LayerSpec(
        Dir({b"a": File(b"1234"), b"b": Link(0), b"c": Link(0), b"e": File(b"")}), (File(b"123456"),)
    )
    found = waste(tree_of({b"b": WHITEOUT, b"c": WHITEOUT, b"e": WHITEOUT}, {b"a": File(b"12")}, base))
    assert found.layers == (LayerWaste(1, 10, 10, 0), LayerWaste(2, 2, 0, 4), LayerWaste(3, 0, 0, 6))
    assert [(item.path, item.wasted, item.files[0].names) for item in found.paths] == [
        (b"/b", 6, 2),
        (b"/a", 4, 1),
        (b"/e", 0, 1),
    ]
    assert (found.stored, found.wasted) == (12, 10)
    assert found.share == pytest.approx(10 / 12)
    assert found.efficiency == pytest.approx(2 / 12)


def test_blocks_instead_of_lengths() -> None:
    """What files take on disk is counted in blocks of 512 bytes."""
    found = waste(tree_of({b"a": WHITEOUT}, {b"a": File(b"x"), b"b": File(bytes(513))}), allocated=True)
    assert (found.stored, found.wasted) == (1536, 512)


def test_the_data_of_a_metacopy_are_not_wasted() -> None:
    """A file whose attributes alone were copied up still needs the bytes below; a full copy does not."""
    below = {b"f": File(b"12345")}
    metacopy = File(b"", hole=5, meta=Meta(xattrs={b"trusted.overlay.metacopy": b""}))
    assert waste(tree_of({b"f": metacopy}, below)).layers[0].wasted == 0
    assert waste(tree_of({b"f": File(b"54321")}, below)).layers[0].wasted == 5


def test_nothing_stored_is_nothing_wasted() -> None:
    """An empty tree has the best score."""
    found = waste(tree_of())
    assert (found.stored, found.share, found.efficiency) == (0, 0.0, 1.0)
