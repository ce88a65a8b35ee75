"""BuildKit's cache, of a Docker Engine with a containerd store: records in a database, files in snapshots.

Source: buildkit `cache/manager.go` (DiskUsage), `cache/refs.go` (size); moby `builder/builder-next/worker`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.capabilities import CacheRecord
from layerfs.damage import attempt
from layerfs.stores.docker.buildkit import read_buildkit_records

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from layerfs.errors import CorruptStore
    from layerfs.formats.buildkit import BuildKitRecord
    from layerfs.hostdir import HostDir
    from layerfs.stores.containerd.layers import Placed, Snapshots

__all__ = ["BuildCache"]


class BuildCache:
    """The records of the cache of one Docker data root; empty without one.

    Attributes:
        records: those that can be read.
        problems: what is wrong with the databases.
    """

    def __init__(self, docker: HostDir | None, snapshotters: Collection[str], state: str) -> None:
        """Read the records.

        Args:
            docker: the data root, or None.
            snapshotters: the names of the snapshotters whose records are read.
            state: which state of the databases is read, as of `read_boltfile`.
        """
        self.records: list[BuildKitRecord] = []
        self.problems: list[CorruptStore] = []
        for name in snapshotters if docker else ():
            assert docker  # noqa: S101 - as the line above says
            path = f"buildkit/containerd-{name}/metadata_v2.db"
            found, problems = read_buildkit_records(docker, state, path)
            self.records += found
            self.problems += problems

    @property
    def keys(self) -> set[str]:
        """The keys of the snapshots of the records, and of the views through which BuildKit reads them."""
        own = {key for record in self.records for key in (record.key, record.snapshot)}
        return own | {f"{key}-view" for key in own}

    def counted(
        self,
        snapshots: Snapshots,
        size: Callable[[Placed], int],
        blob_size: Callable[[str], int | None],
        report: Callable[[CorruptStore], None],
    ) -> Sequence[CacheRecord] | None:
        """The records that `docker system df` counts; None if they are damaged (reported).

        Args:
            snapshots: finds the snapshots of the records.
            size: counts the bytes of a snapshot; raises `CorruptStore`.
            blob_size: gives the size of a blob that is there, else None.
            report: takes what is wrong.
        """
        for problem in self.problems:
            report(problem)
        if self.problems and not self.records:
            return None
        found = []
        for record in self.records:
            if not record.twin:
                whole = attempt(report, functools.partial(_size, record, snapshots, size, blob_size))
                found.append(CacheRecord(record, record.chain_id, whole))
        return found


def _size(
    record: BuildKitRecord,
    snapshots: Snapshots,
    size: Callable[[Placed], int],
    blob_size: Callable[[str], int | None],
) -> int:
    """The size that BuildKit wrote down, or else would count: that of its own snapshot and its blob."""
    if record.size is not None:
        return record.size
    placed = snapshots.of(record.snapshot) if record.has_files else None
    blob = blob_size(record.blob) if record.blob else None
    return (size(placed) if placed else 0) + (blob or 0)
