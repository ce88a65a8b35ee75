"""Which nodes the kernel holds: node IDs, their packed attributes, and when to let go.

The kernel counts its look-ups of every node and gives them back with FORGET; a node that is
forgotten is dropped here, and a directory drops its merged children with it, so memory follows what
the kernel keeps. Names of one hard-linked file share a node ID, as they share an inode.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from layerfs.views.fuse.protocol import ATTR, ROOT_ID

if TYPE_CHECKING:
    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["Held", "NodeTable", "pack_attributes"]

_NANO = 10**9
_BLOCK_SIZE = 4096


class Held:
    """A node the kernel knows: its ID, its attributes as they go over the wire, and the look-ups."""

    __slots__ = ("attributes", "children", "count", "id", "node")

    def __init__(self, node_id: int, node: Node, attributes: bytes) -> None:
        """Hold `node` under `node_id`; nobody has looked it up yet."""
        self.id = node_id
        self.node = node
        self.attributes = attributes
        self.count = 0
        self.children: list[tuple[bytes, Node]] | None = None  # a directory while it is being listed


class NodeTable:
    """Every node the kernel holds a reference to; safe to use from several threads."""

    def __init__(self, tree: UnionTree) -> None:
        """Begin with the root, which is never forgotten."""
        self._tree = tree
        self._lock = threading.Lock()
        self._by_id: dict[int, Held] = {}
        self._by_key: dict[object, Held] = {}
        self._next = ROOT_ID
        self.root = self.hold(tree.root)

    def __getitem__(self, node_id: int) -> Held:
        """The node behind an ID; raises `KeyError` for one the kernel should not have."""
        return self._by_id[node_id]

    def __len__(self) -> int:
        """How many nodes are held."""
        return len(self._by_id)

    def hold(self, node: Node) -> Held:
        """Count one look-up of `node`, giving it an ID if it has none."""
        key = _key(node)
        with self._lock:
            held = self._by_key.get(key)
            if held is None:
                held = Held(self._next, node, pack_attributes(node, self._tree.inode(node)))
                self._next += 1
                self._by_id[held.id] = held
                self._by_key[key] = held
            held.count += 1
            return held

    def forget(self, node_id: int, count: int) -> None:
        """Give back look-ups; the last one drops the node. An ID that is not held is ignored."""
        with self._lock:
            held = self._by_id.get(node_id)
            if held is None:
                return
            held.count -= count
            if held.count > 0 or held is self.root:
                return
            del self._by_id[node_id]
            del self._by_key[_key(held.node)]
            held.node.entries = None  # merged again if it is ever asked for


def _key(node: Node) -> object:
    """What makes it one inode: the names of a hard-linked file share it, a directory has but one."""
    found = node.stat
    if found.nlink < 2 or found.is_dir:
        return node
    return node.within.layer, found.dev, found.ino


def pack_attributes(node: Node, inode: int) -> bytes:
    """`fuse_attr` of a node."""
    mode, nlink, uid, gid, rdev, size, blocks, _, _, atime, mtime, ctime = node.stat
    return ATTR.pack(
        inode,
        size,
        blocks,
        atime // _NANO,
        mtime // _NANO,
        ctime // _NANO,
        atime % _NANO,
        mtime % _NANO,
        ctime % _NANO,
        mode,
        1 if node.lower else nlink,
        uid,
        gid,
        _kernel_device(rdev) if rdev else 0,
        _BLOCK_SIZE,
        0,
    )


def _kernel_device(rdev: int) -> int:
    """A device number as the kernel packs it into 32 bits (new_encode_dev)."""
    major, minor = os.major(rdev), os.minor(rdev)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
