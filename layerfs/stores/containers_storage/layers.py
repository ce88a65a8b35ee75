"""The layers of a store: whose parent is which, and their chain IDs, which are written nowhere.

Source: containers/storage `layers.go`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from layerfs.errors import BrokenChain, CorruptStore, MissingFile
from layerfs.ids import BlobDigest, CacheID, ChainID, DiffID, InvalidID, chain_id
from layerfs.model import Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from layerfs.formats.graphroot import LayerRecordText
    from layerfs.stores.containers_storage.parts import Part, Stored

__all__ = ["MAX_STACK", "Layers", "StorageLayer"]

MAX_STACK = 500
"""The most layers that overlayfs mounts (Linux `fs/overlayfs/params.c`)."""


@dataclass(frozen=True, slots=True)
class StorageLayer(Layer):
    """One layer of an image.

    Attributes:
        chain_id: computed from the diff IDs of it and of those below.
        diff_id: sha256 of its uncompressed tar.
        parent: the chain ID of the layer below; None for a base layer.
        cache_id: its ID in the store, which is the name of its directory.
        stored: its record.
        measure: counts the bytes of its tar, or of its files, where they are not noted.
    """

    chain_id: ChainID
    diff_id: DiffID
    parent: ChainID | None
    cache_id: CacheID
    stored: Stored
    measure: Callable[[StorageLayer], int | None] = field(compare=False, repr=False)

    @property
    def size(self) -> int | None:
        """Bytes of its tar, as noted, or else as counted; None where nothing tells (reported)."""
        noted = self.stored.record.size
        return self.measure(self) if noted is None else noted

    @property
    def blob_digest(self) -> BlobDigest | None:
        """The digest of the blob that was applied; it is not always that of this layer's (see `Layer`)."""
        return _blob_digest(self.stored)

    @property
    def blob_size(self) -> int | None:
        """Bytes of that blob as noted."""
        return self.stored.record.blob_size


def _blob_digest(stored: Stored) -> BlobDigest | None:
    try:
        return BlobDigest(stored.record.blob)
    except InvalidID:
        return None


