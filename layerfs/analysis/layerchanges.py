"""What each layer of an image did, beside the history entry that made it.

Used by the command `changes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs.analysis.difference import differences
from layerfs.analysis.history import history
from layerfs.analysis.tally import Tally
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.dataroot import DataRoot
    from layerfs.errors import TreeError
    from layerfs.formats.imageconfig import HistoryEntry
    from layerfs.model import Image, Layer

__all__ = ["LayerChanges", "layer_changes", "step"]


@dataclass(frozen=True, slots=True)
class LayerChanges:
    """One layer of an image.

    Attributes:
        number: 1 is the base.
        layer: its record.
        made_by: the history entry that made it; None where the history does not tell.
        tally: what it changed of the layers below; its bytes, those of what is identical among them, are
            those of the layer, each inode counted once.
    """

    number: int
    layer: Layer
    made_by: HistoryEntry | None
    tally: Tally

    @property
    def size(self) -> int:
        """Bytes of the layer's files, as Docker counts them."""
        return self.tally.new_size + self.tally.identical_size


def layer_changes(
    root: DataRoot, image: Image, complain: Callable[[TreeError], None]
) -> Iterator[LayerChanges]:
    """Each layer of an image, base first; `complain` is told of what cannot be read.

    Raises:
        CorruptStore: a layer is missing or damaged.
    """
    made_by = {row.number: row.entry for row in history(root, image) if row.number}
    tree = root.tree(image)
    for number, layer in enumerate(root.chain(image), 1):
        tally = Tally(of_layer=True)
        for change in differences(*step(tree, number), complain, same=tally.add_same):
            tally.add(change)
        yield LayerChanges(number, layer, made_by.get(number), tally)


def step(tree: UnionTree, number: int) -> tuple[UnionTree, UnionTree]:
    """A tree as of the layer below layer `number` (1 is the base), and as of that layer."""
    index = len(tree.layers) - number
    return UnionTree(tree.layers[index + 1 :]), UnionTree(tree.layers[index:])
