"""Names, links and contents of a union in memory; what overlayfs shows is in `property/test_union_model`."""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

import pytest

from layerfs.errors import (
    IsADirectory,
    NameTooLong,
    NotADirectory,
    NotASymlink,
    PathNotFound,
    SymlinkLoop,
    TreeError,
    UnreadableEntry,
    UnsupportedOverlay,
)
from layerfs.tree.memory import Inode, MemoryLayer
from layerfs.tree.union import ASKED_BEFORE_LISTING, MAX_SYMLINKS, UnionTree
from layerfs.tree.walk import walk
from tests.support.inmemory import Unreadable, Watched, overlay_of, tree_of
from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Meta, Symlink

if TYPE_CHECKING:
    from tests.support.layerspec import Node

LINKS: dict[bytes, Node] = {
    b"d": Dir({b"e": Dir({b"f": File(b"x")}), b"up": Symlink(b"../d/e"), b"root": Symlink(b"/d/e/f")}),
    b"abs": Symlink(b"/d"),
    b"rel": Symlink(b"d//e/"),
    b"out": Symlink(b"../../../d"),
    b"dangling": Symlink(b"nowhere"),
    b"file": Symlink(b"d/e/f"),
    b"loop": Symlink(b"loop"),
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"", b"/"),
        (b"/", b"/"),
        (b"d/e", b"/d/e"),
        (b"//d/./e//f", b"/d/e/f"),
        (b"/d/e/..", b"/d"),
        (b"/d/e/../..", b"/"),
        (b"/../../d", b"/d"),
        (b"abs/e", b"/d/e"),
        (b"rel/f", b"/d/e/f"),
        (b"out/e/f", b"/d/e/f"),
        (b"d/up/f", b"/d/e/f"),
        (b"d/root", b"/d/e/f"),
        (b"abs/up/../up/..", b"/d"),
        (b"file", b"/d/e/f"),
        (b"abs/", b"/d"),
    ],
)
def test_paths_lead_where_they_would_after_chroot(path: bytes, expected: bytes) -> None:
    """Links are followed inside the tree, relative to where they lie; nothing is above the root."""
    assert tree_of(LINKS).resolve(path).path == expected


@pytest.mark.parametrize(
    ("path", "error", "at"),
    [
        (b"/nothing", PathNotFound, b"/nothing"),
        (b"/d/nothing/..", PathNotFound, b"/d/nothing"),
        (b"/dangling", PathNotFound, b"/nowhere"),
        (b"/d/e/f/", NotADirectory, b"/d/e/f/"),
        (b"/file/", NotADirectory, b"/file/"),
        (b"/d/e/f/..", NotADirectory, b"/d/e/f"),
        (b"/d/e/f/x", NotADirectory, b"/d/e/f"),
        (b"/loop", SymlinkLoop, b"/loop"),
        (b"/" + b"n" * 256, NameTooLong, b"/" + b"n" * 256),
        (b"/d/e/f/" + b"n" * 256, NotADirectory, b"/d/e/f"),
    ],
)
def test_paths_that_lead_nowhere(path: bytes, error: type[TreeError], at: bytes) -> None:
    """Each failure has its own error, with the path at which it was met."""
    with pytest.raises(error) as caught:
        tree_of(LINKS).resolve(path)
    assert caught.value.path == at


def test_the_last_link_is_followed_only_if_asked_for() -> None:
    """As lstat(2): links on the way are followed all the same, and a slash at the end asks."""
    tree = tree_of(LINKS)
    assert tree.resolve(b"/abs/root", follow=False).path == b"/d/root"
    assert tree.resolve(b"/abs", follow=False).stat.is_symlink
    assert tree.resolve(b"/abs/", follow=False).path == b"/d"
    assert tree.readlink(tree.resolve(b"/out", follow=False)) == b"../../../d"


@pytest.mark.parametrize("more", [0, 1])
def test_forty_links_are_followed(more: int) -> None:
    """Linux follows forty, not one more."""
    count = MAX_SYMLINKS + more
    chain = {b"%d" % number: Symlink(b"%d" % (number + 1)) for number in range(count)}
    tree = tree_of({**chain, b"%d" % count: File()})
    if more:
        with pytest.raises(SymlinkLoop):
            tree.resolve(b"0")
    else:
        assert tree.resolve(b"0").name == b"40"


def test_only_regular_files_are_opened_and_only_links_read() -> None:
    """A device, FIFO or socket of an image is never opened; a directory has no content."""
    kinds = (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK)
    tree = tree_of({b"%d" % kind: Device(kind, 1, 1) for kind in kinds} | LINKS)
    for name in (b"%d" % kind for kind in kinds):
        with pytest.raises(UnreadableEntry, match="never opened"):
            tree.open(tree.resolve(name))
    with pytest.raises(UnreadableEntry, match="never opened"):
        tree.open(tree.resolve(b"abs", follow=False))
    with pytest.raises(IsADirectory):
        tree.open(tree.root)
    with pytest.raises(NotASymlink):
        tree.readlink(tree.root)
    with pytest.raises(NotADirectory):
        tree.children(tree.resolve(b"file"))


def test_a_listing_is_in_the_kernels_order() -> None:
    """The lowest directory's names come first, then what each upper layer adds, uppermost first."""
    tree = tree_of(
        {b"z": File(), b"m": File(), b"gone": WHITEOUT},
        {b"k": File(), b"z": File()},
        {b"y": File(), b"m": File(), b"gone": File(), b"a": File()},
    )
    assert list(tree.children(tree.root)) == [b"y", b"m", b"a", b"z", b"k"]


