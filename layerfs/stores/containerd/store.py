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
from layerfs.errors import (
    LayerNotFound,
    MissingFile,
)
from layerfs.layernames import KnownLayer
from layerfs.model import NOWHERE, BareLayer, Container, Image, Layer, Place
from layerfs.stores.containerd.layers import ContainerdLayer, chain_of_key, chain_to
from layerfs.stores.containerd.names import ContainerdLayerNames
from layerfs.stores.containerd.pins import kept_keys, leased_blobs, pinned, unclaimed
from layerfs.stores.containerd.storedcontainers import StoredContainers
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

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
    from layerfs.ids import ChainID
    from layerfs.layernames import ID
    from layerfs.model import Named
    from layerfs.steps import Walk
    from layerfs.stores.blobs.export import PlainTar
    from layerfs.stores.blobs.layers import BlobLayer
    from layerfs.stores.containerd.buildcache import BuildCache
    from layerfs.stores.containerd.layers import ContainerdLayer, Placed
    from layerfs.tree.source import LayerSource, StoredLayer

__all__ = ["ContainerdStore"]


class ContainerdStore(StoredContainers):
    """Some namespaces of one containerd root, open for reading; never written to."""

    # -- places --------------------------------------------------------------------------------

    def layer_names(self, layers: Callable[[], Iterable[KnownLayer]]) -> ContainerdLayerNames:
        """The names of some layers, with the keys of snapshots and the digests of blobs."""
        return ContainerdLayerNames(layers, self._of_no_image, lambda: self._by_digest)

    def _of_no_image(self, key: str) -> Placed | None:
        """The snapshot of a key that is not the chain ID of an image's layer."""
        return None if chain_of_key(key) in self.layers_by_chain else self._snapshots.of(key)

    @functools.cached_property
    def _by_digest(self) -> Mapping[str, list[ChainID]]:
        found: dict[str, list[ChainID]] = {}
        for layer in self.layers_by_chain.values():
            if layer.digest:
                found.setdefault(layer.digest, []).append(layer.chain_id)
        return found

    def known_layers(self) -> Iterator[KnownLayer]:
        """Every layer of an image, then every other snapshot."""
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
        """Every snapshot by its place, sorted by number."""
        return list(self._placed)

    def placed(self, layer: Layer | BareLayer) -> Placed | None:
        """The snapshot of a layer; None if it has none."""
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
        """The snapshot at a place, with its container; raises `LayerNotFound`."""
        if place not in self._placed:
            raise LayerNotFound(f"no such layer: {place}")
        placed = self._placed[place]
        if place in self._twins and not placed.snapshotter.is_whole:  # a whole tree is shown as it is there
            return self._twins[place]
        return self._trees.bare(placed)

    def content_size(self, layer: BareLayer) -> int | None:
        """Bytes on disk of a snapshot, directories too; None where they cannot be counted (reported)."""
        return attempt(self.report, lambda: self._trees.size(self._placed[layer.cache_id]))

    # -- accounts ------------------------------------------------------------------------------

    def pinned(self) -> Pinned:
        """What containers, leases and BuildKit's cache need; damage is reported."""
        for problem in self._build_cache.problems:
            self.report(problem)
        layers = self.layers_by_chain
        # another namespace or snapshotter may have only the lower ones of the same layers
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
        """Layers of images by the places of further copies of them, in other namespaces."""
        found: dict[str, ContainerdLayer] = {}
        for place, placed in self._placed.items():
            chain = chain_of_key(placed.key) if placed.snapshot.name else None
            layer = self.layers_by_chain.get(chain) if chain else None
            if layer and layer.placed and layer.placed != placed:
                found[place] = dataclasses.replace(layer, placed=placed)
        return found

    def chain_of_twin(self, place: str) -> ChainID | None:
        """The layer of which a place has a further copy, of another namespace; None if it has none."""
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
        """The snapshots that are not in `needed`, and directories without a snapshot."""
        return unclaimed(self._placed.values(), self.snapshotters.values(), needed, self._trees.size)

    def volumes(self) -> Sequence[Volume] | None:
        """The Docker Engine's volumes; None if there is no engine, or no volumes, or they are damaged."""
        from layerfs.stores.volumes import volumes  # noqa: PLC0415 - for accounts alone

        return volumes(self.docker, self.report) if self.docker else None

    @functools.cached_property
    def _build_cache(self) -> BuildCache:
        from layerfs.stores.containerd.buildcache import BuildCache  # noqa: PLC0415 - for accounts alone

        return BuildCache(self.docker, list(self.snapshotters), self.bolt_state)

    def build_cache(self) -> Sequence[CacheRecord] | None:
        """BuildKit's records; None where they are damaged (reported)."""
        return self._build_cache.counted(self._snapshots, self._trees.size, self._sizes.blob, self.report)

    # -- trees ---------------------------------------------------------------------------------

    def stack(self, subject: Named) -> tuple[Layer | BareLayer, ...]:
        """Every layer of an image, a container or a chain, base first; raises `CorruptStore`.

        After a classic build there are also snapshots of the build's containers between the layers.
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

    def layers_below(self, container: Container) -> tuple[Layer, ...]:
        """The layers of the image that a container stands on, base first; raises `CorruptStore`."""
        return tuple(item for item in self.stack(container) if isinstance(item, Layer))

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

    def stored(self, placed: Placed) -> StoredLayer:
        """A snapshot as it is stored, from its blob where its directory is lost; raises `CorruptStore`."""
        return self._stored(self._trees.item(placed, self.layers_by_chain))

    def stored_under(self, placed: Placed) -> list[StoredLayer]:
        """What a snapshot stands on, base first; as `stored`, and raises where it cannot be told."""
        return [self._stored(layer) for layer in self._trees.stack(placed, self.layers_by_chain)[:-1]]

    def _stored(self, layer: Layer | BareLayer) -> StoredLayer:
        if isinstance(layer, BareLayer):
            return self._trees.stored(self._placed[layer.cache_id])
        return self._trees.stored_layer(self.own_layer(layer))

    def tree_of_snapshot(self, layer: ContainerdLayer) -> UnionTree:
        """A layer from its snapshot, never from its blob; raises `CorruptStore`."""
        placed = layer.placed
        if placed is None or placed.snapshotter.is_whole:
            raise MissingFile(f"layer {layer.chain_id}", "it is not unpacked as a layer")
        return UnionTree([self._trees.stored(placed)])

    # -- export --------------------------------------------------------------------------------

    def layer_tar(self, layer: Layer) -> PlainTar | None:
        """The tar whose sha256 is the diff ID; raises `MissingFile` where the blob is not there."""
        from layerfs.stores.blobs.export import PlainTar  # noqa: PLC0415 - for exports alone

        return PlainTar(self.packed(self.own_layer(layer)), self._files.plain)

    def packed(self, layer: ContainerdLayer) -> BlobLayer:
        """A layer's blob; raises `MissingFile` where it is not there."""
        if layer.packed is None:
            raise MissingFile(
                self.content.name_of(layer.digest or layer.diff_id),
                "the layer's blob is not in the content store",
                hint="--salvage makes tars from the snapshots, and --format rootfs needs no blobs",
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
