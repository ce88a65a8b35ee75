"""What a name means: one order for all commands.

Names and IDs in full come first, of a container, an image, a layer; then the beginnings of IDs, in the
same order. A command that is about one kind asks for that kind only. Where several of a kind have the
name it is refused with all of them; Docker answers "No such image" there.

Sources: moby `daemon/images/image.go` (GetImage), `image/store.go` (Search), `daemon/container.go`
(GetContainer), distribution/reference `normalize.go`.
"""

from __future__ import annotations

import bisect
import functools
import logging
from typing import TYPE_CHECKING, Protocol

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
from layerfs.ids import ChainID, ContainerID, ImageID
from layerfs.layernames import HEX, Match, hex_digits
from layerfs.likely import likely_names
from layerfs.model import Container, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from layerfs.barelayers import BareLayers
    from layerfs.formats.reference import Reference
    from layerfs.formats.repositories import Repositories
    from layerfs.ids import CacheID, ManifestDigest
    from layerfs.layernames import LayerNames
    from layerfs.model import BareLayer, Layer, Named
    from layerfs.store.imagedb import ImageDB
    from layerfs.store.layerdb import LayerDB

__all__ = ["ORDER", "Names"]

ORDER = ("container", "image", "layer")
"""The kinds of things that have names, in the order in which a name is looked for."""

_log = logging.getLogger(__name__)


class Store(Protocol):
    """What naming needs of a data root."""

    imagedb: ImageDB
    layerdb: LayerDB
    bare: BareLayers

    @property
    def repositories(self) -> Repositories:
        """The names in repositories.json."""

    def read_image(self, image_id: ImageID) -> Image:
        """The image of an ID."""

    def record(self, chain: ChainID) -> Layer:
        """The layer of a chain ID."""

    def container_names(self) -> dict[ContainerID, str | None]:
        """The name of every container, as far as it can be read; nothing is reported."""

    def load_container(self, container_id: ContainerID) -> Container:
        """The container of an ID."""

    def layers(self) -> list[Layer]:
        """Every layer; damage is reported."""

    def containers(self) -> list[Container]:
        """Every container; damage is reported."""


class Kind(Protocol):
    """The names of one kind of things."""

    def exact(self, name: str) -> list[Match]:
        """What is called so in full."""

    def beginning(self, name: str) -> list[Match]:
        """What has an ID that begins so."""


