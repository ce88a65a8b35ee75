"""What `docker diff` would say of two stacks in memory, by the rules of moby's `pkg/archive/changes.go`."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from layerfs.analysis.diff.dockerdiff import docker_changes
from layerfs.tree.union import UnionTree
from tests.support.inmemory import fail, overlay_of
from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Meta, Symlink

if TYPE_CHECKING:
    from tests.support.inmemory import Layout
    from tests.support.layerspec import Node

S = 10**9


def _diff(above: Layout, *base: Layout) -> dict[bytes, str]:
    """A, C or D of each path, as Docker's letters."""
    lower = overlay_of(*base)
    before, after = UnionTree(lower), UnionTree([*overlay_of(above), *lower])
    return {change.path: change.kind[0].upper() for change in docker_changes(before, after, fail)}


def _at(ns: int, content: bytes = b"x", *, uid: int = 0, gid: int = 0) -> File:
    return File(content, meta=Meta(0o644, uid, gid, ns))


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        (_at(S), _at(S, b"y"), False),
        (_at(S), _at(S, b"xx"), True),
        (_at(S), _at(2 * S), True),
        (_at(S + 1), _at(S + 2), True),
        (_at(S), _at(S + 2), False),
        (_at(S + 1), _at(S), False),
        (_at(-1), _at(-S), False),
        (_at(-S - 1), _at(-S), True),
        (_at(S), _at(S, uid=1), True),
        (_at(S), _at(S, gid=1), True),
        (_at(S), File(b"x", meta=Meta(0o645, mtime_ns=S)), True),
        (_at(S), File(b"x", meta=Meta(0o644, mtime_ns=S, xattrs={b"user.a": b""})), False),
        (_at(S), File(b"x", meta=Meta(0o644, mtime_ns=S, xattrs={b"security.capability": b"c"})), True),
        (Dir(meta=Meta(mtime_ns=S)), Dir(meta=Meta(mtime_ns=3 * S)), False),
        (Dir(meta=Meta(0o755)), Dir(meta=Meta(0o711)), True),
        (Symlink(b"a"), Symlink(b"b"), False),
        (Symlink(b"a"), Symlink(b"bb"), True),
        (Device(stat.S_IFBLK, 1, 1), Device(stat.S_IFBLK, 1, 2), True),
        (
            Device(stat.S_IFBLK, 1, 1, Meta(mtime_ns=S)),
            Device(stat.S_IFBLK, 1, 1, Meta(mtime_ns=3 * S)),
            False,
        ),
        (
            Device(stat.S_IFCHR, 1, 1, Meta(mtime_ns=S)),
            Device(stat.S_IFCHR, 1, 1, Meta(mtime_ns=3 * S)),
            True,
        ),
        (
            Device(stat.S_IFSOCK, meta=Meta(mtime_ns=S)),
            Device(stat.S_IFSOCK, meta=Meta(mtime_ns=3 * S)),
            False,
        ),
        (_at(S), Dir(), True),
    ],
)
def test_what_counts_as_changed(old: Node, new: Node, *, differs: bool) -> None:
    """Attributes alone: contents never, times to the second where one has no fraction, of no directory."""
    assert _diff({b"e": new}, {b"e": old}) == ({b"/e": "C"} if differs else {})


def test_a_deletion_is_told_once_and_what_is_above_counts_as_changed() -> None:
    """Nothing of what was in a deleted directory is told; all of a new one is; the root never."""
    base: Layout = {
        b"d": Dir({b"e": Dir({b"f": File()})}),
        b"k": Dir({b"x": Dir({b"y": File()})}),
        b"same": File(),
    }
    above: Layout = {
        b"d": Dir({b"e": WHITEOUT}),
        b"k": Dir({b"x": Dir({b"new": Dir({b"z": File()})})}),
        b"same": File(),
    }
    assert _diff(above, base) == {
        b"/d": "C",
        b"/d/e": "D",
        b"/k": "C",
        b"/k/x": "C",
        b"/k/x/new": "A",
        b"/k/x/new/z": "A",
    }


def test_the_root_is_not_told() -> None:
    """Other attributes of the root directory alone are no change."""
    assert _diff(LayerSpec(Dir(meta=Meta(0o700, uid=5))), {b"a": File()}) == {}


def test_paths_are_sorted_as_text() -> None:
    """`/a-b` comes before `/a/c`, as in Docker's answer."""
    told = _diff({b"a": Dir({b"c": File()}), b"a-b": File()}, {b"a": Dir()})
    assert list(told) == [b"/a", b"/a-b", b"/a/c"]
