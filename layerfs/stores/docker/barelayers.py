"""Layers without a record: a container's own two, those of removed containers, and BuildKit's.

They are directories of `overlay2/` that belong to no layer of an image. They have no diff ID.

Source: moby `layer/layer_store.go` (saveMount), `daemon/graphdriver/overlay2/overlay.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from layerfs.errors import MissingFile
from layerfs.ids import CacheID
from layerfs.layernames import KnownLayer
from layerfs.model import INIT, READ_WRITE, BareLayer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.ids import ChainID, ContainerID
    from layerfs.stores.docker.layerdb import DockerContainer, LayerDB, LayerRecord
    from layerfs.stores.docker.overlay2 import Overlay2
    from layerfs.stores.docker.records import Records

__all__ = ["BareLayers", "BareStack", "place_of"]


class Store(Protocol):
    """The methods of a data root that are used here."""

    layerdb: LayerDB
    overlay2: Overlay2
    records: Records

    def load_container(self, container_id: ContainerID) -> DockerContainer:
        """The container of an ID, as far as it can be read."""

    def layers(self) -> list[LayerRecord]:
        """Every layer with a record; damage is reported."""

    def chain_below(self, top: ChainID) -> tuple[LayerRecord, ...]:
        """The chain that ends in a layer, base first."""


class BareStack(NamedTuple):
    """A layer without a record, and the layers below it.

    Attributes:
        above: it, and those directly below it that have no record either, uppermost first.
        chain: the layers with a record below these, base first.
    """

    above: list[CacheID]
    chain: tuple[LayerRecord, ...]


class BareLayers:
    """The layers without a record of one data root."""

    def __init__(self, store: Store) -> None:
        """Read them from `store`."""
        self._store = store

    def and_known(self) -> Iterator[KnownLayer]:
        """Every layer with a record, sound or damaged, and then those without."""
        layerdb, records = self._store.layerdb, self._store.records
        taken: set[CacheID | None] = set()
        for chain in layerdb.chain_ids():
            noted, found = layerdb.noted_layer(chain), records.directories.of(chain)
            place, cache_id = records.chains.place(chain), found.cache_id if found else noted.cache_id
            taken.add(cache_id)
            yield KnownLayer(chain, place.diff_id if place else noted.diff_id, cache_id)
        mounts = map(layerdb.noted_mount, layerdb.container_ids())
        own = [cache_id for mount in mounts for cache_id in (mount.mount_id, mount.init_id) if cache_id]
        for cache_id in dict.fromkeys([*own, *self._store.overlay2.cache_ids()]):
            if cache_id not in taken:
                yield KnownLayer(None, None, cache_id)

    def layer(self, cache_id: CacheID) -> BareLayer:
        """The layer of a directory, with its container, if it has one."""
        layerdb = self._store.layerdb
        for container in layerdb.container_ids():
            noted = layerdb.noted_mount(container)
            if noted.mount_id == cache_id:
                return BareLayer(cache_id, READ_WRITE, container)
            if cache_id in (noted.init_id, f"{noted.mount_id}-init"):
                return BareLayer(cache_id, INIT, container)
        return BareLayer(cache_id)

    def stack(self, layer: BareLayer) -> BareStack:
        """A layer and those below it, by the record of its container or else by its own `lower`.

        Raises:
            CorruptStore: the layers below are damaged, or not known.
        """
        mount = self._store.load_container(layer.container_id).mount if layer.container_id else None
        if mount is None or mount.below is not None:
            return self._by_lower(place_of(layer))
        own = (mount.mount_id, mount.init_id) if layer.cache_id == mount.mount_id else (place_of(layer),)
        chain = self._store.chain_below(mount.parent) if mount.parent else ()
        return BareStack([cache_id for cache_id in own if cache_id], chain)

    def _by_lower(self, top: CacheID) -> BareStack:
        """The stack by `lower`: the lowest directories as a chain of recorded layers, and those above."""
        below = self._lower(top)
        records = {layer.cache_id: layer for layer in self._store.layers()} if below else {}
        highest = next((depth for depth, cache_id in enumerate(below) if cache_id in records), None)
        if highest is not None:
            chain = self._store.chain_below(records[below[highest]].chain_id)
            if [layer.cache_id for layer in reversed(chain)] == below[highest:]:
                return BareStack([top, *below[:highest]], chain)
        return BareStack([top, *below], ())

    def _lower(self, top: CacheID) -> list[CacheID]:
        overlay2 = self._store.overlay2
        found: list[CacheID] = []
        for link in overlay2.lower(top) or ():
            target = self._store.records.directories.named([link])
            if target is None:
                name = f"{overlay2.path_of(top).rpartition('/')[0]}/l/{link}"
                raise MissingFile(name, "the short link is missing", hint=f"it is in the `lower` of {top}")
            found += target
        return found


def place_of(layer: BareLayer) -> CacheID:
    """The directory of a layer without a record."""
    return CacheID(layer.cache_id)