class Names:
    """Resolves names in one data root."""

    def __init__(self, store: Store, layers: LayerNames) -> None:
        """Resolve in `store`, whose layers have the names `layers`."""
        self._store = store
        self._read: set[str] = set()
        self._kinds: dict[str, Kind] = {
            "container": _ContainerNames(store),
            "image": _ImageNames(store),
            "layer": layers,
        }

    def anything(self, name: str, kinds: Iterable[str] = ORDER) -> Named:
        """What `name` means among `kinds`.

        Raises:
            LookupFailed: it means nothing, or several things of a kind.
            CorruptStore: it means something whose record is damaged.
        """
        return self._load(self._one(name, kinds))

    def image_or_container(self, name: str) -> Image | Container:
        """What `name` means to a command about images: an image, and only if none has it a container."""
        try:
            return self.image(name)
        except (ImageNotFound, InvalidReference):
            found = self.anything(name, ("image", "container"))
        assert isinstance(found, (Image, Container))  # noqa: S101 - as asked for
        return found

    def image(self, name: str) -> Image:
        """The image called `name`; raises `ImageNotFound`, `AmbiguousName`, `InvalidReference`."""
        return self._store.read_image(self.image_id(name))

    def image_id(self, name: str) -> ImageID:
        """The ID of the image called `name`; raises as `image`."""
        found = self._one(name, ("image",))
        assert isinstance(found, ImageID)  # noqa: S101 - as asked for
        return found

    def container(self, name: str) -> Container:
        """The container of this ID, name, or beginning of an ID."""
        found = self.anything(name, ("container",))
        assert isinstance(found, Container)  # noqa: S101 - as asked for
        return found

    def layer(self, name: str) -> Layer | BareLayer:
        """The layer of this chain ID, diff ID, cache ID, short link, blob, or beginning of one."""
        found = self.anything(name, ("layer",))
        assert not isinstance(found, (Image, Container))  # noqa: S101 - as asked for
        return found

    def matches(self, name: str, kinds: Iterable[str] = ORDER) -> list[Match]:
        """All of `kinds` that has the name in the first place of the order where anything has.

        Raises:
            LookupFailed: nothing has it.
        """
        wanted = [kind for kind in ORDER if kind in kinds]
        for kind in wanted:
            if found := self._kinds[kind].exact(name):
                return found
        for kind in wanted:
            if found := self._kinds[kind].beginning(name):
                return found
        raise self._absent(name, wanted)

    def of_every_kind(self, name: str) -> list[Match]:
        """All that is called so, whatever its kind: for who asks what a name is.

        Raises:
            AmbiguousName: it is the beginning of several IDs.
        """
        found = [match for kind in ORDER for match in self._kinds[kind].exact(name)]
        if not found:
            found = [match for kind in ORDER for match in self._kinds[kind].beginning(name)]
            if len(texts := {match.text for match in found}) > 1 and len({match.id for match in found}) > 1:
                raise AmbiguousName(name, sorted(texts))
        return found

    # -- one thing -----------------------------------------------------------------------------

    def _one(self, name: str, kinds: Iterable[str]) -> ContainerID | ImageID | ChainID | CacheID:
        kinds = tuple(kinds)
        found = _only(name, self.matches(name, kinds))
        if isinstance(found.id, ContainerID) and found.meaning == "name" and "image" in kinds:
            self._tell_of_image(name)
        return found.id

    def _tell_of_image(self, name: str) -> None:
        """Say that a container's name is an image's too."""
        for match in self._kinds["image"].exact(name):
            _log.warning(
                "%s is a container and an image: the container is taken; for the image say %s, "
                "or --type image",
                *(name, match.text),
            )

    def _load(self, found: ContainerID | ImageID | ChainID | CacheID) -> Named:
        if isinstance(found, ContainerID):
            return self._store.load_container(found)
        if isinstance(found, ImageID):
            return self._store.read_image(found)
        if isinstance(found, ChainID):
            return self._store.record(found)
        return self._store.bare.layer(found)

    def _absent(self, name: str, kinds: Sequence[str]) -> LookupFailed:
        """That nothing is called so; what is damaged, and may have had the name, is reported."""
        self._report_damage(kinds)
        if len(kinds) > 1:
            return LookupFailed(
                f"no such {', '.join(kinds[:-1])} or {kinds[-1]}: {name}",
                hint=self._hint(
                    name, kinds, "`layerfs images -a`, `layerfs containers` and `layerfs layers` list"
                ),
            )
        if kinds[0] == "container":
            hint = self._hint(name, kinds, "`layerfs containers` lists")
            return ContainerNotFound(f"no such container: {name}", hint=hint)
        if kinds[0] == "layer":
            return LayerNotFound(f"no such layer: {name}", hint="`layerfs layers` lists what there is")
        try:
            parse_reference(name)
        except FormatError as error:
            if not HEX.fullmatch(name):
                return InvalidReference(f"{name!r} is no image name: {error}")
        return ImageNotFound(
            f"no such image: {name}", hint=self._hint(name, kinds, "`layerfs images -a` lists")
        )

    def _report_damage(self, kinds: Sequence[str]) -> None:
        """Read all that has names of these kinds, once: what is damaged is reported by that."""
        for kind, read in (("layer", self._store.layers), ("container", self._store.containers)):
            if kind in kinds and kind not in self._read:
                self._read.add(kind)
                read()

    def _hint(self, name: str, kinds: Sequence[str], otherwise: str) -> Callable[[], str]:
        """What may have been meant, or else how to find out; whoever asks of many names wants no advice."""
        return lambda: self._advice(name, kinds, otherwise)

    def _advice(self, name: str, kinds: Sequence[str], otherwise: str) -> str:
        rows = self._store.repositories.rows if "image" in kinds else ()
        containers = self._store.containers() if "container" in kinds else ()
        own = (item.config.name for item in containers if item.config)
        likely = likely_names(name, (row.reference for row in rows), own)
        return f"did you mean {' or '.join(likely)}?" if likely else f"{otherwise} what there is"


