"""What a name means: one order for all commands.

Names and IDs in full come first, of a container, an image, a layer; then the beginnings of IDs, in the
same order. A command that is about one kind asks for that kind only. Where several of a kind have the
name it is refused with all of them; Docker answers "No such image" there.

Sources: moby `daemon/images/image.go` (GetImage), `image/store.go` (Search), `daemon/container.go`
(GetContainer), distribution/reference `normalize.go`.
"""

from __future__ import annotations

import bisect
import copy
import functools
import logging
from typing import TYPE_CHECKING, Protocol, Self

from layerfs.errors import (
    AmbiguousName,
    ContainerNotFound,
    ImageNotFound,
    InvalidReference,
    LayerNotFound,
    LookupFailed,
    NameLost,
)
from layerfs.formats.errors import FormatError
from layerfs.formats.reference import parse_reference
from layerfs.ids import ChainID, ContainerID, ImageID
from layerfs.layernames import HEX, Match, hex_digits, split_layer
from layerfs.likely import likely_names
from layerfs.model import Container, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from layerfs.formats.reference import Reference
    from layerfs.ids import ManifestDigest
    from layerfs.layernames import ID
    from layerfs.model import BareLayer, Layer, Named
    from layerfs.store import Store

__all__ = ["ORDER", "Names"]

ORDER = ("container", "image", "layer")
"""The kinds of things that have names, in the order in which a name is looked for."""

_LISTED = {
    "image": "`layerfs images -a`",
    "container": "`layerfs containers`",
    "layer": "`layerfs layers`",
}
"""The command that lists each kind, in the order in which they are recommended."""

_log = logging.getLogger(__name__)


class Kind(Protocol):
    """The names of one kind of things."""

    def exact(self, name: str) -> list[Match]:
        """What is called so in full."""

    def beginning(self, name: str) -> list[Match]:
        """What has an ID that begins so."""


