"""Every version in a stack, against the kernel's mounts of its lower parts and a model of the rules."""

from __future__ import annotations

import stat
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerfs.analysis.tree.deleted import deleted
from layerfs.analysis.tree.versions import Hidden, How, versions
from tests.support.hiding import objects, wasted
from tests.support.judge import OPAQUE, TRUSTED
from tests.support.kernel import check_trusted_xattrs, kernel_snapshot, private_dir
from tests.support.layerspec import WHITEOUT, Dir, File, Meta, materialise_stack
from tests.support.snapshot import snapshot
from tests.support.stacks import redirect_stacks, stacks
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from layerfs.analysis.tree.versions import Version
    from layerfs.errors import TreeError
    from layerfs.tree.source import LayerSource
    from tests.support.judge import Stack
    from tests.support.layerspec import LayerSpec
    from tests.support.snapshot import Snapshot

pytestmark = pytest.mark.kernel


# -- against the kernel --------------------------------------------------------------------------


def _ours(found: Iterable[Version]) -> Counter[tuple[object, ...]]:
    """What a tree shows of versions, with as many of each as there are."""
    return Counter(
        (
            item.path,
            item.stat.mode,
            item.stat.uid,
            item.stat.gid,
            item.stat.mtime_ns,
            None if item.stat.is_dir else item.stat.size,
        )
        for item in found
    )


def _theirs(found: Snapshot) -> Counter[tuple[object, ...]]:
    """The same of a mount."""
    return Counter(
        (b"/" + path, entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.size)
        for path, entry in found.items()
    )


@settings(max_examples=60)
@given(stacks(max_layers=5))
def test_the_fold_up_to_any_layer_is_the_kernels_mount_of_it(stack: list[LayerSpec]) -> None:
    """For each number, the versions not yet hidden there are what the kernel shows of those layers."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        for userxattr in (False, True):
            found = list(versions(union_of(layers, userxattr=userxattr).layers))
            for number in range(1, len(layers) + 1):
                expected = kernel_snapshot(layers[len(layers) - number :], userxattr=userxattr)
                shown = [item for item in found if item.seen_in(number)]
                assert _ours(shown) == _theirs(expected), f"layers 1..{number}, userxattr={userxattr}"
            assert shown == [item for item in found if item.hidden is None]


@settings(max_examples=100)
@given(redirect_stacks(max_layers=4))
def test_the_fold_follows_redirects_as_the_kernel_does(stack: list[LayerSpec]) -> None:
    """What a redirect moved is at its new path from that layer on; what the kernel refuses is left out."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        for number in range(1, len(layers) + 1):
            part = layers[len(layers) - number :]
            mounted = kernel_snapshot(part, redirects=True)
            refused = {b"/" + path for path, entry in mounted.items() if entry.failures}
            expected = {path: entry for path, entry in mounted.items() if not entry.failures}
            problems: list[TreeError] = []
            found = versions(union_of(part).layers, problem=problems.append)
            shown = [item for item in found if item.hidden is None and not _is_below(item.path, refused)]
            assert _ours(shown) == _theirs(expected), f"layers 1..{number}"


def _is_below(path: bytes, tops: set[bytes]) -> bool:
    """Whether the path is one of these, or below one."""
    return any(path == top or path.startswith(top + b"/") for top in tops)


# -- against a model -----------------------------------------------------------------------------


@settings(max_examples=150)
@given(stacks())
def test_versions_are_those_of_a_simple_model(stack: list[LayerSpec]) -> None:
    """Every object of every layer is told once, with the layer that hides it, how, and where."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        found = list(versions(union_of(layers).layers))
        model = [(item.path, item.layer, tuple(item.hidden or ())) for item in objects(layers)]
        assert sorted((item.path, item.layer, tuple(item.hidden or ())) for item in found) == sorted(model)
        assert all(item.part == item.path[1:] and item.since == item.layer for item in found)
        order = [(item.path.split(b"/") if item.path != b"/" else [b""], item.layer) for item in found]
        assert order == sorted(order)


@settings(max_examples=100)
@given(stacks())
def test_deleted_files_are_those_of_a_simple_model(stack: list[LayerSpec]) -> None:
    """Every hidden object but directories is told once; the bytes wasted are those no visible name has."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = materialise_stack(stack, work)
        model = objects(layers)
        found = list(deleted(union_of(layers)))
        expected = [
            (item.path, item.layer, tuple(item.hidden))
            for item in model
            if item.hidden and not stat.S_ISDIR(item.entry.mode)
        ]
        told = [(item.version.path, item.version.layer, tuple(item.hidden)) for item in found]
        assert sorted(told) == sorted(expected)
        assert sum(item.wasted for item in found) == wasted(model)
        assert all(item.wasted in (0, item.version.stat.size) for item in found)


