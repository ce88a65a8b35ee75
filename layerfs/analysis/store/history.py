"""The history of an image or container, each row with the layer that its step made.

Source: moby `daemon/images/image_history.go` (v20.10.24), `image/image.go`.
"""

from __future__ import annotations

from itertools import islice, zip_longest
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.store.stack import container_layers, made_from, own_layers
from layerfs.capabilities import Ancestral
from layerfs.damage import attempt
from layerfs.errors import BrokenChain
from layerfs.formats.imageconfig import HistoryEntry
from layerfs.ids import ImageID, InvalidID
from layerfs.model import BareLayer, Container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.ids import ChainID, DiffID
    from layerfs.model import Image, Layer
    from layerfs.store import Store

__all__ = ["HistoryRow", "history"]


class HistoryRow(NamedTuple):
    """One history entry.

    Attributes:
        entry: the entry in the config.
        image_id: the image after this step, by the engine's notes of parents; None where there is none.
        number: the number of the layer it made, 1 for the base; None for an empty layer.
        diff_id: that layer's diff ID; None also for a container's own.
        chain_id: that layer's chain ID; None also for a container's own.
        cache_id: the name of its directory; None for an empty layer, or where it is not known.
        size: bytes of the layer; 0 for an empty layer, None where that is not known.
        kind: `layer`; for a container's own layers, which no history has, `init layer` or `read-write layer`.
    """

    entry: HistoryEntry
    image_id: ImageID | None = None
    number: int | None = None
    diff_id: DiffID | None = None
    chain_id: ChainID | None = None
    cache_id: str | None = None
    size: int | None = 0
    kind: str = "layer"


def history(root: Store, owner: Image | Container) -> list[HistoryRow]:
    """The rows of `docker history`, newest first; defects of layers are reported to `root`.

    For a container these are its own layers, then the rows of its image; without the image, its lower layers.

    Raises:
        CorruptStore: the layers of a container are not known.
    """
    return _of_container(root, owner) if isinstance(owner, Container) else _of_image(root, owner)


def _of_container(root: Store, container: Container) -> list[HistoryRow]:
    layers = container_layers(root, container)
    own = len(own_layers(root, container))
    image = made_from(root, container)
    rows = [_unknown(root, container, *item) for item in enumerate(layers, 1)]
    rows.reverse()
    return [*rows[:own], *(_of_image(root, image) if image else rows[own:])]


def _unknown(root: Store, container: Container, number: int, layer: Layer | BareLayer) -> HistoryRow:
    """The row of a layer without a history entry."""
    if not isinstance(layer, BareLayer):
        entry = HistoryEntry(None, "", "", "", empty_layer=False)
        return HistoryRow(entry, None, number, layer.diff_id, layer.chain_id, layer.cache_id, layer.size)
    created = container.config.created_ns if container.config else None
    size = root.content_size(layer)
    entry = HistoryEntry(created, "", "", "", empty_layer=False)
    return HistoryRow(entry, None, number, cache_id=layer.cache_id, size=size, kind=layer.kind)


def _of_image(root: Store, image: Image) -> list[HistoryRow]:
    rows = list(_oldest_first(root, image))
    rows.reverse()
    told = root.history_ids(image) if isinstance(root, Ancestral) else None
    ids = _ancestry(root, image, len(rows)) if told is None else told
    return [row._replace(image_id=own) for row, own in zip_longest(rows, islice(ids, len(rows)))]


def _oldest_first(root: Store, image: Image) -> Iterator[HistoryRow]:
    """The rows of an image: entries that are not marked empty take the layers in turn."""
    layers = enumerate(zip(image.config.diff_ids, image.chain, strict=True), 1)
    for index, entry in enumerate(image.config.history):
        if entry.empty_layer:
            yield HistoryRow(entry, size=0)
        elif (found := next(layers, None)) is None:
            root.report(_surplus(root, image, index + 1))
            yield HistoryRow(entry, size=None)
        else:
            number, (diff_id, chain) = found
            layer = _layer(root, chain)
            cache_id = layer.cache_id if layer else None
            yield HistoryRow(entry, None, number, diff_id, chain, cache_id, root.layer_size(chain))


def _ancestry(root: Store, image: Image, limit: int) -> Iterator[ImageID]:
    """The image IDs of the newest rows: the image, then its parents by the engine's notes, if they exist."""
    at: Image | None = image
    for _ in range(limit):
        if at is None:
            return
        yield at.id
        at = _parent(root, at)


def _parent(root: Store, image: Image) -> Image | None:
    """The parent of an image, if the engine's note, which is unchecked text, names a sound image."""
    try:
        parent = ImageID(image.parent or "")
    except InvalidID:
        return None
    return root.load_image(parent) if root.has_image(parent) else None


def _layer(root: Store, chain: ChainID) -> Layer | None:
    return attempt(root.report, lambda: root.record(chain))


def _surplus(root: Store, image: Image, number: int) -> BrokenChain:
    return BrokenChain(
        root.record_name(image.id),
        f"history entry {number} has no layer",
        expected="an entry for each layer",
        found=f"more entries than the {len(image.config.diff_ids)} layers",
    )
