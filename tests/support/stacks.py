"""Hypothesis strategies for layer stacks, uppermost first as in `lowerdir=`.

`stacks()` draws from so few names that layers collide all the time; `redirect_stacks()` adds the
marks that overlayfs writes with `redirect_dir` and `metacopy`, `fuse_stacks()` those of fuse-overlayfs.
"""

from __future__ import annotations

import stat
import struct
from typing import TYPE_CHECKING, TypeVar

from hypothesis import strategies as st

from tests.support.layerspec import WHITEOUT, Device, Dir, File, LayerSpec, Link, Meta, Symlink

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.layerspec import Inode, Node

__all__ = ["fuse_stacks", "layers", "redirect_stacks", "stacks"]

_T = TypeVar("_T")

_COMMON = (b"a", b"b", b"c", b"d")
_ODD = (b"\xff\xfe", b".wh.a", b".wh..wh..opq", b"new\nline", "\u00e9".encode(), b"n" * 255, b" ", b"\x1b[2J")

_S = 10**9
_TIMES = st.sampled_from((0, 1, -1, -86400 * _S - 1, 1_700_000_000 * _S + 999_999_999, 8_589_934_592 * _S))
_OWNERS = st.sampled_from((0, 1000, 65534, 4_294_967_294))
_MODES = st.sampled_from((0o755, 0o644, 0, 0o4755, 0o2711, 0o1777, 0o7777))


def _acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as the kernel stores it in an attribute (linux/posix_acl_xattr.h)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


_NOBODY = 0xFFFFFFFF
_ACL = _acl((1, 6, _NOBODY), (2, 7, 1000), (4, 4, _NOBODY), (16, 7, _NOBODY), (32, 0, _NOBODY))
_CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)

_OPAQUE_VALUES = st.sampled_from((b"y", b"y", b"y", b"x", b"n", b"Y", b"yy", b""))
_BOTH_PREFIXES = (b"trusted.overlay.", b"user.overlay.")


def _xattr_maps(
    names: Sequence[bytes], values: Mapping[bytes, bytes]
) -> st.SearchStrategy[dict[bytes, bytes]]:
    """Now and then up to two attributes, with fixed values where only some are valid."""
    pairs = st.sampled_from(names).flatmap(
        lambda name: st.tuples(
            st.just(name), st.just(values[name]) if name in values else st.binary(max_size=4)
        )
    )
    return st.one_of(st.just({}), st.just({}), st.lists(pairs, min_size=1, max_size=2).map(dict))


_ANY_XATTRS = (
    b"trusted.foo",
    b"trusted.overlay.foo",
    b"trusted.overlay.impure",
    b"trusted.overlay.overlay.opaque",
    b"trusted.overlay.overlay.overlay.whiteout",
    b"trusted.overlayfs",
)
_FILE_XATTRS = (
    *_ANY_XATTRS,
    b"user.bar",
    b"user.overlay.foo",
    b"user.overlay.overlay.opaque",
    b"system.posix_acl_access",
)
_DIR_XATTRS = (*_FILE_XATTRS, b"system.posix_acl_default")
_FIXED = {
    b"security.capability": _CAPABILITY,
    b"system.posix_acl_access": _ACL,
    b"system.posix_acl_default": _ACL,
    b"trusted.overlay.impure": b"y",
}

_TRUSTED_ONLY = _xattr_maps(_ANY_XATTRS, _FIXED)
_ON_FILES = _xattr_maps((*_FILE_XATTRS, b"security.capability"), _FIXED)
_ON_DIRS = _xattr_maps(_DIR_XATTRS, _FIXED)


def _metas(xattrs: st.SearchStrategy[dict[bytes, bytes]]) -> st.SearchStrategy[Meta]:
    return st.one_of(st.just(Meta()), st.builds(Meta, _MODES, _OWNERS, _OWNERS, _TIMES, xattrs))


