"""Every version of every entry in a stack of layers: who holds it, and which layer hides it, if one does.

The union shows one object a path; the others are still in their layers. This walk tells of all of them,
hidden directories included, by the rules of `tree.merge`.

Sources: Linux `Documentation/filesystems/overlayfs.rst`, `fs/overlayfs/{namei,readdir}.c`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import TreeError, UnreadableEntry, UnsupportedOverlay
from layerfs.tree.lower import Descent, InvalidRedirect, join
from layerfs.tree.node import FileStat, Node, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layerfs.tree.source import Entry, LayerSource, Marks
    from layerfs.tree.union import UnionTree

__all__ = ["Hidden", "How", "Version", "node_of", "versions"]


class How(enum.StrEnum):
    """In which way a layer hides what lower layers have."""

    WHITEOUT = "whiteout"
    OPAQUE = "opaque"
    REPLACED = "replaced"
    TYPE_CHANGED = "type changed"


class Hidden(NamedTuple):
    """What hides a version.

    Attributes:
        by: number of the layer that hides it, 1 for the base.
        how: in which way.
        at: path of the whiteout, the opaque directory, or the entry in its place: its own or one above.
    """

    by: int
    how: How
    at: bytes


class Version(NamedTuple):
    """One object of one layer, at a path where some view of the stack shows it.

    Attributes:
        path: absolute.
        layer: number of the layer that holds it, 1 for the base.
        stat: its attributes; hard links are versions of their own with the same `dev` and `ino`.
        part: its path within that layer.
        hidden: what hides it, the lowest layer first; None where the final tree shows it.
        since: number of the layer from which it is at this path: its own, but for what lies in a
            directory that a higher layer moved here (a redirect). Such an object has a version more,
            where its own layer has it.
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
    """Every object of every layer, whiteouts excepted: exactly one a path is not hidden, or none.

    Parents come first, names in byte order, the versions of one path together and oldest first. A
    version is hidden once, by the lowest layer above it that does: a whiteout hides what is at and below
    its name; an opaque directory what lower layers have inside; any object the lower ones of its
    path. So a directory over a directory supersedes its attributes (`REPLACED`) and not its entries.
    Where a layer both has an opaque directory and a file in it, the lower file is hidden by the
    directory, which is further out. A directory moved here is opaque to what else had its name.
    A metacopy file hides the file that has its data, as any other would.

    Each directory of a layer is read once, and once more where it was moved to; what is held in memory
    are the entries of the directories on the way.

    Args:
        layers: uppermost first, as in `UnionTree.layers`.
        below: one path, or a subtree, and nothing else is read; no link is followed, `..` is no name.
        depth: how many levels below that path to go down; None is all.
        problem: told of what cannot be read, and the walk goes on; without it that is raised.

    Raises:
        TreeError: a directory cannot be read, or its marks cannot be followed.
    """
    names = [name for name in below.split(b"/") if name not in (b"", b".")]
    return iter(()) if b".." in names else _Walk(layers, problem or _raise).below(names, depth)


def node_of(tree: UnionTree, version: Version) -> Node:
    """A version as a node by which its tree reads it: content, target and attributes, but no entries."""
    index = len(tree.layers) - version.layer
    top = Node(b"", None, tree.root.stat, Part(index, b""))
    directory, _, name = version.part.rpartition(b"/")
    if not name:
        return Node(b"", None, version.stat, top.within)
    if not directory:
        top.lower = tuple(Part(lower, b"") for lower in range(index + 1, len(tree.layers)))
        return Node(name, top, version.stat, top.within)
    # where a metacopy's data may be: as the layer had it, redirected directories apart
    lower = tuple(Part(lower, directory) for lower in range(index + 1, len(tree.layers)))
    parent = Node(directory, top, tree.root.stat, top.within, lower)
    return Node(name, parent, version.stat, Part(index, directory))


def _raise(error: TreeError) -> None:
    raise error


class _Place(NamedTuple):
    """A directory of a layer, and the layer by which it is at the path in question."""

    part: Part
    since: int


