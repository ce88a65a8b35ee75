"""What a name means in a containerd root: an image, a container or a layer; the order is that of `naming`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.formats.errors import FormatError
from layerfs.formats.reference import parse_reference
from layerfs.ids import ImageID
from layerfs.layernames import HEX, LayerNames, Match, hex_digits
from layerfs.naming import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from layerfs.formats.reference import Reference
    from layerfs.layernames import KnownLayer
    from layerfs.model import Image
    from layerfs.stores.containerd.images import Images
    from layerfs.stores.containerd.layers import Placed
    from layerfs.stores.containerd.storedimages import StoredImages

__all__ = ["ContainerdLayerNames", "ContainerdNames"]


class ContainerdNames(Names):
    """Resolves names in one containerd root."""

    def __init__(self, store: StoredImages, images: Images) -> None:
        """Resolve names in `store`, whose images are `images`."""
        super().__init__(store, store.layer_names(store.known_layers))
        self._own = store
        self._kinds["image"] = _ImageNames(images)

    def spelled(self, image: Image) -> str:
        """A name by which an image is found here."""
        return self._own.read_image(image.id).name


class _ImageNames:
    """Names as they are written or in normal form, targets, and digests of manifests and configs."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def exact(self, name: str) -> list[Match]:
        """The images with this ID or digest in full, or this name."""
        if digits := hex_digits(name):
            own = ImageID.from_hex(digits)
            return [Match(own, own, "image ID")] if own in self._images.ids else self._beginning(digits)
        return [Match(ids, text, "name") for ids, text in self._called(name)]

    def beginning(self, name: str) -> list[Match]:
        """The images whose ID begins so, or else those of which a digest does."""
        found = HEX.fullmatch(name)
        return self._beginning(found[1]) if found else []

    def _called(self, name: str) -> Iterator[tuple[ImageID, str]]:
        if found := self._written.get(name):
            yield found, name
            return
        try:
            wanted = parse_reference(name)
        except FormatError:
            return
        if wanted.digest:
            # the image must have a name in this repository; a tag beside the digest is ignored
            wanted = wanted.without_tag()
        wanted = wanted.with_default_tag()
        for image_id in self._by_reference.get(wanted, ()):
            yield image_id, str(wanted)

    @functools.cached_property
    def _written(self) -> Mapping[str, ImageID]:
        """The first image that has each name as it is written."""
        found: dict[str, ImageID] = {}
        by_target = {target: image_id for image_id, target in self._images.ids.items()}
        for digest, target in self._images.targets.items():
            for name in target.names:
                found.setdefault(name, by_target[digest])
        return found

    @functools.cached_property
    def _by_reference(self) -> Mapping[Reference, list[ImageID]]:
        found: dict[Reference, list[ImageID]] = {}
        for image_id, references in self._images.references.items():
            for reference in references:
                found.setdefault(reference, []).append(image_id)
        return found

    def _beginning(self, digits: str) -> list[Match]:
        own = [Match(found, found, "image ID") for found in self._images.ids if found.hex.startswith(digits)]
        return own or list(self._by_target(digits)) or list(self._below(digits))

    def _by_target(self, digits: str) -> Iterator[Match]:
        for image_id, target in self._images.ids.items():
            if target.partition(":")[2].startswith(digits):
                yield Match(image_id, target, "digest of its target")

    def _below(self, digits: str) -> Iterator[Match]:
        """The images with this digest of a manifest below their target, or of a config."""
        for image_id, target in self._images.ids.items():
            for item in self._images.below(self._images.targets[target]):
                config = item.manifest.config if item.manifest else None
                for digest, what in (
                    (item.descriptor.digest, "manifest"),
                    (config and config.digest, "config"),
                ):
                    if item.is_image and digest and digest.partition(":")[2].startswith(digits):
                        yield Match(image_id, digest, f"digest of its {what}")


class ContainerdLayerNames(LayerNames):
    """Chain and diff IDs, numbers and keys of snapshots, digests of blobs."""

    place_meaning = "number of its snapshot"

    def __init__(
        self,
        layers: Callable[[], Iterable[KnownLayer]],
        by_key: Callable[[str], Placed | None],
        by_digest: Callable[[], Mapping[str, Iterable[str]]],
    ) -> None:
        """Know the names of `layers`; `by_key` finds a snapshot, `by_digest` has the chain IDs of a blob."""
        super().__init__(layers)
        self._by_key = by_key
        self._by_digest = by_digest

    def link(self, name: str) -> Iterator[Match]:
        """The layer with this snapshot key."""
        if placed := self._by_key(name):
            yield Match(placed.place, name, "key of its snapshot")

    def blob(self, name: str) -> Iterator[Match]:
        """The layer whose blob has this digest, in full."""
        if digits := hex_digits(name):
            yield from (match for match in self._blobs() if match.text.endswith(digits))

    def every_name(self) -> Iterator[Match]:
        """Every name of every layer; keys of snapshots count only in full, as they are no digests."""
        yield from super().every_name()
        yield from self._blobs()

    def begins(self, match: Match, name: str) -> bool:
        """As in `LayerNames`; numbers are compared in full: 1 is not the beginning of 15."""
        return match.meaning != self.place_meaning and super().begins(match, name)

    def _blobs(self) -> Iterator[Match]:
        known = {layer.chain_id: layer for layer in self.layers if layer.chain_id}
        for digest, chains in self._by_digest().items():
            for chain in chains:
                layer = known.get(chain)  # type: ignore[call-overload]
                if layer and str(layer.diff_id) != digest:
                    yield Match(layer.id, digest, "digest of its blob", above=True)