def _marked(meta: Meta, opaque: Mapping[bytes, bytes]) -> Meta:
    return Meta(meta.mode, meta.uid, meta.gid, meta.mtime_ns, {**meta.xattrs, **opaque})


_DIR_MARKS: st.SearchStrategy[dict[bytes, bytes]] = st.one_of(
    st.just({}),
    st.just({}),
    st.just({b"trusted.overlay.opaque": b"y", b"user.overlay.opaque": b"y"}),
    st.dictionaries(
        st.sampled_from([prefix + b"opaque" for prefix in _BOTH_PREFIXES]),
        _OPAQUE_VALUES,
        min_size=1,
        max_size=2,
    ),
)
_DIR_METAS = st.builds(_marked, _metas(_ON_DIRS), _DIR_MARKS)

_FILES = st.one_of(
    st.builds(File, st.binary(max_size=8), meta=_metas(_ON_FILES)),
    st.builds(File, st.binary(max_size=8), st.integers(0, 1 << 20), _metas(_ON_FILES)),
)
_XATTR_WHITEOUTS = st.builds(
    lambda content, prefix, value: File(content, meta=Meta(xattrs={prefix + b"whiteout": value})),
    st.sampled_from((b"", b"", b"", b"x")),
    st.sampled_from(_BOTH_PREFIXES),
    st.sampled_from((b"", b"y")),
)
_SYMLINKS = st.builds(
    Symlink,
    st.sampled_from((b"a", b"../b", b"/c/d", b"dangling", b".", b"\xff" * 300)),
    _metas(_TRUSTED_ONLY),
)
_DEVICES = st.builds(
    Device,
    st.sampled_from((stat.S_IFCHR, stat.S_IFBLK)),
    st.sampled_from((0, 1, 300)),
    st.sampled_from((0, 1, 70000)),
    _metas(_TRUSTED_ONLY),
)
_PIPES = st.builds(
    Device, st.sampled_from((stat.S_IFIFO, stat.S_IFSOCK)), st.just(0), st.just(0), _metas(_TRUSTED_ONLY)
)
_INODES: st.SearchStrategy[Inode] = st.one_of(
    st.just(WHITEOUT), _FILES, _SYMLINKS, st.just(WHITEOUT), _XATTR_WHITEOUTS, _PIPES, _DEVICES
)
_NAMES = st.sampled_from(_COMMON * 8 + _ODD)
_SHARED = 2
_LINKS = st.builds(Link, st.integers(0, _SHARED - 1))


def _either(*choices: st.SearchStrategy[_T]) -> st.SearchStrategy[_T]:
    """One of the choices, each as likely: `one_of` would take a nested one_of as many choices."""
    return st.sampled_from(choices).flatmap(lambda choice: choice)


def _children(
    nodes: st.SearchStrategy[Node], names: st.SearchStrategy[bytes]
) -> st.SearchStrategy[dict[bytes, Node]]:
    """Few entries or several; Hypothesis alone prefers hardly any, and then nothing collides."""
    return _either(
        st.dictionaries(names, nodes, max_size=3), st.dictionaries(names, nodes, min_size=2, max_size=5)
    )


def _dirs(
    depth: int, names: st.SearchStrategy[bytes] = _NAMES, metas: st.SearchStrategy[Meta] = _DIR_METAS
) -> st.SearchStrategy[Dir]:
    """Directories of at most `depth` further levels; most of their entries are directories too."""
    nodes: st.SearchStrategy[Node] = _either(_INODES, _INODES, _INODES, _LINKS)
    if depth:
        below = _dirs(depth - 1, names, metas)
        nodes = _either(nodes, below, below)
    return st.builds(Dir, _children(nodes, names), metas)


def layers(depth: int = 2) -> st.SearchStrategy[LayerSpec]:
    """One layer: a small tree with every kind of entry and mark but redirect and metacopy."""
    shared = st.tuples(*[_INODES] * _SHARED)
    return st.builds(LayerSpec, _dirs(depth), shared)