class _Chain(NamedTuple):
    """Directories that merge, uppermost first, and what hides all of their entries alike."""

    places: Sequence[_Place]
    hidden: Hidden | None


class _Item(NamedTuple):
    """What a layer has at a path."""

    place: _Place
    entry: Entry


class _Found(NamedTuple):
    """A path: its versions, and the directories there, each chain hidden by something else."""

    path: bytes
    versions: Sequence[Version]
    chains: Sequence[_Chain]


class _Walk:
    """A walk through a stack."""

    def __init__(self, layers: Sequence[LayerSource], problem: Callable[[TreeError], None]) -> None:
        self._layers = layers
        self._problem = problem

    def below(self, names: Sequence[bytes], depth: int | None) -> Iterator[Version]:
        """Go down to a path by its names, then through what is there."""
        found = self._root()
        for name in names:
            items = [(chain, self._probe(found, chain, name)) for chain in found.chains]
            found = self._fold(join(found.path, name), items)
        pending = [(found, 0)]
        while pending:
            found, level = pending.pop()
            yield from found.versions
            if found.chains and level != depth:
                entries = self._entries(found)
                pending += (
                    (self._fold(join(found.path, name), entries[name]), level + 1)
                    for name in sorted(entries, reverse=True)
                )

    # -- reading -------------------------------------------------------------------------------

    def _root(self) -> _Found:
        """The roots of all layers: they merge whatever their marks are."""
        objects: list[Version] = []
        places: list[_Place] = []
        hidden: Hidden | None = None
        for index, layer in enumerate(self._layers):
            number = self.number(index)
            try:
                entry = layer.entry(b"")
            except OSError as error:
                self._refuse(b"/", layer, error)
                continue
            if entry is None or not entry.stat.is_dir:
                self._problem(UnreadableEntry(b"/", f"{layer.label}: the layer's root is not a directory"))
                continue
            objects.append(Version(b"/", number, entry.stat, b"", hidden, number))
            places.append(_Place(Part(index, b""), number))
            hidden = Hidden(number, How.REPLACED, b"/")
        return _Found(b"/", objects[::-1], [_Chain(places, None)] if places else [])

    def _entries(self, directory: _Found) -> dict[bytes, list[tuple[_Chain, list[_Item]]]]:
        """What each chain of a directory has of each name, uppermost first."""
        by_name: dict[bytes, list[tuple[_Chain, list[_Item]]]] = {}
        for chain in directory.chains:
            of_chain: dict[bytes, list[_Item]] = {}
            for place in chain.places:
                for name, item in self._scan(directory.path, place):
                    of_chain.setdefault(name, []).append(item)
            for name, items in of_chain.items():
                by_name.setdefault(name, []).append((chain, items))
        return by_name

    def _scan(self, path: bytes, place: _Place) -> Iterable[tuple[bytes, _Item]]:
        """One directory of one layer."""
        layer = self._layers[place.part.layer]
        try:
            return [(entry.name, _Item(place, entry)) for entry in layer.scan(place.part.path)]
        except OSError as error:
            self._refuse(path, layer, error)
            return ()

    def _probe(self, directory: _Found, chain: _Chain, name: bytes) -> list[_Item]:
        """What a chain has of one name, uppermost first; the directories are not listed."""
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
                return _Found(path, (self.version(path, item, chain.hidden),), ())
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
        (index, directory), since = item.place
        part = join(directory, path.rpartition(b"/")[2])
        return Version(path, self.number(index), item.entry.stat, part, hidden, since)

    def marks(self, path: bytes, place: _Place, parent: _Chain) -> tuple[bool, list[_Place]]:
        """Whether a directory is cut off from what is below it, and where else it goes on."""
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
    """One name in one chain, uppermost first: its objects, and the chains of its directories."""

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
        """What hides the next object: the one above it, or what hides all of this chain."""
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
        """No lower directory merges with those gathered: what it has is hidden by `cut`."""
        if self._merging:
            self._chains.append(_Chain(self._merging, self._cut))
            self._merging = []
        self._cut = cut
