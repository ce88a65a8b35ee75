"""Which image was made from which: nothing notes it, so it is told by layers and histories, as Podman does.

Source: containers/common `libimage/layer_tree.go`, `history.go`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.ids import ImageID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.stores.containers_storage.images import Images, StorageImage
    from layerfs.stores.containers_storage.layers import Layers

__all__ = ["Ancestry"]


class Ancestry:
    """The ancestors of the images of one store."""

    def __init__(self, images: Images, layers: Layers) -> None:
        """Compare `images`, which stand on `layers`."""
        self._images = images
        self._layers = layers

    def parent(self, config: ImageConfig) -> ImageID | None:
        """The image that has all steps but the last, and the layers of these; None where there is none."""
        if not config.history:
            return None
        below = config.diff_ids if config.history[-1].empty_layer else config.diff_ids[:-1]
        return self._by_making.get((below, config.history[:-1]))

    @functools.cached_property
    def _by_making(self) -> Mapping[object, ImageID]:
        """The first image of each list of layers and steps; damaged ones are left out."""
        found: dict[object, ImageID] = {}
        for image in self._images.sound():
            found.setdefault((image.config.diff_ids, image.config.history), image.id)
        return found

    def history_ids(self, image: StorageImage) -> Sequence[ImageID | None]:
        """For each step, newest first, an image whose uppermost layer is that of the step, each image once.

        The newest is the image itself: of several with one uppermost layer Podman shows the first.
        """
        stack = attempt(lambda _: None, lambda: self._layers.walk(image.top) if image.top else []) or []
        at, found, used = 0, list[ImageID | None](), {image.id}
        for step in reversed(image.config.history):
            layer = stack[at].record.id if at < len(stack) else None
            first = self._images.by_top.get(layer) if layer else None
            found.append(first if first not in used else None)
            used.update([first] if first else [])
            at += not step.empty_layer
        return [image.id, *found[1:]]
