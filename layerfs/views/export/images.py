"""The images to export: each with its config byte for byte, and its layers as tars."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerfs.capabilities import Keeping
from layerfs.errors import NotInThisKind
from layerfs.ids import ImageID, chain_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layerfs.capabilities import LayerBlob, Salvager, StoredImage
    from layerfs.formats.reference import Reference
    from layerfs.ids import ChainID, DiffID
    from layerfs.layertar import LayerTar
    from layerfs.model import Image, Layer
    from layerfs.store import Store

__all__ = ["ExportImage", "lacking", "original", "parents", "platform_of", "salvaged", "tags_asked_for"]


@dataclass(frozen=True, slots=True)
class ExportImage:
    """An image to export.

    Attributes:
        config: the config's bytes; its ID is their sha256.
        layers: base first.
        tags: the names that it gets in the archive.
        parent: the ID of its parent as the engine wrote it; not checked.
        platform: in the form of OCI's descriptors.
        stored: its manifest and layers byte for byte, if the store keeps them; then these are written.
    """

    config: bytes
    layers: tuple[LayerTar, ...]
    tags: tuple[Reference, ...]
    parent: str | None = None
    platform: Mapping[str, str] = field(default_factory=dict)
    stored: StoredImage | None = None

    @property
    def id(self) -> ImageID:
        """Its ID."""
        return ImageID.of(self.config)

    @property
    def written(self) -> Sequence[LayerTar | LayerBlob]:
        """Its layers as they are written, base first."""
        return self.stored.layers if self.stored else self.layers

    @property
    def sizes(self) -> dict[DiffID, int]:
        """Bytes of each layer as it is written, by its diff ID; raises `CorruptStore`."""
        return {tar.diff_id: written.size for tar, written in zip(self.layers, self.written, strict=True)}

    @property
    def chain(self) -> tuple[ChainID, ...]:
        """The chain ID of each layer."""
        return chain_ids(layer.diff_id for layer in self.layers)


def original(root: Store, image: Image, tags: Iterable[Reference]) -> ExportImage:
    """The image as it was built; raises `CorruptStore` if a layer is missing."""
    layers = tuple(layer_tar(root, record) for record in root.chain(image))
    config = root.config_bytes(image)
    stored = root.stored_image(image) if isinstance(root, Keeping) else None
    return ExportImage(config, layers, tuple(tags), image.parent, platform_of(image), stored)


def salvaged(salvager: Salvager, image: Image, tags: Iterable[Reference]) -> ExportImage:
    """The image as far as it can be rebuilt; it may get another ID."""
    config, layers = salvager.image(image)
    return ExportImage(config, layers, tuple(tags), image.parent, platform_of(image))


def layer_tar(root: Store, layer: Layer) -> LayerTar:
    """The tar of a layer; raises `CorruptStore`, and `NotInThisKind` where the store keeps none."""
    found = root.layer_tar(layer)
    if found is None:
        raise NotInThisKind(root.path, root.noun, "it has no tars of layers: only trees can be exported")
    return found


def tags_asked_for(image: Image, wanted: Reference | None) -> tuple[Reference, ...]:
    """The tag to export if a user gave this name; none for an ID or digest, as in `docker save`."""
    is_tag = wanted is not None and wanted.tag and not wanted.digest
    return (wanted,) if wanted and is_tag and wanted in image.references else ()


def platform_of(image: Image) -> dict[str, str]:
    """The platform of the image in the form of OCI's descriptors; empty where the config has none."""
    config = image.config
    if not (config.architecture and config.os):
        return {}
    found = {"architecture": config.architecture, "os": config.os}
    return found | ({"variant": config.variant} if config.variant else {})


def parents(images: Sequence[ExportImage]) -> list[str | None]:
    """The parent of each image, or None if it is not among `images`: `docker load` knows only these."""
    known = {str(image.id) for image in images}
    return [image.parent if image.parent in known and image.parent != image.id else None for image in images]


def lacking(images: Sequence[ExportImage], there: Iterable[Image]) -> frozenset[str]:
    """The diff IDs of the layers that an Engine with the images `there` does not have yet.

    An Engine knows a layer by its chain ID: the same layer on other layers is another one to it.
    """
    known = {chain for image in there for chain in image.chain}
    return frozenset(
        layer.diff_id
        for image in images
        for layer, chain in zip(image.layers, image.chain, strict=True)
        if chain not in known
    )
