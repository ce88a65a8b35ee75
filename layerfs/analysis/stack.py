"""The layers of an image or container, base first, and the image that tells what made them.

A container has the layers of its image, and two of its own. Used by `layers`, `history` and `layerchanges`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import MissingFile
from layerfs.ids import ImageID, InvalidID
from layerfs.model import BareLayer, Image

if TYPE_CHECKING:
    from layerfs.model import Container, Layer
    from layerfs.stores.docker.dataroot import DataRoot

__all__ = ["container_layers", "image_layers", "made_from", "own_layers"]


def own_layers(root: DataRoot, container: Container) -> tuple[BareLayer, ...]:
    """The -init layer, where it has one, and the read-write layer of a container.

    Raises:
        MissingFile: its layers are not known.
    """
    mount = container.mount
    if mount is None:
        path = root.driver_dir.name_of(f"layerdb/mounts/{container.id}")
        raise MissingFile(path, f"the layers of container {container.name} are not known")
    own = [BareLayer(mount.init_id, "init layer", container.id)] if mount.init_id else []
    return (*own, BareLayer(mount.mount_id, "read-write layer", container.id))


def image_layers(root: DataRoot, container: Container) -> tuple[Layer, ...]:
    """The layers that a container stands on; raises `CorruptStore`."""
    return root.chain_of_mount(container.mount) if container.mount else ()


def container_layers(root: DataRoot, container: Container) -> tuple[Layer | BareLayer, ...]:
    """All layers of a container, its own last; raises `CorruptStore`."""
    return (*image_layers(root, container), *own_layers(root, container))


def made_from(root: DataRoot, container: Container) -> Image | None:
    """The image a container was made from, if that is still there, and the layers below are that image's."""
    try:
        image_id = ImageID(container.config.image_id if container.config else "")
    except InvalidID:
        return None
    image = root.load_image(image_id) if image_id in root.imagedb else None
    if image is None or container.mount is None:
        return image
    top = image.chain[-1] if image.chain else None
    return image if top == container.mount.parent else None