def test_a_node_asked_for_by_name_is_the_listed_one() -> None:
    """Listing keeps the nodes that were asked for; `.`, `..` and paths are no names."""
    tree = tree_of({b"a": File(), b"b": File()}, {b"b": File(), b"c": WHITEOUT})
    first = tree.child(tree.root, b"b")
    listed = tree.children(tree.root)
    assert listed[b"b"] is first
    assert tree.child(tree.root, b"b") is first
    assert [tree.child(tree.root, name) for name in (b"", b".", b"..", b"a/b", b"c")] == [None] * 5


def test_a_directory_is_listed_once_when_many_names_are_asked_for() -> None:
    """A few names are looked up alone, in the layers that can have them; later ones come from one listing."""
    names = [b"%d" % number for number in range(ASKED_BEFORE_LISTING + 1)]
    layers = [Watched(layer) for layer in overlay_of({b"x": File()}, dict.fromkeys(names, File()))]
    tree = UnionTree(layers)
    assert tree.child(tree.root, names[0])
    assert layers[0].listed == layers[1].listed == []
    assert all(tree.child(tree.root, name) for name in names)
    assert layers[0].listed == layers[1].listed == [b""]


def test_nothing_below_a_file_or_whiteout_is_looked_at() -> None:
    """One name is asked for until a layer settles it, and in no layer below."""

    class Asked(Watched):
        def entry(self, path: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN202
            self.opened.append(path)
            return super().entry(path)

    for above in (File(), WHITEOUT):
        layers = [Asked(layer) for layer in overlay_of({b"f": above}, {b"f": File()})]
        tree = UnionTree(layers)
        tree.child(tree.root, b"f")
        assert (layers[0].opened, layers[1].opened) == ([b"", b"f"], [])


@pytest.mark.parametrize("redirect", [b"..", b".", b"a/b", b"/a//b", b"/", b"/a/../b", b"a" * 4097, b"a\0"])
def test_a_redirect_that_the_kernel_refuses(redirect: bytes) -> None:
    """The directory is shown and cannot be entered, in a directory of one place too; a metacopy not read."""
    marked = Meta(xattrs={b"trusted.overlay.redirect": redirect})
    copied = Meta(xattrs={b"trusted.overlay.redirect": redirect, b"trusted.overlay.metacopy": b""})
    below: dict[bytes, Node] = {b"d": Dir({b"low": File()}), b"a": Dir({b"b": Dir()}), b"f": File(b"x")}
    tree = tree_of(
        {
            b"d": Dir({b"own": File()}, marked),
            b"f": File(b"x", meta=copied),
            b"o": Dir({b"d": Dir(meta=marked)}),
        },
        below,
    )
    for path in (b"d", b"o/d"):
        node = tree.resolve(path)
        assert node.lower == ()
        with pytest.raises(UnsupportedOverlay):
            tree.children(node)
        with pytest.raises(UnsupportedOverlay):
            tree.child(node, b"own")
    with pytest.raises(UnsupportedOverlay):
        tree.open(tree.resolve(b"f"))


def test_what_a_layer_cannot_give_names_the_layer() -> None:
    """An error of the disk is told with the path in the tree and the layer's own name."""
    (layer,) = overlay_of({b"d": Dir({b"f": File()})})
    tree = UnionTree([Unreadable(layer, b"d", b"d/f")])
    for fails in (lambda: tree.children(tree.resolve(b"d")), lambda: tree.open(tree.resolve(b"d/f"))):
        with pytest.raises(UnreadableEntry, match="layer 1: Input/output error") as caught:
            fails()
        assert caught.value.errno == errno.EIO


def test_roots() -> None:
    """No layer is an empty tree; a layer whose root is no directory is refused; the top one is seen."""
    empty = UnionTree(())
    assert (empty.children(empty.root), empty.xattr_names(empty.root), empty.statvfs()) == ({}, [], None)
    with pytest.raises(NotADirectory):
        UnionTree([MemoryLayer({b"": Inode(stat.S_IFREG)})])
    opaque = Meta(0o711, xattrs={b"trusted.overlay.opaque": b"y"})
    tree = tree_of(LayerSpec(Dir({}, opaque)), LayerSpec(Dir({b"f": File()}, Meta(0o755))))
    assert (tree.root.stat.mode & 0o777, list(tree.children(tree.root)), tree.root.nlink) == (
        0o711,
        [b"f"],
        1,
    )


def test_a_walk_goes_parents_first_in_byte_order() -> None:
    """Depth and `keep` prune, and a directory that fails is visited with its problem."""
    (layer,) = overlay_of({b"b": Dir({b"x": File()}), b"a": Dir({b"y": Dir({b"z": File()})}), b"a-": File()})
    tree = UnionTree([layer])
    visits = list(walk(tree, tree.root))
    assert [visit.node.path for visit in visits] == [b"/", b"/a", b"/a/y", b"/a/y/z", b"/a-", b"/b", b"/b/x"]
    assert [visit.depth for visit in visits] == [0, 1, 2, 3, 1, 1, 2]
    assert [visit.node.name for visit in visits if visit.last] == [b"", b"y", b"z", b"b", b"x"]
    shallow = walk(tree, tree.root, depth=1, keep=lambda node: node.name != b"a")
    assert [(visit.node.path, visit.entered) for visit in shallow] == [
        (b"/", True),
        (b"/a-", False),
        (b"/b", False),
    ]
    broken = UnionTree([Unreadable(layer, b"a")])
    told = [(visit.node.path, type(visit.problem)) for visit in walk(broken, broken.root) if visit.problem]
    assert told == [(b"/a", UnreadableEntry)]
