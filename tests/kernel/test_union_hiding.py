"""What hides what: whiteouts, opaque directories, and types in each other's way.

Each test lays out layers, uppermost first, has `Stack.shown` compare our union of them with the
kernel's mount in every attribute, and then states the rule on what the kernel showed.
Where the kernel's listing has a quirk, the test says so and states our rule beside it.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

import pytest

from layerfs.errors import PathNotFound
from tests.support.judge import OPAQUE, TRUSTED, USER, names
from tests.support.kernel import overlay_mount
from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Meta, Symlink
from tests.support.snapshot import snapshot
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.judge import Layout, Stack
    from tests.support.layerspec import Node

pytestmark = pytest.mark.kernel


def test_whiteout_hides_whatever_is_below(stack: Stack) -> None:
    """A whiteout hides a file, a directory with its content, and a symlink; of nothing, it is nothing."""
    found = stack.shown(
        {b"file": WHITEOUT, b"dir": WHITEOUT, b"link": WHITEOUT, b"never": WHITEOUT},
        {b"file": File(b"x"), b"dir": Dir({b"x": File()}), b"link": Symlink(b"file"), b"kept": File()},
    )
    assert names(found) == {b"kept"}


@pytest.mark.parametrize(
    "node",
    [File(b"new"), Dir({b"new": File()}), Symlink(b"x"), Device(stat.S_IFIFO)],
    ids=["file", "dir", "symlink", "fifo"],
)
def test_name_added_again_above_its_whiteout(stack: Stack, node: Node) -> None:
    """A name deleted by one layer and added by a higher one, as any type, has nothing of the old."""
    found = stack.shown({b"n": node}, {b"n": WHITEOUT}, {b"n": Dir({b"old": File(b"old")})})
    assert b"n" in found
    assert b"n/old" not in found


def test_opaque_directory_hides_lower_content(stack: Stack) -> None:
    """An opaque directory shows its own entries only; an empty one is empty."""
    lower = Dir({b"old": File()})
    found = stack.shown(
        {b"empty": Dir(meta=OPAQUE), b"full": Dir({b"new": File()}, OPAQUE)},
        {b"empty": lower, b"full": lower},
    )
    assert names(found) == {b"empty", b"full", b"full/new"}


def test_opaque_directory_in_the_middle(stack: Stack) -> None:
    """An opaque directory merges upwards, and cuts off what is below it."""
    found = stack.shown(
        {b"d": Dir({b"top": File()})},
        {b"d": Dir({b"middle": File()}, OPAQUE)},
        {b"d": Dir({b"base": File()})},
    )
    assert names(found) == {b"d", b"d/top", b"d/middle"}


def test_opaque_directory_in_the_lowest_layer(stack: Stack) -> None:
    """With nothing below, an opaque mark has no effect, and is not shown."""
    found = stack.shown({b"d": Dir({b"top": File()})}, {b"d": Dir({b"base": File()}, OPAQUE)})
    assert names(found) == {b"d", b"d/top", b"d/base"}


def test_opacity_is_inherited(stack: Stack) -> None:
    """Below an opaque directory nothing merges from further down, though the opaque layer lacks the path."""
    found = stack.shown(
        {b"z": Dir({b"q": Dir({b"top": File()})})},
        {b"z": Dir(meta=OPAQUE)},
        {b"z": Dir({b"q": Dir({b"base": File()})})},
    )
    assert names(found) == {b"z", b"z/q", b"z/q/top"}


def test_layer_root_is_never_opaque(stack: Stack) -> None:
    """An opaque mark on a layer's root hides nothing."""
    found = stack.shown(LayerSpec(Dir({b"top": File()}, OPAQUE)), {b"base": File()})
    assert names(found) == {b"top", b"base"}


@pytest.mark.parametrize(
    ("value", "hides"),
    [(b"y", True), (b"x", False), (b"n", False), (b"Y", False), (b"yy", False), (b"", False)],
)
def test_only_y_is_opaque(stack: Stack, value: bytes, *, hides: bool) -> None:
    """Of all values of the opaque mark only `y` hides."""
    meta = Meta(xattrs={TRUSTED + b"opaque": value})
    found = stack.shown({b"d": Dir(meta=meta)}, {b"d": Dir({b"base": File()})})
    assert (b"d/base" in found) != hides


@pytest.mark.parametrize("userxattr", [False, True])
@pytest.mark.parametrize("prefix", [TRUSTED, USER])
def test_marks_count_in_the_active_dialect_only(stack: Stack, prefix: bytes, *, userxattr: bool) -> None:
    """`user.overlay.opaque` hides in a rootless root, elsewhere it is data and shows; so too `trusted.`."""
    name = prefix + b"opaque"
    layers: list[Layout] = [
        {b"d": Dir(meta=Meta(xattrs={name: b"y"}))},
        {b"d": Dir({b"base": File()})},
    ]
    found = stack.shown(*layers, userxattr=userxattr)
    active = (prefix == USER) == userxattr
    assert (b"d/base" in found) != active
    assert (name in found[b"d"].xattrs) != active


