"""Attributes, hard links, names, types and sizes through the union.

Each test lays out layers, uppermost first, has `Stack.shown` compare our union of them with the
kernel's mount in every attribute, and then states the rule on what the kernel showed.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING

import pytest

from tests.support.judge import names
from tests.support.kernel import overlay_mount
from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Link, Meta, Symlink
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from tests.support.judge import Stack
    from tests.support.layerspec import Inode, Node

pytestmark = pytest.mark.kernel


_NOBODY = 0xFFFFFFFF


def _acl(user: int) -> bytes:
    entries = ((1, 7, _NOBODY), (2, 5, user), (4, 5, _NOBODY), (16, 5, _NOBODY), (32, 0, _NOBODY))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_merged_directory_is_the_topmost_one(stack: Stack) -> None:
    """A merged directory has mode, owner, time, xattrs and ACL of its topmost part alone, and nlink 1."""
    lower_acl = {b"system.posix_acl_default": _acl(5), b"system.posix_acl_access": _acl(5)}
    found = stack.shown(
        {b"d": Dir({b"sub": Dir()}, Meta(0o1700, 1, 2, -5, {b"user.top": b"1"}))},
        {b"d": Dir({b"other": Dir()}, Meta(0o755, 3, 4, 7, {b"user.base": b"2", **lower_acl}))},
    )
    entry = found[b"d"]
    assert (entry.mode, entry.uid, entry.gid, entry.mtime_ns) == (stat.S_IFDIR | 0o1700, 1, 2, -5)
    assert entry.xattrs == {b"user.top": b"1"}
    assert entry.nlink == 1
    assert found[b"d/sub"].nlink == 2


def test_hard_links_inside_one_layer(stack: Stack) -> None:
    """Names of one inode stay one inode, with its full count, also across directories."""
    found = stack.shown(
        {}, LayerSpec(Dir({b"a": Link(0), b"d": Dir({b"b": Link(0)}), b"c": Link(0)}), (File(b"shared"),))
    )
    assert found[b"a"].links == {b"a", b"d/b", b"c"}
    assert found[b"a"].nlink == 3


def test_hard_link_broken_and_hidden_above(stack: Stack) -> None:
    """A name written by a higher layer leaves the group, a hidden one still counts in st_nlink."""
    found = stack.shown(
        {b"a": File(b"copied up"), b"c": WHITEOUT},
        LayerSpec(Dir({name: Link(0) for name in (b"a", b"b", b"c", b"d")}), (File(b"shared"),)),
    )
    assert found[b"a"].links == {b"a"}
    assert found[b"b"].links == {b"b", b"d"}
    assert (found[b"a"].nlink, found[b"b"].nlink) == (1, 4)


def test_whiteouts_that_share_an_inode(stack: Stack) -> None:
    """The kernel's own whiteouts are hard links of each other, and hide like any."""
    shared = (b"a", b"b", b"c")
    found = stack.shown(
        LayerSpec(Dir({name: Link(0) for name in shared}), (WHITEOUT,)),
        {name: File() for name in (*shared, b"d")},
    )
    assert (stack.layers[0] / "a").lstat().st_nlink == 3
    assert names(found) == {b"d"}


def test_root_has_the_attributes_of_the_topmost_layer(stack: Stack) -> None:
    """Mode, owner, time and attributes of `/` are those of the uppermost layer's own root."""
    found = stack.shown(
        LayerSpec(Dir({}, Meta(0o700, 1, 2, 3, {b"user.top": b"1"}))),
        LayerSpec(Dir({}, Meta(0o1777, 4, 5, 6, {b"user.base": b"1"}))),
    )
    root = found[b""]
    assert (root.mode, root.uid, root.gid, root.mtime_ns) == (stat.S_IFDIR | 0o700, 1, 2, 3)
    assert root.xattrs == {b"user.top": b"1"}


def test_names_are_bytes(stack: Stack) -> None:
    """Names that are no UTF-8, of 255 bytes, with a newline, or beginning with `.wh.`: all as they are."""
    odd = (b"\xff\xfe", b"n" * 255, b"new\nline", b".wh.a", b".wh..wh..opq", b"\x1b[31m", b" ", b"\\")
    found = stack.shown(
        {b"d": Dir({name: File(name) for name in odd})}, {b"d": Dir({b"a": File(b"not hidden")})}
    )
    assert names(found) == {b"d", b"d/a", *(b"d/" + name for name in odd)}


