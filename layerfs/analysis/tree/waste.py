"""Bytes that an image stores but its tree does not show, for each layer and path, and a score.

Stored are, as Docker counts, the lengths of all inodes of a layer but directories, each once. An inode is
wasted if the final tree shows none of its names; the data of a metacopy count as shown if the metacopy is. So
a hidden version counts once, even if several layers hide it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.tree.versions import versions
from layerfs.errors import TreeError, UnreadableEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layerfs.analysis.tree.versions import Hidden, Version
    from layerfs.tree.node import FileStat
    from layerfs.tree.union import UnionTree

__all__ = ["LayerWaste", "PathWaste", "Waste", "WastedFile", "waste"]


class WastedFile(NamedTuple):
    """An inode that the final tree shows nowhere.

    Attributes:
        layer: number of the layer that holds it, 1 for the base.
        size: bytes.
        names: how many paths it had.
        hidden: what hides the path that was visible longest.
    """

    layer: int
    size: int
    names: int
    hidden: Hidden


class PathWaste(NamedTuple):
    """What is wasted at one path; an inode of several names is accounted where it was visible longest."""

    path: bytes
    files: tuple[WastedFile, ...]

    @property
    def wasted(self) -> int:
        """Bytes."""
        return sum(file.size for file in self.files)


class LayerWaste(NamedTuple):
    """The account of one layer, in bytes.

    Attributes:
        number: 1 for the base.
        stored: all files in it.
        wasted: those that the final tree does not show.
        hides: the wasted files of lower layers that it hides.
    """

    number: int
    stored: int
    wasted: int
    hides: int


class Waste(NamedTuple):
    """The account of a stack of layers.

    Attributes:
        layers: base first.
        paths: most wasted first, then in byte order.
    """

    layers: tuple[LayerWaste, ...]
    paths: tuple[PathWaste, ...]

    @property
    def stored(self) -> int:
        """Bytes in all layers."""
        return sum(layer.stored for layer in self.layers)

    @property
    def wasted(self) -> int:
        """Bytes that the final tree does not show."""
        return sum(layer.wasted for layer in self.layers)

    @property
    def share(self) -> float:
        """The wasted part of what is stored, 0 to 1; 0 where nothing is stored."""
        return self.wasted / self.stored if self.stored else 0.0

    @property
    def efficiency(self) -> float:
        """1 - wasted / stored; 1 where nothing is stored."""
        return (self.stored - self.wasted) / self.stored if self.stored else 1.0


def waste(
    tree: UnionTree,
    *,
    allocated: bool = False,
    problem: Callable[[TreeError], None] | None = None,
    found: Iterable[Version] | None = None,
) -> Waste:
    """Add up the layers of a tree.

    Args:
        tree: an image's or a container's.
        allocated: count the blocks that files take on disk instead of their lengths.
        problem: called for what cannot be read, which is left out; None raises the error.
        found: all its versions, if the caller walks through them anyway.
    """
    problem = problem or _raise
    if found is None:
        found = versions(tree.layers, problem=problem)
    return _Account(tree, found, problem, allocated=allocated).closed()


class _Inode(NamedTuple):
    layer: int
    dev: int
    ino: int


class _Name(NamedTuple):
    """A hidden name of an inode; `own` is false if a higher layer moved it there."""

    path: bytes
    hidden: Hidden
    own: bool


class _Shown(NamedTuple):
    """A visible file above the base, which may be a metacopy."""

    layer: int
    part: bytes
    path: bytes


class _Account:
    """Adds up versions."""

    def __init__(
        self,
        tree: UnionTree,
        found: Iterable[Version],
        problem: Callable[[TreeError], None],
        *,
        allocated: bool,
    ) -> None:
        self._tree = tree
        self._problem = problem
        self._allocated = allocated
        self._stored = [0] * (len(tree.layers) + 1)
        self._sizes: dict[_Inode, int] = {}
        self._lengths: set[int] = set()
        self._hidden: dict[_Inode, list[_Name]] = {}
        self._visible: set[_Inode] = set()
        self._counted: set[_Inode] = set()
        self._files: defaultdict[int, list[_Shown]] = defaultdict(list)
        for version in found:
            if not version.stat.is_dir:
                self._add(version)

    def _add(self, version: Version) -> None:
        found, own = version.stat, version.since == version.layer
        if version.hidden or found.nlink > 1 or not own:
            self._add_inode(version, own=own)
        else:  # its only name, which is shown
            self._stored[version.layer] += self._size(found)
        if version.hidden is None and version.layer > 1 and found.size and found.is_file:
            self._files[found.size].append(_Shown(version.layer, version.part, version.path))

    def _add_inode(self, version: Version, *, own: bool) -> None:
        """One name of an inode that has several, or is hidden there."""
        found = version.stat
        inode = _Inode(version.layer, found.dev, found.ino)
        if own and (found.nlink == 1 or inode not in self._counted):
            self._stored[version.layer] += self._size(found)
            if found.nlink > 1:
                self._counted.add(inode)
        if version.hidden:
            self._sizes[inode] = self._size(found)
            self._lengths.add(found.size)
            self._hidden.setdefault(inode, []).append(_Name(version.path, version.hidden, own))
        else:
            self._visible.add(inode)

    def _size(self, found: FileStat) -> int:
        return found.blocks * 512 if self._allocated else found.size

    def closed(self) -> Waste:
        """The account."""
        self._visible.update(self._data_of_metacopies())
        by_path: defaultdict[bytes, list[WastedFile]] = defaultdict(list)
        for inode, names in self._hidden.items():
            # an only name may be visible in its own directory and hidden where it was moved to
            if inode not in self._visible and any(name.own for name in names):
                last = max(names, key=lambda name: name.hidden.by)
                file = WastedFile(inode.layer, self._sizes[inode], len(names), last.hidden)
                by_path[last.path].append(file)
        paths = [PathWaste(path, tuple(files)) for path, files in by_path.items()]
        return Waste(
            tuple(self._layers([file for item in paths for file in item.files])),
            tuple(sorted(paths, key=lambda item: (-item.wasted, item.path))),
        )

    def _layers(self, files: Sequence[WastedFile]) -> Iterator[LayerWaste]:
        wasted, hides = ([0] * len(self._stored) for _ in range(2))
        for file in files:
            wasted[file.layer] += file.size
            hides[file.hidden.by] += file.size
        for number in range(1, len(self._stored)):
            yield LayerWaste(number, self._stored[number], wasted[number], hides[number])

    def _data_of_metacopies(self) -> Iterator[_Inode]:
        """The inodes with the data of visible metacopies; both have the same length."""
        for length in self._lengths & self._files.keys():
            for shown in self._files[length]:
                try:
                    if inode := self._data(shown):
                        yield inode
                except TreeError as error:
                    self._problem(error)

    def _data(self, shown: _Shown) -> _Inode | None:
        layers = self._tree.layers
        source = layers[len(layers) - shown.layer]
        try:
            if source.metacopy(shown.part) is None:
                return None
            index, path = self._tree.data_part(self._tree.resolve(shown.path, follow=False))
            entry = layers[index].entry(path)
        except TreeError:
            raise
        except OSError as error:
            raise UnreadableEntry(shown.path, f"{source.label}: {error.strerror or error}") from error
        return _Inode(len(layers) - index, entry.stat.dev, entry.stat.ino) if entry else None


def _raise(error: TreeError) -> None:
    raise error
