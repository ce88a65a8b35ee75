"""`tree_snapshot`: a layerfs tree as the same values that `snapshot` takes of a real directory."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from layerfs.formats.whiteouts import TRUSTED, USER
from layerfs.hostdir import HostDir
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.union import UnionTree
from tests.support.snapshot import Entry, Snapshot, errno_name, with_links

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from pathlib import Path

    from layerfs.tree.node import Node

__all__ = ["tree_snapshot", "union_of"]


def union_of(layers: Sequence[Path], *, userxattr: bool = False) -> UnionTree:
    """Our union of these directories, uppermost first."""
    dialect = USER if userxattr else TRUSTED
    return UnionTree([OverlayLayer(RawLayer(HostDir.open(layer)), dialect) for layer in layers])


def tree_snapshot(tree: UnionTree) -> Snapshot:
    """Every entry of the tree, the root (as `b""`) included."""
    entries: Snapshot = {}
    inodes: dict[bytes, Hashable] = {}
    pending = [tree.root]
    while pending:
        node = pending.pop()
        path = node.path[1:]
        inodes[path] = tree.inode(node)
        failures: list[str] = []
        if node.is_dir:
            try:
                pending += tree.children(node).values()
            except OSError as error:
                failures.append(f"list: {errno_name(error)}")
        entries[path] = _describe(tree, node, failures)
    return with_links(entries, inodes)


def _describe(tree: UnionTree, node: Node, failures: list[str]) -> Entry:
    found = node.stat
    target = content = None
    xattrs: dict[bytes, bytes] = {}
    try:
        if found.is_symlink:
            target = tree.readlink(node)
        if found.is_file:
            content = _digest(tree, node)
    except OSError as error:
        failures.append(f"{'readlink' if found.is_symlink else 'read'}: {errno_name(error)}")
    for name in tree.xattr_names(node):
        value = tree.xattr(node, name)
        if value is None:
            failures.append(f"getxattr {os.fsdecode(name)}: ENODATA")
        else:
            xattrs[name] = value
    is_device = stat.S_ISCHR(found.mode) or stat.S_ISBLK(found.mode)
    return Entry(
        mode=found.mode,
        uid=found.uid,
        gid=found.gid,
        nlink=node.nlink,
        mtime_ns=found.mtime_ns,
        size=None if found.is_dir else found.size,
        rdev=(os.major(found.rdev), os.minor(found.rdev)) if is_device else None,
        target=target,
        content=content,
        xattrs=xattrs,
        failures=tuple(failures),
    )


def _digest(tree: UnionTree, node: Node) -> str:
    digest = hashlib.sha256()
    with tree.open(node) as file:
        for chunk in file.chunks():
            digest.update(chunk)
    return digest.hexdigest()
