"""A containerd root, opened for reading: the same questions as of a Docker data root.

    store = ContainerdStore.open("/var/lib/containerd")
    tree = store.tree(store.image("nginx:latest"))

A layer is read from its snapshot; where it has none, from its blob.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Self

from layerfs.boltfile import read_boltfile
from layerfs.cache.blobs import Cache
from layerfs.cache.options import CacheOptions
from layerfs.damage import attempt
from layerfs.errors import (
    BrokenChain,
    CorruptStore,
    DataRootUnreadable,
    LayerNotFound,
    MalformedFile,
    MissingFile,
    reason,
)
from layerfs.formats.containerdmeta import Namespace, parse_meta
from layerfs.formats.repositories import Repositories, RepositoryRow
from layerfs.ids import BlobDigest, ChainID, ImageID, InvalidID, chain_id
from layerfs.layernames import KnownLayer
from layerfs.model import NOWHERE, BareLayer, Blob, Container, Image, Layer, Place
from layerfs.store import Store
from layerfs.stores.blobs.export import PlainTar
from layerfs.stores.blobs.layers import BlobLayer, LayerFiles
from layerfs.stores.containerd.containers import Containers
from layerfs.stores.containerd.content import Content
from layerfs.stores.containerd.images import ContainerdImage, Images
from layerfs.stores.containerd.layers import ContainerdLayer, Snapshots
from layerfs.stores.containerd.names import ContainerdLayerNames, ContainerdNames
from layerfs.stores.containerd.places import META_DB, open_containerd
from layerfs.stores.containerd.snapshotters import read_snapshotters
from layerfs.stores.containerd.spaces import chosen_spaces
from layerfs.stores.containerd.trees import Trees
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from layerfs.formats.descriptors import Descriptor
    from layerfs.formats.jsontext import Json
    from layerfs.ids import ContainerID, DiffID
    from layerfs.model import Named
    from layerfs.stores.containerd.layers import Placed
    from layerfs.stores.containerd.places import Opened
    from layerfs.stores.registry import Options
    from layerfs.tree.source import LayerSource

__all__ = ["ContainerdStore"]

_log = logging.getLogger(__name__)


class ContainerdStore(Store):
    """The images, layers and containers of some namespaces of one containerd root.

    Attributes:
        directory: the containerd root.
        docker: the data root of the Docker Engine that uses it, or None.
        spaces: the namespaces that are read.
        content: the blobs.
        snapshotters: those in use, by name.
    """

    kind = "containerd"

    def __init__(self, opened: Opened, options: Options, cache: Cache) -> None:
        """Read a root that is open; see `open`."""
        super().__init__((opened.docker or opened.directory).display)
        self.directory = opened.directory
        self.docker = opened.docker
        self.meta_name = self.directory.name_of(META_DB)
        self.content = Content(self.directory)
        self.snapshotters = read_snapshotters(self.directory, self.report, options.bolt_state)
        self.spaces = chosen_spaces(
            self._namespaces(options.bolt_state),
            options.namespace,
            is_docker=self.docker is not None,
            where=self.directory.display,
        )
        self._snapshots = Snapshots(self.spaces, self.snapshotters)
        self._files = LayerFiles(cache, self.report)
        self._trees = Trees(self._snapshots, self._files)
        self._images = Images(self.spaces, self.content, self.report, options.platform, self.meta_name)
        self._containers = Containers(
            self.docker, self.spaces, self._snapshots, self._images.id_of_name, self.report
        )
        self._chains: dict[ImageID, tuple[ContainerdLayer, ...]] = {}

    @property
    def noun(self) -> str:
        """What to call it in a sentence."""
        return "a containerd store"

    @property
    def driver(self) -> str | None:  # type: ignore[override]
        """The snapshotter, of several in use the first."""
        return next(iter(self.snapshotters), None)

    @classmethod
    def open(cls, path: str, options: Options) -> Self:
        """Open a containerd root, the one of a Docker data root, or one below an evidence tree.

        Raises:
            DataRootError: there is none, or not the namespace that was asked for.
            CorruptStore: its `meta.db` cannot be read.
            ValueError: `options.platform` is none.
        """
        cache = Cache(options.cache or CacheOptions(), options.progress)
        opened = open_containerd(path)
        cache.avoid(opened.directory)
        return cls(opened, options, cache)

    def _namespaces(self, state: str) -> Mapping[str, Namespace]:
        try:
            database = read_boltfile(self.directory, META_DB, self.report, state)
        except OSError as error:
            if isinstance(error, PermissionError):
                raise DataRootUnreadable(self.meta_name) from error
            raise MalformedFile(self.meta_name, reason(error)) from error
        return parse_meta(
            database.root,
            lambda error: self.report(
                MalformedFile(self.meta_name, error.problem, expected=error.expected, found=error.found)
            ),
        )

    def evidence(self) -> set[tuple[int, int]]:
        """The containerd root, and the Docker data root."""
        found = [item.lstat() for item in (self.directory, self.docker) if item]
        return {(status.st_dev, status.st_ino) for status in found}

    # -- images --------------------------------------------------------------------------------

    def image_ids(self, beginning: str = "") -> Sequence[ImageID]:
        """Every image, sound or not, whose digits begin so; sorted."""
        return sorted(found for found in self._images.ids if found.hex.startswith(beginning))

    def has_image(self, image_id: ImageID) -> bool:
        """Whether there is an image of this ID, sound or not."""
        return image_id in self._images.ids

    def read_image(self, image_id: ImageID) -> ContainerdImage:
        """The image of this ID; raises `CorruptStore`, `ImageNotFound`."""
        return self._images.image(image_id)

    def images(self, *, all_platforms: bool = False) -> Sequence[Image]:
        """Every sound image, or each platform of it, newest first; damaged ones are reported and left out."""
        if not all_platforms:
            return super().images()
        found = [image for image_id in self._images.ids for image in self._images.every_platform(image_id)]
        return sorted(
            found,
            key=lambda image: (image.config.created_ns is None, -(image.config.created_ns or 0), image.id),
        )

    @functools.cached_property
    def names(self) -> ContainerdNames:
        """Resolves names."""
        return ContainerdNames(self, self._images)

    @functools.cached_property
    def repositories(self) -> Repositories:
        """The names that are references, in Docker's normal form."""
        found = self._images.references.items()
        rows = [RepositoryRow(name, image_id) for image_id, names in found for name in names]
        return Repositories(tuple(sorted(rows, key=lambda row: row.reference.familiar)))

    def config_bytes(self, image: Image) -> bytes:
        """The config of an image, byte for byte; raises `CorruptStore`."""
        manifest = self.own_image(image).manifest
        if manifest is None or manifest.config is None:
            raise self._no_image(image)
        return self.content.document(manifest.config)

    def own_image(self, image: Image) -> ContainerdImage:
        """An image as this store has it."""
        return image if isinstance(image, ContainerdImage) else self.read_image(image.id)

    def _no_image(self, image: Image) -> CorruptStore:
        target = self.own_image(image).target
        kind = target.media_type or "of no type"
        return CorruptStore(self.content.name_of(target.digest), f"no image that has layers: {kind}")

    # -- layers --------------------------------------------------------------------------------

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
        digest = _digest(descriptor.digest)
        blob = attempt(self.report, lambda: self.content.find(descriptor.digest))
        packed = None
        if blob:
            place = descriptor.blob_path
            packed = BlobLayer(
                chain, diff_id, below, digest, descriptor.media_type, place, blob, self._files.size
            )
        return ContainerdLayer(chain, diff_id, below, self._snapshots.of(chain), packed, digest)

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
        """The layer of this chain ID; raises `BrokenChain` where no image tells of it."""
        found = self.layers_by_chain.get(chain)
        if found is None:
            raise BrokenChain(self.meta_name, "no image has a layer of this chain ID", expected=chain)
        return found

    def own_layer(self, layer: Layer) -> ContainerdLayer:
        """A layer as this store has it."""
        return layer if isinstance(layer, ContainerdLayer) else self.record(layer.chain_id)

    def blobs(self, layer: DiffID | None) -> tuple[Blob, ...]:
        """What a layer was in registries: its blob, and the repositories that it is known to be in."""
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
        """What the labels of a blob say that it was pulled from."""
        found: dict[str, None] = {}
        for space in self.spaces:
            blob = space.blob(digest)
            for name, value in blob.labels.items() if blob else ():
                if name.startswith(_SOURCE):
                    found |= {f"{name.removeprefix(_SOURCE)}/{path}": None for path in value.split(",")}
        return tuple(found)

    def layer_tar(self, layer: Layer) -> PlainTar | None:
        """The tar whose sha256 is the diff ID; raises `MissingFile` where the blob is not there."""
        own = self.own_layer(layer)
        if own.packed is None:
            name = self.content.name_of(own.digest or own.diff_id)
            raise MissingFile(name, "the layer's blob is not in the content store")
        return PlainTar(own.packed, self._files.plain)

    # -- places --------------------------------------------------------------------------------

    def layer_names(self, layers: Callable[[], Iterable[KnownLayer]]) -> ContainerdLayerNames:
        """The names of some layers, with keys and digests of blobs."""
        return ContainerdLayerNames(layers, self._snapshots.of, lambda: self._by_digest)

    @functools.cached_property
    def _by_digest(self) -> Mapping[str, list[ChainID]]:
        found: dict[str, list[ChainID]] = {}
        for layer in self.layers_by_chain.values():
            if layer.digest:
                found.setdefault(layer.digest, []).append(layer.chain_id)
        return found

    def known_layers(self) -> Iterator[KnownLayer]:
        """Every layer of an image, and then every other snapshot."""
        layers = self.layers_by_chain.values()
        yield from (KnownLayer(layer.chain_id, layer.diff_id, layer.cache_id) for layer in layers)
        known = {layer.cache_id for layer in layers}
        for place in self._placed:
            if place not in known:
                yield KnownLayer(None, None, place)

    @functools.cached_property
    def _placed(self) -> Mapping[str, Placed]:
        return {placed.place: placed for placed in self._snapshots.all()}

    def places(self) -> Sequence[str]:
        """Every snapshot by its place, in the order of their numbers."""
        return list(self._placed)

    def placed(self, layer: Layer | BareLayer) -> Placed | None:
        """The snapshot of a layer; None where it has none."""
        return (
            self._placed.get(layer.cache_id) if isinstance(layer, BareLayer) else self.own_layer(layer).placed
        )

    def place(self, layer: Layer | BareLayer) -> Place:
        """A layer's directory, and the key of its snapshot; what is missing is reported."""
        placed = self.placed(layer)
        if placed is None:
            return NOWHERE
        number = placed.snapshot.number
        if number not in placed.snapshotter.numbers():
            self.report(
                MissingFile(placed.snapshotter.path_of(number), "the snapshot's directory is missing")
            )
            return NOWHERE
        return Place(placed.snapshotter.path_of(number), placed.key)

    def bare_layer(self, place: str) -> BareLayer:
        """The snapshot at a place, and the container whose it is; raises `LayerNotFound`."""
        if place not in self._placed:
            raise LayerNotFound(f"no such layer: {place}")
        return self._trees.bare(self._placed[place])

    def content_size(self, layer: BareLayer) -> int | None:
        """Bytes on disk of a snapshot, directories too; None where it cannot be read (reported)."""
        return attempt(self.report, lambda: self._trees.disk_usage(self._placed[layer.cache_id]))

    # -- containers ----------------------------------------------------------------------------

    def containers(self) -> Sequence[Container]:
        """Every container, newest first; also those of which only a part is left."""
        return sorted(
            map(self.load_container, self._containers.ids),
            key=lambda item: (-((item.config and item.config.created_ns) or 0), item.id),
        )

    def container_names(self) -> Mapping[ContainerID, str | None]:
        """The name of every container, None where it cannot be read; what is damaged is not reported."""
        return self._containers.names()

    def load_container(self, container_id: ContainerID) -> Container:
        """The container of this ID, as far as it can be read; defects are reported."""
        return self._containers.load(container_id)

    def host_config(self, container: Container) -> Json | None:
        """What a container asks of the host; None where that is missing or damaged (reported)."""
        return attempt(self.report, lambda: self._containers.host_config(container.id))

    def layers_below(self, container: Container) -> tuple[Layer, ...]:
        """The layers of the image that a container stands on, base first; raises `CorruptStore`."""
        return tuple(item for item in self.stack(container) if isinstance(item, Layer))

    # -- trees ---------------------------------------------------------------------------------

    def stack(self, subject: Named) -> tuple[Layer | BareLayer, ...]:
        """Every layer of an image, a container or a chain, base first; raises `CorruptStore`.

        What was made by a classic build stands also on what that build's containers had of their own.
        """
        if isinstance(subject, Image):
            return self._trees.stack_of_chain(self.chain(subject))
        if isinstance(subject, Container):
            placed = self._containers.placed(subject.id)
            if placed is None:
                raise MissingFile(f"container {subject.id}", "it has no snapshot")
            return self._trees.stack(placed, self.layers_by_chain)
        if isinstance(subject, BareLayer):
            return self._trees.stack(self._placed[subject.cache_id], self.layers_by_chain)
        return self._trees.stack_of_chain(self._chain_to(self.own_layer(subject)))

    def _chain_to(self, layer: ContainerdLayer) -> tuple[ContainerdLayer, ...]:
        found = [layer]
        while found[-1].parent is not None:
            found.append(self.record(found[-1].parent))
        return tuple(reversed(found))

    def tree(self, subject: Named, *, up_to: int | None = None) -> UnionTree:
        """The tree of an image, a container, or a single layer (as it is stored).

        Args:
            subject: what to show.
            up_to: for an image, show it as of its layer of this number (1 is the base).

        Raises:
            CorruptStore: a layer that is needed is missing or damaged.
            LayerNotFound: there is no layer of that number.
        """
        if isinstance(subject, BareLayer):
            return UnionTree([self._trees.stored(self._placed[subject.cache_id])])
        if isinstance(subject, Layer):
            return UnionTree([self._trees.stored_layer(self.own_layer(subject))])
        if isinstance(subject, Image):
            chain = self.chain(subject, up_to and self.layer_number(subject, up_to))
            stack = self._trees.stack_of_chain(chain)
        else:
            stack = self.stack(subject)
        return UnionTree([self.source(layer) for layer in reversed(stack)])

    def tree_below(self, top: Layer | BareLayer) -> UnionTree:
        """The union of a layer and of all below it; raises `CorruptStore`."""
        return UnionTree([self.source(layer) for layer in reversed(self.stack(top))])

    def source(self, layer: Layer | BareLayer) -> LayerSource:
        """A layer by itself as overlayfs reads it; raises `CorruptStore`."""
        if isinstance(layer, BareLayer):
            return self._trees.source(self._placed[layer.cache_id])
        return self._trees.source_of_layer(self.own_layer(layer))


_SOURCE = "containerd.io/distribution.source."
"""Begins the label of a blob that says where it was pulled from; the rest is the registry's host."""


def _digest(text: str) -> BlobDigest | None:
    try:
        return BlobDigest(text)
    except InvalidID:
        return None
