"""Who uses which layer, and what removing an image would really free.

Two accounts of the same store: SHARED and UNIQUE as the Engine prints them (references of listed
images, by chain ID), and FREED, which asks what nothing would hold any more: no image, no
container, no snapshot of BuildKit's cache.

Sources: moby `daemon/images/service.go`, `daemon/disk_usage.go` (v20.10.24),
`daemon/images/image_delete.go` (which parents go with an image).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs.analysis.listing import container_counts, listed_images
from layerfs.errors import CorruptStore
from layerfs.store.buildkit import read_buildkit_snapshots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from layerfs.dataroot import DataRoot
    from layerfs.ids import CacheID, ChainID, ContainerID, ImageID
    from layerfs.model import Image, Layer

__all__ = ["ImageUsage", "LayerUsage", "Orphan", "StoreUsage", "WhatIf"]


@dataclass(frozen=True, slots=True)
class ImageUsage:
    """Sizes in bytes; None where a layer of the image is damaged or missing."""

    image: Image
    size: int | None
    shared: int | None
    unique: int | None
    freed: int | None
    containers: int


@dataclass(frozen=True, slots=True)
class LayerUsage:
    """A layer and what holds it."""

    layer: Layer
    images: tuple[ImageID, ...]
    containers: tuple[ContainerID, ...]
    buildkit: bool


@dataclass(frozen=True, slots=True)
class Orphan:
    """A directory of `overlay2/` that nothing uses; `size` in bytes, or None where it is unreadable."""

    cache_id: CacheID
    size: int | None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What removing images together would do; `kept` are their layers that something else holds."""

    freed_size: int
    layers: tuple[Layer, ...]
    kept: tuple[Layer, ...]