@settings(max_examples=60)
@given(stacks(max_layers=4), st.randoms(use_true_random=False))
def test_a_subtree_is_told_as_in_the_whole(stack: list[LayerSpec], chance: Any) -> None:
    """`below` gives exactly the versions at and below a path, in the same order, also of a hidden one."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        layers = union_of(materialise_stack(stack, work)).layers
        found = list(versions(layers))
        paths = [*sorted({item.path for item in found}), b"/a/nothing", b"/nothing/a"]
        for top in chance.sample(paths, min(len(paths), 8)):
            expected = [item for item in found if top == b"/" or _is_below(item.path, {top})]
            assert list(versions(layers, below=top)) == expected
            for depth in (0, 1):
                level = (0 if top == b"/" else top.count(b"/")) + depth
                near = [item for item in expected if item.path == b"/" or item.path.count(b"/") <= level]
                assert list(versions(layers, below=top, depth=depth)) == near


# -- rules in words ------------------------------------------------------------------------------


class _Counting:
    """A layer that notes which directories are listed."""

    def __init__(self, layer: LayerSource, listed: list[tuple[str, bytes]]) -> None:
        self._layer = layer
        self._listed = listed

    def scan(self, path: bytes) -> Any:
        self._listed.append((self._layer.label, path))
        return self._layer.scan(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


def _listed(layers: Sequence[Path], below: bytes) -> tuple[list[tuple[str, bytes]], list[Version]]:
    listed: list[tuple[str, bytes]] = []
    counting: Any = [_Counting(layer, listed) for layer in union_of(layers).layers]
    return listed, list(versions(counting, below=below))


def test_each_directory_is_listed_once(stack: Stack) -> None:
    """Each directory of each layer is listed exactly once, hidden ones included, and no other."""
    layers = stack.make(
        {b"d": Dir({b"new": File()}, OPAQUE), b"gone": WHITEOUT},
        {b"d": Dir({b"sub": Dir({b"x": File()})}), b"e": Dir()},
        {b"d": Dir({b"sub": Dir({b"y": File()})}), b"gone": Dir({b"deep": Dir()})},
    )
    listed, _ = _listed(layers, b"/")
    directories = [
        (str(layer), path)
        for layer in layers
        for path, entry in snapshot(layer).items()
        if stat.S_ISDIR(entry.mode)
    ]
    assert sorted(listed) == sorted(directories)


def test_a_path_is_reached_without_listing_what_is_beside_it(stack: Stack) -> None:
    """To tell of one file no directory is listed at all; of a subtree, only its own directories."""
    layers = stack.make(
        {b"d": Dir({b"sub": Dir({b"f": File(b"2")}), b"beside": Dir({b"x": File()})})},
        {b"d": Dir({b"sub": Dir({b"f": File(b"1")})}), b"other": Dir()},
    )
    listed, found = _listed(layers, b"/d/sub/f")
    assert (listed, [item.layer for item in found]) == ([], [1, 2])
    listed, _ = _listed(layers, b"/d/sub")
    assert {path for _, path in listed} == {b"d/sub"}


@pytest.mark.parametrize("path", [b"/..", b"/d/../x", b"/d/..", b"../../etc"])
def test_two_dots_are_no_name(stack: Stack, path: bytes) -> None:
    """`..` finds nothing, as no entry has that name; it never leads out of a layer."""
    layers = stack.make({b"d": Dir({b"x": File()})})
    assert list(versions(union_of(layers).layers, below=path)) == []


def test_a_directory_over_a_directory_replaces_its_attributes_only(stack: Stack) -> None:
    """The lower directory is a replaced version; what is in it is not hidden by that."""
    layers = stack.make(
        {b"d": Dir({b"new": File()}, Meta(mode=0o700))}, {b"d": Dir({b"old": File()}, Meta(mode=0o755))}
    )
    found = {(item.path, item.layer): item.hidden for item in versions(union_of(layers).layers)}
    assert found[b"/d", 1] == Hidden(2, How.REPLACED, b"/d")
    assert found[b"/d/old", 1] is None


def test_what_a_redirect_moved_has_two_versions(stack: Stack) -> None:
    """A moved directory's file is hidden at its old path, and visible at the new one, as one inode."""
    redirect = Meta(xattrs={TRUSTED + b"redirect": b"old"})
    layers = stack.make(
        {b"new": Dir(meta=redirect), b"old": WHITEOUT},
        {b"old": Dir({b"f": File(b"x")}), b"new": Dir({b"lost": File()})},
    )
    found = [item for item in versions(union_of(layers).layers) if not item.stat.is_dir]
    assert [(item.path, item.part, item.since, item.hidden) for item in found] == [
        (b"/new/f", b"old/f", 2, None),
        (b"/new/lost", b"new/lost", 1, Hidden(2, How.OPAQUE, b"/new")),
        (b"/old/f", b"old/f", 1, Hidden(2, How.WHITEOUT, b"/old")),
    ]
    assert found[0].stat.ino == found[2].stat.ino
    assert [item.path for item in found if item.seen_in(1)] == [b"/new/lost", b"/old/f"]


def test_a_hard_link_is_a_version_of_its_own(stack: Stack) -> None:
    """Two names of an inode are two versions that share layer, device and inode."""
    layers = stack.make({b"b": WHITEOUT}, {b"a": File(b"x")})
    (layers[1] / "b").hardlink_to(layers[1] / "a")
    found = [item for item in versions(union_of(layers).layers) if item.path != b"/"]
    assert [(item.path, item.hidden) for item in found] == [
        (b"/a", None),
        (b"/b", Hidden(2, How.WHITEOUT, b"/b")),
    ]
    assert len({(item.layer, item.stat.dev, item.stat.ino) for item in found}) == 1


def test_a_directory_that_cannot_be_read_is_a_problem_and_the_rest_goes_on(stack: Stack) -> None:
    """A layer that lost a directory meanwhile is told of by name; the other entries are still found."""
    layers = stack.make({b"a": Dir({b"x": File()}), b"b": File()}, {b"a": Dir({b"y": File()})})
    problems: list[TreeError] = []
    walk = versions(union_of(layers).layers, problem=problems.append)
    found = [next(walk) for _ in range(4)]  # the root and `a` in both layers
    (layers[0] / "a" / "x").unlink()
    (layers[0] / "a").rmdir()
    found += walk
    assert {item.path for item in found} == {b"/", b"/a", b"/a/y", b"/b"}
    assert [problem.path for problem in problems] == [b"/a"]
    assert str(layers[0]) in str(problems[0])
