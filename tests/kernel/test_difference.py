"""`differences` of two of our trees against a comparison of two whole mounts of the kernel's overlayfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs.analysis.diff.difference import differences
from layerfs.tree.union import UnionTree
from tests.support.changes import changed_paths, found, refused
from tests.support.kernel import (
    check_trusted_xattrs,
    kernel_snapshot,
    overlay_mount,
    private_dir,
    refusals,
)
from tests.support.layerspec import Dir, File, LayerSpec, Meta, materialise, materialise_stack
from tests.support.stacks import layers, redirect_stacks
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layerfs.errors import TreeError
    from tests.support.judge import Stack

pytestmark = pytest.mark.kernel

UPPER = st.lists(layers(), min_size=1, max_size=3)
LOWER = st.lists(layers(), max_size=3)


def _made(work: Path, *stacks: Sequence[LayerSpec]) -> list[list[Path]]:
    """Several stacks, each in a directory of its own."""
    places = [work / str(number) for number in range(len(stacks))]
    for place in places:
        place.mkdir()
    return [materialise_stack(stack, place) for stack, place in zip(stacks, places, strict=True)]


def _fail(error: TreeError) -> None:
    raise AssertionError(error)


def _assert_same(before: Sequence[Path], after: Sequence[Path], *, userxattr: bool = False) -> None:
    """Our differences of two stacks, in both directions, are those of the two mounts."""
    old, new = (kernel_snapshot(stack, userxattr=userxattr) for stack in (before, after))
    assert refused(old, new) == []
    trees = [union_of(stack, userxattr=userxattr) for stack in (before, after)]
    told = list(differences(trees[0], trees[1], _fail))
    assert found(told) == changed_paths(old, new)
    assert [change.path.split(b"/") for change in told] == sorted(change.path.split(b"/") for change in told)
    fresh = [union_of(stack, userxattr=userxattr) for stack in (before, after)]
    assert found(differences(fresh[1], fresh[0], _fail)) == changed_paths(new, old)


@pytest.mark.parametrize("userxattr", [False, True])
@settings(max_examples=100)
@given(upper=UPPER, other=LOWER, lower=UPPER)
def test_stacks_that_share_their_lower_part(
    *, upper: list[LayerSpec], other: list[LayerSpec], lower: list[LayerSpec], userxattr: bool
) -> None:
    """Whatever two stacks put on the same layers, exactly what the kernel shows differently is told."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        own, others, base = _made(work, upper, other, lower)
        _assert_same(others + base, own + base, userxattr=userxattr)


@settings(max_examples=60)
@given(UPPER, UPPER)
def test_stacks_that_share_nothing(one: list[LayerSpec], other: list[LayerSpec]) -> None:
    """Two stacks without a layer in common are compared completely."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        before, after = _made(work, one, other)
        _assert_same(before, after)


@settings(max_examples=60)
@given(st.lists(layers(), min_size=2, max_size=3), st.data())
def test_one_layer_in_several_places(specs: list[LayerSpec], data: st.DataObject) -> None:
    """Layers may occur in both stacks in another order, above others, or twice in a chain."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        made = materialise_stack(specs, work)
        # the kernel refuses a directory twice in one stack, so a layer that comes twice has a copy
        orders = st.lists(st.sampled_from(made), min_size=1, max_size=3, unique=True)
        _assert_same(data.draw(orders), data.draw(orders))


@settings(max_examples=150)
@given(redirect_stacks(3), redirect_stacks(3), redirect_stacks(3))
def test_redirects_and_metacopies(
    upper: list[LayerSpec], other: list[LayerSpec], lower: list[LayerSpec]
) -> None:
    """Where overlay marks lead elsewhere in the common layers, what differs there is told as well."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        own, others, base = _made(work, upper, other, lower)
        before, after = others + base, own + base
        old, new = (refusals(kernel_snapshot(stack, redirects=True)) for stack in (before, after))
        out = refused(old, new)
        told = list(differences(union_of(before), union_of(after), lambda _error: None))
        assert found(told, without=out) == changed_paths(old, new, without=out)


@settings(max_examples=60)
@given(st.lists(layers(), min_size=1, max_size=3))
def test_a_stack_against_itself_and_nothing(specs: list[LayerSpec]) -> None:
    """Two trees of the same layers do not differ; against the empty tree everything but the root is added."""
    with private_dir() as work:
        made = materialise_stack(specs, work)
        assert list(differences(union_of(made), union_of(made), _fail)) == []
        everything = {b"/" + path for path in kernel_snapshot(made) if path}
        added = found(differences(UnionTree(()), union_of(made), _fail))
        assert added == dict.fromkeys(everything, ("added", frozenset()))
        deleted = found(differences(union_of(made), UnionTree(()), _fail))
        assert deleted == dict.fromkeys(everything, ("deleted", frozenset()))


def test_a_refused_directory_of_the_common_layers(stack: Stack) -> None:
    """What the kernel refuses to look into is told once, not looked into, and hides no other difference."""
    bad = Meta(xattrs={b"trusted.overlay.redirect": b"../nowhere"})
    base = stack.make({b"d": Dir({b"f": File()}, bad)}, {b"d": Dir({b"f": File()})})
    own = materialise(LayerSpec(Dir({b"d": Dir({b"g": File()}), b"new": File()})), stack.place / "own")
    told: list[TreeError] = []
    changes = found(
        differences(union_of(base), union_of([own, *base]), told.append, ignore=["mtime", "xattr"])
    )
    assert changes == {b"/new": ("added", frozenset())}
    assert [error.path for error in told] == [b"/d"]
    with overlay_mount(base, redirect="follow") as mounted, pytest.raises(OSError, match=r"\[Errno"):
        (mounted / "d").lstat()
