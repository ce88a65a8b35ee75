"""The layers of a container, base first, and the image it was made from.

A container has the layers of its image, and two of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import MissingFile
from layerfs.ids import ImageID, InvalidID

if TYPE_CHECKING:
    from layerfs.model import BareLayer, Container, Image, Layer
    from layerfs.store import Store

__all__ = ["container_layers", "made_from", "own_layers"]


def own_layers(root: Store, container: Container) -> tuple[BareLayer, ...]:
    """The -init layer, where it has one, and the read-write layer of a container.

    Raises:
        MissingFile: they are not known.
    """
    if not container.own:
        path = root.record_name(container.id)
        raise MissingFile(path, f"the layers of container {container.name} are not known")
    return container.own


def container_layers(root: Store, container: Container) -> tuple[Layer | BareLayer, ...]:
    """All layers of a container, its own last; raises `CorruptStore`."""
    return (*root.layers_below(container), *own_layers(root, container))


def made_from(root: Store, container: Container) -> Image | None:
    """The image a container was made from; None if it is gone, or the container has other layers below."""
    try:
        image_id = ImageID(container.config.image_id if container.config else "")
    except InvalidID:
        return None
    image = root.load_image(image_id) if root.has_image(image_id) else None
    if image is None or not container.own:
        return image
    top = image.chain[-1] if image.chain else None
    return image if top == container.top else None
