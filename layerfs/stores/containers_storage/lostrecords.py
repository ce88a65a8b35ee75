"""Layers and images that have files and no record, as where a file of records is damaged.

What layers stand on is told by the formula of their IDs, if they are of an image; else by their `lower`.
Images are told by their configs; what they were called is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore
from layerfs.formats.errors import FormatError
from layerfs.formats.graphroot import BigData, ImageRecord, LayerRecordText, layer_id
from layerfs.formats.imageconfig import parse_image_config
from layerfs.ids import CacheID, DiffID
from layerfs.stores.containers_storage.places import OVERLAY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from layerfs.stores.containers_storage.overlaydirs import OverlayDirs
    from layerfs.stores.containers_storage.parts import Part

__all__ = ["lost_images", "lost_layers"]


def lost_layers(
    part: Part, known: Collection[str], chains: Iterable[Sequence[DiffID]], dirs: OverlayDirs
) -> Iterator[LayerRecordText]:
    """What can be told of the layers of a root that have no record.

    Args:
        part: the root.
        known: the IDs of the layers that have one.
        chains: the diff IDs of each image, base first; asked only where there are such layers.
        dirs: the links of layers.
    """
    lost = [layer for layer in part.directories() if layer not in known]
    made = _by_formula(chains) if lost else {}
    for layer in lost:
        parent, diff_id = made.get(layer, (None, None))
        if diff_id is None and part.opened.driver == OVERLAY:
            parent = _by_lower(part, layer, dirs)
        yield LayerRecordText(layer, parent=parent, diff_id=diff_id)


def lost_images(part: Part) -> Iterator[ImageRecord]:
    """What can be told of the images of a root of which there are no records."""
    for own, keys in part.documents():
        config = f"sha256:{own}"
        if config not in keys:
            continue
        try:
            diff_ids = parse_image_config(part.document(own, config)).diff_ids
        except (CorruptStore, FormatError):  # told when the image is read
            diff_ids = ()
        top = list(_by_formula([diff_ids]))[-1:]
        data = {key: BigData(part.document_size(own, key), None) for key in keys}
        yield ImageRecord(own, "", (), (), CacheID(top[0]) if top else None, (), data)


def _by_formula(chains: Iterable[Sequence[DiffID]]) -> Mapping[str, tuple[CacheID | None, DiffID]]:
    """The layers of images by the IDs that they get: the layer below, and the diff ID."""
    found: dict[str, tuple[CacheID | None, DiffID]] = {}
    for diff_ids in chains:
        below: CacheID | None = None
        for diff_id in diff_ids:
            own = CacheID(layer_id(below, diff=diff_id.hex))
            found[own] = below, diff_id
            below = own
    return found


def _by_lower(part: Part, layer: CacheID, dirs: OverlayDirs) -> CacheID | None:
    """The layer that `lower` names first; None where it names none, or cannot be read."""
    try:
        lower = dirs.lower_of(part, layer)
    except CorruptStore:
        return None
    return dirs.by_link.get(lower[0]) if lower else None
