"""Resolves names in an archive to images and layers, in the order of `naming`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerfs.ids import ImageID
from layerfs.layernames import HEX, Match, hex_digits
from layerfs.naming import Names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from layerfs.ids import ChainID
    from layerfs.model import Image
    from layerfs.stores.archive.images import ArchiveImage, Images
    from layerfs.stores.archive.store import ArchiveStore
    from layerfs.stores.blobs.layers import BlobLayer

__all__ = ["ArchiveNames"]


class ArchiveNames(Names):
    """Resolves names in one archive."""

    def __init__(self, store: ArchiveStore, images: Images) -> None:
        """Resolve in `store`, whose images are `images`."""
        super().__init__(store, _LayerNames(store))
        self._archive = store
        self._kinds["image"] = _ImageNames(images)
        self._images = images

    def only_image(self) -> ArchiveImage:
        """The only image, as in every store; of an image for several platforms the chosen one."""
        return self._archive.read_image(super().only_image().id)

    def spelled(self, image: Image) -> str:
        """A name by which an image is found here; in a layout it may be only a tag."""
        names = self._archive.read_image(image.id).names
        return image.name if image.references or not names else names[0]

    def _load(self, found: Any) -> Any:
        if isinstance(found, ImageID):
            return self._archive.read_image(found)
        return self._archive.layers_by_chain[found]

    def _advice(self, name: str, kinds: Any) -> str:
        wanted = self._images.wanted
        if wanted and "image" in kinds and (found := self._images.called(name)):
            platforms = ", ".join(sorted({str(image.platform) for image in found}))
            return f"{name} is there for {platforms}, and not for {wanted}"
        return super()._advice(name, kinds)


class _ImageNames:
    """References as they are written or in normal form, image IDs, digests of manifests and indexes."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def exact(self, name: str) -> list[Match]:
        """By a full ID or digest, or by a name."""
        if digits := hex_digits(name):
            return list(self._by_id(digits)) or list(self._by_digest(digits))
        found = self._images.meant(self._images.called(name))
        return [Match(image.id, name, "name") for image in found]

    def beginning(self, name: str) -> list[Match]:
        """By the beginning of an ID, or else of a digest."""
        if not (found := HEX.fullmatch(name)):
            return []
        return list(self._by_id(found[1])) or list(self._by_digest(found[1]))

    def _by_id(self, digits: str) -> Iterator[Match]:
        for image in self._images.all.values():
            if image.id.hex.startswith(digits):
                yield Match(image.id, image.id, "image ID")

    def _by_digest(self, digits: str) -> Iterator[Match]:
        """By the digest of a manifest, or of an index, which means its image for the chosen platform."""
        by_digest: dict[str, list[ArchiveImage]] = {}
        for image in self._images.all.values():
            for digest in image.digests:
                if digest.partition(":")[2].startswith(digits):
                    by_digest.setdefault(digest, []).append(image)
        for digest, found in by_digest.items():
            for image in self._images.meant(found) if len(found) > 1 else found:
                yield Match(image.id, digest, "digest of its manifest")


class _LayerNames:
    """Chain IDs, diff IDs, digests of blobs, and their beginnings."""

    def __init__(self, store: ArchiveStore) -> None:
        self._store = store

    @property
    def _layers(self) -> Mapping[ChainID, BlobLayer]:
        return self._store.layers_by_chain

    def exact(self, name: str) -> list[Match]:
        """By an ID or digest in full."""
        digits = hex_digits(name)
        return [match for match in self._all() if match.text.partition(":")[2] == digits]

    def beginning(self, name: str) -> list[Match]:
        """By the beginning of one."""
        found = HEX.fullmatch(name)
        if not found:
            return []
        return [match for match in self._all() if match.text.partition(":")[2].startswith(found[1])]

    def _all(self) -> Iterable[Match]:
        for layer in self._layers.values():
            yield Match(layer.chain_id, layer.chain_id, "chain ID")
            above = str(layer.diff_id) != layer.chain_id
            if above:
                yield Match(layer.chain_id, layer.diff_id, "diff ID", above=True)
            if layer.digest and layer.digest != str(layer.diff_id):
                yield Match(layer.chain_id, layer.digest, "digest of its blob", above=above)