def stacks(max_layers: int = 8) -> st.SearchStrategy[list[LayerSpec]]:
    """One to eight layers, uppermost first."""
    return st.integers(1, max_layers).flatmap(
        lambda count: st.lists(layers(), min_size=count, max_size=count)
    )


# -- fuse-overlayfs ------------------------------------------------------------------------------

_MARKERS = tuple(b".wh." + name for name in (*_COMMON, b".opq", b"n" * 251))
_FUSE_NAMES = st.sampled_from(
    _COMMON * 4 + _MARKERS * 2 + (b".wh..wh..opq",) * 3 + (b"n" * 251, b"n" * 255, b"\xff\xfe")
)
_FUSE_OPAQUE = (b"user.fuseoverlayfs.opaque", b"user.overlay.opaque", b"trusted.overlay.opaque")
_FUSE_MARKS: st.SearchStrategy[dict[bytes, bytes]] = st.one_of(
    st.just({}),
    st.just({}),
    st.just({b"user.fuseoverlayfs.opaque": b"y"}),
    st.dictionaries(st.sampled_from(_FUSE_OPAQUE), _OPAQUE_VALUES, min_size=1, max_size=3),
)
_FUSE_METAS = st.builds(_marked, _metas(_ON_DIRS), _FUSE_MARKS)


def fuse_stacks() -> st.SearchStrategy[list[LayerSpec]]:
    """One to five layers as fuse-overlayfs stacks them, uppermost first, with marks of every family."""
    layer = st.builds(LayerSpec, _dirs(2, _FUSE_NAMES, _FUSE_METAS), st.tuples(*[_INODES] * _SHARED))
    return st.integers(1, 5).flatmap(lambda count: st.lists(layer, min_size=count, max_size=count))


# -- redirect and metacopy -----------------------------------------------------------------------

_RELATIVE = st.sampled_from(_COMMON)
_ABSOLUTE = st.lists(st.sampled_from(_COMMON), min_size=1, max_size=3).map(
    lambda names: b"/" + b"/".join(names)
)
_REDIRECTS = st.one_of(_RELATIVE, _ABSOLUTE)


def _redirecting(meta: Meta, redirect: bytes | None, *, opaque: bool, metacopy: bool) -> Meta:
    marks = dict(meta.xattrs)
    if redirect is not None:
        marks[b"trusted.overlay.redirect"] = redirect
    if opaque:
        marks[b"trusted.overlay.opaque"] = b"y"
    if metacopy:
        marks[b"trusted.overlay.metacopy"] = b""
    return Meta(meta.mode, meta.uid, meta.gid, meta.mtime_ns, marks)


def _redirect_dirs(depth: int) -> st.SearchStrategy[Dir]:
    metas = st.builds(
        _redirecting,
        st.just(Meta()),
        st.one_of(st.none(), _REDIRECTS),
        opaque=st.sampled_from((False, False, False, True)),
        metacopy=st.just(value=False),
    )
    file_metas = st.builds(
        _redirecting,
        st.just(Meta()),
        st.one_of(st.none(), _REDIRECTS),
        opaque=st.just(value=False),
        metacopy=st.booleans(),
    )
    nodes: st.SearchStrategy[Node] = st.one_of(
        st.builds(File, st.binary(min_size=1, max_size=4), meta=file_metas), st.just(WHITEOUT)
    )
    if depth:
        below = _redirect_dirs(depth - 1)
        nodes = _either(nodes, below, below)
    return st.builds(Dir, st.dictionaries(_RELATIVE, nodes, max_size=4), metas)


def redirect_stacks(max_layers: int = 5) -> st.SearchStrategy[list[LayerSpec]]:
    """Stacks of directories, files and whiteouts whose redirects and metacopy marks may lead anywhere."""
    roots = _redirect_dirs(3).map(lambda root: LayerSpec(Dir(root.children)))
    return st.lists(roots, min_size=2, max_size=max_layers)
