"""Which snapshots something needs: images, containers, BuildKit's cache, leases; and all that these stand on.

Sources: containerd `core/metadata/gc.go`, `docs/garbage-collection.md`; buildkit `cache/metadata`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from layerfs.boltfile import read_boltfile
from layerfs.errors import CorruptStore, MalformedFile, reason
from layerfs.formats.buildkit import parse_records
from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.formats.containerdmeta import MetaLease
    from layerfs.stores.containerd.layers import Placed
    from layerfs.stores.containerd.store import ContainerdStore

__all__ = ["Needs", "has_expired"]

_EXPIRE, _ROOT = "containerd.io/gc.expire", "containerd.io/gc.root"


class Needs:
    """What is needed of one store.

    Attributes:
        names: the names of snapshots.
        complete: whether all that could need one could be read.
    """

    def __init__(self, store: ContainerdStore) -> None:
        """Ask everything that may need a snapshot; damage is reported to `store`."""
        self.names: set[str] = set()
        self.complete = True
        self._store = store
        before = len(store.damage)
        for placed in self._roots():
            self._add(placed)
        self.complete = self.complete and len(store.damage) == before

    def _add(self, top: Placed) -> None:
        if top.snapshot.name in self.names:
            return
        below, problem = self._store.snapshots.below(top)
        self.names |= {item.snapshot.name for item in below}
        self.complete = self.complete and problem is None

    def _roots(self) -> Iterator[Placed]:
        store = self._store
        for chain in store.layers_by_chain:
            yield from store.snapshots.every(chain)
        for container in store.containers():
            if placed := store.placed_of(container):
                yield placed
        for key in self._keys():
            yield from store.snapshots.every(key)

    def _keys(self) -> Iterator[str]:
        for space in self._store.spaces:
            for lease in space.leases.values():
                if not has_expired(lease):
                    yield from (key for _, key in lease.snapshots)
            for name in space.snapshotters:
                for key, meta in space.snapshots(name).items():
                    if _ROOT in meta.labels:
                        yield key
        for key in self._of_buildkit():
            yield key
            yield f"{key}-view"

    def _of_buildkit(self) -> Iterator[str]:
        docker = self._store.docker
        for name in self._store.snapshotters if docker else ():
            assert docker  # noqa: S101 - as the line above says
            path = f"buildkit/containerd-{name}/metadata_v2.db"
            try:
                database = read_boltfile(docker, path, self._store.report)
                yield from (record.key for record in parse_records(database.root))
            except FileNotFoundError:
                continue
            except OSError as error:
                self._store.report(MalformedFile(docker.name_of(path), reason(error)))
            except CorruptStore as error:
                self._store.report(error)


def has_expired(lease: MetaLease) -> bool:
    """Whether a lease keeps nothing any more, as of now."""
    try:
        expires = parse_time(lease.labels.get(_EXPIRE, ""))
    except FormatError:
        return False
    return expires is not None and expires < time.time_ns()
