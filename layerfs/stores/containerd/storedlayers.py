"""The part of a containerd store that tells which layers its images have, and what reads them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import BrokenChain
from layerfs.ids import BlobDigest, ChainID, ImageID, InvalidID, chain_id
from layerfs.model import Blob, Image, Layer
from layerfs.stores.containerd.layers import ContainerdLayer
from layerfs.stores.containerd.notes import pulled_from
from layerfs.stores.containerd.storedimages import StoredImages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.cache.blobs import Cache
    from layerfs.formats.descriptors import Descriptor
    from layerfs.ids import DiffID
    from layerfs.stores.blobs.layers import LayerFiles
    from layerfs.stores.containerd.image import ContainerdImage
    from layerfs.stores.containerd.places import Opened
    from layerfs.stores.containerd.trees import Trees
    from layerfs.stores.registry import Options

__all__ = ["StoredLayers"]


class StoredLayers(StoredImages):
    """The layers of the images of some namespaces of one containerd root."""

    def __init__(self, opened: Opened, options: Options) -> None:
        """Read a root that is open; see `open`."""
        super().__init__(opened, options)
        self._limits = options.cache
        self._progress = options.progress
        self._chains: dict[ImageID, tuple[ContainerdLayer, ...]] = {}

    @functools.cached_property
    def cache(self) -> Cache:
        """What decompresses blobs."""
        from layerfs.cache.blobs import Cache  # noqa: PLC0415 - a list of images reads no layer
        from layerfs.cache.options import CacheOptions  # noqa: PLC0415 - likewise

        cache = Cache(self._limits or CacheOptions(), self._progress)
        cache.avoid(self.directory)
        return cache

    @functools.cached_property
    def _files(self) -> LayerFiles:
        from layerfs.stores.blobs.layers import LayerFiles  # noqa: PLC0415 - as above
        from layerfs.stores.containerd.unpacking import as_unpacked  # noqa: PLC0415 - as above

        files = LayerFiles(self.cache, self.report, as_unpacked=as_unpacked)
        files.stand(lambda layer: self._trees.below(layer.parent))
        return files

    @functools.cached_property
    def _trees(self) -> Trees:
        from layerfs.stores.containerd.trees import Trees  # noqa: PLC0415 - as above

        return Trees(self._snapshots, self._files, self.report, lambda: self.layers_by_chain)

    def chain(self, image: Image, up_to: int | None = None) -> tuple[ContainerdLayer, ...]:
        """The image's layers, base first, or the lowest `up_to`; raises `CorruptStore`."""
        own = self.own_image(image)
        if own.chosen is None or own.manifest is None:
            raise self._no_image(image)
        key = ImageID(own.chosen.descriptor.digest)
        if key not in self._chains:
            self._chains[key] = self._chain(own, own.manifest.layers)
        return self._chains[key][:up_to]

    def _chain(self, image: ContainerdImage, blobs: Sequence[Descriptor]) -> tuple[ContainerdLayer, ...]:
        found: list[ContainerdLayer] = []
        for diff_id, descriptor in zip(image.config.diff_ids, blobs, strict=True):
            below = found[-1].chain_id if found else None
            found.append(self._layer(chain_id(below, diff_id), diff_id, below, descriptor))
        return tuple(found)

    def _layer(
        self, chain: ChainID, diff_id: DiffID, below: ChainID | None, descriptor: Descriptor
    ) -> ContainerdLayer:
        from layerfs.stores.blobs.layers import BlobLayer  # noqa: PLC0415 - as above

        digest = _digest(descriptor.digest)
        blob = attempt(self.report, lambda: self.content.find(descriptor.digest))
        packed = None
        if blob:
            place = descriptor.blob_path
            packed = BlobLayer(
                chain, diff_id, below, digest, descriptor.media_type, place, blob, self._files.size
            )
        return ContainerdLayer(
            chain, diff_id, below, self._snapshots.of(chain), packed, digest, descriptor.size
        )

    @functools.cached_property
    def layers_by_chain(self) -> Mapping[ChainID, ContainerdLayer]:
        """Every layer of every image of every platform; images that are damaged are reported."""
        found: dict[ChainID, ContainerdLayer] = {}
        for image_id in self._images.ids:
            for image in self._images.every_platform(image_id):
                for layer in attempt(self.report, functools.partial(self.chain, image)) or ():
                    found.setdefault(layer.chain_id, layer)
        return found

    def layers(self) -> list[ContainerdLayer]:
        """Every layer of an image, by chain ID, that is unpacked or whose blob is there."""
        found = self.layers_by_chain
        return [found[chain] for chain in sorted(found) if found[chain].placed or found[chain].packed]

    def record(self, chain: ChainID) -> ContainerdLayer:
        """The layer of this chain ID; raises `BrokenChain` if no image has it."""
        found = self.layers_by_chain.get(chain)
        if found is None:
            raise BrokenChain(self.meta_name, "no image has a layer of this chain ID", expected=chain)
        return found

    def own_layer(self, layer: Layer) -> ContainerdLayer:
        """The layer as a `ContainerdLayer` of this store."""
        return layer if isinstance(layer, ContainerdLayer) else self.record(layer.chain_id)

    def blobs(self, layer: DiffID | None) -> tuple[Blob, ...]:
        """The blobs of a layer, each with the repositories that labels say it was pulled from."""
        return tuple(
            Blob(BlobDigest(digest), self._repositories_of(digest))
            for digest in sorted(self._digests.get(layer, ()))
        )

    @functools.cached_property
    def _digests(self) -> Mapping[DiffID | None, set[str]]:
        found: dict[DiffID | None, set[str]] = {}
        for layer in self.layers_by_chain.values():
            if layer.digest:
                found.setdefault(layer.diff_id, set()).add(layer.digest)
        return found

    def _repositories_of(self, digest: str) -> tuple[str, ...]:
        """The repositories that a blob was pulled from, by its labels."""
        blobs = (space.blob(digest) for space in self.spaces)
        return tuple(dict.fromkeys(name for blob in blobs if blob for name in pulled_from(blob.labels)))


def _digest(text: str) -> BlobDigest | None:
    try:
        return BlobDigest(text)
    except InvalidID:
        return None
