"""BuildKit's records as a build cache: the layer and the size of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.capabilities import CacheRecord
from layerfs.damage import attempt
from layerfs.ids import CacheID, InvalidID
from layerfs.stores.docker.buildkit import read_buildkit_records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerfs.formats.buildkit import BuildKitRecord, BuildKitSnapshot
    from layerfs.ids import ChainID
    from layerfs.model import Layer
    from layerfs.stores.docker.dataroot import DataRoot

__all__ = ["build_cache"]


def build_cache(root: DataRoot) -> list[CacheRecord] | None:
    """The records that `docker system df` counts; None if they are damaged (reported)."""
    records, in_records = read_buildkit_records(root.directory, root.bolt_state)
    kept, in_snapshots = root.snapshots
    for problem in (*in_records, *in_snapshots):
        root.report(problem)
    if (in_records and not records) or (in_snapshots and not kept):
        return None
    snapshots = {item.key: item for item in kept}
    layers = {layer.chain_id: layer for layer in root.layers()}
    found = []
    for record in records:
        if not record.twin:
            snapshot = snapshots.get(record.snapshot)
            size = _size(root, record, snapshot, layers, whole=not in_snapshots)
            found.append(CacheRecord(record, snapshot.chain_id if snapshot else None, size))
    return found


def _size(
    root: DataRoot,
    record: BuildKitRecord,
    snapshot: BuildKitSnapshot | None,
    layers: Mapping[ChainID, Layer],
    *,
    whole: bool,
) -> int | None:
    """The size that BuildKit recorded, or else that of the record's layer or directory.

    None if it cannot be counted, or if snapshots were lost (not `whole`) and this record's may be one of
    these.
    """
    if record.size is not None:
        return record.size
    if snapshot is None and not whole:
        return None
    if not record.has_files or snapshot is None:
        return 0
    if snapshot.chain_id is not None and (layer := layers.get(snapshot.chain_id)):
        return layer.size
    try:
        cache_id = CacheID(snapshot.directories[0])
    except InvalidID:
        return None
    return attempt(root.report, lambda: root.overlay2.content_size(cache_id))
