"""Stacks of layers in memory from the same specs that `materialise` makes real: no root, no disk."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING, TypeAlias

from layerfs.formats.whiteouts import TRUSTED, USER
from layerfs.tree.memory import Inode, MemoryLayer
from layerfs.tree.overlay import OverlayLayer
from layerfs.tree.union import UnionTree
from tests.support.layerspec import Device, Dir, File, LayerSpec, Link, Symlink
from tests.support.snapshot import Entry, with_links

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    from layerfs.errors import TreeError
    from layerfs.tree.content import Content
    from layerfs.tree.source import Entry as StoredEntry
    from tests.support.layerspec import Node
    from tests.support.snapshot import Snapshot

__all__ = ["Layout", "Unreadable", "Watched", "fail", "layer_of", "overlay_of", "stored", "tree_of"]

Layout: TypeAlias = "LayerSpec | Mapping[bytes, Node]"
"""A layer; as a dict, what lies in its root."""


def layer_of(layout: Layout, label: str = "memory") -> MemoryLayer:
    """The layer as it is stored."""
    spec = _spec(layout)
    shared = [_inode(node) for node in spec.shared]
    entries = {
        path: shared[node.index] if isinstance(node, Link) else _inode(node) for path, node in _walk(spec)
    }
    return MemoryLayer(entries, label)


def overlay_of(*layouts: Layout, userxattr: bool = False) -> list[OverlayLayer]:
    """The layers as overlayfs reads them, uppermost first."""
    dialect = USER if userxattr else TRUSTED
    return [
        OverlayLayer(layer_of(layout, f"layer {len(layouts) - index}"), dialect)
        for index, layout in enumerate(layouts)
    ]


def tree_of(*layouts: Layout, userxattr: bool = False) -> UnionTree:
    """The union of the layers, uppermost first."""
    return UnionTree(overlay_of(*layouts, userxattr=userxattr))


def stored(layout: Layout) -> Snapshot:
    """What `snapshot` takes of the directory that `materialise` makes, without making it."""
    spec = _spec(layout)
    found = dict(_walk(spec))
    inodes: dict[bytes, Hashable] = {
        path: node.index if isinstance(node, Link) else path for path, node in found.items()
    }
    entries = {
        path: _entry(spec.shared[node.index] if isinstance(node, Link) else node)
        for path, node in found.items()
    }
    return with_links(entries, inodes)


class Watched(OverlayLayer):
    """A layer that remembers what it was asked to list and to open."""

    def __init__(self, layer: OverlayLayer) -> None:
        super().__init__(layer._stored, layer._dialect)
        self.listed: list[bytes] = []
        self.opened: list[bytes] = []

    def scan(self, path: bytes) -> Iterable[StoredEntry]:
        self.listed.append(path)
        return super().scan(path)

    def open(self, path: bytes) -> Content:
        self.opened.append(path)
        return super().open(path)


class Unreadable(OverlayLayer):
    """A layer on a damaged disk: some of its directories cannot be listed, some of its files not opened."""

    def __init__(self, layer: OverlayLayer, *paths: bytes) -> None:
        super().__init__(layer._stored, layer._dialect)
        self._paths = paths

    def scan(self, path: bytes) -> Iterable[StoredEntry]:
        self._check(path)
        return super().scan(path)

    def open(self, path: bytes) -> Content:
        self._check(path)
        return super().open(path)

    def _check(self, path: bytes) -> None:
        if path in self._paths:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def fail(error: TreeError) -> None:
    """For whoever wants to be told of problems, where there must be none."""
    raise AssertionError(error)


def _spec(layout: Layout) -> LayerSpec:
    return layout if isinstance(layout, LayerSpec) else LayerSpec(Dir(layout))


def _walk(spec: LayerSpec) -> Iterator[tuple[bytes, Node]]:
    """Every entry, parents first."""
    pending: list[tuple[bytes, Node]] = [(b"", spec.root)]
    while pending:
        path, node = pending.pop(0)
        yield path, node
        if isinstance(node, Dir):
            pending += [
                (path + b"/" + name if path else name, child) for name, child in node.children.items()
            ]


def _mode(node: Node) -> int:
    """Type and permissions as lstat(2) tells them."""
    assert not isinstance(node, Link)
    kind = {Dir: stat.S_IFDIR, File: stat.S_IFREG, Symlink: stat.S_IFLNK}.get(type(node))
    if isinstance(node, Symlink):
        return stat.S_IFLNK | 0o777
    return (node.kind if isinstance(node, Device) else kind or 0) | node.meta.mode


def _content(node: Node) -> bytes:
    return bytes(node.hole) + node.content if isinstance(node, File) else b""


def _rdev(node: Node) -> tuple[int, int] | None:
    devices = stat.S_IFCHR, stat.S_IFBLK
    return (node.major, node.minor) if isinstance(node, Device) and node.kind in devices else None


def _inode(node: Node) -> Inode:
    assert not isinstance(node, Link)
    return Inode(
        mode=_mode(node),
        uid=node.meta.uid,
        gid=node.meta.gid,
        mtime_ns=node.meta.mtime_ns,
        content=_content(node),
        target=node.target if isinstance(node, Symlink) else b"",
        rdev=os.makedev(*(_rdev(node) or (0, 0))),
        xattrs=node.meta.xattrs,
    )


def _entry(node: Node) -> Entry:
    assert not isinstance(node, Link)
    content = _content(node)
    sizes = {Dir: None, File: len(content), Symlink: len(node.target) if isinstance(node, Symlink) else 0}
    return Entry(
        mode=_mode(node),
        uid=node.meta.uid,
        gid=node.meta.gid,
        mtime_ns=node.meta.mtime_ns,
        size=sizes.get(type(node), 0),
        rdev=_rdev(node),
        target=node.target if isinstance(node, Symlink) else None,
        content=hashlib.sha256(content).hexdigest() if isinstance(node, File) else None,
        xattrs=dict(node.meta.xattrs),
    )
