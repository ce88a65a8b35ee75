"""The merge of one directory: the rules of overlayfs, applied to what each layer has of it.

`union.py` calls it when somebody first looks into a directory.

Sources: Linux `fs/overlayfs/readdir.c` (ovl_dir_read_merged), `fs/overlayfs/namei.c` (ovl_lookup).
"""

from __future__ import annotations

from stat import S_ISDIR
from typing import TYPE_CHECKING

from layerfs.errors import reason
from layerfs.tree.listing import Listing
from layerfs.tree.lower import Descent, InvalidRedirect, join
from layerfs.tree.node import Node, Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerfs.tree.node import FileStat
    from layerfs.tree.source import Entry, LayerSource, Marks

__all__ = ["look_up", "merge_directory", "put_on"]


def merge_directory(layers: Sequence[LayerSource], directory: Node) -> Listing:
    """The entries of `directory`, in the kernel's order; raises `OSError` as a layer gives it."""
    return _Merge(layers, directory).merged() if directory.lower else _alone(layers, directory)


def look_up(layers: Sequence[LayerSource], directory: Node, name: bytes) -> Node | None:
    """The one entry `name` of `directory`, without listing anything; raises as `merge_directory` does."""
    if directory.lower:
        return _Merge(layers, directory).one(name)
    part = directory.part
    entry = layers[part.layer].entry(join(part.path, name))
    return None if entry is None or entry.whiteout else _only(layers, directory, entry, part)


def put_on(layers: Sequence[LayerSource], directory: Node, entry: Entry, below: Node | None) -> Node | None:
    """What an entry of the uppermost place of `directory` makes of a name whose entry without it is known.

    Args:
        layers: the layers of the tree.
        directory: the directory.
        entry: what its uppermost place has of the name.
        below: the entry of that name which its other places make; None if they have none.
    """
    return _Merge(layers, directory).on(entry, below)


def _alone(layers: Sequence[LayerSource], directory: Node) -> Listing:
    """A directory of one place, as most are: its own entries without the whiteouts."""
    part = directory.part
    names: list[bytes] = []
    stats: list[FileStat] = []
    directories: dict[bytes, Node] = {}
    for entry in layers[part.layer].scan(part.path):
        name, found, whiteout = entry
        if whiteout:
            continue
        names.append(name)
        stats.append(found)
        if S_ISDIR(found.mode):
            directories[name] = _only(layers, directory, entry, part)
    return Listing(directory, names, stats, [part] * len(names), directories)


def _only(layers: Sequence[LayerSource], directory: Node, entry: Entry, part: Part) -> Node:
    """An entry of a directory of one place; a directory in it may have been moved here from below."""
    node = Node(entry.name, directory, entry.stat, part)
    if node.is_dir and part.layer < len(layers) - 1:
        _take_marks(layers, directory, node, part)
    return node


class _Merge:
    """A merge in progress: what is visible, and which names no lower place can add to."""

    def __init__(self, layers: Sequence[LayerSource], directory: Node) -> None:
        self._layers = layers
        self._directory = directory
        self._visible: dict[bytes, tuple[FileStat, Part]] = {}
        self._directories: dict[bytes, Node] = {}
        self._settled: set[bytes] = set()

    def merged(self) -> Listing:
        """Go through the places, uppermost first."""
        *upper, lowest = self._directory.parts
        orders = [self._take(part, self._layers[part.layer].scan(part.path)) for part in upper]
        # the kernel lists the lowest directory's names first, then what upper layers add
        orders.insert(0, self._take(lowest, self._layers[lowest.layer].scan(lowest.path)))
        visible = self._visible
        every = dict.fromkeys(name for order in orders for name in order)
        names = [name for name in every if name in visible]
        stats = [visible[name][0] for name in names]
        places = [visible[name][1] for name in names]
        return Listing(self._directory, names, stats, places, self._directories)

    def one(self, name: bytes) -> Node | None:
        """Ask the places for one name, uppermost first, until nothing below can add to it."""
        for part in self._directory.parts:
            entry = self._layers[part.layer].entry(join(part.path, name))
            if entry is not None:
                self._take(part, (entry,))
                if name in self._settled:
                    break
        return self._node(name)

    def on(self, entry: Entry, below: Node | None) -> Node | None:
        """Take one entry of the uppermost place, and then what the others are known to make."""
        self._take(self._directory.part, (entry,))
        node = self._node(entry.name)
        if node and below and below.is_dir and entry.name not in self._settled:
            node.lower += below.parts
            node.refusal = node.refusal or below.refusal
        return node

    def _node(self, name: bytes) -> Node | None:
        """What is visible under a name."""
        if name not in self._visible:
            return None
        return self._directories.get(name) or Node(name, self._directory, *self._visible[name])

    def _take(self, part: Part, entries: Iterable[Entry]) -> list[bytes]:
        """Take one place's entries into the merge; its names, in its order."""
        names: list[bytes] = []
        for entry in entries:
            names.append(entry.name)
            if entry.name in self._settled:
                continue
            if entry.whiteout:
                self._settled.add(entry.name)
            elif S_ISDIR(entry.stat.mode):
                self._take_directory(part, entry)
            else:
                self._settled.add(entry.name)
                if entry.name not in self._visible:
                    self._visible[entry.name] = entry.stat, part
        return names

    def _take_directory(self, part: Part, entry: Entry) -> None:
        """A directory: the first one found is what is seen, those below merge into it."""
        node = self._directories.get(entry.name)
        if node is None:
            node = self._directories[entry.name] = Node(entry.name, self._directory, entry.stat, part)
            self._visible[entry.name] = entry.stat, part
        else:
            node.lower += (Part(part.layer, join(part.path, entry.name)),)
        if part.layer < len(self._layers) - 1:
            marks = _take_marks(self._layers, self._directory, node, part)
            if marks is None or marks.opaque or marks.redirect is not None:
                self._settled.add(entry.name)


def _take_marks(layers: Sequence[LayerSource], directory: Node, node: Node, part: Part) -> Marks | None:
    """Read the marks of `node` in one place, and follow its redirect; None where it cannot be followed."""
    here = Part(part.layer, join(part.path, node.name))
    layer = layers[here.layer]
    try:
        marks = layer.marks(here.path)
        if marks.redirect is not None and not marks.opaque:
            for lower, entry in Descent(layers, directory.parts).below(here, marks.redirect):
                if not entry.stat.is_dir:
                    break
                node.lower += (lower,)
    except (InvalidRedirect, OSError) as error:
        node.refusal = f"{layer.label}: cannot follow the overlay marks: {reason(error)}"
        return None
    return marks