class Layers:
    """The layers of all roots of one store, by ID: of two with one ID the first root's counts."""

    def __init__(
        self,
        parts: Sequence[Part],
        known: Callable[[], Mapping[CacheID, DiffID]],
        lost: Callable[[Part, Collection[str]], Iterable[LayerRecordText]],
        measure: Callable[[StorageLayer], int | None],
        report: Callable[[CorruptStore], object],
    ) -> None:
        """Join the layers of `parts`.

        Args:
            parts: the roots, in the order in which the engine looks.
            known: gives the diff IDs that images tell of layers whose records do not.
            lost: gives what can be told of layers of a root without a record, by the IDs of those with one.
            measure: counts the bytes of the tar or the files of a layer of which none are noted.
            report: is told of damage.
        """
        self._parts = parts
        self._measure = measure
        self._known = known
        self._lost = lost
        self._report = report
        self._chains: dict[CacheID, ChainID | CorruptStore | None] = {}

    @functools.cached_property
    def all(self) -> Mapping[str, Stored]:
        """Every layer by its ID."""
        from layerfs.stores.containers_storage.parts import Stored  # noqa: PLC0415 - a circle of types

        found: dict[str, Stored] = {}
        for part in self._parts:
            for own, record in part.layers.items():
                found.setdefault(own, Stored(record, part))
        for part in self._parts:
            lost = list(self._lost(part, found.keys()))
            found.update((record.id, Stored(record, part, is_lost=True)) for record in lost)
            if lost and not part.has_layers_file:
                name = part.directory.name_of(part.layers_file)
                self._report(MissingFile(name, "the file is missing: layers are known by their directories"))
        return found

    @functools.cached_property
    def by_name(self) -> Mapping[str, CacheID]:
        """The layers by the names of their records, as `web-layer` of a container; of several the first."""
        found: dict[str, CacheID] = {}
        for stored in self.all.values():
            for name in stored.record.names:
                found.setdefault(name, stored.record.id)
        return found

    @functools.cached_property
    def blobs(self) -> Mapping[str, BlobDigest]:
        """The digests of the blobs that were applied, by the IDs of the layers."""
        return {own: digest for own, stored in self.all.items() if (digest := _blob_digest(stored))}

    def stored(self, layer: CacheID) -> Stored:
        """A layer by its ID; raises `MissingFile`, with what to do about it."""
        found = self.all.get(layer)
        if found is None:
            name = self._parts[0].directory.name_of(self._parts[0].layers_file)
            problem = (
                f"there is no record of the layer {layer} (another store may have it: --additional-store)"
            )
            raise MissingFile(name, problem)
        return found

    def walk(self, top: CacheID) -> list[Stored]:
        """A layer and those it stands on, uppermost first; raises `CorruptStore`."""
        found: list[Stored] = []
        seen: set[CacheID] = set()
        at: CacheID | None = top
        while at is not None:
            stored = self.stored(at)
            name = stored.part.directory.name_of(stored.part.layers_file)
            if at in seen:
                raise BrokenChain(f"{name}: {at}", "the layer is below itself")
            if len(found) == MAX_STACK:
                expected = f"at most {MAX_STACK}"
                raise BrokenChain(f"{name}: {top}", "more layers than overlayfs can stack", expected=expected)
            if stored.is_lost and stored.part.has_sound_layers:  # else one message told of all records
                self._report(
                    MissingFile(name, f"there is no record of the layer {at}: its directory is used")
                )
            seen.add(at)
            found.append(stored)
            at = stored.record.parent
        return found

    # -- chain IDs -----------------------------------------------------------------------------

    def chain_of(self, layer: CacheID) -> ChainID | None:
        """The chain ID of a layer; None for one that has no diff ID, as a container's, or is on such a one.

        Raises:
            CorruptStore: what it stands on is missing or damaged.
        """
        if layer not in self._chains:
            self._find_chains(layer)
        found = self._chains[layer]
        if isinstance(found, CorruptStore):
            raise found.again()
        return found

    def _find_chains(self, top: CacheID) -> None:
        """Work out the chain IDs of a layer and of all below it; each is worked out once."""
        above: list[Stored] = []
        at: CacheID | None = top
        below: ChainID | CorruptStore | None = None
        seen: set[CacheID] = set()
        while at is not None:
            if at in self._chains:
                below = self._chains[at]
                break
            try:
                stored = self.stored(at)
            except CorruptStore as error:
                below = error.again()
                break
            if at in seen:
                name = stored.part.directory.name_of(stored.part.layers_file)
                below = BrokenChain(f"{name}: {at}", "the layer is below itself")
                break
            seen.add(at)
            above.append(stored)
            at = stored.record.parent
        is_base = at is None
        self._number(above, below, is_base=is_base)
        self._chains.setdefault(top, below)

    def _number(
        self, above: Sequence[Stored], below: ChainID | CorruptStore | None, *, is_base: bool
    ) -> None:
        for stored in reversed(above):
            diff_id = self.diff_id(stored)
            if not isinstance(below, CorruptStore):
                stands = is_base or below is not None
                below = chain_id(below, diff_id) if diff_id and stands else None
            self._chains[stored.record.id] = below
            is_base = False

    def diff_id(self, stored: Stored) -> DiffID | None:
        """The diff ID of a layer, also where only an image tells it; None for a container's."""
        record = stored.record
        return record.diff_id or (self._known().get(record.id) if record.toc else None)

    def layer(self, layer: CacheID) -> StorageLayer | None:
        """The layer of an image by its ID; None where it is no image's; raises as `chain_of`."""
        chain = self.chain_of(layer)
        if chain is None:
            return None
        stored = self.all[layer]
        below = stored.record.parent
        diff_id = self.diff_id(stored)
        assert diff_id is not None  # noqa: S101 - else it had no chain ID
        parent = self.chain_of(below) if below else None
        return StorageLayer(chain, diff_id, parent, stored.record.id, stored, self._measure)

    @functools.cached_property
    def by_chain(self) -> Mapping[ChainID, tuple[StorageLayer, ...]]:
        """The sound layers of images by chain ID: several where one was copied, as with other owners."""
        found: dict[ChainID, tuple[StorageLayer, ...]] = {}
        for own in self.all:
            try:
                layer = self.layer(CacheID(own))
            except CorruptStore as error:
                self._report(error)
                continue
            if layer:
                found[layer.chain_id] = (*found.get(layer.chain_id, ()), layer)
        return found
