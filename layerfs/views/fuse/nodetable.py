"""Which nodes the kernel holds: their node IDs, and when to forget them.

The kernel counts its look-ups of every node and gives them back with FORGET; a node that is
forgotten is dropped here, and a directory drops its children with it, so memory follows what
the kernel keeps. Names of one hard-linked file share a node ID, as they share an inode.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, TypeAlias

from layerfs.views.fuse.protocol import ROOT_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["Attributes", "Held", "NodeTable", "attributes_of"]

_NANO = 10**9
_BLOCK_SIZE = 4096

Attributes: TypeAlias = tuple[int, ...]
"""The fields of `fuse_attr`, in its order; the first is the inode number."""


class Held:
    """A node the kernel knows: its ID, and the number of its look-ups."""

    __slots__ = ("count", "id", "node")

    def __init__(self, node_id: int, node: Node) -> None:
        """Hold `node` under `node_id`; nobody has looked it up yet."""
        self.id = node_id
        self.node = node
        self.count = 0


class NodeTable:
    """Every node the kernel holds a reference to; safe to use from several threads."""

    def __init__(self, tree: UnionTree) -> None:
        """Begin with the root, which is never forgotten."""
        self._lock = threading.Lock()
        self._held: dict[int, Held] = {}
        self._linked: dict[tuple[int, int, int], Held] = {}  # files of several names
        self._next = ROOT_ID
        (self.root,) = self.hold([tree.root])

    def __getitem__(self, node_id: int) -> Node:
        """The node behind an ID; raises `KeyError` for one the kernel should not have."""
        return self._held[node_id].node

    def __contains__(self, node_id: object) -> bool:
        """Whether the kernel holds this ID."""
        return node_id in self._held

    def __len__(self) -> int:
        """How many nodes are held."""
        return len(self._held)

    def hold(self, nodes: Iterable[Node]) -> list[int]:
        """Count one look-up of each node, giving it an ID if it has none; their IDs."""
        with self._lock:
            return [self._hold(node) for node in nodes]

    def _hold(self, node: Node) -> int:
        held: Held | None = node.handle
        if held is None:
            held = self._linked.get(_inode_of(node)) if _is_linked(node) else None
        if held is None:
            held = Held(self._next, node)
            self._next += 1
            self._held[held.id] = held
            if _is_linked(node):
                self._linked[_inode_of(node)] = held
            else:
                node.handle = held
        held.count += 1
        return held.id

    def forget(self, node_id: int, count: int) -> None:
        """Give back look-ups; the last one drops the node. An ID that is not held is ignored."""
        with self._lock:
            held = self._held.get(node_id)
            if held is None:
                return
            held.count -= count
            if held.count > 0 or node_id == self.root:
                return
            del self._held[node_id]
            self._linked.pop(_inode_of(held.node), None)
            held.node.handle = None
            held.node.entries = None  # merged again if it is ever asked for


def _is_linked(node: Node) -> bool:
    """Whether this file may have another name; a directory never has."""
    return node.stat.nlink > 1 and not node.is_dir


def _inode_of(node: Node) -> tuple[int, int, int]:
    """What the names of a hard-linked file share."""
    return node.within.layer, node.stat.dev, node.stat.ino


def attributes_of(node: Node, inode: int) -> Attributes:
    """`fuse_attr` of a node."""
    mode, nlink, uid, gid, rdev, size, blocks, _, _, atime, mtime, ctime = node.stat
    return (
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
