"""A tree of directories with doors to other trees, which are opened when somebody looks inside.

Few trees are kept: those that were used last. An entry holds no tree, only the room it lies in. So a tree
that was let go of is opened again for what the kernel still holds of it.
"""

from __future__ import annotations

import collections
import errno
import gc
import threading
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CorruptStore, HostError, LayerfsError, TreeError, UnreadableEntry
from layerfs.tree.node import Node
from layerfs.tree.union import UnionTree
from layerfs.views.everything.directories import NO_DEVICE, DirectoryLayer, Door, number_of

if TYPE_CHECKING:
    from layerfs.tree.content import Content
    from layerfs.tree.listing import Listing, Numbering
    from layerfs.tree.node import Part
    from layerfs.views.everything.directories import Directory

__all__ = ["MOST_TREES", "EverythingTree"]

MOST_TREES = 64
"""Trees that are kept open."""

_REASON = b"user.layerfs.error"
_DEVICE_BITS = 48
_YOUNG = 1
"""The generations to look through for what an opening left behind: a server does not collect by itself."""


class _Room:
    """What is behind a door, whether its tree is open or not.

    Attributes:
        path: of the door.
        door: the door.
        number: its inode number; those of what is inside differ by it from those of other rooms.
        labels: of the layers it had when it was first opened.
        failure: why it cannot be opened.
    """

    def __init__(self, path: bytes, door: Door) -> None:
        """Nobody has looked inside yet."""
        self.path = path
        self.door = door
        self.number = number_of(path)
        self.labels: list[str] | None = None
        self.failure: CorruptStore | None = None
        self._lock = threading.Lock()
        self._devices: dict[int, int] = {}  # not the tree's, which may be another one later

    def device_bits(self, device: int) -> int:
        """As `UnionTree.device_bits`, distinct among all rooms."""
        if device == NO_DEVICE:  # of an entry that has its number from here
            return 0
        if device < 0:
            return self.number
        with self._lock:  # two threads must not number two devices alike
            number = self._devices.setdefault(device, len(self._devices))
        return self.number ^ number << _DEVICE_BITS


class _Inside(Node):
    """The root of a tree behind a door."""

    __slots__ = ("room",)

    def __init__(self, root: Node, room: _Room) -> None:
        super().__init__(b"", None, root.stat, root.within, root.lower, root.refusal, root.entries)
        self.room = room


class _Opened(NamedTuple):
    """An open tree, and its root as the entries in it know it."""

    tree: UnionTree
    root: _Inside


