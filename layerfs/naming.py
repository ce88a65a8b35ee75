"""What a name means: Docker's rules for images and containers, and ours for layers.

Where Docker answers "No such image" to a prefix that fits several, we say which.

Sources: moby `daemon/images/image.go` (GetImage), `image/store.go` (Search), `daemon/container.go`
(GetContainer), distribution/reference `normalize.go`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol, TypeVar

from layerfs.errors import (
    AmbiguousName,
    ContainerNotFound,
    ImageNotFound,
    InvalidReference,
    LayerNotFound,
    LookupFailed,
)
from layerfs.formats.errors import FormatError
from layerfs.formats.reference import parse_reference
from layerfs.ids import CacheID, ContainerID, ImageID, InvalidID, LinkID
from layerfs.likely import likely_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.formats.reference import Reference
    from layerfs.formats.repositories import Repositories
    from layerfs.model import Container, Image, Layer
    from layerfs.store.imagedb import ImageDB
    from layerfs.store.overlay2 import Overlay2

__all__ = ["Names"]

Name = TypeVar("Name", bound=str)

_HEX_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


class Store(Protocol):
    """What naming needs of a data root."""

    imagedb: ImageDB
    overlay2: Overlay2

    @property
    def repositories(self) -> Repositories:
        """The names in repositories.json."""

    def read_image(self, image_id: ImageID) -> Image:
        """The image of an ID."""

    def layers(self) -> list[Layer]:
        """Every layer."""

    def containers(self) -> list[Container]:
        """Every container."""


class Names:
    """Resolves names in one data root."""

    def __init__(self, store: Store) -> None:
        """Resolve in `store`."""
        self._store = store

    def image(self, name: str) -> Image:
        """The image called `name`; raises `ImageNotFound`, `AmbiguousName`, `InvalidReference`."""
        return self._store.read_image(self.image_id(name))

    def image_id(self, name: str) -> ImageID:
        """The ID that `name` means, in Docker's order: full ID, reference, ID prefix."""
        full = _HEX_PREFIX.fullmatch(name)
        if full and len(full[1]) == 64:
            return self._existing(ImageID.from_hex(full[1]), name)
        try:
            reference = parse_reference(name)
        except FormatError as error:
            if not full:
                raise InvalidReference(f"{name!r} is no image name: {error}") from error
        else:
            if (found := self._referenced(reference)) and found in self._store.imagedb:
                return found
        if not full:
            raise self._no_image(name)
        return self._by_prefix(name, full[1])

    def _referenced(self, reference: Reference) -> ImageID | None:
        """The image ID behind a name; a digest wins over a tag and means the manifest's digest."""
        wanted = reference.without_tag() if reference.digest else reference.with_default_tag()
        return self._store.repositories.image_of(wanted)

    def _existing(self, image_id: ImageID, name: str) -> ImageID:
        if image_id not in self._store.imagedb:
            raise self._no_image(name)
        return image_id

    def _by_prefix(self, name: str, prefix: str) -> ImageID:
        found = self._store.imagedb.ids_beginning(prefix)
        if not found:
            raise self._no_image(name)
        return _only(name, found)

    def _no_image(self, name: str) -> ImageNotFound:
        return ImageNotFound(
            f"no such image: {name}", hint=self._hint(name, ("image",), "`layerfs images -a` lists")
        )

    def _hint(self, name: str, kinds: Iterable[str], otherwise: str) -> str:
        """What may have been meant, or else how to find out."""
        rows = self._store.repositories.rows if "image" in kinds else ()
        containers = self._store.containers() if "container" in kinds else ()
        likely = likely_names(name, (row.reference for row in rows), self._names(containers))
        return f"did you mean {' or '.join(likely)}?" if likely else f"{otherwise} what there is"

    def _names(self, containers: Iterable[Container]) -> Iterable[str]:
        return (item.config.name for item in containers if item.config)

    def container(self, name: str) -> Container:
        """The container of this ID, name, or unique prefix of an ID."""
        known = {item.id: item for item in self._store.containers()}
        try:
            return known[ContainerID(name)]
        except (InvalidID, KeyError):
            pass
        wanted = name.removeprefix("/")
        for item in known.values():
            if item.config and item.config.name == wanted:
                return item
        found = [container_id for container_id in known if name and container_id.startswith(name)]
        if not found:
            raise ContainerNotFound(
                f"no such container: {name}",
                hint=self._hint(name, ("container",), "`layerfs containers` lists"),
            )
        return known[ContainerID(_only(name, found))]

    def layer(self, name: str) -> Layer:
        """The layer of this chain ID, diff ID, cache ID, short link, or a unique prefix of one.

        A chain ID wins over an equal diff ID; a diff ID may belong to several layers.
        """
        layers = self._store.layers()
        exact = [layer for layer in layers if name in (layer.chain_id, layer.chain_id.hex, layer.cache_id)]
        if not exact:
            exact = [layer for layer in layers if name in (layer.diff_id, layer.diff_id.hex)]
        if not exact and (linked := self._linked(name)):
            exact = [layer for layer in layers if layer.cache_id == linked]
        found = exact or [layer for layer in layers if _layer_prefix(layer, name)]
        if not found:
            raise LayerNotFound(f"no such layer: {name}", hint="`layerfs layers` lists what there is")
        chain = _only(name, [layer.chain_id for layer in found])
        return next(layer for layer in found if layer.chain_id == chain)

    def _linked(self, name: str) -> CacheID | None:
        try:
            return self._store.overlay2.link_target(LinkID(name.removeprefix("l/")))
        except InvalidID:
            return None

    def anything(
        self, name: str, kinds: Iterable[str] = ("image", "container", "layer")
    ) -> Image | Container | Layer:
        """What `name` means among `kinds`, in their order; raises `LookupFailed`."""
        wanted = tuple(kinds)
        for kind in wanted:
            try:
                found: Image | Container | Layer = getattr(self, kind)(name)
            except (ImageNotFound, InvalidReference, ContainerNotFound, LayerNotFound):
                if len(wanted) == 1:
                    raise
            else:
                return found
        raise LookupFailed(
            f"no such {' or '.join(wanted)}: {name}",
            hint=self._hint(
                name, wanted, "`layerfs images -a`, `layerfs containers` and `layerfs layers` list"
            ),
        )


def _layer_prefix(layer: Layer, name: str) -> bool:
    prefix = name.removeprefix("sha256:")
    texts = [layer.chain_id.hex, layer.diff_id.hex] + ([layer.cache_id] if prefix == name else [])
    return bool(prefix) and any(text.startswith(prefix) for text in texts)


def _only(name: str, found: list[Name]) -> Name:
    """The one candidate; raises `AmbiguousName` where there are more."""
    distinct = sorted(set(found))
    if len(distinct) > 1:
        raise AmbiguousName(name, distinct)
    return distinct[0]
