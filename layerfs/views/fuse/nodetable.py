"""Which nodes the kernel holds: their node IDs, and when to forget them.

The kernel counts its look-ups of every node and gives them back with FORGET. A listing of which no entry is
held is dropped, so memory follows what the kernel keeps.

Most entries have a node ID made of the number of their listing and their index in it, and no object of their
own (`packed.py`). A node is apart that was looked up before its directory was listed. The names of one file
share a node ID, as they share an inode: that of the name which was told first.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

from layerfs.tree.union import ASKED_BEFORE_LISTING
from layerfs.views.fuse.packed import DOTS, FOREVER, PackedListing, attributes_of, dot, inode_key
from layerfs.views.fuse.protocol import ATTR, ENTRY_OUT, NODE_ID, ROOT_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["NodeTable"]

_INDEX_BITS = 28
"""The part of a node ID that is the index in a folder; above it is the number of the listing."""

_APART = 1 << 63
"""The first ID of nodes apart, but for the root's: however long a mount lives, no ID comes a second time."""


class _Folder:
    """A directory that the kernel looks into.

    Attributes:
        node: the directory.
        asked: how many names were looked up before it was listed.
        named: the nodes of those that the kernel holds.
        listing: its entries, or None.
    """

    __slots__ = ("asked", "listing", "named", "node")

    def __init__(self, node: Node) -> None:
        """Look into `node`."""
        self.node = node
        self.asked = 0
        self.named: dict[bytes, _Apart] = {}
        self.listing: PackedListing | None = None


class _Apart:
    """A node with its own ID, the number of its look-ups, and the folder, if any, that knows its name."""

    __slots__ = ("count", "folder", "id", "node")

    def __init__(self, node_id: int, node: Node, folder: _Folder | None) -> None:
        """Hold `node` under `node_id`; nobody has looked it up yet."""
        self.id = node_id
        self.node = node
        self.folder = folder
        self.count = 0


