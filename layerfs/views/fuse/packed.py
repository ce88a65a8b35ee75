"""A directory's listing as the bytes that answer for it, and how often the kernel has looked up each entry.

Replies to READDIRPLUS, LOOKUP and GETATTR are parts of the same bytes, so an entry costs its reply and some
twelve bytes more. A `Node` of an entry is made when something else is asked of it.

Source: Linux `include/uapi/linux/fuse.h`: fuse_direntplus begins with fuse_entry_out, that ends in fuse_attr.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from stat import S_IFDIR, S_ISDIR
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from layerfs.tree.node import FileStat, Node
from layerfs.views.fuse.protocol import ATTR, DIRENTPLUS, ENTRY_OUT, INODE_MODE_AND_LINKS, NAME_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layerfs.tree.listing import Listing, Numbering
    from layerfs.tree.node import Part

__all__ = ["DOTS", "FOREVER", "Attributes", "PackedListing", "attributes_of", "dot", "inode_key"]

FOREVER = 365 * 86400
"""Seconds an entry, its attributes, and its absence stay valid: an image does not change."""

DOTS = 2
"""Entries of a listing before its names: `.` and `..`, which whoever answers puts before these."""

_NANO = 10**9
_BLOCK_SIZE = 4096
_NO_DEVICE = -1  # the inode number of a packed entry is the tree's, not a device's

_PADDING = [bytes(-length & 7) for length in range(8)]
"""What is behind a name of so many bytes, modulo 8: an entry begins at a multiple of 8, as its name does."""

_COUNT_SIZE = array("I").itemsize
_NO_ENTRY = (0,) * len(ENTRY_OUT.unpack(bytes(ENTRY_OUT.size)))
_NONE: Mapping[int, Node] = MappingProxyType({})

Attributes: TypeAlias = tuple[int, ...]
"""The fields of `fuse_attr`, in its order; the first is the inode number."""


class PackedListing:
    """The entries of one directory by their index, from 0; safe to read from several threads.

    Attributes:
        above: the directory.
        first_id: the node ID of an entry is this and its index.
        counts: the look-ups that the kernel has of each entry by its ID made of the index.
        held: how many entries have any.
        apart: the entries, in order, that may have another ID: files of several names, and whatever is added.
        directories: the entries that are directories.
    """

    __slots__ = (
        "_ends", "_index", "_merged", "_packed", "_places", "above", "apart", "counts", "directories",
        "first_id", "held",
    )  # fmt: skip

    def __init__(self, numbering: Numbering, listing: Listing, first_id: int) -> None:
        """Pack a listing, with the inode numbers of `numbering`; see the attributes."""
        self.above = listing.directory
        self.first_id = first_id
        self.held = 0
        self._index: dict[bytes, int] | None = None
        places = listing.places
        self._places: Part | list[Part] = (
            places[0] if places and places.count(places[0]) == len(places) else places
        )
        self.counts = array("I", bytes(len(places) * _COUNT_SIZE))
        # what most directories have none of costs them nothing
        self.apart: Sequence[int] = ()
        self.directories: Sequence[int] = ()
        self._merged = _NONE
        if listing.directories:
            self.directories = _numbers(
                [index for index, found in enumerate(listing.stats) if S_ISDIR(found.mode)]
            )
            self._merged = {
                index: node
                for index in self.directories
                if (node := listing.directories[listing.names[index]]).lower or node.refusal
            } or _NONE
        self._packed, self._ends = self._pack(numbering, listing)

    def _pack(self, numbering: Numbering, listing: Listing) -> tuple[bytes, array[int]]:
        """The entries one behind the other, and where each begins, and the last ends; notes those apart."""
        pieces: list[bytes] = []
        apart: list[int] = []
        end, ends, head_size = 0, [0], DIRENTPLUS.size
        device, mixed = _NO_DEVICE, 0
        node_id, offset = self.first_id, DOTS + 1
        pack, merged_of = DIRENTPLUS.pack, self._merged.get
        for index, (name, found) in enumerate(zip(listing.names, listing.stats, strict=True)):
            mode, nlink, *_, dev, ino, _, _, _ = found
            if dev != device:
                device, mixed = dev, numbering.device_bits(dev)
            inode, length, merged = ino ^ mixed, len(name), merged_of(index)
            if nlink > 1 and not S_ISDIR(mode):
                apart.append(index)
            pieces += (
                pack(
                    node_id + index, 0, FOREVER, FOREVER, 0, 0,
                    *attributes_of(found, inode, merged.nlink if merged else nlink),
                    inode, offset + index, length, mode >> 12,
                ),
                name,
                _PADDING[length & 7],
            )  # fmt: skip
            end += head_size + length + (-length & 7)
            ends.append(end)
        if apart:
            self.apart = _numbers(apart)
        return b"".join(pieces), _numbers(ends)

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self.counts)

    def set_apart(self, names: Iterable[bytes]) -> None:
        """Note that entries may have IDs that are not made of their index; a name that is none is ignored."""
        found = {index for name in names if (index := self.find(name)) is not None}
        if found:
            self.apart = _numbers(sorted(found.union(self.apart)))

    def is_apart(self, index: int) -> bool:
        """Whether an entry may have another ID."""
        return bool(self.apart) and bool(self.apart_between(index, index + 1))

    def apart_between(self, begin: int, end: int) -> Sequence[int]:
        """Those that may have another ID, from one index to another."""
        return self.apart[bisect_left(self.apart, begin) : bisect_left(self.apart, end)]

    def find(self, name: bytes) -> int | None:
        """The index of a name."""
        if self._index is None:
            self._index = {self.name(index): index for index in range(len(self))}
        return self._index.get(name)

    def name(self, index: int) -> bytes:
        """The name of an entry."""
        begin = self._ends[index]
        (length,) = NAME_LENGTH.unpack_from(self._packed, begin)
        begin += DIRENTPLUS.size
        return self._packed[begin : begin + length]

    def entry(self, index: int) -> bytes:
        """`fuse_entry_out` of an entry."""
        begin = self._ends[index]
        return self._packed[begin : begin + ENTRY_OUT.size]

    def attributes(self, index: int) -> bytes:
        """`fuse_attr` of an entry."""
        end = self._ends[index] + ENTRY_OUT.size
        return self._packed[end - ATTR.size : end]

    def count(self, begin: int, end: int) -> None:
        """Count one look-up of each entry from one index to another."""
        before = self.counts[begin:end]
        self.held += before.count(0)
        self.counts[begin:end] = array("I", [count + 1 for count in before])

    def uncount(self, index: int, count: int) -> bool:
        """Take back look-ups of an entry; whether none is left."""
        before = self.counts[index]
        self.counts[index] = left = max(0, before - count)
        if before and not left:
            self.held -= 1
        return not left

    def link_key(self, index: int) -> int | None:
        """The `inode_key` of a file that may have another name, else None; a directory never has."""
        inode, mode, nlink = INODE_MODE_AND_LINKS.unpack_from(self._packed, self._ends[index])
        return inode_key(self._place(index).layer, inode) if nlink > 1 and not S_ISDIR(mode) else None

    def _place(self, index: int) -> Part:
        return self._places[index] if isinstance(self._places, list) else self._places

    def fitting(self, begin: int, room: int) -> int:
        """The index behind the entries from `begin` on that take at most `room` bytes."""
        if begin >= len(self) or room <= 0:
            return begin
        return bisect_right(self._ends, self._ends[begin] + room, begin) - 1

    def page(self, begin: int, end: int) -> bytes:
        """The entries from one index to another, as READDIRPLUS gives them."""
        return self._packed[self._ends[begin] : self._ends[end]] if begin < end else b""

    def offset(self, begin: int, index: int) -> int:
        """Where an entry begins in a page that begins with the entry `begin`."""
        return self._ends[index] - self._ends[begin]

    def node_of(self, index: int) -> Node:
        """The node of an entry; made anew but where its own place does not tell all."""
        node = self._merged.get(index)
        if node is None:
            stat = _stat_of(ATTR.unpack(self.attributes(index)))
            node = Node(self.name(index), self.above, stat, self._place(index))
        return node


def inode_key(layer: int, inode: int) -> int:
    """What the names of one file share: its layer, and the inode number that its tree shows."""
    return layer << 64 | inode


def _numbers(values: list[int]) -> array[int]:
    """Numbers from 0 on, the last of which may be the highest, in the space they need."""
    return array("I" if not values or values[-1] < 1 << 32 else "Q", values)


def dot(number: int, inode: int) -> bytes:
    """`.` or `..`, whose offset and length are both `number`; the kernel ignores all of it but the inode."""
    return (
        DIRENTPLUS.pack(*_NO_ENTRY, inode, number, number, S_IFDIR >> 12) + b"." * number + _PADDING[number]
    )


def attributes_of(found: FileStat, inode: int, nlink: int) -> Attributes:
    """`fuse_attr` of an entry, with the inode number and the links that its tree shows."""
    mode, _, uid, gid, rdev, size, blocks, _, _, atime, mtime, ctime = found
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
        nlink,
        uid,
        gid,
        _kernel_device(rdev) if rdev else 0,
        _BLOCK_SIZE,
        0,
    )


def _stat_of(attributes: Attributes) -> FileStat:
    """The attributes of an entry, whose inode number is distinct in its tree, so that no device is needed."""
    ino, size, blocks, atime, mtime, ctime, anano, mnano, cnano, mode, nlink, uid, gid, rdev, *_ = attributes
    return FileStat(
        mode, nlink, uid, gid, _host_device(rdev) if rdev else 0, size, blocks, _NO_DEVICE, ino,
        atime * _NANO + anano, mtime * _NANO + mnano, ctime * _NANO + cnano,
    )  # fmt: skip


def _kernel_device(rdev: int) -> int:
    """A device number as the kernel packs it into 32 bits (new_encode_dev)."""
    major, minor = os.major(rdev), os.minor(rdev)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def _host_device(packed: int) -> int:
    """The device number that was packed so (new_decode_dev)."""
    return os.makedev((packed >> 8) & 0xFFF, (packed & 0xFF) | ((packed >> 12) & 0xFFF00))