class _ContainerNames:
    """The names and IDs of containers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @functools.cached_property
    def _known(self) -> Mapping[ContainerID, str | None]:
        return self._store.container_names()

    def exact(self, name: str) -> list[Match]:
        """By the ID, or the name with or without its slash."""
        if name in self._known:
            return [Match(ContainerID(name), name, "container ID")]
        wanted = name.removeprefix("/")
        return [
            Match(found, wanted, "name") for found, own in self._known.items() if wanted and own == wanted
        ]

    def beginning(self, name: str) -> list[Match]:
        """By the beginning of an ID."""
        if not HEX.fullmatch(name):
            return []
        return [Match(found, found, "container ID") for found in self._known if found.startswith(name)]


class _ImageNames:
    """References, IDs and digests of images: Docker's order within the kind."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def exact(self, name: str) -> list[Match]:
        """64 digits are an ID or a manifest's digest, never a reference."""
        if digits := hex_digits(name):
            image_id = ImageID.from_hex(digits)
            if image_id in self._store.imagedb or image_id in self._lost:
                return [Match(image_id, image_id, "image ID")]
            return self._by_digest(name)
        try:
            reference = parse_reference(name)
        except FormatError:
            return []
        return self._referenced(reference)

    def _referenced(self, reference: Reference) -> list[Match]:
        """The image behind a name; a digest wins over a tag and means the manifest's digest."""
        wanted = reference.without_tag() if reference.digest else reference.with_default_tag()
        found = self._store.repositories.image_of(wanted)
        return [Match(found, str(wanted), "name")] if found else []

    @functools.cached_property
    def _lost(self) -> frozenset[ImageID]:
        """The images that have names and no config: these are known, and cannot be read."""
        named = {row.image_id for row in self._store.repositories.rows}
        return frozenset(named.difference(self._store.imagedb.image_ids()))

    def beginning(self, name: str) -> list[Match]:
        """An image ID, as Docker has it, or else a manifest's digest that begins so."""
        if not (found := HEX.fullmatch(name)):
            return []
        lost = (item for item in self._lost if item.hex.startswith(found[1]))
        ids = (*self._store.imagedb.ids_beginning(found[1]), *lost)
        return [Match(item, item, "image ID") for item in ids] or self._by_digest(name)

    def _by_digest(self, beginning: str) -> list[Match]:
        """What the digest of a manifest, given with its algorithm or without, begins so."""
        algorithms = ("",) if ":" in beginning else ("sha256:", "sha384:", "sha512:")
        return [
            Match(image_id, digest, "digest of its manifest")
            for algorithm in algorithms
            for digest, image_id in self._digests_from(algorithm + beginning)
        ]

    def _digests_from(self, beginning: str) -> Sequence[tuple[ManifestDigest, ImageID]]:
        """Those that begin so, found by halves."""
        start = bisect.bisect_left(self._digests, beginning, key=lambda item: item[0])
        end = bisect.bisect_left(self._digests, beginning + "g", key=lambda item: item[0])
        return self._digests[start:end]

    @functools.cached_property
    def _digests(self) -> Sequence[tuple[ManifestDigest, ImageID]]:
        rows = self._store.repositories.rows
        return sorted({(row.reference.digest, row.image_id) for row in rows if row.reference.digest})


def _only(name: str, found: Sequence[Match]) -> Match:
    """The one thing that was found; raises `AmbiguousName` where there are more.

    The same files may be a base, and lie on other layers: their diff ID and their blob mean the base.
    """
    bases = {match.text for match in found if not match.above}
    left = [match for match in found if not (match.above and match.text in bases)]
    if len(ids := {match.id for match in left}) > 1:
        raise AmbiguousName(name, list(ids))
    return left[0]
