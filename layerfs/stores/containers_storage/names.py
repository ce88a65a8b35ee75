"""What a name means in a graph root: names as Podman resolves them among what is there.

A name with a registry means what is called so and nothing else. One without a registry is looked for in
`localhost/`, then in every registry; where several images have it there, it is ambiguous.

Sources: containers/common `libimage/runtime.go` (LookupImage); containers/image `pkg/shortnames`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.formats.errors import FormatError
from layerfs.formats.reference import parse_reference
from layerfs.ids import ImageID
from layerfs.layernames import HEX, LayerNames, Match, hex_digits
from layerfs.naming import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from layerfs.formats.reference import Reference
    from layerfs.ids import BlobDigest, CacheID
    from layerfs.layernames import KnownLayer
    from layerfs.stores.containers_storage.images import Images
    from layerfs.stores.containers_storage.storedimages import StoredImages

__all__ = ["StorageLayerNames", "StorageNames"]

_LOCAL = "localhost"


class StorageNames(Names):
    """Resolves names in one store."""

    def __init__(self, store: StoredImages, images: Images) -> None:
        """Resolve names in `store`, whose images are `images`."""
        super().__init__(store, store.layer_names(store.known_layers))
        self._kinds["image"] = _ImageNames(images)


class _ImageNames:
    """Names in full and short ones, IDs, digests of manifests and lists."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def exact(self, name: str) -> list[Match]:
        """The images with this ID or digest in full, or this name."""
        if digits := hex_digits(name):
            own = ImageID.from_hex(digits)
            return [Match(own, own, "image ID")] if own in self._images.all else self._by_digest(name)
        if found := self._images.by_other_name.get(name):
            return [Match(found, name, "name")]
        try:
            wanted = parse_reference(name)
        except FormatError:
            return []
        # a digest wins over a tag, and means the manifest's digest
        wanted = wanted.without_tag() if wanted.digest else wanted.with_default_tag()
        return list(self._called(wanted, _is_short(name)))

    def _called(self, wanted: Reference, short: str | None) -> Iterator[Match]:
        if short is None:
            yield from self._in_repository(wanted)
            return
        local = wanted._replace(domain=_LOCAL, path=short)
        if found := list(self._in_repository(local)):
            yield from found
            return
        for reference in sorted(self._images.by_reference, key=str):
            in_some_registry = f"/{reference.name}".endswith(f"/{short}")
            if in_some_registry and (reference.tag, reference.digest) == (wanted.tag, wanted.digest):
                yield Match(self._images.by_reference[reference], str(reference), "name")

    def _in_repository(self, wanted: Reference) -> Iterator[Match]:
        """The image of a reference; by a digest also one that has it besides that of its name."""
        if found := self._images.by_reference.get(wanted):
            yield Match(found, wanted.canonical, "name")
        elif wanted.digest:
            own = {image_id for digest, image_id in self._images.digests() if digest == wanted.digest}
            for reference, image_id in self._images.by_reference.items():
                if image_id in own and reference.name == wanted.name:
                    yield Match(image_id, wanted.canonical, "name")
                    return

    def beginning(self, name: str) -> list[Match]:
        """The images whose ID begins so, or else those of which a digest does."""
        if not (found := HEX.fullmatch(name)):
            return []
        own = [
            Match(item, item, "image ID")
            for item in sorted(self._images.all)
            if item.hex.startswith(found[1])
        ]
        return own or self._by_digest(name)

    def _by_digest(self, beginning: str) -> list[Match]:
        wanted = beginning if ":" in beginning else f"sha256:{beginning}"
        return [
            Match(image_id, digest, "digest of its manifest")
            for digest, image_id in self._images.digests()
            if digest.startswith(wanted)
        ]


def _is_short(name: str) -> str | None:
    """The path of a name without a registry, as it is written; None for one with a registry."""
    path = name.partition("@")[0]
    head, colon, tag = path.rpartition(":")
    path = head if colon and "/" not in tag else path
    first, slash, _ = path.partition("/")
    is_registry = slash and (any(mark in first for mark in ".:") or first == _LOCAL or first != first.lower())
    return None if is_registry else path


class StorageLayerNames(LayerNames):
    """Finds layers by their IDs, those of their chain and contents, short links, and digests of blobs."""

    place_meaning = "layer ID"

    def __init__(
        self,
        layers: Callable[[], Iterable[KnownLayer]],
        by_link: Callable[[], Mapping[str, CacheID]],
        by_name: Callable[[], Mapping[str, CacheID]],
        blobs: Callable[[], Mapping[str, BlobDigest]],
    ) -> None:
        """Find among `layers`.

        Args:
            layers: are asked for when a name could be one of theirs.
            by_link: gives the layers by the texts of `link`.
            by_name: by the names of their records.
            blobs: gives the digests of the blobs that layers were made of.
        """
        super().__init__(layers)
        self._blobs_of = blobs
        self._by_link = by_link
        self._by_name = by_name

    def link(self, name: str) -> Iterator[Match]:
        """By the short link, or the name of a record as `web-layer`."""
        for found, meaning in ((self._by_link, "link"), (self._by_name, "name of its record")):
            place = found().get(name.removeprefix("l/") if meaning == "link" else name)
            yield from (
                Match(layer.id, name, meaning) for layer in self.layers if place and layer.place == place
            )

    def blob(self, name: str) -> Iterator[Match]:
        """By the digest in full of the blob that was applied; see `StorageLayer.blob_digest`."""
        if digits := hex_digits(name):
            yield from (match for match in self._blobs() if match.text.endswith(digits))

    def every_name(self) -> Iterator[Match]:
        """Every name of every layer; names of records count only in full, as they are no digests."""
        yield from super().every_name()
        yield from self._blobs()
        links: dict[str, str] = {place: link for link, place in self._by_link().items()}
        for layer in self.layers:
            if layer.place in links:
                yield Match(layer.id, links[layer.place], "link")

    def begins(self, match: Match, name: str) -> bool:
        """As in `LayerNames`; a link is written with `l/` before it, too."""
        if match.meaning == "link":
            return bool(name) and match.text.startswith(name.removeprefix("l/"))
        return super().begins(match, name)

    def _blobs(self) -> Iterator[Match]:
        blobs = self._blobs_of()
        for layer in self.layers:
            digest = blobs.get(layer.place) if layer.place else None
            if digest and digest != str(layer.diff_id):
                above = str(layer.diff_id) != layer.chain_id
                yield Match(layer.id, digest, "digest of its blob", above)
