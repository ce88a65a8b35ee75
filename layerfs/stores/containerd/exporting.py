"""Images for `export`: byte for byte as stored, or rebuilt where blobs are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.capabilities import StoredImage
from layerfs.errors import CorruptStore, DataRootUnreadable
from layerfs.formats.compression import Compression
from layerfs.ids import ImageID
from layerfs.stores.blobs.export import PlainTar, StoredBlob
from layerfs.stores.blobs.layers import packed
from layerfs.stores.remade import Made, lost_layer, tell_loss, with_layers
from layerfs.views.export.members import TreeTar

if TYPE_CHECKING:
    from layerfs.errors import LayerfsError
    from layerfs.ids import ChainID, DiffID
    from layerfs.layertar import LayerTar
    from layerfs.model import Image, Layer
    from layerfs.stores.containerd.layers import ContainerdLayer
    from layerfs.stores.containerd.store import ContainerdStore
    from layerfs.views.export.members import Write

__all__ = ["Salvage", "stored_image"]

_NEWER = (Compression.ZSTD,)
"""Compressions of layers that Engines before version 23 cannot read."""


def stored_image(store: ContainerdStore, image: Image) -> StoredImage | None:
    """An image byte for byte; see `Keeping`."""
    own = store.own_image(image)
    layers = store.chain(image)
    if own.chosen is None or any(layer.digest is None for layer in layers):
        return None
    blobs, is_old = [], True
    for layer in layers:
        blob = store.packed(layer)
        blobs.append(StoredBlob(blob, str(layer.digest)))
        is_old = is_old and packed(blob.blob).compression not in _NEWER
    descriptor = own.chosen.descriptor
    return StoredImage(store.content.document(descriptor), descriptor.media_type, tuple(blobs), is_old)


class Salvage:
    """Rebuilds what can be rebuilt of one store: a layer from its blob, or else from its snapshot."""

    def __init__(self, store: ContainerdStore) -> None:
        """Salvage from `store`."""
        self._store = store
        self._known: dict[ChainID, LayerTar] = {}

    def image(self, image: Image) -> tuple[bytes, tuple[LayerTar, ...]]:
        """The config and the layers, as far as they can be rebuilt; raises `DataRootUnreadable`."""
        layers = tuple(self.layer(layer, layer.diff_id) for layer in self._store.chain(image))
        config = self._store.config_bytes(image)
        diff_ids = [layer.diff_id for layer in layers]
        if diff_ids != list(image.config.diff_ids):
            config = with_layers(config, diff_ids)
            tell_loss(f"image {image.name}: its config becomes {ImageID.of(config)}")
        return config, layers

    def layer(self, record: Layer, diff_id: DiffID) -> LayerTar:
        """A layer's tar: the original one, or one of what is left."""
        own = self._store.own_layer(record)
        if own.chain_id not in self._known:
            self._known[own.chain_id] = self._rebuilt(own, diff_id)
        return self._known[own.chain_id]

    def _rebuilt(self, layer: ContainerdLayer, diff_id: DiffID) -> LayerTar:
        try:
            tar = self._store.layer_tar(layer)
            assert isinstance(tar, PlainTar)  # noqa: S101 - the store gives no others
            tar.write(lambda _piece: None)  # only at its end it is known to be the original
        except DataRootUnreadable:
            raise
        except CorruptStore as error:
            return self._of_snapshot(layer, diff_id, error)
        return tar

    def _of_snapshot(self, layer: ContainerdLayer, diff_id: DiffID, problem: CorruptStore) -> LayerTar:
        """A tar of the files of a layer, whose blob is gone or damaged."""

        def skip(error: LayerfsError) -> None:
            tell_loss(f"{error}: left out")

        def generate(write: Write) -> None:
            tree = self._store.tree_of_snapshot(layer)
            TreeTar(tree, write, whiteouts=self._store.dialect, skip=skip).write_all()

        try:
            made = Made(generate, diff_id)
        except DataRootUnreadable:
            raise
        except CorruptStore as error:
            return lost_layer(diff_id, error)
        tell_loss(f"{problem}: the layer's tar is generated from its snapshot")
        tell_loss(f"layer {diff_id} becomes {made.diff_id}")
        return made