def test_depth_over_path_max(stack: Stack) -> None:
    """Files merge 20 directories of 255 bytes below the root, where no path fits a system call."""

    def deep(leaf: dict[bytes, Node]) -> dict[bytes, Node]:
        for _ in range(20):
            leaf = {b"n" * 255: Dir(leaf)}
        return leaf

    found = stack.shown(deep({b"top": File(b"1")}), deep({b"base": File(b"2"), b"top": File(b"old")}))
    bottom = b"/".join([b"n" * 255] * 20)
    assert len(bottom) > os.pathconf("/", "PC_PATH_MAX")
    assert found[bottom + b"/top"].size == 1
    assert bottom + b"/base" in found


_AWKWARD: dict[bytes, Inode] = {
    b"setuid": File(b"x", meta=Meta(0o6755)),
    b"sticky": File(b"x", meta=Meta(0o1644)),
    b"owner": File(b"x", meta=Meta(0o644, 4_294_967_294, 4_294_967_294)),
    b"before-1970": File(b"x", meta=Meta(mtime_ns=-1_000_000_001)),
    b"year-2242": File(b"x", meta=Meta(mtime_ns=8_589_934_592_123_456_789)),
    b"socket": Device(stat.S_IFSOCK),
    b"fifo": Device(stat.S_IFIFO),
    b"char": Device(stat.S_IFCHR, 4095, 1_048_575),
    b"block": Device(stat.S_IFBLK, 259, 65_537),
    b"link": Symlink(b"/" + b"x" * 1000, Meta(uid=3, mtime_ns=5)),
    b"sparse": File(b"end", hole=100_000_000),
}


def test_every_type_and_extreme_attribute(stack: Stack) -> None:
    """Special bits, 32-bit owners, times far off, sockets, FIFOs, devices and a huge hole pass unchanged."""
    found = stack.shown({}, dict(_AWKWARD))
    assert names(found) == set(_AWKWARD)
    for name, spec in _AWKWARD.items():
        assert found[name].mtime_ns == spec.meta.mtime_ns
        assert found[name].uid == spec.meta.uid
    assert found[b"setuid"].mode == stat.S_IFREG | 0o6755
    assert found[b"char"].rdev == (4095, 1_048_575)


def test_capability_and_acl(stack: Stack) -> None:
    """`security.capability` and POSIX ACLs are shown with the bytes the layer has."""
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
    found = stack.shown(
        {
            b"f": File(b"x", meta=Meta(xattrs={b"security.capability": capability})),
            b"d": Dir(meta=Meta(xattrs={b"system.posix_acl_default": _acl(5)})),
            b"g": File(b"x", meta=Meta(xattrs={b"system.posix_acl_access": _acl(6)})),
        },
        {},
    )
    assert found[b"f"].xattrs == {b"security.capability": capability}
    assert found[b"d"].xattrs == {b"system.posix_acl_default": _acl(5)}
    assert found[b"g"].xattrs == {b"system.posix_acl_access": _acl(6)}


def test_large_merged_directory_in_the_kernels_order(stack: Stack) -> None:
    """Of 10,500 names, those of the lowest layer come first; order and content are the kernel's."""
    lower = {b"lower-%d" % number: WHITEOUT if number % 7 == 0 else File() for number in range(5000)}
    upper = {b"upper-%d" % number: Device(stat.S_IFIFO) for number in range(5500)}
    again = {b"lower-%d" % number: Symlink(b"x") for number in range(10)}
    layers = stack.make({b"d": Dir({**upper, **again})}, {b"d": Dir(lower)})
    tree = union_of(layers)
    ours = list(tree.children(tree.resolve(b"/d")))
    with overlay_mount(layers) as merged:
        kernel = os.listdir(os.fsencode(merged / "d"))
    assert ours == kernel
    first_upper = next(index for index, name in enumerate(ours) if name.startswith(b"upper"))
    assert not [name for name in ours[first_upper:] if name.startswith(b"lower")]