_OLD = {b"old": File(b"old")}
_NEW = {b"new": File(b"new")}


@pytest.mark.parametrize(
    ("nodes", "shown"),
    [
        pytest.param([Dir(_NEW), File(b"x"), Dir(_OLD)], {b"n", b"n/new"}, id="dir-file-dir"),
        pytest.param([Dir(_NEW), WHITEOUT, Dir(_OLD)], {b"n", b"n/new"}, id="dir-whiteout-dir"),
        pytest.param([Dir(_NEW), Symlink(b"x"), Dir(_OLD)], {b"n", b"n/new"}, id="dir-symlink-dir"),
        pytest.param([Dir(_NEW), Dir(_OLD)], {b"n", b"n/new", b"n/old"}, id="dir-dir"),
        pytest.param([File(b"x"), Dir(_OLD)], {b"n"}, id="file-dir"),
        pytest.param([Dir(_NEW), File(b"x")], {b"n", b"n/new"}, id="dir-file"),
        pytest.param([Symlink(b"x"), Dir(_OLD)], {b"n"}, id="symlink-dir"),
        pytest.param([Dir(_NEW), Symlink(b"x")], {b"n", b"n/new"}, id="dir-symlink"),
        pytest.param([Device(stat.S_IFIFO), Dir(_OLD)], {b"n"}, id="fifo-dir"),
    ],
)
def test_types_in_each_others_way(stack: Stack, nodes: Sequence[Node], shown: set[bytes]) -> None:
    """Directories merge down to the first thing that is no directory; the topmost object is what shows."""
    found = stack.shown(*({b"n": node} for node in nodes))
    assert names(found) == shown


def test_whiteout_in_a_directory_that_merges_with_nothing(stack: Stack) -> None:
    """The kernel lists such a whiteout and then does not find it; ours is in neither place."""
    layers = stack.make({b"d": Dir({b"w": WHITEOUT, b"f": File()})}, {})
    with overlay_mount(layers) as merged:
        assert snapshot(merged)[b"d/w"].is_ghost
    tree = union_of(layers)
    directory = tree.resolve(b"/d")
    assert set(tree.children(directory)) == {b"f"}
    with pytest.raises(PathNotFound) as raised:
        tree.lookup(directory, b"w")
    assert raised.value.errno == errno.ENOENT


@pytest.mark.parametrize("opaque", [None, b"x"])
def test_whiteout_by_attribute(stack: Stack, opaque: bytes | None) -> None:
    """An empty file with the whiteout attribute hides what is below, with or without `opaque=x` around it."""
    marks = {} if opaque is None else {TRUSTED + b"opaque": opaque}
    mark = Meta(xattrs={TRUSTED + b"whiteout": b""})
    found = stack.shown(
        {b"d": Dir({b"gone": File(meta=mark), b"full": File(b"x", meta=mark)}, Meta(xattrs=marks))},
        {b"d": Dir({b"gone": File(b"old"), b"full": File(b"old"), b"kept": File()})},
    )
    assert names(found) == {b"d", b"d/full", b"d/kept"}
    assert found[b"d/full"].size == 1
    assert found[b"d/full"].xattrs == {}


def test_whiteout_by_attribute_in_the_lowest_layer(stack: Stack) -> None:
    """There too it is a whiteout, not a file."""
    mark = Meta(xattrs={TRUSTED + b"whiteout": b"y"})
    found = stack.shown({b"d": Dir({b"a": File()})}, {b"d": Dir({b"gone": File(meta=mark)})})
    assert names(found) == {b"d", b"d/a"}


def test_only_a_character_device_0_0_is_a_whiteout(stack: Stack) -> None:
    """Character 0:1, block 0:0 and a FIFO are ordinary entries; 0:0 is a whiteout with any permissions."""
    lower: dict[bytes, Node] = {name: File(b"old") for name in (b"char", b"block", b"fifo", b"gone")}
    found = stack.shown(
        {
            b"char": Device(stat.S_IFCHR, 0, 1),
            b"block": Device(stat.S_IFBLK, 0, 0),
            b"fifo": Device(stat.S_IFIFO),
            b"gone": Device(stat.S_IFCHR, 0, 0, Meta(0o666, 5, 5)),
        },
        lower,
    )
    assert names(found) == {b"char", b"block", b"fifo"}
    assert found[b"char"].rdev == (0, 1)
    assert stat.S_ISBLK(found[b"block"].mode)
