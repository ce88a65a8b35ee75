"""An image's history, each row paired with the layer it made.

Source: moby `daemon/images/image_history.go`, `image/image.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs.errors import BrokenChain, CorruptStore
from layerfs.ids import ImageID, InvalidID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.dataroot import DataRoot
    from layerfs.formats.imageconfig import HistoryEntry
    from layerfs.ids import ChainID, DiffID
    from layerfs.model import Image, Layer

__all__ = ["HistoryRow", "history"]


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One history entry.

    Attributes:
        image_id: the image this row ends, as the engine noted it (unchecked); None where unknown.
        entry: the entry of the config.
        diff_id: the layer it made; None for an empty layer.
        chain_id: that layer's chain ID.
        layer: its record; None for an empty layer or where the store lacks it.
    """

    image_id: str | None
    entry: HistoryEntry
    diff_id: DiffID | None
    chain_id: ChainID | None
    layer: Layer | None

    @property
    def size(self) -> int | None:
        """Bytes the entry added: 0 for an empty layer, None where the layer is damaged or missing."""
        if self.entry.empty_layer:
            return 0
        return self.layer.size if self.layer else None


def history(root: DataRoot, image: Image) -> list[HistoryRow]:
    """The rows of `docker history`, newest first; defects of layers are reported to `root`."""
    layers = zip(image.config.diff_ids, image.chain, strict=True)
    rows: list[HistoryRow] = []
    for number, entry in enumerate(image.config.history):
        diff_id, chain = (None, None) if entry.empty_layer else next(layers, (None, None))
        if diff_id is None and not entry.empty_layer:
            root.report(_surplus(root, image, number))
        rows.append(HistoryRow(None, entry, diff_id, chain, _layer(root, chain) if chain else None))
    rows.reverse()
    return [
        HistoryRow(image_id, row.entry, row.diff_id, row.chain_id, row.layer)
        for image_id, row in zip(_ancestry(root, image, len(rows)), rows, strict=True)
    ]


def _ancestry(root: DataRoot, image: Image, rows: int) -> Iterator[str | None]:
    """The image ID of each row, newest first: the engine's `parent` notes, never the layers."""
    at: str | None = image.id
    for _ in range(rows):
        yield at
        at = _parent(root, at) if at else None


def _parent(root: DataRoot, image_id: str) -> str | None:
    try:
        found = root.load_image(ImageID(image_id))
    except InvalidID:
        return None
    return found.parent if found else None


def _layer(root: DataRoot, chain: ChainID) -> Layer | None:
    try:
        return root.layerdb.layer(chain)
    except CorruptStore as error:
        root.report(error)
        return None


def _surplus(root: DataRoot, image: Image, number: int) -> BrokenChain:
    return BrokenChain(
        root.imagedb.file_name(image.id),
        f"history entry {number + 1} has no layer",
        expected="an entry for each layer",
        found=f"more entries than the {len(image.config.diff_ids)} layers",
    )