class StoreUsage:
    """The shared-layer account of one data root."""

    def __init__(self, root: DataRoot) -> None:
        """Read every image, container and cache snapshot of `root`."""
        self.root = root
        self.images = {image.id: image for image in root.images()}
        self._layers = {layer.chain_id: layer for layer in root.layers()}
        self._listed = [item.image for item in listed_images(root)]
        self._references = Counter(chain for image in self._listed for chain in set(image.chain))
        self._containers = container_counts(root)
        self._container_chains = _container_chains(root)
        self._buildkit = _buildkit_chains(root)
        self._holders = Counter(chain for image in self.images.values() for chain in set(image.chain))
        self._children = Counter(image.parent for image in self.images.values() if image.parent)

    # -- images --------------------------------------------------------------------------------

    def listed(self) -> list[ImageUsage]:
        """The account of each image that a listing shows, newest first."""
        return [self.of(image) for image in self._listed]

    def of(self, image: Image) -> ImageUsage:
        """The account of one image."""
        containers = self._containers[image.id]
        sizes = [self._size(chain) for chain in image.chain]
        if any(size is None for size in sizes):
            return ImageUsage(image, None, None, None, None, containers)
        size = sum(size or 0 for size in sizes)
        shared = sum(self._size(chain) or 0 for chain in image.chain if self._references[chain] > 1)
        return ImageUsage(image, size, shared, size - shared, self.what_if([image]).freed_size, containers)

    @property
    def total_size(self) -> int:
        """Bytes of all layers that listed images use, each once: the Engine's LayersSize."""
        return sum(self._size(chain) or 0 for chain in self._references)

    @property
    def reclaimable_size(self) -> int:
        """What the Engine calls reclaimable: LayersSize less the unique part of images in use."""
        used = [item for item in self.listed() if item.containers]
        return self.total_size - sum(item.unique or 0 for item in used)

    def what_if(self, images: Sequence[Image]) -> WhatIf:
        """What removing `images` together, and the untagged parents only they need, would free."""
        removed = self._with_unneeded_parents(images)
        gone = Counter(chain for image in removed for chain in set(image.chain))
        freed: list[Layer] = []
        kept: list[Layer] = []
        for chain in sorted(gone):
            layer = self._layers.get(chain)
            if layer is None:
                continue
            held = self._holders[chain] > gone[chain] or self._container_chains.get(chain)
            (kept if held or chain in self._buildkit else freed).append(layer)
        return WhatIf(sum(layer.size for layer in freed), tuple(freed), tuple(kept))

    def _with_unneeded_parents(self, images: Iterable[Image]) -> list[Image]:
        """The images, and each untagged parent left without another child, as `docker rmi` goes on."""
        removed = {image.id: image for image in images}
        children = Counter(self._children)
        pending = list(removed.values())
        while pending:
            image = pending.pop()
            if image.parent is None:
                continue
            children[image.parent] -= 1
            parent = next((known for known in self.images.values() if known.id == image.parent), None)
            if parent and self._goes_too(parent, children) and parent.id not in removed:
                removed[parent.id] = parent
                pending.append(parent)
        return list(removed.values())

    def _goes_too(self, parent: Image, children: Mapping[str, int]) -> bool:
        """Whether a parent is left without a name, a child, and a container."""
        return not (parent.references or children[parent.id] or self._containers[parent.id])

    # -- layers --------------------------------------------------------------------------------

    def layers(self) -> list[LayerUsage]:
        """Each layer once, the largest first, with everything that holds it."""
        users: dict[ChainID, list[ImageID]] = {}
        for image in self.images.values():
            for chain in dict.fromkeys(image.chain):
                users.setdefault(chain, []).append(image.id)
        return [
            LayerUsage(
                layer,
                tuple(users.get(layer.chain_id, ())),
                tuple(self._container_chains.get(layer.chain_id, ())),
                layer.chain_id in self._buildkit,
            )
            for layer in sorted(self._layers.values(), key=lambda item: (-item.size, item.chain_id))
        ]

    def orphans(self) -> list[Orphan]:
        """Directories of `overlay2/` that no layer, container, or BuildKit snapshot owns.

        Where BuildKit's own account is unreadable, its directories cannot be told from orphans and
        none is reported.
        """
        try:
            snapshots = read_buildkit_snapshots(self.root.directory)
        except CorruptStore:
            return []
        owned: set[str] = {layer.cache_id for layer in self._layers.values()}
        owned.update(name for snapshot in snapshots for name in snapshot.directories)
        for container in self.root.containers():
            if container.mount:
                owned.update(filter(None, (container.mount.mount_id, container.mount.init_id)))
        found = [cache_id for cache_id in self.root.overlay2.cache_ids() if cache_id not in owned]
        return [Orphan(cache_id, self._content_size(cache_id)) for cache_id in found]

    def _content_size(self, cache_id: CacheID) -> int | None:
        try:
            return self.root.overlay2.content_size(cache_id)
        except CorruptStore:
            return None

    def _size(self, chain: ChainID) -> int | None:
        layer = self._layers.get(chain)
        return layer.size if layer else None


def _container_chains(root: DataRoot) -> Mapping[ChainID, list[ContainerID]]:
    """Which containers hold each layer."""
    held: dict[ChainID, list[ContainerID]] = {}
    for container in root.containers():
        if container.mount is None:
            continue
        try:
            chain = root.chain_of_mount(container.mount)
        except CorruptStore as error:
            root.report(error)
            continue
        for layer in chain:
            held.setdefault(layer.chain_id, []).append(container.id)
    return held


def _buildkit_chains(root: DataRoot) -> set[ChainID]:
    """The layers that BuildKit's cache holds, with everything below them."""
    held: set[ChainID] = set()
    try:
        snapshots = read_buildkit_snapshots(root.directory)
        for snapshot in snapshots:
            if snapshot.chain_id and snapshot.chain_id not in held:
                held.update(layer.chain_id for layer in root.chain_below(snapshot.chain_id))
    except CorruptStore as error:
        root.report(error)
    return held
