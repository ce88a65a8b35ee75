"""The differences of two stacks in memory: which there are, and what is read to find them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs.analysis.diff.difference import below_top, differences
from layerfs.errors import TreeError, UnreadableEntry, UnsupportedOverlay
from layerfs.tree.union import UnionTree
from tests.support.changes import changed_paths, found, refused
from tests.support.inmemory import Unreadable, Watched, fail, layer_of, overlay_of, tree_of
from tests.support.kernel import refusals
from tests.support.layerspec import Dir, File, LayerSpec, Meta
from tests.support.stacks import layers, redirect_stacks
from tests.support.unionmodel import model

ABOVE, BASE = st.lists(layers(), max_size=2), st.lists(layers(), min_size=1, max_size=2)


@settings(max_examples=30)
@given(ABOVE, ABOVE, BASE)
def test_stacks_that_share_their_base(
    one: list[LayerSpec], other: list[LayerSpec], base: list[LayerSpec]
) -> None:
    """Whatever two stacks put on the same layers, exactly what the models show differently is told."""
    common = overlay_of(*base)
    before, after = UnionTree([*overlay_of(*one), *common]), UnionTree([*overlay_of(*other), *common])
    told = list(differences(before, after, fail))
    assert found(told) == changed_paths(model(one + base), model(other + base))
    assert [change.path.split(b"/") for change in told] == sorted(change.path.split(b"/") for change in told)


@settings(max_examples=15)
@given(BASE, BASE)
def test_stacks_that_share_nothing(one: list[LayerSpec], other: list[LayerSpec]) -> None:
    """Two stacks without a layer in common are compared completely."""
    told = differences(tree_of(*one), tree_of(*other), fail)
    assert found(told) == changed_paths(model(one), model(other))


@settings(max_examples=40)
@given(redirect_stacks(3), redirect_stacks(3), redirect_stacks(3))
def test_redirects_and_metacopies(
    one: list[LayerSpec], other: list[LayerSpec], base: list[LayerSpec]
) -> None:
    """Where overlay marks lead elsewhere in the common layers, what differs there is told as well."""
    common = overlay_of(*base)
    before, after = UnionTree([*overlay_of(*one), *common]), UnionTree([*overlay_of(*other), *common])
    old, new = refusals(model(one + base)), refusals(model(other + base))
    out = refused(old, new)
    told = differences(before, after, lambda _error: None)
    assert found(told, without=out) == changed_paths(old, new, without=out)


def _layer(files: dict[str, str]) -> Watched:
    """A layer of files, each with the same time."""
    root: dict[bytes, dict[bytes, File]] = {}
    for name, text in files.items():
        directory, _, last = name.encode().rpartition(b"/")
        root.setdefault(directory, {})[last] = File(text.encode())
    top = root.pop(b"", {})
    (layer,) = overlay_of({**top, **{name: Dir(children) for name, children in root.items()}})
    return Watched(layer)


def test_only_what_may_differ_is_read() -> None:
    """Files are opened only if both have the same size, base directories are never listed."""
    base = _layer({f"{name}/{name}": name for name in "abcdef"} | {"d/x": "x"})
    above = _layer({"a/a": "a", "b/b": "B", "c/c": "longer", "d/new": "new"})
    before, after = UnionTree([base]), UnionTree([above, base])
    told = {change.path: change.kind for change in differences(before, after, fail, ignore=["mtime"])}
    assert told == {b"/b/b": "modified", b"/c/c": "modified", b"/d/new": "added"}
    assert base.listed == []
    assert sorted(above.listed) == [b"", b"a", b"b", b"c", b"d"]
    assert sorted(base.opened) == sorted(above.opened) == [b"a/a", b"b/b"]


def test_contents_that_do_not_count_are_not_read() -> None:
    """Where contents are ignored no file is opened."""
    base, above = _layer({"a": "a"}), _layer({"a": "b"})
    trees = UnionTree([base]), UnionTree([above, base])
    assert list(differences(*trees, fail, ignore=["mtime", "content"])) == []
    assert base.opened == above.opened == []


def test_one_layer_on_both_sides_is_not_read_at_all() -> None:
    """Equal stacks, opened twice, are known to be equal without listing anything."""
    first = _layer({"a/b": "c"})
    second = Watched(first)
    assert list(differences(UnionTree([first]), UnionTree([second]), fail)) == []
    assert first.listed == second.listed == []


def test_what_is_left_out_and_what_is_the_same() -> None:
    """`skip` takes a subtree out; `same` hears of entries that were compared and are equal."""
    base = overlay_of({b"d": Dir({b"x": File(b"1")}), b"k": File(b"k"), b"z": File(b"z")})
    above = overlay_of({b"d": Dir({b"x": File(b"2")}), b"k": File(b"k"), b"n": File()})
    before, after = UnionTree(base), UnionTree([*above, *base])
    same: list[bytes] = []
    told = differences(
        before, after, fail, skip=lambda path: path == b"/d", same=lambda node: same.append(node.path)
    )
    assert [change.path for change in told] == [b"/n"]
    assert same == [b"/", b"/k"]


def test_damage_is_told_and_hides_no_other_difference() -> None:
    """A directory that fails, or that the kernel refuses, is told once; what is beside it is compared."""
    bad = Dir({b"f": File()}, Meta(xattrs={b"trusted.overlay.redirect": b"../nowhere"}))
    base = overlay_of({b"r": bad, b"d": Dir()}, {b"r": Dir()})
    (own,) = overlay_of({b"r": Dir({b"g": File()}), b"d": Dir({b"h": File()}), b"new": File()})
    told: list[TreeError] = []
    after = UnionTree([Unreadable(own, b"d"), *base])
    changes = found(differences(UnionTree(base), after, told.append, ignore=["mtime", "xattr"]))
    assert changes == {b"/new": ("added", frozenset())}
    assert [(type(error), error.path) for error in told] == [
        (UnreadableEntry, b"/d"),
        (UnsupportedOverlay, b"/r"),
    ]


@pytest.mark.parametrize("backwards", [False, True])
def test_against_nothing_everything_but_the_root_differs(*, backwards: bool) -> None:
    """The empty tree has a root that is made up."""
    before, after = UnionTree(()), tree_of({b"d": Dir({b"f": File()})})
    told = found(differences(after, before, fail) if backwards else differences(before, after, fail))
    kind = "deleted" if backwards else "added"
    assert told == dict.fromkeys((b"/d", b"/d/f"), (kind, frozenset()))


def test_what_a_layer_stands_on() -> None:
    """A tree without its uppermost layer."""
    upper, lower = layer_of({}), layer_of({})
    assert below_top(UnionTree([upper, lower])).layers == (lower,)
