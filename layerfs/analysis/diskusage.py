"""What the Engine's `docker system df` tells, read from disk: images, containers, volumes, build cache.

Nothing is in use offline but what was recorded so: a container counts as active if it was recorded as
running, a record of the build cache never.

Sources: moby `daemon/disk_usage.go`, `builder/builder-next/controller.go`; buildkit `cache/manager.go`
(DiskUsage, markShared); docker/cli `cli/command/formatter/disk_usage.go`, `buildcache.go`.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.containers import LIVE, ContainerFilter, listed_containers, recorded_state
from layerfs.analysis.usage import StoreUsage
from layerfs.errors import CorruptStore
from layerfs.ids import CacheID, InvalidID
from layerfs.model import READ_WRITE
from layerfs.stores.docker.buildkit import read_buildkit_records, read_buildkit_snapshots
from layerfs.stores.docker.volumes import Volumes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.analysis.usage import ImageUsage
    from layerfs.formats.buildkit import BuildKitRecord, BuildKitSnapshot
    from layerfs.model import Container
    from layerfs.stores.docker.dataroot import DataRoot

__all__ = ["CacheUsage", "ContainerUsage", "DiskUsage", "Total", "VolumeUsage"]


class Total(NamedTuple):
    """One line of the summary.

    Attributes:
        kind: `Images`, `Containers`, `Local Volumes` or `Build Cache`.
        total: how many there are; None where nobody knows.
        active: how many of them are in use.
        size: bytes of all; None where one is not known.
        reclaimable: bytes of those that are not in use, as the Engine reckons.
    """

    kind: str
    total: int | None
    active: int | None
    size: int | None
    reclaimable: int | None


class ContainerUsage(NamedTuple):
    """A container, and the bytes it has written; None where they cannot be read."""

    container: Container
    size: int | None

    @property
    def active(self) -> bool:
        """Whether it was recorded as running, paused or restarting."""
        config = self.container.config
        return config is not None and recorded_state(config) in LIVE


class VolumeUsage(NamedTuple):
    """A volume, how many containers mount it, and its bytes; None where they cannot be read."""

    name: str
    links: int
    size: int | None


class CacheUsage(NamedTuple):
    """A record of the build cache, its bytes, and whether an image has its layers too."""

    record: BuildKitRecord
    size: int | None
    shared: bool


class DiskUsage:
    """The account of one data root; what is damaged is reported to it, and its size is None."""

    def __init__(self, root: DataRoot) -> None:
        """Account for `root`, each part when it is first asked for."""
        self._root = root

    @functools.cached_property
    def _usage(self) -> StoreUsage:
        return StoreUsage(self._root)

    @functools.cached_property
    def images(self) -> list[ImageUsage]:
        """The images that are listed, newest first."""
        return self._usage.listed()

    @functools.cached_property
    def containers(self) -> list[ContainerUsage]:
        """All containers, newest first."""
        return [
            ContainerUsage(item, self._written(item))
            for item in listed_containers(self._root, ContainerFilter())
        ]

    def _written(self, item: Container) -> int | None:
        layer = item.own_layer(READ_WRITE)
        return self._root.content_size(layer) if layer else None

    @functools.cached_property
    def volumes(self) -> list[VolumeUsage] | None:
        """The volumes in the root, by name; None where the root has no `volumes/`, or an unreadable one."""
        links = Counter(
            mount.name
            for item in self._root.containers()
            if item.config
            for mount in item.config.mount_points
            if mount.type == "volume"
        )
        try:
            found = Volumes(self._root.directory)
            names = found.names()
        except CorruptStore as error:
            self._root.report(error)
            return None
        if not found.exist:
            return None
        return [VolumeUsage(name, links[name], self._volume_size(found, name)) for name in names]

    def _volume_size(self, volumes: Volumes, name: str) -> int | None:
        try:
            return volumes.size(name)
        except CorruptStore as error:
            self._root.report(error)
            return None

    @functools.cached_property
    def cache(self) -> list[CacheUsage] | None:
        """The records of the build cache, the longest unused first; None where they are damaged."""
        directory, state = self._root.directory, self._root.bolt_state
        records, in_records = read_buildkit_records(directory, state)
        kept, in_snapshots = read_buildkit_snapshots(directory, state)
        for problem in (*in_records, *in_snapshots):
            self._root.report(problem)
        if not records and in_records:
            return None
        snapshots = {item.key: item for item in kept}
        counted = [record for record in records if not record.twin]
        shared = self._shared(counted, snapshots)
        found = [CacheUsage(item, self._cache_size(item, snapshots), item.key in shared) for item in counted]
        return sorted(found, key=lambda item: (item.record.last_used_ns or 0, item.record.key))

    def _shared(self, records: Iterable[BuildKitRecord], snapshots: dict[str, BuildKitSnapshot]) -> set[str]:
        """The records that are the top of an image, and those they are built on."""
        tops = {image.chain[-1] for image in self._root.images() if image.chain}
        parents = {record.key: record.parent for record in records}
        found: set[str] = set()
        for record in records:
            snapshot = snapshots.get(record.snapshot)
            at = record.key if snapshot and snapshot.chain_id in tops else ""
            while at in parents and at not in found:
                found.add(at)
                at = parents[at]
        return found

    def _cache_size(self, record: BuildKitRecord, snapshots: dict[str, BuildKitSnapshot]) -> int | None:
        """What BuildKit noted, or else the bytes of the layer or directory that is the record's."""
        if record.size is not None:
            return record.size
        snapshot = snapshots.get(record.snapshot)
        if not record.has_files or snapshot is None:
            return 0
        if snapshot.chain_id is not None and (layer := self._usage.holders.layers.get(snapshot.chain_id)):
            return layer.size
        try:
            return self._root.overlay2.content_size(CacheID(snapshot.directories[0]))
        except InvalidID:
            return None
        except CorruptStore as error:
            self._root.report(error)
            return None

    # -- the summary ---------------------------------------------------------------------------

    def summary(self) -> list[Total]:
        """The four lines of `docker system df`."""
        return [self._images_total(), self._containers_total(), self._volumes_total(), self._cache_total()]

    def _images_total(self) -> Total:
        active = sum(1 for item in self.images if item.containers)
        return Total("Images", len(self.images), active, self._usage.total_size, self._usage.reclaimable_size)

    def _containers_total(self) -> Total:
        active = sum(item.active for item in self.containers)
        size = _sum(item.size for item in self.containers)
        reclaimable = _sum(item.size for item in self.containers if not item.active)
        return Total("Containers", len(self.containers), active, size, reclaimable)

    def _volumes_total(self) -> Total:
        if self.volumes is None:
            return Total("Local Volumes", None, None, None, None)
        active = sum(1 for item in self.volumes if item.links)
        size = _sum(item.size for item in self.volumes)
        reclaimable = _sum(item.size for item in self.volumes if not item.links)
        return Total("Local Volumes", len(self.volumes), active, size, reclaimable)

    def _cache_total(self) -> Total:
        if self.cache is None:
            return Total("Build Cache", None, None, None, None)
        # as the Engine has it: what an image has too counts among the images
        size = _sum(item.size for item in self.cache if not item.shared)
        return Total("Build Cache", len(self.cache), 0, size, size)


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)
