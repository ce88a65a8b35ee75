"""A graph root of containers/storage, opened for reading: the same questions as of a Docker data root.

    store = GraphRoot.open("/var/lib/containers/storage", Options())
    tree = store.tree(store.image("nginx"))

The layers below a layer are those that layers.json names; `lower`, `link` and `l/` only repeat that.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Self

from layerfs.analysis.store.stack import own_layers
from layerfs.damage import attempt
from layerfs.errors import BrokenChain, CorruptStore, LayerNotFound
from layerfs.ids import CacheID
from layerfs.layernames import KnownLayer
from layerfs.model import NOWHERE, READ_WRITE, BareLayer, Container, Image, Layer, Place
from layerfs.stores.containers_storage.names import StorageLayerNames
from layerfs.stores.containers_storage.places import OVERLAY, VFS, open_graph_root
from layerfs.stores.containers_storage.storedcontainers import StoredContainers
from layerfs.stores.metadata import Metadata
from layerfs.tree.overlay import OverlayLayer
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
    from layerfs.formats.idmap import Owners
    from layerfs.formats.whiteouts import Dialect
    from layerfs.ids import ChainID
    from layerfs.layernames import ID
    from layerfs.model import Named
    from layerfs.steps import Walk
    from layerfs.stores.containers_storage.layers import StorageLayer
    from layerfs.stores.containers_storage.parts import Stored
    from layerfs.stores.containers_storage.wholetrees import WholeTrees
    from layerfs.stores.registry import Options
    from layerfs.tree.source import LayerSource, StoredLayer

__all__ = ["GraphRoot"]


class GraphRoot(StoredContainers):
    """One graph root, alone or with others that have some of its layers; never written to."""

    @classmethod
    def open(cls, path: str, options: Options) -> Self:
        """Open a graph root, or the one below an evidence tree.

        Raises:
            DataRootError: there is none, or an additional store is none.
        """
        own = open_graph_root(path, options.driver, options.run_root)
        opened = [own, *map(open_graph_root, options.additional_stores)]
        return cls(opened, Metadata(options.metadata), options.userns)

    # -- layers --------------------------------------------------------------------------------

    def chain(self, image: Image, up_to: int | None = None) -> tuple[StorageLayer, ...]:
        """The image's layers, base first, or the lowest `up_to`; raises `CorruptStore`.

        Where there are several copies of a layer, it is that on which its record stands.
        """
        own = self._own_chain(self.own_image(image))
        return tuple(own.get(chain) or self.record(chain) for chain in image.chain[:up_to])

    def _own_chain(self, image: Image) -> Mapping[ChainID, StorageLayer]:
        top = self.own_image(image).top
        try:
            stack = self.storage.walk(top) if top else []
        except CorruptStore:  # told with the layer that is asked for
            return {}
        layers = [self.storage.layer(stored.record.id) for stored in stack]
        found = {layer.chain_id: layer for layer in layers if layer}
        if stack and image.chain and image.chain[-1] not in found:
            name = self._images.file_name(image.id)
            problem = "its layer is not the uppermost of its config"
            wanted = image.chain[-1]
            found_top = layers[0].chain_id if layers[0] else None
            self.report(BrokenChain(name, problem, expected=wanted, found=found_top))
        return found

    def stored(self, layer: Layer | BareLayer) -> Stored:
        """The record of a layer; raises `CorruptStore`."""
        if isinstance(layer, BareLayer):
            return self.storage.stored(CacheID(layer.cache_id))
        return self.own_layer(layer).stored

    # -- places --------------------------------------------------------------------------------

    def layer_names(self, layers: Callable[[], Iterable[KnownLayer]]) -> StorageLayerNames:
        """The names of some layers, with the names of their records and short links."""
        storage = self.storage
        return StorageLayerNames(
            layers, lambda: self.dirs.by_link, lambda: storage.by_name, lambda: storage.blobs
        )

    def known_layers(self) -> Iterator[KnownLayer]:
        """Every layer of an image, and then every other with a record."""
        known: set[str] = set()
        for layer in self.layers():
            known.add(layer.cache_id)
            yield KnownLayer(layer.chain_id, layer.diff_id, layer.cache_id)
        for place in self.places():
            if place not in known:
                yield KnownLayer(None, None, place)

    def places(self) -> Sequence[str]:
        """Every layer by its ID, sorted."""
        return sorted(self.storage.all)

    def bare_layer(self, place: str) -> Layer | BareLayer:
        """The layer of an ID: a further copy of an image's, a container's, or one that is neither."""
        if place not in self.storage.all:
            raise LayerNotFound(f"no such layer: {place}")
        own = CacheID(place)
        layer = attempt(self.report, lambda: self.storage.layer(own))
        return layer or self._bare(own)

    def _bare(self, layer: CacheID) -> BareLayer:
        owner = self._owners.get(layer)
        return BareLayer(layer, READ_WRITE, owner.id) if owner else BareLayer(layer)

    @functools.cached_property
    def _owners(self) -> Mapping[str, Container]:
        return {layer.cache_id: item for item in self.containers() for layer in item.own}

    def chain_of_twin(self, place: str) -> ChainID | None:
        """The layer of which a place has a further copy, as one with other owners; None if it has none."""
        return self._twins.get(place)

    @functools.cached_property
    def _twins(self) -> Mapping[str, ChainID]:
        """Each further copy's layer; where two claim a place, the first."""
        copies = [
            (layer.cache_id, chain) for chain, found in self.storage.by_chain.items() for layer in found[1:]
        ]
        return dict(reversed(copies))

    def place(self, layer: Layer | BareLayer) -> Place:
        """A layer's directory and its short name; what is missing is reported."""
        stored = attempt(self.report, lambda: self.stored(layer))
        if stored is None or attempt(self.report, lambda: stored.part.files(stored.record.id)) is None:
            return NOWHERE
        path = stored.part.directory.name_of(stored.part.layer_path(stored.record.id))
        if not self._has_links:
            return Place(path, None)
        for problem in self.dirs.link_problems(stored):
            self.report(problem)
        return Place(path, attempt(self.report, lambda: self.dirs.link(stored)))

    @property
    def _has_links(self) -> bool:
        return self.driver == OVERLAY

    def place_path(self, place: str) -> str:
        """The directory of a layer, below the store's own path."""
        return self._below(place, files=False)

    def files_path(self, place: str) -> str:
        """The directory of its files."""
        return self._below(place, files=True)

    def _below(self, place: str, *, files: bool) -> str:
        own = CacheID(place)
        part = self.storage.all[own].part if own in self.storage.all else self.roots[0]
        path = part.files_path(own) if files else part.layer_path(own)
        return path if part is self.roots[0] else part.directory.name_of(path)

    def content_size(self, layer: BareLayer) -> int | None:
        """Bytes of the files of a layer that is no image's; None where they cannot be read (reported)."""
        stored = attempt(self.report, lambda: self.stored(layer))
        return self.own_bytes(stored) if stored else None

    def own_bytes(self, stored: Stored) -> int | None:
        """Bytes of what is a layer's own, of a whole tree what is not in the one below."""
        if stored.part.opened.driver != VFS:
            return self.bytes_of(stored)
        return attempt(self.report, lambda: self._wholes.own_bytes(stored))

    def freed_size(self, layer: Layer | BareLayer) -> int | None:
        """Bytes that go with a layer: of vfs a whole tree."""
        stored = attempt(self.report, lambda: self.stored(layer))
        if stored is None or stored.part.opened.driver != VFS:
            return super().freed_size(layer)
        return self.bytes_of(stored)

    @property
    def dialect(self) -> Dialect:
        """Which extended attributes are overlayfs's own in what `tree` gives of a single layer."""
        return self.roots[0].form.dialect

    # -- accounts ------------------------------------------------------------------------------

    def pinned(self) -> Pinned:
        """What containers need, and copies of layers with other owners."""
        from layerfs.stores.containers_storage.claims import pinned  # noqa: PLC0415 - for accounts alone

        return pinned(self._images.all, self.containers(), self.storage, self.roots, self.own_roots)

    @property
    def places_path(self) -> str:
        """The directory of all layers, as messages call it."""
        return self.directory.name_of(self.roots[0].opened.files)

    def unclaimed(self, needed: Collection[str]) -> Iterator[Unclaimed]:
        """The layers that are not in `needed`, and what the engine left of making and removing others."""
        from layerfs.stores.containers_storage.claims import unclaimed  # noqa: PLC0415 - as above

        return unclaimed(self.storage, self.own_roots, needed, self.bytes_of)

    def volumes(self) -> Sequence[Volume] | None:
        """The volumes of Podman's own driver; None where `volumes/` is missing, or damaged.

        Podman makes it with the first volume: none is missing where its database has no volume.
        """
        from layerfs.stores.volumes import volumes  # noqa: PLC0415 - as above

        found = volumes(self.directory, self.report)
        return [] if found is None and self.has_no_volumes else found

    def build_cache(self) -> Sequence[CacheRecord]:
        """Nothing: what Buildah keeps of builds is images and their layers."""
        return ()

    # -- checks --------------------------------------------------------------------------------

    def owners(self, stored: Stored) -> Owners:
        """The user namespace of a layer."""
        return self._sources.owners(stored)

    def verification(self, names: Sequence[tuple[str, int | None]], options: VerifyOptions) -> Check:
        """The check of what the names mean, or of everything; see `Verifiable`."""
        from layerfs.stores.containers_storage.checks.verification import verification  # noqa: PLC0415 - few ask

        return verification(self, names, options)

    def diagnose(self, options: DoctorOptions, on_progress: Progress) -> DoctorReport:
        """Examine all of it; see `Diagnosable`."""
        from layerfs.stores.containers_storage.checks.doctor import diagnose  # noqa: PLC0415 - as above

        return diagnose(self, options, on_progress)

    # -- exports -------------------------------------------------------------------------------

    def stored_image(self, image: Image) -> StoredImage | None:
        """An image byte for byte; see `Keeping`."""
        from layerfs.stores.containers_storage.exporting import stored_image  # noqa: PLC0415 - only exports need it

        return stored_image(self, image)

    def salvager(self) -> Salvager:
        """What rebuilds damaged layers; see `Salvageable`."""
        from layerfs.stores.salvage import Salvage  # noqa: PLC0415 - large

        return Salvage(self)

    # -- explanations --------------------------------------------------------------------------

    def explained(self, name: str, found: ID, up_to: int | None, *, every: bool) -> Walk:
        """The walk from a name to directories; see `Explaining`."""
        from layerfs.stores.containers_storage.explaining import explained  # noqa: PLC0415 - few ask

        return explained(self, name, found, up_to, every=every)

    # -- trees ---------------------------------------------------------------------------------

    def stack(self, subject: Named) -> tuple[Layer | BareLayer, ...]:
        """Every layer of an image, a container or a chain, base first; raises `CorruptStore`."""
        if isinstance(subject, Image):
            return self.chain(subject)
        if isinstance(subject, Container):
            return self._stack_to(CacheID(own_layers(self, subject)[-1].cache_id))
        return self._stack_to(self.stored(subject).record.id)

    def _stack_to(self, top: CacheID) -> tuple[Layer | BareLayer, ...]:
        found: list[Layer | BareLayer] = []
        for stored in reversed(self.storage.walk(top)):
            own = stored.record.id
            found.append(self.storage.layer(own) or self._bare(own))
        return tuple(found)

    def layers_below(self, container: Container) -> tuple[Layer, ...]:
        """The layers of the image that a container stands on, base first; raises `CorruptStore`."""
        return tuple(item for item in self.stack(container) if isinstance(item, Layer))

    def tree(self, subject: Named, *, up_to: int | None = None) -> UnionTree:
        """The tree of an image, a container, or a single layer (as it is stored); see `Store.tree`."""
        if isinstance(subject, (Layer, BareLayer)):
            return UnionTree([self._stored_layer(subject)])
        if isinstance(subject, Image):
            stack: Sequence[Layer | BareLayer] = self.chain(
                subject, None if up_to is None else self.layer_number(subject, up_to)
            )
        else:
            stack = self.stack(subject)
        return self._union(stack)

    def tree_below(self, top: Layer | BareLayer) -> UnionTree:
        """The union of a layer and of all below it; raises `CorruptStore`."""
        return self._union(self.stack(top))

    def _union(self, stack: Sequence[Layer | BareLayer]) -> UnionTree:
        """The union of layers, base first; what does not agree with layers.json is reported."""
        if self._has_links:
            for problem in self.dirs.problems([self.stored(layer) for layer in reversed(stack)]):
                self.report(problem)
        return UnionTree([self.source(layer) for layer in reversed(stack)])

    def source(self, layer: Layer | BareLayer) -> LayerSource:
        """A layer by itself as its engine reads it; raises `CorruptStore`."""
        return OverlayLayer(self._stored_layer(layer), self._sources.dialect(self.stored(layer)))

    def _stored_layer(self, layer: Layer | BareLayer) -> StoredLayer:
        stored = self._finished(layer)
        if stored.part.opened.driver == OVERLAY:
            return self._sources.stored(stored)
        return self._wholes.stored(stored, self._sources.owners(stored))

    @functools.cached_property
    def _wholes(self) -> WholeTrees:
        from layerfs.stores.containers_storage.wholetrees import WholeTrees  # noqa: PLC0415 - few need it

        return WholeTrees(self.storage, self._archive_of, self.report)

    def _finished(self, layer: Layer | BareLayer) -> Stored:
        """The record of a layer; one that was never finished is reported."""
        stored = self.stored(layer)
        if stored.record.incomplete:
            name = f"{stored.part.directory.name_of(stored.part.layers_file)}: {stored.record.id}"
            self.report(BrokenChain(name, "the layer was never finished: the engine removes it"))
        return stored
