"""What each layer of an image or container changed, with the history entry that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.diff.changes import Comparison
from layerfs.analysis.diff.difference import compared
from layerfs.analysis.diff.layersteps import LayerSteps
from layerfs.analysis.diff.tally import Tally
from layerfs.analysis.store.history import history
from layerfs.analysis.store.stack import container_layers, made_from
from layerfs.model import BareLayer, Container
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.analysis.diff.changes import Change
    from layerfs.errors import TreeError
    from layerfs.formats.imageconfig import HistoryEntry
    from layerfs.ids import ChainID, DiffID
    from layerfs.model import Image, Layer
    from layerfs.store import Store

__all__ = ["LayerChanges", "layer_changes", "step"]


class LayerChanges(NamedTuple):
    """One layer of an image or container.

    Attributes:
        number: 1 is the base.
        layer: its record; of a container's own layer, which has no record, a `BareLayer`.
        made_by: the history entry that made it; None if the history does not tell.
        tally: its changes to the tree of the layers below. Bytes are those in this layer, also of entries
            that are identical to those below; each inode counts once.
    """

    number: int
    layer: Layer | BareLayer
    made_by: HistoryEntry | None
    tally: Tally

    @property
    def size(self) -> int:
        """Bytes of the layer's files, as Docker counts them."""
        return self.tally.new_size + self.tally.identical_size

    @property
    def kind(self) -> str:
        """`layer`, or what `BareLayer.kind` says."""
        return self.layer.kind if isinstance(self.layer, BareLayer) else "layer"

    @property
    def diff_id(self) -> DiffID | None:
        """None for a container's own layer."""
        return None if isinstance(self.layer, BareLayer) else self.layer.diff_id

    @property
    def chain_id(self) -> ChainID | None:
        """None for a container's own layer."""
        return None if isinstance(self.layer, BareLayer) else self.layer.chain_id


def layer_changes(
    root: Store,
    owner: Image | Container,
    complain: Callable[[TreeError], None],
    each: Callable[[int, Change], None] | None = None,
) -> Iterator[LayerChanges]:
    """What each layer changed, base first.

    Args:
        root: the store.
        owner: an image or a container of it.
        complain: called for what cannot be read.
        each: called with each change and the number of its layer, before that layer is given.

    Raises:
        CorruptStore: a layer is missing or damaged.
    """
    image = made_from(root, owner) if isinstance(owner, Container) else owner
    made_by = {row.number: row.entry for row in history(root, image) if row.number} if image else {}
    layers = container_layers(root, owner) if isinstance(owner, Container) else root.chain(owner)
    tree = root.tree(owner)
    if len(tree.layers) != len(layers):  # in some kinds a tree has other layers: more, or one for all
        tree = UnionTree([root.source(layer) for layer in reversed(layers)])
    steps, comparison = LayerSteps(tree, complain), Comparison(tree, tree, complain)
    for number, layer in enumerate(layers, 1):
        top = len(layers) - number
        tally = Tally(top)
        for change in compared(steps.add(top), comparison, tally.add_same):
            tally.add(change)
            if each:
                each(number, change)
        yield LayerChanges(number, layer, made_by.get(number), tally)


def step(tree: UnionTree, number: int) -> tuple[UnionTree, UnionTree]:
    """The tree of the layers below layer `number` (1 is the base), and the tree up to that layer."""
    index = len(tree.layers) - number
    return UnionTree(tree.layers[index + 1 :]), UnionTree(tree.layers[index:])
