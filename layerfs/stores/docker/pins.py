"""What needs layers and directories besides images, as containers and BuildKit; and what nothing needs.

Source: moby `builder/builder-next/adapters/snapshot/snapshot.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.capabilities import Pinned, Unclaimed
from layerfs.errors import CorruptStore

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from layerfs.formats.buildkit import BuildKitSnapshot
    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.stores.docker.dataroot import DataRoot
    from layerfs.stores.docker.layerdb import MountRecord, NotedMount
    from layerfs.stores.docker.overlay2 import Overlay2

__all__ = ["owned_directories", "pinned", "unclaimed"]


def pinned(root: DataRoot) -> Pinned:
    """What others than images need; damage is reported to `root`."""
    containers = root.containers()
    snapshots, problems = root.snapshots
    for problem in problems:
        root.report(problem)
    mounts = [item.mount for item in containers if item.mount]
    return Pinned(
        frozenset(_cached(root, snapshots)),
        frozenset(owned_directories(mounts, snapshots)),
        complete=root.is_whole
        and not problems
        and len(root.layers()) == len(root.layerdb.chain_ids())
        and {item.id for item in containers if item.mount} >= set(root.layerdb.container_ids()),
    )


def _cached(root: DataRoot, snapshots: Iterable[BuildKitSnapshot]) -> Iterator[ChainID]:
    """The layers of snapshots; as in the engine, a snapshot whose layer is gone needs nothing."""
    known = set(root.layerdb.chain_ids())
    told: set[ChainID] = set()
    for snapshot in snapshots:
        if snapshot.chain_id in known and snapshot.chain_id is not None:
            try:
                told.update(layer.chain_id for layer in root.chain_below(snapshot.chain_id, until=told))
            except CorruptStore as error:
                root.report(error)
    yield from told


def owned_directories(
    mounts: Iterable[MountRecord | NotedMount], snapshots: Iterable[BuildKitSnapshot]
) -> Iterator[str]:
    """The names in `overlay2/` that containers and BuildKit own."""
    for mount in mounts:
        if mount.mount_id:
            yield mount.mount_id
            # the engine always makes an -init layer
            yield mount.init_id or f"{mount.mount_id}-init"
    for snapshot in snapshots:
        yield from snapshot.directories


def unclaimed(root: HostDir, overlay2: Overlay2, needed: Collection[str]) -> Iterator[Unclaimed]:
    """The directories of `overlay2/` that are not in `needed`; last those whose names cannot be a layer's."""
    for cache_id in overlay2.cache_ids():
        if cache_id not in needed:
            try:
                size = overlay2.content_size(cache_id)
            except CorruptStore:
                size = None
            yield Unclaimed(cache_id, overlay2.path_of(cache_id), size)
    for name, bytes_in_it in overlay2.strangers():
        yield Unclaimed(None, root.name_of(b"overlay2/" + name), bytes_in_it)
