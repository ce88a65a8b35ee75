"""Every version of every entry in a stack of layers: the layer that has it, and the layer that hides it.

The union shows one version of each path; the others are still in their layers. The walk gives all of them,
also of hidden directories, by the rules of `tree.merge`.

Sources: Linux `Documentation/filesystems/overlayfs.rst`, `fs/overlayfs/{namei,readdir}.c`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import TreeError, UnreadableEntry, UnsupportedOverlay
from layerfs.tree.lower import Descent, InvalidRedirect, join
from layerfs.tree.node import FileStat, Node, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from layerfs.tree.source import Entry, LayerSource, Marks
    from layerfs.tree.union import UnionTree

__all__ = ["Hidden", "How", "Version", "node_of", "versions"]


class How(enum.StrEnum):
    """The ways in which a layer hides what lower layers have."""

    WHITEOUT = "whiteout"
    OPAQUE = "opaque"
    REPLACED = "replaced"
    TYPE_CHANGED = "type changed"


class Hidden(NamedTuple):
    """What hides a version.

    Attributes:
        by: number of the layer that hides it, 1 for the base.
        how: the way.
        at: path of the whiteout, the opaque directory, or the entry in its place. It is the path of the
            version, or of a directory above it.
    """

    by: int
    how: How
    at: bytes


class Version(NamedTuple):
    """One object of one layer, at a path where some view of the stack shows it.

    Attributes:
        path: absolute.
        layer: number of the layer that holds it, 1 for the base.
        stat: its attributes. Hard links are separate versions with the same `dev` and `ino`.
        part: its path within that layer.
        hidden: what hides it, the lowest layer first; None where the final tree shows it.
        since: number of the layer from which on it is at this path. That is its own layer, unless a higher
            layer moved its directory here (a redirect). Then the entry has another version, at its path in
            its own layer.
    """

    path: bytes
    layer: int
    stat: FileStat
    part: bytes
    hidden: Hidden | None
    since: int

    def seen_in(self, number: int) -> bool:
        """Whether the tree of the layers up to `number` shows this version."""
        return max(self.layer, self.since) <= number and (self.hidden is None or number < self.hidden.by)


def versions(
    layers: Sequence[LayerSource],
    *,
    below: bytes = b"/",
    depth: int | None = None,
    problem: Callable[[TreeError], None] | None = None,
) -> Iterator[Version]:
    """Every entry of every layer but whiteouts. Of each path at most one version is not hidden.

    Parents come first, names in byte order, the versions of one path together, oldest first. A version is
    hidden by the lowest layer above it that hides it. A whiteout hides what is at and below its name. An
    opaque directory hides what lower layers have in it. Any other entry hides the lower ones at its path; of
    a directory, a directory above it hides only the attributes (`REPLACED`), not the entries. If a layer has
    an opaque directory and a file in it, a lower file of that name is hidden by the opaque directory, which
    comes first on the path. A directory that was moved to a path is opaque for others at that path. A
    metacopy hides the file that has its data, like any other file.

    Each directory of a layer is read once, and again at each path it was moved to. In memory are the entries
    of the directories on the way down.

    Args:
        layers: uppermost first, as in `UnionTree.layers`.
        below: give only this path and what is below it. No link is followed, and `..` is not resolved.
        depth: how many levels below that path to go down; None is all.
        problem: called for what cannot be read, which is left out; None raises the error.

    Raises:
        TreeError: a directory cannot be read, or its marks cannot be followed.
    """
    names = [name for name in below.split(b"/") if name not in (b"", b".")]
    return iter(()) if b".." in names else _Walk(layers, problem or _raise).below(names, depth)


def node_of(tree: UnionTree, version: Version) -> Node:
    """A node with which the tree reads a version: content, target and attributes, but no entries."""
    index = len(tree.layers) - version.layer
    top = Node(b"", None, tree.root.stat, Part(index, b""))
    directory, _, name = version.part.rpartition(b"/")
    if not name:
        return Node(b"", None, version.stat, top.within)
    if not directory:
        top.lower = tuple(Part(lower, b"") for lower in range(index + 1, len(tree.layers)))
        return Node(name, top, version.stat, top.within)
    # where the data of a metacopy may be, without regard to redirects of directories
    lower = tuple(Part(lower, directory) for lower in range(index + 1, len(tree.layers)))
    parent = Node(directory, top, tree.root.stat, top.within, lower)
    return Node(name, parent, version.stat, Part(index, directory))


def _raise(error: TreeError) -> None:
    raise error


class _Place(NamedTuple):
    """A directory of a layer, and the layer from which on it is at this path."""

    part: Part
    since: int


class _Chain(NamedTuple):
    """Directories that merge, uppermost first, and what hides all of their entries."""

    places: Sequence[_Place]
    hidden: Hidden | None


class _Item(NamedTuple):
    """An entry or whiteout of a layer at a path."""

    place: _Place
    entry: Entry


class _Found(NamedTuple):
    """The versions at a path, and the chains of directories there; each chain is hidden by something else."""

    path: bytes
    versions: Sequence[Version]
    chains: Sequence[_Chain]


class _Walk:
    """A walk through a stack."""

    def __init__(self, layers: Sequence[LayerSource], problem: Callable[[TreeError], None]) -> None:
        self._layers = layers
        self._problem = problem

    def below(self, names: Sequence[bytes], depth: int | None) -> Iterator[Version]:
        """Go down to a path by its names, then walk what is there."""
        found = self._root()
        for name in names:
            items = [(chain, self._probe(found, chain, name)) for chain in found.chains]
            found = self._fold(join(found.path, name), items)
        pending = [(found, 0)]
        while pending:
            found, level = pending.pop()
            yield from found.versions
            if found.chains and level != depth:
                entries, prefix = self._entries(found), join(found.path, b"")
                pending += [
                    (self._fold(prefix + name, entries[name]), level + 1)
                    for name in sorted(entries, reverse=True)
                ]

    # -- reading -------------------------------------------------------------------------------

    def _root(self) -> _Found:
        """The roots of all layers, which merge, but where an engine asks a root whether it is opaque."""
        objects: list[Version] = []
        chains: list[_Chain] = []
        places: list[_Place] = []
        hidden: Hidden | None = None
        cut: Hidden | None = None
        for index, layer in enumerate(self._layers):
            number = self.number(index)
            try:
                entry, opaque = layer.entry(b""), layer.root_is_opaque
            except OSError as error:
                self._refuse(b"/", layer, error)
                continue
            if entry is None or not entry.stat.is_dir:
                self._problem(UnreadableEntry(b"/", f"{layer.label}: the layer's root is not a directory"))
                continue
            objects.append(Version(b"/", number, entry.stat, b"", hidden, number))
            places.append(_Place(Part(index, b""), number))
            hidden = Hidden(number, How.REPLACED, b"/")
            if opaque:
                chains.append(_Chain(places, cut))
                places, cut = [], Hidden(number, How.OPAQUE, b"/")
        if places:
            chains.append(_Chain(places, cut))
        return _Found(b"/", objects[::-1], chains)

    def _entries(self, directory: _Found) -> Mapping[bytes, Sequence[tuple[_Chain, Sequence[_Item]]]]:
        """For each name in a directory, the items of each chain, uppermost first."""
        listed = [(chain, self._items(directory.path, chain)) for chain in directory.chains]
        if len(listed) == 1:
            return {name: ((chain, items),) for chain, found in listed for name, items in found.items()}
        by_name: dict[bytes, list[tuple[_Chain, Sequence[_Item]]]] = {}
        for chain, found in listed:
            for name, items in found.items():
                by_name.setdefault(name, []).append((chain, items))
        return by_name

    def _items(self, path: bytes, chain: _Chain) -> Mapping[bytes, Sequence[_Item]]:
        """For each name in the directories of a chain, what they have."""
        if len(chain.places) == 1:  # most
            place = chain.places[0]
            return {entry.name: (tuple.__new__(_Item, (place, entry)),) for entry in self._scan(path, place)}
        found: dict[bytes, list[_Item]] = {}
        for place in chain.places:
            for entry in self._scan(path, place):
                found.setdefault(entry.name, []).append(_Item(place, entry))
        return found

    def _scan(self, path: bytes, place: _Place) -> Iterable[Entry]:
        """The entries of one directory of one layer."""
        layer = self._layers[place.part.layer]
        try:
            return [*layer.scan(place.part.path)]
        except OSError as error:
            self._refuse(path, layer, error)
            return ()

    def _probe(self, directory: _Found, chain: _Chain, name: bytes) -> list[_Item]:
        """The items of one name in a chain, uppermost first; the directories are not listed."""
        items: list[_Item] = []
        for place in chain.places:
            layer, within = self._layers[place.part.layer], join(place.part.path, name)
            try:
                entry = layer.entry(within)
                if entry:
                    items.append(_Item(place, entry))
            except OSError as error:
                self._refuse(join(directory.path, name), layer, error)
        return items

    # -- folding -------------------------------------------------------------------------------

    def _fold(self, path: bytes, found: Sequence[tuple[_Chain, Sequence[_Item]]]) -> _Found:
        """One path, from what the chains of its parent have there."""
        if len(found) == 1 and len(found[0][1]) == 1:
            chain, (item,) = found[0]
            if not (item.entry.whiteout or item.entry.stat.is_dir):  # most: nothing hides it, and it nothing
                return tuple.__new__(_Found, (path, (self.version(path, item, chain.hidden),), ()))
        objects: list[Version] = []
        chains: list[_Chain] = []
        for parent, items in found:
            fold = _Fold(self, path, parent)
            for item in items:
                fold.add(item)
            objects += fold.objects
            chains += fold.finished()
        return _Found(path, sorted(objects, key=lambda item: (item.since, item.layer)), chains)

    def version(self, path: bytes, item: _Item, hidden: Hidden | None) -> Version:
        """What a layer has at a path, which `hidden` hides."""
        ((index, directory), since), entry = item
        part = directory + b"/" + entry.name if directory else entry.name
        # as _make does: every entry of every layer goes through here
        return tuple.__new__(Version, (path, len(self._layers) - index, entry.stat, part, hidden, since))

    def marks(self, path: bytes, place: _Place, parent: _Chain) -> tuple[bool, list[_Place]]:
        """Whether a directory does not merge with lower ones at its path, and the places of its redirect."""
        index, within = place.part
        moved: list[_Place] = []
        if index == len(self._layers) - 1:
            return False, moved
        layer = self._layers[index]
        try:
            marks: Marks = layer.marks(within)
            if marks.redirect is not None and not marks.opaque:
                descent = Descent(self._layers, [above.part for above in parent.places])
                for part, entry in descent.below(place.part, marks.redirect):
                    if not entry.stat.is_dir:
                        break
                    moved.append(_Place(part, place.since))
        except InvalidRedirect as error:
            self._problem(
                UnsupportedOverlay(path, f"{layer.label}: cannot follow the overlay marks: {error}")
            )
            return True, moved
        except OSError as error:
            self._refuse(path, layer, error)
            return True, moved
        return marks.opaque or marks.redirect is not None, moved

    def _refuse(self, path: bytes, layer: LayerSource, error: OSError) -> None:
        self._problem(UnreadableEntry(path, f"{layer.label}: {error.strerror or error}"))

    def number(self, index: int) -> int:
        """The number of a layer, 1 for the base, from its index in the stack."""
        return len(self._layers) - index


class _Fold:
    """Collects the versions of one name in one chain, and the chains of its directories, uppermost first."""

    def __init__(self, walk: _Walk, path: bytes, parent: _Chain) -> None:
        self._walk = walk
        self._path = path
        self._parent = parent
        self.objects: list[Version] = []
        self._chains: list[_Chain] = []
        self._merging: list[_Place] = []
        self._cut = parent.hidden
        self._above: _Item | None = None

    def add(self, item: _Item) -> None:
        """Take what the next lower layer has."""
        place, entry = item
        number = self._walk.number(place.part.layer)
        if entry.whiteout:
            self._end(Hidden(number, How.WHITEOUT, self._path))
        else:
            version = self._walk.version(self._path, item, self._hidden(entry.stat))
            self.objects.append(version)
            if entry.stat.is_dir:
                self._merge(_Place(Part(place.part.layer, version.part), place.since))
            else:
                self._end(Hidden(number, How.TYPE_CHANGED, self._path))
        self._above = item

    def finished(self) -> list[_Chain]:
        """The chains of the directories found."""
        self._end(None)
        return self._chains

    def _hidden(self, found: FileStat) -> Hidden | None:
        """What hides the next version: the one above it, or what hides the whole chain."""
        if self._above is None:
            return self._parent.hidden
        place, entry = self._above
        if entry.whiteout:
            how = How.WHITEOUT
        else:
            how = How.REPLACED if entry.stat.kind == found.kind else How.TYPE_CHANGED
        return Hidden(self._walk.number(place.part.layer), how, self._path)

    def _merge(self, place: _Place) -> None:
        self._merging.append(place)
        cut_off, moved = self._walk.marks(self._path, place, self._parent)
        self._merging += moved
        if cut_off:
            self._end(Hidden(self._walk.number(place.part.layer), How.OPAQUE, self._path))

    def _end(self, cut: Hidden | None) -> None:
        """Close the current chain of directories: the entries of lower ones are hidden by `cut`."""
        if self._merging:
            self._chains.append(_Chain(self._merging, self._cut))
            self._merging = []
        self._cut = cut