class EverythingTree(UnionTree):
    """Directories, and the trees behind their doors, as one tree; safe to use from several threads."""

    def __init__(
        self, top: Directory, *, mtime_ns: int, device: int, lock: threading.RLock, most: int = MOST_TREES
    ) -> None:
        """Begin with `top`.

        Args:
            top: the root.
            mtime_ns: the time of directories without their own.
            device: of the disk that the files of layers lie on.
            lock: held while a tree is opened, or a directory of ours listed: a store is for one thread.
            most: how many trees are kept open.
        """
        self._directories = DirectoryLayer(top, mtime_ns)
        super().__init__([self._directories])
        self._disk = device
        self._most = most
        self._opening = lock
        self._kept = threading.Lock()
        self._rooms: dict[bytes, _Room] = {}
        self._open: collections.OrderedDict[bytes, _Opened] = collections.OrderedDict()

    @property
    def device(self) -> int:
        """See `UnionTree`: that of the layers, as ours are on none."""
        return self._disk

    # -- rooms ---------------------------------------------------------------------------------

    def _room_behind(self, node: Node) -> _Room | None:
        """The room whose door a node of ours is; None where it is no door."""
        path = node.part.path
        room = self._rooms.get(path)
        if room is None and node.is_dir:
            with self._opening:
                item = self._directories.item(path)
            if isinstance(item, Door):
                room = self._rooms.setdefault(path, _Room(path, item))
        return room

    def _enter(self, room: _Room) -> _Opened:
        """The tree of a room, opened if it is not; raises `UnreadableEntry`."""
        opened = self._known(room)
        if opened is None:
            with self._opening:
                opened = self._known(room)
                if opened is None:
                    tree = _open(room)
                    opened = _Opened(tree, _Inside(tree.root, room))
                    with self._kept:
                        self._open[room.path] = opened
                        if len(self._open) > self._most:
                            self._open.popitem(last=False)
                    gc.collect(_YOUNG)
        return opened

    def _known(self, room: _Room) -> _Opened | None:
        with self._kept:
            opened = self._open.get(room.path)
            if opened:
                self._open.move_to_end(room.path)
        return opened

    def _around(self, node: Node) -> UnionTree | None:
        """The tree that an entry is in; None for one of ours."""
        room = _room_around(node)
        return self._enter(room).tree if room else None

    def _directory(self, node: Node) -> tuple[UnionTree, Node] | None:
        """The tree that the entries of a directory are in, and the directory in it; None for one of ours."""
        room = _room_around(node)
        if room:
            return self._enter(room).tree, node
        behind = self._room_behind(node)
        return self._enter(behind) if behind else None

    # -- names ---------------------------------------------------------------------------------

    def children(self, node: Node) -> dict[bytes, Node]:
        """As in `UnionTree`; of a door, what is behind it."""
        if found := self._directory(node):
            tree, directory = found
            return tree.children(directory)
        return super().children(node)

    def listing(self, node: Node) -> Listing:
        """Likewise."""
        if found := self._directory(node):
            tree, directory = found
            return tree.listing(directory)
        with self._opening:
            return super().listing(node)

    def look_up(self, node: Node, name: bytes) -> Node | None:
        """Likewise."""
        if found := self._directory(node):
            tree, directory = found
            return tree.look_up(directory, name)
        with self._opening:
            return super().look_up(node, name)

    def check_name(self, node: Node, name: bytes) -> None:
        """Likewise."""
        if found := self._directory(node):
            tree, directory = found
            tree.check_name(directory, name)
        else:
            super().check_name(node, name)

    def may_look_ahead(self, node: Node) -> bool:
        """Not where directories of ours lie: a tree is opened for who asks for it."""
        return _room_around(node) is not None or self._room_behind(node) is not None

    # -- contents ------------------------------------------------------------------------------

    def readlink(self, node: Node) -> bytes:
        """As in `UnionTree`."""
        around = self._around(node)
        return around.readlink(node) if around else super().readlink(node)

    def open(self, node: Node) -> Content:
        """As in `UnionTree`."""
        around = self._around(node)
        return around.open(node) if around else super().open(node)

    def data_part(self, node: Node) -> Part:
        """As in `UnionTree`, of the tree the file is in."""
        around = self._around(node)
        return around.data_part(node) if around else super().data_part(node)

    def xattr_names(self, node: Node) -> list[bytes]:
        """As in `UnionTree`; none for a door, which asks no tree."""
        around = self._around(node)
        return around.xattr_names(node) if around else super().xattr_names(node)

    def xattr(self, node: Node, name: bytes) -> bytes | None:
        """As in `UnionTree`; for a door what a command calls its tree, or why that cannot be opened."""
        around = self._around(node)
        if around:
            return around.xattr(node, name)
        if name == _REASON and (behind := self._room_behind(node)):
            try:
                self._enter(behind)
            except TreeError as error:
                return str(error.strerror).encode(errors="surrogateescape")
            return None
        return super().xattr(node, name)

    # -- inode numbers -------------------------------------------------------------------------

    def inode(self, node: Node) -> int:
        """Distinct in all trees, and the same in every mount."""
        room = _room_around(node)
        if room is None:
            return super().inode(node)
        return room.number if node.parent is None else node.stat.ino ^ room.device_bits(node.stat.dev)

    def numbering(self, node: Node) -> Numbering:
        """That of the room that the entries of a directory are in."""
        return _room_around(node) or self._room_behind(node) or self


def _room_around(node: Node) -> _Room | None:
    """The room that an entry is in; None for one of ours, also for a door."""
    while node.parent is not None:
        node = node.parent
    return node.room if isinstance(node, _Inside) else None


def _open(room: _Room) -> UnionTree:
    """The tree of a room; raises `UnreadableEntry`."""
    where = b"/" + room.path
    try:
        if room.failure:
            raise room.failure.again()
        tree = room.door.opened()
    except HostError:
        raise
    except LayerfsError as error:
        if isinstance(error, CorruptStore):
            room.failure = error.again()  # asked for again and again by who walks; it does not heal
        raise UnreadableEntry(where, str(error)) from error
    labels = [layer.label for layer in tree.layers]
    if room.labels not in (None, labels):
        changed = UnreadableEntry(where, "its layers are others than before: mount it again")
        changed.errno = errno.ESTALE
        raise changed
    room.labels = labels
    return tree
