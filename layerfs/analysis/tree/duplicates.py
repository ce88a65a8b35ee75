"""Finds files with equal contents in one layer, or in the layers of several images.

Every layer is listed once, also if several images use it. Then only regular files whose size occurs at least
twice are read, each once. One inode is one copy, also if it has several names.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from layerfs.capabilities import unwatched
from layerfs.errors import CorruptStore, UnreadableEntry
from layerfs.tree.lower import join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from layerfs.capabilities import Progress
    from layerfs.errors import LayerfsError
    from layerfs.tree.node import FileStat
    from layerfs.tree.source import Entry, LayerSource

__all__ = ["Copy", "Duplicates", "FileName", "Group"]


class FileName(NamedTuple):
    """A name of a file: the index of its layer, as given, and its path below the layer's root."""

    layer: int
    path: bytes


class Copy(NamedTuple):
    """One inode, by all its names.

    Attributes:
        places: its names: at least one, several for hard links.
        taken: bytes: its length or, with `allocated`, what it takes on disk.
    """

    places: tuple[FileName, ...]
    taken: int


class Group(NamedTuple):
    """Files with the same content.

    Attributes:
        sha256: of the content, as hexadecimal digits.
        size: of each copy, in bytes.
        copies: at least two, in the order of the layers.
    """

    sha256: str
    size: int
    copies: tuple[Copy, ...]

    @property
    def saved(self) -> int:
        """Bytes of all but the largest copy."""
        taken = [copy.taken for copy in self.copies]
        return sum(taken) - max(taken)


class _File:
    """A regular file that was listed; small, as there are many."""

    __slots__ = ("directory", "layer", "more", "name", "taken")

    def __init__(self, layer: int, directory: bytes, name: bytes, taken: int) -> None:
        self.layer = layer
        self.directory = directory
        self.name = name
        self.taken = taken
        self.more: list[FileName] = []

    @property
    def place(self) -> FileName:
        """Its first name."""
        return FileName(self.layer, join(self.directory, self.name))


class Duplicates:
    """One search for equal files; `search` runs it.

    For each file about its name is in memory; contents are read in pieces of 1 MiB.

    Attributes:
        files: distinct inodes listed so far.
        taken: their bytes.
    """

    def __init__(
        self,
        layers: Sequence[Callable[[], LayerSource]],
        *,
        min_size: int = 1,
        allocated: bool = False,
        problem: Callable[[LayerfsError], None] | None = None,
    ) -> None:
        """Search `layers`.

        Args:
            layers: each opens one distinct layer; few are open at a time.
            min_size: smaller files are left out; empty ones always are.
            allocated: count the blocks that files take on disk instead of their lengths.
            problem: called for a layer or an entry that cannot be read, which is left out; None raises the
                error.
        """
        self.files = 0
        self.taken = 0
        self._layers = layers
        self._allocated = allocated
        self._min_size = max(min_size, 1)
        self._problem = problem or _raise
        self._by_size: dict[int, _File | list[_File]] = {}
        self._linked: dict[tuple[int, int], _File] = {}
        self._found: dict[tuple[int, bytes], list[_File]] = {}

    def search(self, on_progress: Progress = unwatched) -> list[Group]:
        """The groups of equal files: those that save most come first, then by content.

        Args:
            on_progress: called with the part `listing`, counted in layers, and `reading`, counted in files.
        """
        for index in range(len(self._layers)):
            if layer := self._open(index):
                self._scan_layer(index, layer)
            on_progress("listing", 1, len(self._layers))
        self._linked.clear()
        same_size = {size: found for size, found in self._by_size.items() if isinstance(found, list)}
        self._by_size.clear()
        self._read(same_size, on_progress)
        groups = [
            Group(digest.hex(), size, tuple(map(_copy, files)))
            for (size, digest), files in self._found.items()
            if len(files) > 1
        ]
        return sorted(groups, key=lambda group: (-group.saved, group.sha256))

    # -- listing -------------------------------------------------------------------------------

    def _open(self, index: int) -> LayerSource | None:
        try:
            return self._layers[index]()
        except CorruptStore as error:
            self._problem(error)
            return None

    def _scan_layer(self, index: int, layer: LayerSource) -> None:
        pending = [b""]
        while pending:
            directory = pending.pop()
            below: list[bytes] = []
            for name, stat, _ in sorted(self._entries(layer, directory)):
                if stat.is_dir:
                    below.append(join(directory, name))
                elif stat.is_file and stat.size >= self._min_size:
                    self._add(index, directory, name, stat)
            pending += reversed(below)

    def _entries(self, layer: LayerSource, directory: bytes) -> Iterable[Entry]:
        try:
            return layer.scan(directory)
        except OSError as error:
            self._refuse(layer, directory, error)
            return ()

    def _add(self, index: int, directory: bytes, name: bytes, stat: FileStat) -> None:
        """Note a file under its size, or another name of an inode that is known."""
        if stat.nlink > 1:
            known = self._linked.get((stat.dev, stat.ino))
            if known:
                known.more.append(FileName(index, join(directory, name)))
                return
        taken = stat.blocks * 512 if self._allocated else stat.size
        found = _File(index, directory, name, taken)
        if stat.nlink > 1:
            self._linked[stat.dev, stat.ino] = found
        self.files += 1
        self.taken += taken
        same = self._by_size.setdefault(stat.size, found)
        if isinstance(same, list):
            same.append(found)
        elif same is not found:
            self._by_size[stat.size] = [same, found]

    # -- reading -------------------------------------------------------------------------------

    def _read(self, by_size: dict[int, list[_File]], on_progress: Progress) -> None:
        """Read files, layer by layer; `by_size` is emptied on the way, as it may be large."""
        total = sum(map(len, by_size.values()))
        by_layer: dict[int, list[tuple[_File, int]]] = {}
        while by_size:
            size, files = by_size.popitem()
            for file in files:
                by_layer.setdefault(file.layer, []).append((file, size))
        for index in sorted(by_layer):
            layer = self._open(index)
            for file, size in sorted(by_layer.pop(index), key=lambda item: item[0].place):
                if layer and (digest := self._digest(layer, file, size)):
                    self._found.setdefault((size, digest), []).append(file)
                on_progress("reading", 1, total)

    def _digest(self, layer: LayerSource, file: _File, size: int) -> bytes | None:
        """The sha256 of a file; None if it cannot be read or has no content of its own (metacopy)."""
        path = file.place.path
        try:
            with layer.open(path) as opened:
                if not layer.has_data(path, opened):
                    return None
                digest, read = hashlib.sha256(), 0
                for chunk in opened.chunks():
                    digest.update(chunk)
                    read += len(chunk)
                    if read > size:
                        break
        except OSError as error:
            self._refuse(layer, path, error)
            return None
        if read == size:
            return digest.digest()
        self._problem(UnreadableEntry(b"/" + path, f"{layer.label}: it changed while it was read"))
        return None

    def _refuse(self, layer: LayerSource, path: bytes, error: OSError) -> None:
        self._problem(UnreadableEntry(b"/" + path, f"{layer.label}: {error.strerror or error}"))


def _copy(file: _File) -> Copy:
    return Copy((file.place, *file.more), file.taken)


def _raise(error: LayerfsError) -> None:
    raise error
