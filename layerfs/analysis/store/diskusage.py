"""The numbers of `docker system df`, from the disk: images, containers, volumes, build cache.

Use is taken from the records: a container counts as active if it is recorded as running; a record of the
build cache never is.

Sources: moby `daemon/disk_usage.go`, `builder/builder-next/controller.go`; buildkit `cache/manager.go`
(DiskUsage, markShared); docker/cli `cli/command/formatter/disk_usage.go`, `buildcache.go`.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.store.containers import (
    LIVE,
    UNKNOWN,
    ContainerFilter,
    listed_containers,
    recorded_state,
    written_size,
)
from layerfs.analysis.store.listing import ListedImage, image_rows
from layerfs.analysis.store.usage import StoreUsage
from layerfs.capabilities import Accountable
from layerfs.model import added_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerfs.analysis.store.usage import ImageUsage
    from layerfs.capabilities import CacheRecord
    from layerfs.formats.buildkit import BuildKitRecord
    from layerfs.model import Container
    from layerfs.store import Store

__all__ = ["CacheUsage", "ContainerUsage", "DiskUsage", "ImageLine", "Total", "VolumeUsage"]


class Total(NamedTuple):
    """One line of the summary.

    Attributes:
        kind: `Images`, `Containers`, `Local Volumes` or `Build Cache`.
        total: how many there are; None if that is not known.
        active: how many of these are in use.
        size: bytes of all; None if one of their sizes is not known.
        reclaimable: bytes of those that are not in use, as the Engine computes it.
    """

    kind: str
    total: int | None
    active: int | None
    size: int | None
    reclaimable: int | None


class ImageLine(NamedTuple):
    """A row of the list of images: what one takes, and the name that is told; None for none."""

    usage: ImageUsage
    repository: str | None
    tag: str | None


class ContainerUsage(NamedTuple):
    """A container, and the bytes that it has written; None if they cannot be read."""

    container: Container
    size: int | None

    @property
    def active(self) -> bool:
        """Whether it was recorded as running, paused or restarting."""
        config = self.container.config
        return config is not None and recorded_state(config) in (*LIVE, UNKNOWN)


class VolumeUsage(NamedTuple):
    """A volume, how many containers mount it, and its bytes; None if they cannot be read."""

    name: str
    links: int
    size: int | None


class CacheUsage(NamedTuple):
    """A record of the build cache, its bytes, and whether images have its layers too."""

    record: BuildKitRecord
    size: int | None
    shared: bool


class DiskUsage:
    """The disk usage of one store; damage is reported to the store, and gives a size of None."""

    def __init__(self, root: Store) -> None:
        """Measure `root`; each part is computed when it is first asked for."""
        self._root = root

    @functools.cached_property
    def _usage(self) -> StoreUsage:
        return StoreUsage(self._root)

    @functools.cached_property
    def images(self) -> list[ImageUsage]:
        """The images that are listed, newest first."""
        return self._usage.listed()

    def image_lines(self) -> list[ImageLine]:
        """The rows of images: one each, with its first name, or one a name, as the store's engine has it."""
        if not self._root.account_rules.every_row:
            return [ImageLine(item, *item.image.first_tag) for item in self.images]
        return [
            ImageLine(item, row.repository, row.tag)
            for item in self.images
            for row in image_rows([ListedImage(item.image, item.image.references, item.image.other_names)])
        ]

    @functools.cached_property
    def containers(self) -> list[ContainerUsage]:
        """All containers, newest first."""
        return [
            ContainerUsage(item, written_size(self._root, item))
            for item in listed_containers(self._root, ContainerFilter())
        ]

    @functools.cached_property
    def volumes(self) -> list[VolumeUsage] | None:
        """The volumes, by name; None if the store has no such part, or it cannot be read."""
        links = Counter(
            mount.name
            for item in self._root.containers()
            if item.config
            for mount in item.config.mount_points
            if mount.type == "volume"
        )
        found = self._root.volumes() if isinstance(self._root, Accountable) else None
        return None if found is None else [VolumeUsage(name, links[name], size) for name, size in found]

    @functools.cached_property
    def cache(self) -> list[CacheUsage] | None:
        """The records of the build cache, the longest unused first; None if they are damaged."""
        counted = self._root.build_cache() if isinstance(self._root, Accountable) else None
        if counted is None:
            return None
        shared = self._shared(counted)
        found = [CacheUsage(item.record, item.size, item.record.key in shared) for item in counted]
        return sorted(found, key=lambda item: (item.record.last_used_ns or 0, item.record.key))

    def _shared(self, counted: Sequence[CacheRecord]) -> set[str]:
        """The keys of the records that have the top layer of an image, and of all their parents."""
        tops = {image.chain[-1] for image in self._root.images() if image.chain}
        parents = {item.record.key: item.record.parent for item in counted}
        found: set[str] = set()
        for item in counted:
            at = item.record.key if item.chain in tops else ""
            while at in parents and at not in found:
                found.add(at)
                at = parents[at]
        return found

    # -- the summary ---------------------------------------------------------------------------

    def summary(self) -> list[Total]:
        """The lines of `docker system df`, or of its like."""
        found = [self._images_total(), self._containers_total(), self._volumes_total()]
        return [*found, self._cache_total()] if self._root.account_rules.has_cache else found

    def _images_total(self) -> Total:
        active = sum(1 for item in self.images if item.containers)
        rest = self._usage.unneeded_size if self._root.account_rules.every_layer else 0
        size = added_up((self._usage.total_size, rest))
        reclaimable = added_up((self._usage.reclaimable_size, rest))
        return Total("Images", len(self.image_lines()), active, size, reclaimable)

    def _containers_total(self) -> Total:
        active = sum(item.active for item in self.containers)
        size = _sum(item.size for item in self.containers)
        reclaimable = _sum(item.size for item in self.containers if not item.active)
        return Total("Containers", len(self.containers), active, size, reclaimable)

    def _volumes_total(self) -> Total:
        if self.volumes is None:
            return Total("Local Volumes", None, None, None, None)
        every = self._root.account_rules.every_use
        active = sum(item.links if every else bool(item.links) for item in self.volumes)
        size = _sum(item.size for item in self.volumes)
        reclaimable = _sum(item.size for item in self.volumes if not item.links)
        return Total("Local Volumes", len(self.volumes), active, size, reclaimable)

    def _cache_total(self) -> Total:
        if self.cache is None:
            return Total("Build Cache", None, None, None, None)
        # as in the Engine: what images have too counts with the images; in older Engines only there
        own = _sum(item.size for item in self.cache if not item.shared)
        whole = _sum(item.size for item in self.cache) if self._root.account_rules.whole_cache else own
        return Total("Build Cache", len(self.cache), 0, whole, own)


def _sum(sizes: Iterable[int | None]) -> int | None:
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)