class Names:
    """Resolves names in one data root."""

    def __init__(self, store: Store, layers: Kind) -> None:
        """Resolve in `store`, whose layers have the names `layers`."""
        self._store = store
        self._read: set[str] = set()
        self._kinds: dict[str, Kind] = {
            "container": _ContainerNames(store),
            "image": _ImageNames(store),
            "layer": layers,
        }

    def with_layers(self, layers: Kind) -> Self:
        """The same, but of other layers."""
        other = copy.copy(self)
        other._kinds = self._kinds | {"layer": layers}  # noqa: SLF001 - its own class
        return other

    def anything(self, name: str, kinds: Iterable[str] = ORDER) -> Named:
        """What `name` means among `kinds`.

        Raises:
            LookupFailed: it means nothing, or several things of a kind.
            CorruptStore: it means something whose record is damaged.
        """
        return self._load(self._one(name, kinds))

    def meant(self, name: str, kinds: Iterable[str] = ORDER) -> ID:
        """The ID of what `name` means, of which nothing is read; raises `LookupFailed` as `anything`."""
        return self._one(name, kinds)

    def reference(self, name: str) -> Reference | None:
        """The reference of an image of which `name` is a spelling, known or not; None where it is none."""
        try:
            return parse_reference(name).with_default_tag()
        except FormatError:
            return None

    def image_or_container(self, name: str) -> Image | Container:
        """What `name` means to a command about images: an image, and only if none has it a container."""
        try:
            return self.image(name)
        except (ImageNotFound, InvalidReference, NameLost):
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

    def only_image(self) -> Image:
        """The image that is meant where no name is given: the only one that is no other's parent.

        Raises:
            ImageNotFound: there is none that can be read.
            AmbiguousName: there are several, of which some may be damaged, or containers beside it.
        """
        images = self._store.images()
        parents = {image.parent for image in images}
        found = [image for image in images if image.has_name or image.id not in parents]
        if not found:
            raise ImageNotFound(f"{self._store.path}: there is no image in it that can be read")
        damaged = [item for item in self._store.image_ids() if self._store.load_image(item) is None]
        containers = [name or item for item, name in self._containers()]
        names = [*map(self.spelled, found), *damaged, *containers]
        if len(names) > 1:
            raise AmbiguousName(self._store.path, names, hint="give the name of the one that you mean")
        return found[0]

    def spelled(self, image: Image) -> str:
        """A name by which an image is found here."""
        return image.name

    def _containers(self) -> Iterable[tuple[str, str | None]]:
        return self._store.container_names().items() if self._store.has_containers else ()

    def in_full(self, name: str, kinds: Iterable[str] = ORDER) -> list[Match]:
        """All of `kinds` that is called so in full; nothing is reported."""
        return [match for kind in ORDER if kind in kinds for match in self._kinds[kind].exact(name)]

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
        found = self.in_full(name)
        if not found:
            found = [match for kind in ORDER for match in self._kinds[kind].beginning(name)]
            if len(texts := {match.text for match in found}) > 1 and len({match.id for match in found}) > 1:
                raise AmbiguousName(name, sorted(texts))
        return found

    def before_path(self, word: str, kinds: Iterable[str] = ORDER) -> str | None:
        """The longest name in full that the word `NAME/PATH` begins with; None if it begins with none."""
        begin, slash, _ = word.rpartition("/")
        while slash and not self.in_full(begin, kinds):
            begin, slash, _ = begin.rpartition("/")
        return begin or None

    # -- one thing -----------------------------------------------------------------------------

    def _one(self, name: str, kinds: Iterable[str]) -> ID:
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

    def _load(self, found: ID) -> Named:
        if isinstance(found, ContainerID):
            return self._store.load_container(found)
        if isinstance(found, ImageID):
            return self._store.read_image(found)
        if isinstance(found, ChainID):
            return self._store.record(found)
        return self._store.bare_layer(found)

    def _absent(self, name: str, kinds: Sequence[str]) -> LookupFailed:
        """That nothing is called so; what is damaged, and may have had the name, is reported."""
        self._report_damage(kinds)
        if lost := self._store.lost_name(name, kinds):
            return lost
        hint = self._hint(name, kinds)
        if len(kinds) > 1:
            return LookupFailed(f"no such {', '.join(kinds[:-1])} or {kinds[-1]}: {name}", hint=hint)
        if kinds[0] == "container":
            return ContainerNotFound(f"no such container: {name}", hint=hint)
        if kinds[0] == "layer":
            return LayerNotFound(f"no such layer: {name}", hint=hint)
        try:
            parse_reference(name)
        except FormatError as error:
            if not HEX.fullmatch(name):
                return InvalidReference(f"{name!r} is no image name: {error}")
        return ImageNotFound(f"no such image: {name}", hint=hint)

    def _report_damage(self, kinds: Sequence[str]) -> None:
        """Read all that has names of these kinds, once: what is damaged is reported by that."""
        for kind, read in (("layer", self._store.layers), ("container", self._store.containers)):
            if kind in kinds and kind not in self._read:
                self._read.add(kind)
                read()

    def _hint(self, name: str, kinds: Sequence[str]) -> Callable[[], str]:
        """What may have been meant, or else how to find out; whoever asks of many names wants no advice."""
        return lambda: self._advice(name, kinds)

    def _advice(self, name: str, kinds: Sequence[str]) -> str:
        if other := self._another_kind(name, kinds):
            return f"there is {other} of that name; here only {'s and '.join(kinds)}s are taken"
        whole, number = split_layer(name)
        if number is not None and self.in_full(whole, kinds):
            return f"@{number} is for commands that show a tree; here say {whole}"
        rows = self._store.repositories.rows if "image" in kinds else ()
        containers = self._store.containers() if "container" in kinds else ()
        own = [item.config.name for item in containers if item.config]
        aliases = self._store.container_aliases() if "container" in kinds else ()
        likely = likely_names(name, (row.reference for row in rows), [*own, *aliases])
        if likely:
            return f"did you mean {' or '.join(likely)}?{self._path_in(name, kinds)}"
        if begin := self.before_path(name, kinds):
            return f"a path is a word of its own, or behind a colon: {begin}:{name[len(begin) :]}"
        *most, last = (command for kind, command in _LISTED.items() if kind in kinds)
        return f"{', '.join(most)} and {last} list what there is" if most else f"{last} lists what there is"

    def _path_in(self, name: str, kinds: Sequence[str]) -> str:
        """The right form of a path, for a word that may be meant so where trees are named; else nothing."""
        before, colon, word = name.partition(":")
        if colon and word.isalpha() and set(kinds) == set(ORDER) and self.in_full(before, kinds):
            return f" A path behind a colon begins with a slash: {before}:/{word}"
        begin = self.before_path(name, kinds)
        return f" A path is behind a colon: {begin}:{name[len(begin) :]}" if begin else ""

    def _another_kind(self, name: str, kinds: Sequence[str]) -> str | None:
        """What is called so, with its article, of the kinds that were not asked for."""
        others = [kind for kind in ORDER if kind not in kinds]
        named = (kind for kind in others if self._kinds[kind].exact(name))
        begun = (kind for kind in others if self._kinds[kind].beginning(name))
        kind = next(named, None) or next(begun, None)
        return kind and f"{'an' if kind == 'image' else 'a'} {kind}"


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
            own = next(found for found in self._known if found == name)  # of the type that this kind has
            return [Match(own, name, "container ID")]
        wanted = name.removeprefix("/")
        if named := [found for found, own in self._known.items() if wanted and own == wanted]:
            return [Match(found, wanted, "name") for found in named]
        return [Match(found, name, "name") for found in self._store.container_aliases().get(name, ())]

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
            if self._store.has_image(image_id):
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
        return [Match(found, str(wanted), "name")] if found and self._store.has_image(found) else []

    def beginning(self, name: str) -> list[Match]:
        """An image ID, as Docker has it, or else a manifest's digest that begins so."""
        if not (found := HEX.fullmatch(name)):
            return []
        by_id = [Match(item, item, "image ID") for item in self._store.image_ids(found[1])]
        return by_id or self._by_digest(name)

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
        pairs = {(row.reference.digest, row.image_id) for row in rows if row.reference.digest}
        return sorted(pair for pair in pairs if self._store.has_image(pair[1]))


def _only(name: str, found: Sequence[Match]) -> Match:
    """The one thing that was found; raises `AmbiguousName` where there are more.

    The same files may be a base, and lie on other layers: their diff ID and their blob mean the base.
    """
    bases = {match.text for match in found if not match.above}
    left = [match for match in found if not (match.above and match.text in bases)]
    if len(ids := {match.id for match in left}) > 1:
        raise AmbiguousName(name, list(ids))
    return left[0]
