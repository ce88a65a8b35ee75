"""Overlay's own attributes: private and escaped names, redirect, metacopy.

Each test lays out layers, uppermost first, has `Stack.shown` compare our union of them with the
kernel's mount in every attribute, and then states the rule on what the kernel showed.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.support.judge import OPAQUE, TRUSTED, names
from tests.support.kernel import overlay_mount
from tests.support.layerspec import WHITEOUT, Dir, File, Meta
from tests.support.snapshot import snapshot
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.judge import Stack
    from tests.support.layerspec import Node

pytestmark = pytest.mark.kernel


def test_private_attributes_are_neither_listed_nor_read(stack: Stack) -> None:
    """Every name of the private prefix is absent, known or not; an escaped one shows unescaped."""
    private = (b"origin", b"impure", b"nlink", b"upper", b"uuid", b"protattr", b"foo")
    marks = {TRUSTED + name: b"y" for name in private}
    escaped = {TRUSTED + b"overlay.opaque": b"y", TRUSTED + b"overlay.overlay.foo": b"deeper"}
    plain = {b"user.a": b"1", b"trusted.b": b"2", b"trusted.overlayfs": b"3"}
    layers = stack.make({b"f": File(meta=Meta(xattrs={**marks, **escaped, **plain}))}, {})
    tree = union_of(layers)
    node = tree.resolve(b"/f")
    asked = [*marks, *escaped, *plain]
    with overlay_mount(layers) as merged:
        kernel = {name: _getxattr(merged / "f", name) for name in asked}
        listed = {os.fsencode(name) for name in os.listxattr(merged / "f")}
    assert {name: tree.xattr(node, name) for name in asked} == kernel
    assert set(tree.xattr_names(node)) == listed
    assert listed == {TRUSTED + b"opaque", TRUSTED + b"overlay.foo", *plain}


def _getxattr(path: Path, name: bytes) -> bytes | None:
    try:
        return os.getxattr(path, name)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
        return None


def test_escaped_opaque_hides_nothing(stack: Stack) -> None:
    """An escaped opaque mark is data of an overlay inside this one."""
    meta = Meta(xattrs={TRUSTED + b"overlay.opaque": b"y"})
    found = stack.shown({b"d": Dir(meta=meta)}, {b"d": Dir({b"base": File()})})
    assert b"d/base" in found


def _redirect(target: bytes, **marks: bytes) -> Meta:
    extra = {TRUSTED + name.encode(): value for name, value in marks.items()}
    return Meta(xattrs={TRUSTED + b"redirect": target, **extra})


@pytest.mark.parametrize("target", [b"old", b"/p/old"], ids=["relative", "absolute"])
def test_redirected_directory_merges_with_its_old_place(stack: Stack, target: bytes) -> None:
    """A renamed directory keeps its lower content, and what is now in its old place stays apart."""
    found = stack.shown(
        {b"p": Dir({b"new": Dir({b"top": File()}, _redirect(target)), b"old": WHITEOUT})},
        {b"p": Dir({b"new": Dir({b"unrelated": File()}), b"old": Dir({b"base": File()})})},
        redirects=True,
    )
    assert names(found) == {b"p", b"p/new", b"p/new/top", b"p/new/base"}


def test_redirect_across_directories_and_layers(stack: Stack) -> None:
    """An absolute redirect is followed through a second one in a lower layer."""
    found = stack.shown(
        {b"a": Dir({b"top": File()}, _redirect(b"/b/c"))},
        {b"b": Dir({b"c": Dir({b"middle": File()}, _redirect(b"/d"))})},
        {b"d": Dir({b"base": File()})},
        redirects=True,
    )
    assert {b"a/top", b"a/middle", b"a/base"} <= names(found)


def test_redirect_through_an_opaque_directory(stack: Stack) -> None:
    """On the way of a redirect an opaque directory cuts off what is below it."""
    found = stack.shown(
        {b"a": Dir({b"top": File()}, _redirect(b"/b/c"))},
        {b"b": Dir({b"c": Dir({b"middle": File()})}, OPAQUE)},
        {b"b": Dir({b"c": Dir({b"base": File()})})},
        redirects=True,
    )
    assert {b"a/top", b"a/middle"} <= names(found)
    assert b"a/base" not in found


def test_redirects_on_one_way_add_up(stack: Stack) -> None:
    """Where two directories on the way of a redirect were moved, lower layers are asked for both moves."""
    found = stack.shown(
        {b"a": Dir({b"top": File()}, _redirect(b"/b/c"))},
        {b"b": Dir({b"c": Dir({b"middle": File()}, _redirect(b"d"))}, _redirect(b"e"))},
        {
            b"b": Dir({b"d": Dir({b"before-both": File()}), b"c": Dir({b"stayed": File()})}),
            b"e": Dir({b"d": Dir({b"base": File()}), b"c": Dir({b"other": File()})}),
        },
        redirects=True,
    )
    assert {path for path in names(found) if path.startswith(b"a/")} == {b"a/top", b"a/middle", b"a/base"}


def test_absolute_redirect_leads_out_of_an_opaque_directory(stack: Stack) -> None:
    """What a directory inside an opaque one was before it was moved there still merges with it."""
    found = stack.shown(
        {b"a": Dir({b"top": File()}, _redirect(b"/b/c"))},
        {b"b": Dir({b"c": Dir({b"middle": File()}, _redirect(b"/e"))}, OPAQUE)},
        {b"e": Dir({b"base": File()})},
        redirects=True,
    )
    assert {b"a/top", b"a/middle", b"a/base"} <= names(found)


def test_relative_redirect_stays_in_an_opaque_directory(stack: Stack) -> None:
    """A redirect by name does not lead out of the opaque directory it is in; nor does one of its own."""
    found = stack.shown(
        {b"a": Dir({}, _redirect(b"/b/c")), b"x": Dir({}, _redirect(b"/y"))},
        {
            b"b": Dir({b"c": Dir({b"middle": File()}, _redirect(b"d"))}, OPAQUE),
            b"y": Dir({b"middle": File()}, _redirect(b"/b/d", opaque=b"y")),
        },
        {b"b": Dir({b"d": Dir({b"base": File()})})},
        redirects=True,
    )
    assert {b"a/middle", b"x/middle"} <= names(found)
    assert not {b"a/base", b"x/base"} & names(found)


def test_redirects_in_a_circle_end(stack: Stack) -> None:
    """Redirects that point at each other lead down, layer by layer, and so to an end."""
    circle: dict[bytes, Node] = {b"a": Dir({}, _redirect(b"/b")), b"b": Dir({}, _redirect(b"/a"))}
    found = stack.shown(
        *[circle] * 5, {b"a": Dir({b"in-a": File()}), b"b": Dir({b"in-b": File()})}, redirects=True
    )
    assert {b"a/in-b", b"b/in-a"} <= names(found)


@pytest.mark.parametrize(
    "target", [b"..", b"../b", b"/../b", b"/b/../b", b"b/c", b"", b"/", b"/b/", b"//b", b"."]
)
def test_redirect_that_escapes_is_refused(stack: Stack, target: bytes) -> None:
    """A redirect with `..`, an empty component, or a path where only a name may be, never leads anywhere."""
    found = stack.shown(
        {b"a": Dir({b"top": File()}, _redirect(target))},
        {b"b": Dir({b"secret": File()})},
        redirects=True,
    )
    assert b"a/secret" not in found


def _metacopy(redirect: bytes | None = None) -> Meta:
    marks = {} if redirect is None else {TRUSTED + b"redirect": redirect}
    return Meta(0o600, 7, 7, xattrs={TRUSTED + b"metacopy": b"", **marks})


@pytest.mark.parametrize("redirect", [None, b"g", b"/g"], ids=["same-name", "relative", "absolute"])
def test_metacopy_has_its_own_attributes_and_lower_data(stack: Stack, redirect: bytes | None) -> None:
    """Owner and mode are the metacopy's, the bytes those of the first lower file with data."""
    name = redirect.strip(b"/") if redirect else b"f"
    found = stack.shown(
        {b"f": File(hole=4, meta=_metacopy(redirect))},
        {name: File(hole=4, meta=_metacopy())},
        {name: File(b"data", meta=Meta(0o644, 1, 1))},
        redirects=True,
    )
    plain = stack.place / "2" / os.fsdecode(name)
    assert found[b"f"].content == snapshot(plain.parent)[name].content
    assert (found[b"f"].uid, found[b"f"].mode) == (7, stat.S_IFREG | 0o600)


