"""How two entries compare: every attribute by itself."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from layerfs.analysis.diff.changes import Comparison, xattrs
from layerfs.tree.union import UnionTree
from tests.support.inmemory import Unreadable, Watched, fail, overlay_of, tree_of
from tests.support.layerspec import Device, Dir, File, LayerSpec, Link, Meta, Symlink

if TYPE_CHECKING:
    from collections.abc import Collection

    from layerfs.analysis.diff.changes import Change
    from layerfs.errors import TreeError
    from tests.support.layerspec import Node

META = Meta(0o644, 1, 2, 3, {b"user.a": b"1", b"security.capability": b"c"})


def _change(old: Node, new: Node, ignore: Collection[str] = ()) -> Change | None:
    """How an entry differs that is `old` in one tree and `new` in another."""
    before, after = tree_of({b"e": old}), tree_of({b"e": new})
    comparison = Comparison(before, after, fail, ignore)
    return comparison.change(before.resolve(b"e", follow=False), after.resolve(b"e", follow=False))


@pytest.mark.parametrize(
    ("attribute", "old", "new"),
    [
        ("content", File(b"ab", meta=META), File(b"ba", meta=META)),
        ("content", File(b"ab", meta=META), File(b"abc", meta=META)),
        ("content", File(b"x", 1 << 20, META), File(b"y", 1 << 20, META)),
        ("target", Symlink(b"ab", META), Symlink(b"ba", META)),
        ("rdev", Device(stat.S_IFBLK, 1, 2, META), Device(stat.S_IFBLK, 2, 1, META)),
        ("mode", File(meta=META), File(meta=replace(META, mode=0o4644))),
        ("uid", File(meta=META), File(meta=replace(META, uid=0))),
        ("gid", File(meta=META), File(meta=replace(META, gid=0))),
        ("mtime", File(meta=META), File(meta=replace(META, mtime_ns=4))),
        ("capability", File(meta=META), File(meta=replace(META, xattrs={b"user.a": b"1"}))),
        ("xattr", File(meta=META), File(meta=replace(META, xattrs={**META.xattrs, b"user.a": b"2"}))),
        ("xattr", Dir(meta=META), Dir(meta=replace(META, xattrs={**META.xattrs, b"user.b": b""}))),
    ],
)
def test_each_attribute_by_itself(attribute: str, old: Node, new: Node) -> None:
    """What differs is told, alone, in both directions, and not where it is ignored."""
    for one, other in ((old, new), (new, old)):
        change = _change(one, other)
        assert change
        assert (change.kind, change.attributes) == (
            "modified" if attribute == "content" else "metadata",
            (attribute,),
        )
        assert _change(one, other, ignore=[attribute]) is None
    assert _change(old, old) is None


def test_marks_are_no_attributes() -> None:
    """What overlayfs keeps for itself is not compared; an escaped attribute is, under the name that shows."""
    marked = Meta(xattrs={b"trusted.overlay.opaque": b"y", b"trusted.overlay.overlay.x": b"1"})
    tree = tree_of({b"e": Dir(meta=marked)})
    assert xattrs(tree, tree.resolve(b"e")) == {b"trusted.overlay.x": b"1"}
    plain = Meta(xattrs={b"trusted.overlay.overlay.x": b"1"})
    assert _change(Dir(meta=marked), Dir(meta=plain)) is None


def test_kinds() -> None:
    """There or not comes first, then the type; all that differs is told in one order."""
    types: list[Node] = [File(), Dir(), Symlink(b"x"), Device(stat.S_IFCHR, 1, 3), Device(stat.S_IFIFO)]
    for old in types:
        told = [_change(old, new) for new in types if new is not old]
        assert [(change and change.kind, change and change.attributes) for change in told] == [
            ("type", ())
        ] * 4
    (tree,) = [tree_of({b"e": File()})]
    node = tree.resolve(b"e")
    comparison = Comparison(tree, tree, fail)
    for pair, kind in (((None, node), "added"), ((node, None), "deleted")):
        change = comparison.change(*pair)
        assert change
        assert (change.kind, change.path) == (kind, b"/e")
    change = _change(File(b"1", meta=META), File(b"2", meta=Meta()))
    assert change
    assert change.attributes == ("content", "mode", "uid", "gid", "mtime", "capability", "xattr")


def test_one_inode_is_not_read_to_compare_it_with_itself() -> None:
    """Two names of one file are equal, also where it could not be read twice the same."""
    (layer,) = overlay_of(LayerSpec(Dir({b"a": Link(0), b"b": Link(0)}), (File(b"x"),)))
    tree = UnionTree([Watched(layer)])
    a, b = tree.resolve(b"a"), tree.resolve(b"b")
    with tree.open(a) as one, tree.open(b) as other:
        assert one.identity == other.identity
    assert Comparison(tree, tree, fail).change(a, b) is None


def test_what_cannot_be_read_is_no_difference() -> None:
    """A file that fails is told, and only what lstat tells of it is compared."""
    (layer,) = overlay_of({b"e": File(b"ab")})
    broken, other = UnionTree([Unreadable(layer, b"e")]), tree_of({b"e": File(b"ba", meta=Meta(uid=7))})
    told: list[TreeError] = []
    change = Comparison(broken, other, told.append).change(broken.resolve(b"e"), other.resolve(b"e"))
    assert change
    assert change.attributes == ("uid",)
    assert [error.path for error in told] == [b"/e"]
