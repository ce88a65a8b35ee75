"""Every version of a stack in memory, against a model that holds each object against each layer above."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings

from layerfs.analysis.tree.versions import Hidden, How, node_of, versions
from layerfs.errors import TreeError, UnreadableEntry, UnsupportedOverlay
from layerfs.tree.union import UnionTree
from tests.support.hiding import objects
from tests.support.inmemory import Unreadable, overlay_of, stored, tree_of
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Meta
from tests.support.stacks import redirect_stacks, stacks
from tests.support.treeview import tree_snapshot
from tests.support.unionmodel import model


@settings(max_examples=40)
@given(stacks(max_layers=5))
def test_versions_are_those_of_a_simple_model(stack: list[LayerSpec]) -> None:
    """Every object of every layer is told once, with the layer that hides it, how, and where."""
    found = list(versions(overlay_of(*stack)))
    expected = [(item.path, item.layer, item.hidden) for item in objects([stored(layer) for layer in stack])]
    assert sorted((item.path, item.layer, item.hidden) for item in found) == sorted(expected)
    assert all(item.part == item.path[1:] and item.since == item.layer for item in found)
    order = [(item.path.split(b"/") if item.path != b"/" else [b""], item.layer) for item in found]
    assert order == sorted(order)


@settings(max_examples=40)
@given(redirect_stacks(max_layers=4))
def test_what_is_not_hidden_is_the_tree_of_each_layer(stack: list[LayerSpec]) -> None:
    """Up to each layer, redirects followed, the versions not yet hidden are the model's paths, once each."""
    found = list(versions(overlay_of(*stack)))
    for number in range(1, len(stack) + 1):
        shown = sorted((item.path, item.stat.mode) for item in found if item.seen_in(number))
        expected = model(stack[len(stack) - number :])
        assert shown == sorted((b"/" + path, entry.mode) for path, entry in expected.items())


@settings(max_examples=15)
@given(stacks(max_layers=3))
def test_a_version_is_read_as_its_layer_has_it(stack: list[LayerSpec]) -> None:
    """The node of a version, hidden or not, has the content of its own layer's object."""
    layers = [stored(layer) for layer in reversed(stack)]
    tree = tree_of(*stack)
    for item in versions(tree.layers):
        if item.stat.is_file:
            expected = layers[item.layer - 1][item.part]
            with tree.open(node_of(tree, item)) as file:
                assert expected.content == hashlib.sha256(file.read()).hexdigest()


def test_the_same_below_a_path() -> None:
    """A subtree is told as in the whole, a hidden one too; `depth` ends it, and `..` is no name."""
    layers = overlay_of({b"d": WHITEOUT}, {b"d": Dir({b"e": Dir({b"f": File()})}), b"x": File()})
    whole = [item.path for item in versions(layers)]
    assert whole == [b"/", b"/", b"/d", b"/d/e", b"/d/e/f", b"/x"]
    assert [item.path for item in versions(layers, below=b"/d/e")] == [b"/d/e", b"/d/e/f"]
    assert [item.path for item in versions(layers, below=b"d/./", depth=1)] == [b"/d", b"/d/e"]
    assert [item.hidden for item in versions(layers, below=b"/d/e/f")] == [Hidden(2, How.WHITEOUT, b"/d")]
    assert list(versions(layers, below=b"/x/../d")) == []


def test_what_cannot_be_read_is_told_and_the_rest_goes_on() -> None:
    """A directory of one layer that fails costs its own entries; without anybody to tell it is raised."""
    lower, upper = overlay_of({b"d": Dir({b"low": File()})}, {b"d": Dir({b"up": File()})})
    layers = [Unreadable(lower, b"d"), upper]
    told: list[TreeError] = []
    assert [item.path for item in versions(layers, problem=told.append)] == [
        b"/",
        b"/",
        b"/d",
        b"/d",
        b"/d/up",
    ]
    assert [(type(error), error.path) for error in told] == [(UnreadableEntry, b"/d")]
    with pytest.raises(UnreadableEntry):
        list(versions(layers))


def test_a_redirect_that_leads_nowhere_is_told() -> None:
    """What the kernel refuses is a problem; what the directory had below is cut off, not merged."""
    bad = Dir({b"own": File()}, Meta(xattrs={b"trusted.overlay.redirect": b"../x"}))
    told: list[TreeError] = []
    found = list(versions(overlay_of({b"d": bad}, {b"d": Dir({b"low": File()})}), problem=told.append))
    assert [type(error) for error in told] == [UnsupportedOverlay]
    assert [
        (item.path, item.layer, item.hidden and item.hidden.how) for item in found if item.layer == 1
    ] == [
        (b"/", 1, How.REPLACED),
        (b"/d", 1, How.REPLACED),
        (b"/d/low", 1, How.OPAQUE),
    ]


def test_the_final_tree_is_what_is_not_hidden() -> None:
    """No layer at all has no version; one layer has none hidden."""
    assert list(versions([])) == []
    tree = UnionTree(overlay_of({b"a": File(b"1"), b"d": Dir({b"b": File()})}))
    assert {item.path[1:] for item in versions(tree.layers)} == tree_snapshot(tree).keys()
