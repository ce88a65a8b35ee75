"""What needs snapshots and blobs besides images (containers, build cache, leases), and what nothing needs.

Sources: containerd `core/metadata/gc.go`, `docs/garbage-collection.md`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from layerfs.capabilities import Pinned, Unclaimed
from layerfs.errors import CorruptStore
from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import parse_time
from layerfs.stores.containerd.layers import chain_of_key
from layerfs.stores.containerd.sizes import blob_part_name, snapshot_part_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from layerfs.formats.containerdmeta import MetaLease, Namespace
    from layerfs.ids import ChainID
    from layerfs.stores.containerd.layers import ContainerdLayer, Placed, Snapshots
    from layerfs.stores.containerd.snapshotters import Snapshotter

__all__ = ["has_expired", "kept_keys", "leased_blobs", "pinned", "unclaimed"]

_ROOT = "containerd.io/gc.root"
_EXPIRE = "containerd.io/gc.expire"


def pinned(
    held: Iterable[Placed],
    cached: Iterable[Placed],
    under_images: Iterable[Placed],
    blobs: Iterable[str],
    snapshots: Snapshots,
    layers: Mapping[ChainID, ContainerdLayer],
    report: Callable[[CorruptStore], None],
) -> Pinned:
    """The snapshots and blobs that are needed, with the snapshots below them.

    Args:
        held: snapshots that containers and leases need.
        cached: those that a build cache needs.
        under_images: the top snapshots of images: a snapshot that a build left between layers is no orphan.
        blobs: the digests of blobs that leases need.
        snapshots: finds the snapshots below each.
        layers: the layers of images by chain ID.
        report: takes what is wrong.
    """
    ours, of_cache, of_images = (_Standing(snapshots, layers, report) for _ in range(3))
    ours.add(held)
    of_cache.add(cached)
    of_images.add(under_images)
    every = (ours, of_cache, of_images)
    parts = (snapshot_part_name(item) for found in (ours, of_cache) for item in found.bare)
    return Pinned(
        frozenset(of_cache.chains),
        frozenset(item.place for found in every for item in found.bare),
        frozenset((*parts, *map(blob_part_name, blobs))),
        complete=all(found.complete for found in every),
    )


class _Standing:
    """Some snapshots and all snapshots below them: layers of images, and others."""

    def __init__(
        self,
        snapshots: Snapshots,
        layers: Mapping[ChainID, ContainerdLayer],
        report: Callable[[CorruptStore], None],
    ) -> None:
        self.chains: set[ChainID] = set()
        self.bare: list[Placed] = []
        self.complete = True
        self._snapshots = snapshots
        self._places = {chain: layer.cache_id for chain, layer in layers.items()}
        # also if damaged records say otherwise
        self._bases = {chain for chain, layer in layers.items() if layer.parent is None}
        self._report = report
        self._seen: set[str] = set()

    def add(self, tops: Iterable[Placed]) -> None:
        """Add these snapshots, and those below them."""
        for top in tops:
            below, problem = self._snapshots.below(top)
            if problem:
                self._report(problem)
                keys = [item.key for item in below]
                bases = [number for number, key in enumerate(keys) if key in self._bases]
                self.complete = self.complete and bool(bases)
                below = below[max(bases, default=0) :]
            for item in below:
                if item.place not in self._seen:
                    self._seen.add(item.place)
                    self._sort(item)

    def _sort(self, item: Placed) -> None:
        chain = chain_of_key(item.key)
        if chain and self._places.get(chain) == item.place:
            self.chains.add(chain)
        else:  # of no image, or of a layer that was unpacked again for another namespace
            self.bare.append(item)


def _leases(spaces: Iterable[Namespace]) -> Iterator[MetaLease]:
    """The leases that have not expired."""
    for space in spaces:
        yield from (lease for lease in space.leases.values() if not has_expired(lease))


def has_expired(lease: MetaLease) -> bool:
    """Whether a lease has expired by the clock of this machine."""
    try:
        expires = parse_time(lease.labels.get(_EXPIRE, ""))
    except FormatError:
        return False
    return expires is not None and expires < time.time_ns()


def kept_keys(spaces: Sequence[Namespace]) -> set[str]:
    """The keys of snapshots that leases keep, or that a label `containerd.io/gc.root` keeps."""
    leased = {key for lease in _leases(spaces) for _, key in lease.snapshots}
    parts = ((space, name) for space in spaces for name in space.snapshotters)
    every = (item for space, name in parts for item in space.snapshots(name).values())
    return leased | {item.key for item in every if _ROOT in item.labels}


def leased_blobs(spaces: Iterable[Namespace]) -> set[str]:
    """The digests of blobs that leases keep."""
    return {digest for lease in _leases(spaces) for digest in lease.blobs}


def unclaimed(
    placed: Iterable[Placed],
    snapshotters: Iterable[Snapshotter],
    needed: Collection[str],
    size_of: Callable[[Placed], int],
) -> Iterator[Unclaimed]:
    """The snapshots that are not in `needed`, and then the directories without a snapshot.

    `size_of` counts the bytes of a snapshot; raises `CorruptStore`.
    """
    for item in placed:
        if item.place not in needed:
            try:
                size: int | None = size_of(item)
            except CorruptStore:
                size = None
            yield Unclaimed(item.place, item.snapshotter.path_of(item.snapshot.number), size)
    for snapshotter in snapshotters:
        for path, size in snapshotter.strangers():
            yield Unclaimed(None, path, size)
