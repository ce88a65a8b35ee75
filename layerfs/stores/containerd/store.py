"""A containerd root, opened for reading: the same questions as of a Docker data root.

    store = ContainerdStore.open("/var/lib/containerd")
    tree = store.tree(store.image("nginx:latest"))

A layer is read from its snapshot; where it has none, from its blob.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import LayerNotFound, MissingFile
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import mapping, text
from layerfs.layernames import KnownLayer
from layerfs.model import NOWHERE, BareLayer, Container, Image, Layer, Place
from layerfs.stores.blobs.export import PlainTar
from layerfs.stores.containerd.buildcache import BuildCache
from layerfs.stores.containerd.containers import Containers
from layerfs.stores.containerd.images import KUBERNETES
from layerfs.stores.containerd.layers import ContainerdLayer, chain_of_key, chain_to
from layerfs.stores.containerd.names import ContainerdLayerNames
from layerfs.stores.containerd.pins import kept_keys, leased_blobs, pinned, unclaimed
from layerfs.stores.containerd.storedimages import StoredImages
from layerfs.stores.containerd.trees import Trees
from layerfs.stores.docker.volumes import volumes
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from layerfs.cache.blobs import Cache
    from layerfs.capabilities import (
        CacheRecord,
        Check,
        DoctorOptions,
        DoctorReport,
        Pinned,
        Progress,
        Salvager,
        StoredImage,
        Unclaimed,
        VerifyOptions,
        Volume,
    )
    from layerfs.errors import CorruptStore
    from layerfs.formats.jsontext import Json
    from layerfs.ids import ChainID, ContainerID
    from layerfs.layernames import ID
    from layerfs.model import Named
    from layerfs.steps import Walk
    from layerfs.stores.blobs.layers import BlobLayer
    from layerfs.stores.containerd.layers import ContainerdLayer, Placed
    from layerfs.stores.containerd.places import Opened
    from layerfs.stores.registry import Options
    from layerfs.tree.source import LayerSource

__all__ = ["ContainerdStore"]


class ContainerdStore(StoredImages):
    """Some namespaces of one containerd root, open for reading; never written to."""

    _is_quiet = False

    def __init__(self, opened: Opened, options: Options, cache: Cache) -> None:
        """Read a root that is open; see `open`."""
        super().__init__(opened, options, cache)
        self._trees = Trees(self._snapshots, self._files, self.report, lambda: self.layers_by_chain)
        others = [space for space in self.spaces if space.name != self.dockers_namespace]
        self._containers = Containers(
            self.directory, self.docker, others, self._snapshots, self._images.id_of_name, self.report
        )

    def keep_quiet(self) -> None:
        """Log no defect from now on: whoever asks tells of all that is in `damage`."""
        self._is_quiet = True

    def report(self, problem: CorruptStore) -> None:
        """Note a defect that does not stop the answer, and log it once."""
        if not self._is_quiet:
            super().report(problem)
        elif (text := str(problem)) not in self._reported:
            self._reported.add(text)
            self.damage.append(problem.again())

    # -- places --------------------------------------------------------------------------------

    def layer_names(self, layers: Callable[[], Iterable[KnownLayer]]) -> ContainerdLayerNames:
        """The names of some layers, with keys and digests of blobs."""
        return ContainerdLayerNames(layers, self._of_no_image, lambda: self._by_digest)

    def _of_no_image(self, key: str) -> Placed | None:
        """The snapshot of a key that is no chain ID of an image's layer."""
        return None if chain_of_key(key) in self.layers_by_chain else self._snapshots.of(key)

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
        if number not in placed.snapshotter.numbers:
            self.report(
                MissingFile(placed.snapshotter.path_of(number), "the snapshot's directory is missing")
            )
            return NOWHERE
        return Place(placed.snapshotter.path_of(number), placed.key)

    def place_path(self, place: str) -> str:
        """A snapshot's directory, below the store's own path."""
        return self._below(place, "")

    def files_path(self, place: str) -> str:
        """The directory of its files."""
        return self._below(place, self._placed[place].snapshotter.files)

    def _below(self, place: str, inside: str) -> str:
        placed = self._placed[place]
        name = placed.snapshotter.path_of(placed.snapshot.number) + inside
        return name.removeprefix(self.path.rstrip("/") + "/")

    def bare_layer(self, place: str) -> Layer | BareLayer:
        """The snapshot at a place, and the container whose it is; raises `LayerNotFound`."""
        if place not in self._placed:
            raise LayerNotFound(f"no such layer: {place}")
        placed = self._placed[place]
        if place in self._twins and not placed.snapshotter.is_whole:  # a whole tree is shown as it is there
            return self._twins[place]
        return self._trees.bare(placed)

    def content_size(self, layer: BareLayer) -> int | None:
        """Bytes on disk of a snapshot, directories too; None where they cannot be counted (reported)."""
        return attempt(self.report, lambda: self._trees.size(self._placed[layer.cache_id]))

    # -- containers ----------------------------------------------------------------------------

    def containers(self) -> Sequence[Container]:
        """Every container, newest first; also those of which only a part is left."""
        return sorted(
            map(self.load_container, self._containers.ids),
            key=lambda item: (-((item.config and item.config.created_ns) or 0), item.id),
        )

    @property
    def has_pods(self) -> bool:  # type: ignore[override]
        """Whether there is a pod, or nothing but the namespace of Kubernetes, be it without containers."""
        is_kubernetes = {space.name for space in self.spaces} == {KUBERNETES}
        return is_kubernetes or any(item.pod for item in self.containers())

    def container_names(self) -> Mapping[ContainerID, str | None]:
        """The name of every container, None where it cannot be read; what is damaged is not reported."""
        return self._containers.names()

    def load_container(self, container_id: ContainerID) -> Container:
        """The container of this ID, as far as it can be read; defects are reported."""
        return self._containers.load(container_id)

    def placed_of(self, container: Container) -> Placed | None:
        """The writable snapshot of a container."""
        return self._containers.placed(container.id)

    def container_records(self, container: Container) -> Json | None:
        """What there is of a container that is not Docker's, in the words of who wrote it down; or None."""
        return self._containers.records(container.id)

    def config_name(self, container: ContainerID) -> str:
        """The record with a container's config: Docker's file, where Docker has it."""
        return self._containers.config_name(container) or super().config_name(container)

    def container_aliases(self) -> Mapping[str, Sequence[ContainerID]]:
        """The containers by the longer names that Kubernetes has for them."""
        return self._containers.aliases()

    def host_config(self, container: Container) -> Json | None:
        """What a container asks of the host; None where that is missing or damaged (reported)."""
        return attempt(self.report, lambda: self._containers.host_config(container.id))

    def layers_below(self, container: Container) -> tuple[Layer, ...]:
        """The layers of the image that a container stands on, base first; raises `CorruptStore`."""
        return tuple(item for item in self.stack(container) if isinstance(item, Layer))

    def images_of(self, container: Container) -> Collection[str]:
        """The images that have the manifest a container was made from, as Docker notes it; else its image."""
        raw = container.config.raw if container.config else {}
        try:
            manifest = text(mapping(raw, "ImageManifest"), "digest")
        except FormatError:
            manifest = ""
        return self._images.with_manifest(manifest) or super().images_of(container)

    # -- accounts ------------------------------------------------------------------------------

    def pinned(self) -> Pinned:
        """What containers, leases and BuildKit's cache need; damage is reported."""
        for problem in self._build_cache.problems:
            self.report(problem)
        layers = self.layers_by_chain
        # another namespace or snapshotter may have but the lower ones of the same layers
        is_one = len(self.spaces) == len(self.snapshotters) == 1
        tops = layers.keys() - ({layer.parent for layer in layers.values()} if is_one else set())
        found = pinned(
            held=[*self._own_snapshots(), *self._with_keys(kept_keys(self.spaces))],
            cached=self._with_keys(self._build_cache.keys),
            under_images=self._with_keys(tops),
            blobs=leased_blobs(self.spaces),
            snapshots=self._snapshots,
            layers=layers,
            report=self.report,
        )
        return found._replace(
            places=found.places | self._twins.keys(),
            complete=found.complete and not self._build_cache.problems,
        )

    @functools.cached_property
    def _twins(self) -> Mapping[str, ContainerdLayer]:
        """The layers of images by the places where they lie once more, of other namespaces."""
        found: dict[str, ContainerdLayer] = {}
        for place, placed in self._placed.items():
            chain = chain_of_key(placed.key) if placed.snapshot.name else None
            layer = self.layers_by_chain.get(chain) if chain else None
            if layer and layer.placed and layer.placed != placed:
                found[place] = dataclasses.replace(layer, placed=placed)
        return found

    def chain_of_twin(self, place: str) -> ChainID | None:
        """The layer that lies at a place once more, as a second namespace has it; None where it is none."""
        return self._twins[place].chain_id if place in self._twins else None

    def _own_snapshots(self) -> Iterator[Placed]:
        for container in self.containers():
            for layer in container.own:
                yield self._placed[layer.cache_id]

    def _with_keys(self, keys: Iterable[str]) -> list[Placed]:
        return [placed for key in sorted(keys) for placed in self._snapshots.every(key)]

    @property
    def places_path(self) -> str:
        """The containerd root, as messages call it."""
        return self.directory.display

    def unclaimed(self, needed: Collection[str]) -> Iterator[Unclaimed]:
        """The snapshots that are not in `needed`, and directories that are no snapshot's."""
        return unclaimed(self._placed.values(), self.snapshotters.values(), needed, self._trees.size)

    def volumes(self) -> Sequence[Volume] | None:
        """The volumes of a Docker Engine; None where there are none, or not one's (or damaged)."""
        return volumes(self.docker, self.report) if self.docker else None

    @functools.cached_property
    def _build_cache(self) -> BuildCache:
        return BuildCache(self.docker, list(self.snapshotters), self.bolt_state)

    def build_cache(self) -> Sequence[CacheRecord] | None:
        """BuildKit's records; None where they are damaged (reported)."""
        return self._build_cache.counted(self._snapshots, self._trees.size, self._sizes.blob, self.report)

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
            own = {layer.cache_id: layer for layer in subject.own}
            stack = self._trees.stack(placed, self.layers_by_chain)
            return tuple(own.get(layer.cache_id or "", layer) for layer in stack)
        if isinstance(subject, BareLayer):
            return self._trees.stack(self._placed[subject.cache_id], self.layers_by_chain)
        return self._trees.stack_of_chain(chain_to(self.own_layer(subject), self.layers_by_chain))

    def tree(self, subject: Named, *, up_to: int | None = None) -> UnionTree:
        """The tree of an image, a container, or a single layer (as it is stored); see `Store.tree`."""
        if isinstance(subject, BareLayer):
            return UnionTree([self._trees.stored(self._placed[subject.cache_id])])
        if isinstance(subject, Layer):
            return UnionTree([self._trees.stored_layer(self.own_layer(subject))])
        if isinstance(subject, Image):
            chain = self.chain(subject, up_to and self.layer_number(subject, up_to))
            stack: Sequence[Layer | BareLayer] = self._trees.stack_of_chain(chain)
        else:
            stack = self.stack(subject)
        return UnionTree([self.source(layer) for layer in reversed(stack)])

    def tree_below(self, top: Layer | BareLayer) -> UnionTree:
        """The union of a layer and of all below it; raises `CorruptStore`."""
        return UnionTree([self.source(layer) for layer in reversed(self.stack(top))])

    def tree_under(self, placed: Placed) -> UnionTree | None:
        """What a snapshot stands on, None for a base; raises `CorruptStore`."""
        below = self._trees.stack(placed, self.layers_by_chain)[:-1]
        return UnionTree([self.source(layer) for layer in reversed(below)]) if below else None

    def tree_of_snapshot(self, layer: ContainerdLayer) -> UnionTree:
        """The files of a layer as they are unpacked, and not its blob; raises `CorruptStore`."""
        placed = layer.placed
        if placed is None or placed.snapshotter.is_whole:
            raise MissingFile(f"layer {layer.chain_id}", "it is not unpacked as a layer")
        return UnionTree([self._trees.stored(placed)])

    # -- export --------------------------------------------------------------------------------

    def layer_tar(self, layer: Layer) -> PlainTar | None:
        """The tar whose sha256 is the diff ID; raises `MissingFile` where the blob is not there."""
        return PlainTar(self.packed(self.own_layer(layer)), self._files.plain)

    def packed(self, layer: ContainerdLayer) -> BlobLayer:
        """A layer's blob; raises `MissingFile` where it is not there."""
        if layer.packed is None:
            raise MissingFile(
                self.content.name_of(layer.digest or layer.diff_id),
                "the layer's blob is not in the content store",
                hint="--salvage makes tars of the snapshots, and --format rootfs needs no blobs",
            )
        return layer.packed

    def stored_image(self, image: Image) -> StoredImage | None:
        """An image byte for byte; see `Keeping`."""
        from layerfs.stores.containerd.exporting import stored_image  # noqa: PLC0415 - see there

        return stored_image(self, image)

    def salvager(self) -> Salvager:
        """What rebuilds damaged layers; see `Salvageable`."""
        from layerfs.stores.containerd.exporting import Salvage  # noqa: PLC0415 - see there

        return Salvage(self)

    # -- checks --------------------------------------------------------------------------------

    def verification(self, names: Sequence[tuple[str, int | None]], options: VerifyOptions) -> Check:
        """The check of what the names mean, or of everything; see `Verifiable`."""
        from layerfs.stores.containerd.checks.verification import verification  # noqa: PLC0415 - see there

        return verification(self, names, options)

    def diagnose(self, options: DoctorOptions, on_progress: Progress) -> DoctorReport:
        """Examine all of it; see `Diagnosable`."""
        from layerfs.stores.containerd.checks.doctor import diagnose  # noqa: PLC0415 - see there

        return diagnose(self, options, on_progress)

    def explained(self, name: str, found: ID, up_to: int | None, *, every: bool) -> Walk:
        """The walk from a name to snapshots; see `Explaining`."""
        from layerfs.stores.containerd.explaining import explained  # noqa: PLC0415 - see there

        return explained(self, name, found, up_to, every=every)

    def source(self, layer: Layer | BareLayer) -> LayerSource:
        """A layer by itself as overlayfs reads it; raises `CorruptStore`."""
        if isinstance(layer, BareLayer):
            return self._trees.source(self._placed[layer.cache_id])
        return self._trees.source_of_layer(self.own_layer(layer))