class NodeTable:
    """Every node the kernel holds a reference to; safe to use from several threads."""

    def __init__(self, tree: UnionTree) -> None:
        """Begin with the root, which is never forgotten."""
        self._tree = tree
        self._lock = threading.Lock()
        self._apart = {ROOT_ID: _Apart(ROOT_ID, tree.root, None)}
        self._next_id = _APART
        self._linked: dict[int, int] = {}  # files of several names: the node ID of all of them
        self._entered: dict[int, _Folder] = {}  # by the node ID of the directory
        self._listed: dict[int, _Folder] = {}  # by number
        self._numbers = itertools.count(1)  # no ID is given twice, lest a directory changed on the way

    def __getitem__(self, node_id: int) -> Node:
        """The node behind an ID; raises `KeyError` for one the kernel should not have."""
        number, index = _split(node_id)
        return self._held(number, index).node_of(index) if number else self._apart[node_id].node

    def attributes(self, node_id: int) -> bytes:
        """`fuse_attr` of a node; raises `KeyError` as above."""
        number, index = _split(node_id)
        if number:
            return self._held(number, index).attributes(index)
        return ATTR.pack(*self._attributes(self._apart[node_id].node))

    def _attributes(self, node: Node) -> tuple[int, ...]:
        return attributes_of(node.stat, self._tree.inode(node), node.nlink)

    def _held(self, number: int, index: int) -> PackedListing:
        """The listing of an entry that the kernel holds; raises `KeyError`."""
        listing = self._listed[number].listing
        if listing is None or index >= len(listing) or not listing.counts[index]:
            raise KeyError(number, index)
        return listing

    # -- look-ups --------------------------------------------------------------------------------

    def look_up(self, node_id: int, name: bytes) -> bytes | None:
        """`fuse_entry_out` of a name in a directory, as one more look-up of it; None where there is nothing.

        Raises:
            KeyError: for an ID that is not held.
            TreeError: as the tree does.
        """
        folder = self._enter(node_id)
        if folder.listing is None and folder.asked < ASKED_BEFORE_LISTING:
            found = self._tree.look_up(folder.node, name)
            with self._lock:
                folder.asked += 1
                if found is None:
                    return None
                if folder.listing is None:
                    return self._entry(self._named(folder, found), self._attributes(found))
        listing = self._list(folder)
        with self._lock:
            listing = self._keep(folder, listing)
            index = listing.find(name)
            if index is None:
                self._tree.check_name(folder.node, name)
                return None
            node_id = self._id_of(folder, listing, index)
            return self._entry(node_id, ATTR.unpack(listing.attributes(index)))

    def page(self, node_id: int, offset: int, room: int) -> bytes:
        """Entries of a directory from an offset on, as READDIRPLUS gives them, of at most `room` bytes.

        That is one more look-up of each but `.` and `..`. An entry's offset is its number, from 1.
        Raises as `look_up`.
        """
        folder = self._enter(node_id)
        listing = self._list(folder)
        if offset >= DOTS + len(listing):  # every listing is asked for once more than it has pages
            return b""
        dots = self._dots(folder.node)[offset:] if offset < DOTS else []
        if sum(map(len, dots)) > room:
            return dots[0] if len(dots[0]) <= room else b""
        head = b"".join(dots)
        begin = max(0, offset - DOTS)
        with self._lock:
            listing = self._keep(folder, listing)
            end = listing.fitting(begin, room - len(head))
            page = listing.page(begin, end)
            listing.count(begin, end)
            others = listing.apart_between(begin, end)
            if others:
                page = self._with_others(folder, listing, page, begin, others)
        return head + page if head else page

    def _with_others(
        self, folder: _Folder, listing: PackedListing, page: bytes, begin: int, others: Sequence[int]
    ) -> bytes:
        """A page that begins with the entry `begin`, with the IDs of those apart."""
        patched: bytearray | None = None
        for index in others:
            node_id = self._id_of(folder, listing, index)
            if node_id != listing.first_id | index:
                listing.uncount(index, 1)
                self._count(node_id)
                patched = patched or bytearray(page)
                NODE_ID.pack_into(patched, listing.offset(begin, index), node_id)
        return bytes(patched) if patched else page

    def _dots(self, node: Node) -> list[bytes]:
        """`.` and `..`: the kernel ignores what is said of them, and does not count a look-up."""
        return [dot(number, self._tree.inode(at)) for number, at in enumerate((node, node.parent or node), 1)]

    def directories(self, node_id: int) -> list[int]:
        """The IDs of the directories in a listed directory that may be next; not of those apart."""
        folder = self._entered.get(node_id)
        listing = folder.listing if folder else None
        if folder is None or listing is None or not self._tree.may_look_ahead(folder.node):
            return []
        return [listing.first_id | index for index in listing.directories]

    def prepare(self, node_id: int) -> None:
        """List a directory for who may ask; raises as `look_up`. The kernel may forget it meanwhile."""
        folder = self._enter(node_id)
        listing = self._list(folder)
        with self._lock:
            if self._entered.get(node_id) is folder:
                self._keep(folder, listing)

    def _enter(self, node_id: int) -> _Folder:
        folder = self._entered.get(node_id)
        if folder is None:
            with self._lock:  # or it might be forgotten before it is there to be let go of
                folder = self._entered.setdefault(node_id, _Folder(self[node_id]))
        return folder

    def _list(self, folder: _Folder) -> PackedListing:
        """A directory's entries; not with the lock held, as a disk may be slow."""
        tree, node = self._tree, folder.node
        return folder.listing or PackedListing(
            tree.numbering(node), tree.listing(node), next(self._numbers) << _INDEX_BITS
        )

    def _keep(self, folder: _Folder, listing: PackedListing) -> PackedListing:
        """Keep a listing, unless there is one by now, which is returned."""
        if folder.listing is None:
            folder.listing = listing
            self._listed[listing.first_id >> _INDEX_BITS] = folder
            listing.set_apart(folder.named)
        return folder.listing

    def _id_of(self, folder: _Folder, listing: PackedListing, index: int) -> int:
        """The node ID of an entry: its own, or that of the node apart or of the other name that it is."""
        own = listing.first_id | index
        if not listing.is_apart(index):
            return own
        if folder.named and (named := folder.named.get(listing.name(index))):
            return named.id
        key = listing.link_key(index)
        return own if key is None else self._linked.setdefault(key, own)

    def _named(self, folder: _Folder, node: Node) -> int:
        """The node ID of what was looked up in a directory that is not listed."""
        known = folder.named.get(node.name)
        if known is not None:
            return known.id
        key = self._key(node) if _is_linked(node) else None
        found = self._linked.get(key) if key is not None else None
        if found is None:
            found = self._next_id
            self._next_id += 1
            self._apart[found] = apart = _Apart(found, node, None if key is not None else folder)
            if key is None:
                folder.named[node.name] = apart
            else:
                self._linked[key] = found
        return found

    def _key(self, node: Node) -> int:
        """What the names of a hard-linked file share."""
        return inode_key(node.within.layer, self._tree.inode(node))

    def _entry(self, node_id: int, attributes: tuple[int, ...]) -> bytes:
        """`fuse_entry_out`, as one more look-up."""
        self._count(node_id)
        return ENTRY_OUT.pack(node_id, 0, FOREVER, FOREVER, 0, 0, *attributes)

    def _count(self, node_id: int) -> None:
        number, index = _split(node_id)
        if not number:
            self._apart[node_id].count += 1
        elif listing := self._listed[number].listing:
            listing.count(index, index + 1)

    # -- giving back -----------------------------------------------------------------------------

    def __contains__(self, node_id: object) -> bool:
        """Whether the kernel holds this ID."""
        try:
            return self[node_id] is not None  # type: ignore[index]
        except (KeyError, TypeError):
            return False

    def forget(self, node_id: int, count: int) -> bool:
        """Give back look-ups; whether none is left. An ID that is not held is ignored."""
        number, index = _split(node_id)
        with self._lock:
            gone = self._forget(number, index, count) if number else self._forget_apart(node_id, count)
            if (
                gone
                and (folder := self._entered.pop(node_id, None))
                and not (folder.listing and folder.listing.held)
            ):
                self._drop(folder)
        return gone

    def _forget(self, number: int, index: int, count: int) -> bool:
        folder = self._listed.get(number)
        listing = folder.listing if folder else None
        if folder is None or listing is None or index >= len(listing):
            return True
        if not listing.uncount(index, count):
            return False
        if not listing.held:
            self._drop(folder)
        return True

    def _drop(self, folder: _Folder) -> None:
        """Let go of a listing: it is made again if it is ever asked for."""
        listing, folder.listing = folder.listing, None
        if listing is None:
            return
        del self._listed[listing.first_id >> _INDEX_BITS]
        for index in listing.apart:
            if (key := listing.link_key(index)) is not None:
                self._unlink(key, listing.first_id | index)

    def _unlink(self, key: int, node_id: int) -> None:
        """A node ID is no longer that of a file of several names."""
        if self._linked.get(key) == node_id:
            del self._linked[key]

    def _forget_apart(self, node_id: int, count: int) -> bool:
        apart = self._apart.get(node_id)
        if apart is None:
            return True
        apart.count -= count
        if apart.count > 0 or node_id == ROOT_ID:
            return False
        del self._apart[node_id]
        if apart.folder:
            del apart.folder.named[apart.node.name]
        else:
            self._unlink(self._key(apart.node), node_id)
        return True


def _split(node_id: int) -> tuple[int, int]:
    """The number of a listing and the index in it; 0 and something for a node apart."""
    return (0, 0) if node_id >= _APART else (node_id >> _INDEX_BITS, node_id & ((1 << _INDEX_BITS) - 1))


def _is_linked(node: Node) -> bool:
    """Whether this file may have another name; a directory never has."""
    return node.stat.nlink > 1 and not node.is_dir
