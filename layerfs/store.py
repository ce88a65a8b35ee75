"""What the engine asks of a store, whatever kind it is: `Store`. `capabilities` has what only some can do.

A kind of store derives a class from `Store` and gives what is abstract; all else is derived from that, and
may be given better. No module outside the package of a kind knows more of it than is said here.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from layerfs.accounts import Accounted
from layerfs.damage import Reporting, attempt
from layerfs.errors import BrokenChain, CorruptStore, LayerNotFound
from layerfs.formats.whiteouts import TRUSTED
from layerfs.layerchain import walk_down
from layerfs.layernames import KnownLayer, LayerNames
from layerfs.model import NOWHERE, BareLayer, Container, Image, Layer
from layerfs.naming import Names
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from layerfs.errors import NameLost
    from layerfs.formats.jsontext import Json
    from layerfs.formats.repositories import Repositories
    from layerfs.formats.whiteouts import Dialect
    from layerfs.ids import ChainID, ContainerID, DiffID, ImageID
    from layerfs.layerchain import AnyLayer
    from layerfs.layertar import LayerTar
    from layerfs.model import Blob, Named, Place
    from layerfs.tree.source import LayerSource

__all__ = ["FILES", "RECORDS", "Store"]

RECORDS = "records"
"""The part of a store that tells which images and layers there are."""

FILES = "files"
"""The part of a store that has the files of layers."""


class Store(Reporting, Accounted, ABC):
    """One store, open for reading.

    Attributes:
        kind: which kind it is, a word.
        driver: what its engine calls the way in which layers are stored; None where there is none.
        path: where it was opened, as given.
        has_containers: whether stores of this kind have containers at all.
        place_word: what a user of its engine calls where a layer lies, as `cache_id` of JSON has it.
        link_word: likewise a layer's other name, `link` of JSON.
        has_places: whether layers lie in directories, so that there are such names at all.
        has_every_layer_unpacked: whether each layer lies in a directory: one without is damaged.
        has_pods: whether its containers are listed as those of pods, as Kubernetes' client does.
        changes_by_layer: whether its engine's own diff of a container goes by what lies in the layer, see
            `analysis.diff.layerdiff`.
        hidden_changes: the paths that this diff never tells.
        lists_unnamed: whether the client of its engine lists images without a name when it is not asked to.
    """

    kind: str = ""
    driver: str | None = None
    has_containers: bool = True
    place_word: str = "cache ID"
    link_word: str = "link"
    has_places: bool = True
    has_every_layer_unpacked: bool = False
    has_pods: bool = False
    changes_by_layer: bool = False
    hidden_changes: Collection[bytes] = frozenset()
    lists_unnamed: bool = True
    path: str

    @property
    def noun(self) -> str:
        """What to call a store of this kind in a sentence, with its article."""
        return f"a store of kind {self.kind!r}"

    def __init__(self, path: str) -> None:
        """A store at `path`, without damage so far."""
        self.path = path
        super().__init__()

    # -- what each kind gives ------------------------------------------------------------------

    @abstractmethod
    def image_ids(self, beginning: str = "") -> Sequence[ImageID]:
        """Every image, sound or not, whose digits begin so; sorted."""

    @abstractmethod
    def read_image(self, image_id: ImageID) -> Image:
        """The image of this ID; raises `CorruptStore`, also where there is none."""

    @abstractmethod
    def config_bytes(self, image: Image) -> bytes:
        """The config of an image, byte for byte; raises `CorruptStore`."""

    @property
    @abstractmethod
    def repositories(self) -> Repositories:
        """The names of images, in Docker's normal form."""

    @abstractmethod
    def layers(self) -> Sequence[Layer]:
        """Every sound layer, by chain ID; damaged ones are reported and left out."""

    @abstractmethod
    def record(self, chain: ChainID) -> Layer:
        """The layer of this chain ID; raises `CorruptStore`, also where there is none."""

    @abstractmethod
    def source(self, layer: Layer | BareLayer) -> LayerSource:
        """A layer by itself as overlayfs reads it; raises `CorruptStore`."""

    @abstractmethod
    def evidence(self) -> set[tuple[int, int]]:
        """`(st_dev, st_ino)` of every directory below which nothing may be written."""

    def require(self, *parts: str) -> None:
        """Raise `StoreGone` where one of `RECORDS` and `FILES` is not there at all."""

    def lacks(self, part: str) -> bool:  # noqa: ARG002 - for kinds of several parts
        """Whether a part is not there at all; that was reported then."""
        return False

    def lost_name(self, name: str, kinds: Sequence[str]) -> NameLost | None:  # noqa: ARG002 - see `lacks`
        """Why it cannot be told whether something of these kinds has a name; None where it can."""
        return None

    def record_name(self, of: ImageID | ChainID | ContainerID) -> str:
        """What to call, in messages, the file that tells of an image, a layer, a container."""
        return f"{self.path}: {of}"

    def namespaces(self) -> Sequence[str]:
        """What is in it that can be read for itself, as namespaces; nothing in kinds without such."""
        return ()

    # -- images --------------------------------------------------------------------------------

    def has_image(self, image_id: ImageID) -> bool:
        """Whether there is an image of this ID, sound or not."""
        return image_id in self.image_ids()

    def images(self, *, all_platforms: bool = False) -> Sequence[Image]:  # noqa: ARG002 - for kinds with them
        """Every sound image, or each platform of it, newest first; damaged ones are reported and left out."""
        found = map(self.load_image, self.image_ids())
        return sorted(
            (image for image in found if image),
            key=lambda image: (image.config.created_ns is None, -(image.config.created_ns or 0), image.id),
        )

    @functools.cached_property
    def _loaded(self) -> dict[ImageID, Image | None]:
        return {}

    def load_image(self, image_id: ImageID) -> Image | None:
        """The image of this ID, or None where it is missing or damaged (then reported)."""
        if image_id not in self._loaded:
            self._loaded[image_id] = attempt(self.report, lambda: self.read_image(image_id))
        return self._loaded[image_id]

    @functools.cached_property
    def names(self) -> Names:
        """Resolves names."""
        return Names(self, self.layer_names(self.known_layers))

    def layer_names(self, layers: Callable[[], Iterable[KnownLayer]]) -> LayerNames:
        """The names that some layers have in this kind of store."""
        return LayerNames(layers)

    def known_layers(self) -> Iterator[KnownLayer]:
        """Every layer with the names of it that can be known, however damaged it is."""
        return (KnownLayer(layer.chain_id, layer.diff_id, layer.cache_id) for layer in self.layers())

    def image(self, name: str) -> Image:
        """The image that Docker would mean by `name`: a reference, an ID, or a prefix of one.

        Raises:
            ImageNotFound, AmbiguousName, InvalidReference: as `naming` has it.
            CorruptStore: it is the image meant, but its config is damaged.
        """
        return self.names.image(name)

    def other_names(self) -> Collection[str]:
        """The names of images that are no references."""
        return ()

    def last_tagged(self, image: Image) -> str | None:  # noqa: ARG002 - for kinds that note it
        """When an image was last tagged, as Docker writes a time; None where nothing tells."""
        return None

    def notes(self, subject: Image | Container) -> Mapping[str, Any]:  # noqa: ARG002 - for engines with more
        """What its engine's own inspection tells besides, in the engine's words; raises `FormatError`."""
        return {}

    # -- layers --------------------------------------------------------------------------------

    def layer(self, name: str) -> Layer | BareLayer:
        """The layer called by its chain ID, diff ID, another name of its kind, or a prefix of one."""
        return self.names.layer(name)

    def layer_size(self, chain: ChainID) -> int | None:
        """A layer's size in bytes; None where it is not known, which is reported."""
        return attempt(self.report, lambda: self.record(chain).size)

    def content_size(self, layer: BareLayer) -> int | None:
        """See `Accounted`: in kinds without such layers nothing asks."""
        del layer
        return None

    def chain(self, image: Image, up_to: int | None = None) -> tuple[Layer, ...]:
        """The image's layers, base first, or the lowest `up_to` of them; raises `CorruptStore`."""
        return tuple(self.record(chain) for chain in image.chain[:up_to])

    def chain_below(self, top: ChainID, until: Collection[ChainID] = ()) -> tuple[Layer, ...]:
        """The chain that ends in `top`, base first; neither those of `until` nor what is below them.

        Raises:
            CorruptStore: a layer is missing or damaged, or is below itself.
        """
        return self.whole_chain(list(walk_down(top, self.record, until)))

    def whole_chain(self, found: Sequence[AnyLayer]) -> tuple[AnyLayer, ...]:
        """What `walk_down` found, base first; raises `BrokenChain` where a layer is below itself."""
        below = found[-1].parent if found else None
        if below and any(layer.chain_id == below for layer in found):
            raise BrokenChain(self.record_name(below), "the layer is below itself")
        return tuple(reversed(found))

    def layer_number(self, image: Image, number: int, name: str | None = None) -> int:
        """Check the number of a layer, and return it.

        Args:
            image: the image.
            number: 1 is its base layer.
            name: what the user called the image, for the message; None for a name that it has.

        Raises:
            LayerNotFound: the image has no such layer.
        """
        depth = len(image.config.diff_ids)
        if not 1 <= number <= depth:
            raise LayerNotFound.numbered(name or image.name, number, depth)
        return number

    def chain_ids(self) -> Sequence[ChainID]:
        """Every layer with a chain ID, sound or not; sorted."""
        return [layer.chain_id for layer in self.layers()]

    def place_of_chain(self, chain: ChainID) -> str | None:
        """The place of a layer as far as anything tells it, also where its record is damaged."""
        try:
            return self.record(chain).cache_id
        except CorruptStore:
            return None

    def places(self) -> Sequence[str]:
        """Every place that there is, sorted, in kinds where a layer may lie somewhere without a record."""
        return ()

    def has_place(self, place: str) -> bool:
        """Whether there is something at a place."""
        return place in self.places()

    def place(self, layer: Layer | BareLayer) -> Place:  # noqa: ARG002 - for kinds with directories
        """Where a layer's files lie on disk; what is missing is reported."""
        return NOWHERE

    def place_path(self, place: str) -> str:
        """Where a place lies, below the store's own path."""
        return place

    def files_path(self, place: str) -> str:
        """The same for the files in it."""
        return self.place_path(place)

    def stack_paths(self, places: Sequence[str]) -> Mapping[str, Sequence[str]] | None:  # noqa: ARG002 - see there
        """The paths of a stack, uppermost first, that `docker inspect` tells, by its words; None for none."""
        return None

    def blobs(self, layer: DiffID | None) -> tuple[Blob, ...]:  # noqa: ARG002 - for kinds that note them
        """What a layer was in registries, as far as the store tells."""
        return ()

    def layer_tar(self, layer: Layer) -> LayerTar | None:  # noqa: ARG002 - for kinds that have one
        """The tar whose sha256 is the diff ID; None in kinds that do not keep it; raises `CorruptStore`."""
        return None

    def lower(self, layer: Layer | BareLayer) -> list[str] | None:  # noqa: ARG002 - for overlay2 alone
        """What the engine notes for overlayfs of the layers below, uppermost first; None if nothing."""
        return None

    def bare_layer(self, place: str) -> Layer | BareLayer:
        """The layer at a place that no chain ID means; raises `LayerNotFound`."""
        raise LayerNotFound(f"no such layer: {place}")

    def chain_of_twin(self, place: str) -> ChainID | None:  # noqa: ARG002 - for kinds with namespaces
        """The layer that lies at a place once more; None where it is none."""
        return None

    # -- containers ----------------------------------------------------------------------------

    def containers(self) -> Sequence[Container]:
        """Every container, newest first; also those of which only some records are left."""
        return ()

    def container_names(self) -> Mapping[ContainerID, str | None]:
        """The name of every container, None where it cannot be read; what is damaged is not reported."""
        return {}

    def load_container(self, container_id: ContainerID) -> Container:
        """The container of this ID, as far as it can be read; defects are reported."""
        return next(item for item in self.containers() if item.id == container_id)

    def container(self, name: str) -> Container:
        """The container of this ID, name, or unique ID prefix."""
        return self.names.container(name)

    def container_records(self, container: Container) -> Json | None:  # noqa: ARG002 - for kinds of others
        """What there is of a container that is not Docker's, in the words of who wrote it down; or None."""
        return None

    def config_name(self, container: ContainerID) -> str:
        """What to call, in messages, the record that has the config of a container."""
        return f"{self.path}: container {container}"

    def container_aliases(self) -> Mapping[str, Sequence[ContainerID]]:
        """The containers by what else they are called than by their names and IDs."""
        return {}

    def host_config(self, container: Container) -> Json | None:  # noqa: ARG002 - for kinds that have one
        """What a container asks of the host, as the engine keeps it; None where that is not known."""
        return None

    def layers_below(self, container: Container) -> tuple[Layer, ...]:
        """The layers of the image that a container stands on, base first; raises `CorruptStore`."""
        return self.chain_below(container.top) if container.top else ()

    def images_of(self, container: Container) -> Collection[str]:
        """The IDs of the images that a container counts as made from, whether they are there or not."""
        return (container.config.image_id,) if container.config else ()

    # -- trees ---------------------------------------------------------------------------------

    @property
    def dialect(self) -> Dialect:
        """Which extended attributes are overlayfs's own in what `tree` gives of a single layer."""
        return TRUSTED

    def find(self, name: str) -> Named:
        """What `name` means, as `naming` has it."""
        return self.names.anything(name)

    def stack(self, subject: Named) -> tuple[Layer | BareLayer, ...]:
        """Every layer of an image, a container or a chain, base first; raises `CorruptStore`."""
        if isinstance(subject, Image):
            return self.chain(subject)
        if isinstance(subject, Container):
            return (*self.layers_below(subject), *subject.own)
        return (subject,) if isinstance(subject, BareLayer) else self.chain_below(subject.chain_id)

    def tree(self, subject: Named, *, up_to: int | None = None) -> UnionTree:
        """The tree of an image, a container, or a single layer (as it is stored).

        Args:
            subject: what to show.
            up_to: for an image, show it as of its layer of this number (1 is the base).

        Raises:
            CorruptStore: a layer that is needed is missing or damaged.
            LayerNotFound: there is no layer of that number.
        """
        if isinstance(subject, (Layer, BareLayer)):
            return UnionTree([self.source(subject)])
        layers = self.stack(subject)
        if up_to is not None and isinstance(subject, Image):
            layers = layers[: self.layer_number(subject, up_to)]
        return UnionTree([self.source(layer) for layer in reversed(layers)])

    def tree_below(self, top: Layer | BareLayer) -> UnionTree:
        """The union of a layer and of all below it; raises `CorruptStore`."""
        return UnionTree([self.source(layer) for layer in reversed(self.stack(top))])