@pytest.mark.parametrize("home", [b"d/g", b"e/f"], ids=["file-renamed", "directory-moved"])
def test_metacopy_is_followed_through_other_moves(stack: Stack, home: bytes) -> None:
    """Data are found where a lower metacopy was renamed, and where the directory on the way was moved."""
    directory, name = home.split(b"/")
    moved = directory != b"d"
    middle = {b"f": File(hole=4, meta=_metacopy(None if moved else name))}
    found = stack.shown(
        {b"new": File(hole=4, meta=_metacopy(b"/d/f"))},
        {b"d": Dir(middle, _redirect(b"/" + directory) if moved else Meta())},
        {directory: Dir({name: File(b"data")})},
        redirects=True,
    )
    assert found[b"new"].failures == ()
    assert found[b"new"].content == found[b"d/f"].content


@pytest.mark.parametrize("lower", [{}, {b"f": WHITEOUT}, {b"f": Dir()}], ids=["none", "whiteout", "dir"])
def test_metacopy_without_data_is_refused(stack: Stack, lower: dict[bytes, Node]) -> None:
    """Where no layer has the bytes, reading fails: never a file of zeros."""
    found = stack.shown({b"f": File(hole=4, meta=_metacopy())}, lower, redirects=True)
    assert found[b"f"].failures
