"""What all images waste, in sums: a layer that several images use is read once.

The search of `findall` tells which layer hides what. What a layer has stored counts for every image with
it, and what a layer hides of lower ones is wasted in every image with that layer. That is all there is to it
but for hard links, metacopies and redirects: of images in which these matter no sums are given, and
`analysis.tree.waste` tells. Memory: the entries of one chain of layers, and what is wasted in it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.store.findall import find_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.store.forest import Forest, Owner, Stage
    from layerfs.analysis.store.seen import LayerHit
    from layerfs.analysis.tree.versions import Hidden
    from layerfs.errors import TreeError
    from layerfs.tree.node import FileStat

__all__ = ["Sums", "WasteOfAll"]


class Sums(NamedTuple):
    """As `waste` has it of one image: bytes stored and wasted, and the paths at which something is wasted."""

    stored: int
    wasted: int
    paths: int


class _PerOwner:
    """A number for each owner of a forest, to which is added for all owners with a stage at once."""

    def __init__(self, owners: int) -> None:
        self._steps = [0] * (owners + 1)

    def add(self, stage: Stage, amount: int) -> None:
        """Add to all whose tree has the layer of `stage`."""
        self._steps[stage.first] += amount
        self._steps[stage.last] -= amount

    def add_one(self, index: int, amount: int) -> None:
        """Add to the owner of an index."""
        self._steps[index] += amount
        self._steps[index + 1] -= amount

    def numbers(self) -> list[int]:
        """The number of each."""
        return list(accumulate(self._steps))[:-1]


class WasteOfAll:
    """Adds up all layers of a forest; `sums` are known once `steps` has come to its end."""

    def __init__(self, forest: Forest, *, allocated: bool = False) -> None:
        """Add up `forest`; with `allocated` blocks, as `waste` does."""
        self._forest = forest
        self._allocated = allocated
        self._stored, self._wasted, self._paths, self._odd = (_PerOwner(len(forest.owners)) for _ in range(4))
        self._at: set[bytes] = set()  # paths of wasted files, in the layers on the way down
        self._new: defaultdict[Stage, list[bytes]] = defaultdict(list)  # those of them that a layer added
        self._lengths: defaultdict[Stage, set[int]] = defaultdict(set)  # of the files that a layer hides
        self._lengths_above: dict[Stage, set[int]] = {}  # and the layers above it, once it is left
        self._open: Counter[int] = Counter()  # how many layers on the way down hide files of a length
        self._damaged = False

    def steps(self) -> Iterator[None]:
        """Read one layer after the other; `len(forest)` steps."""
        left = (stage for stage, entering in self._forest.walk() if not entering)
        lists = find_all(self._forest, lambda _: True, self._problem, hidden=self._hide)
        for stage, found in zip(left, lists, strict=True):
            self._leave(stage, found)
            yield

    def sums(self) -> dict[str, Sums]:
        """By the IDs of images and containers; of those that need a closer look none."""
        if self._damaged:
            return {}
        columns = (self._stored, self._wasted, self._paths, self._odd)
        rows = zip(self._forest.owners, *(column.numbers() for column in columns), strict=True)
        return {_id(owner): Sums(*numbers) for owner, *numbers, odd in rows if not odd}

    def _problem(self, error: TreeError) -> None:
        """Something cannot be read: who looks at the image reports it."""
        del error
        self._damaged = True

    def _size(self, found: FileStat) -> int:
        return found.blocks * 512 if self._allocated else found.size

    def _hide(self, hit: LayerHit, stage: Stage, hidden: Hidden | None) -> None:
        """A layer hides something of a lower one; what a missing layer hides is not asked."""
        if hidden is None or hit.stat.is_dir:
            return
        if hit.stat.nlink > 1:  # wasted if its other names are
            self._odd.add(stage, 1)
            return
        self._wasted.add(stage, self._size(hit.stat))
        if hit.stat.size not in self._lengths[stage]:
            self._lengths[stage].add(hit.stat.size)
            self._open[hit.stat.size] += 1
        if hit.path not in self._at:
            self._at.add(hit.path)
            self._new[stage].append(hit.path)
            self._paths.add(stage, 1)

    def _leave(self, stage: Stage, found: list[LayerHit]) -> None:
        """All is known of what a layer has, and of what is above it."""
        self._at.difference_update(self._new.pop(stage, ()))
        for index in found[0].told if found else ():  # the root: whoever was told of anything was of this
            self._odd.add_one(index, 1)
        several: set[tuple[int, int]] = set()  # inodes with several names that were met
        stored = 0
        for hit in found:
            if hit.stat.is_dir:
                continue
            if hit.stat.nlink > 1:
                inode = hit.stat.dev, hit.stat.ino
                if inode in several:
                    continue
                several.add(inode)
            stored += self._size(hit.stat)
        self._stored.add(stage, stored)
        above = _joined([self._lengths_above.pop(item, set()) for item in stage.above])
        if stage.below and self._has_metacopy(stage, found, above):
            self._odd.add(stage, 1)
        own = self._lengths.pop(stage, set())
        self._open.subtract(own)
        self._lengths_above[stage] = _joined([above, own])

    def _has_metacopy(self, stage: Stage, found: list[LayerHit], above: set[int]) -> bool:
        """Whether a file of the layer has its data in another, which is as long and hidden by some layer."""
        layer = self._forest.source(stage)
        for hit in found:
            if hit.stat.is_file and hit.stat.size and (self._open[hit.stat.size] or hit.stat.size in above):
                try:
                    if layer is None or layer.metacopy(hit.path[1:]) is not None:
                        return True
                except OSError:
                    self._damaged = True
        return False


def _joined(sets: list[set[int]]) -> set[int]:
    """All in the largest of the sets, so that none is copied again and again on the way down."""
    largest = max(sets, key=len, default=set[int]())
    largest.update(*(item for item in sets if item is not largest))
    return largest


def _id(owner: Owner) -> str:
    return str(owner.id)
