"""Who uses which layer, and what removing images and containers would free.

Two accounts of the same store: SHARED and UNIQUE as the Engine prints them (parts that several listed images
have: layers, in some kinds blobs too), and FREED, which plays through what the Engine does on removal: a
layer goes when neither an image, a container, BuildKit's cache, nor a layer above it refers to it any more.

Sources: moby `daemon/images/images.go`, `daemon/images/service.go`, `daemon/disk_usage.go`
(v20.10.24), `daemon/images/image_delete.go` (which parents go with an image),
`layer/layer_store.go` (releaseLayer).
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.store.holders import Holders
from layerfs.analysis.store.listing import container_counts, listed_images
from layerfs.capabilities import Accountable
from layerfs.layerchain import walk_down
from layerfs.model import added_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from layerfs.accounts import Part
    from layerfs.ids import ChainID
    from layerfs.model import Container, Image, Layer
    from layerfs.store import Store

__all__ = ["ImageUsage", "Orphan", "OwnDirectory", "StoreUsage", "WhatIf"]

_log = logging.getLogger(__name__)


class ImageUsage(NamedTuple):
    """Sizes in bytes; None where a part of the image is damaged or missing.

    Attributes:
        image: the image.
        size: all its parts.
        shared: those that another listed image has too.
        unique: the others.
        freed: what would really go with it.
        containers: how many containers were made from it.
    """

    image: Image
    size: int | None
    shared: int | None
    unique: int | None
    freed: int | None
    containers: int


class Orphan(NamedTuple):
    """A place on disk that nothing uses.

    Attributes:
        cache_id: its name, as in `Layer.cache_id`; None where that could be of no layer.
        directory: its path, relative like the store's own.
        layer: the layer it belongs to, where one is registered; no image, container or cache has it.
        size: bytes in its `diff/`, or of one with another name of all that is in it; None where that is
            unreadable.
    """

    cache_id: str | None
    directory: str
    layer: Layer | None
    size: int | None


class OwnDirectory(NamedTuple):
    """A place on disk that goes with its container.

    Attributes:
        container: whose.
        cache_id: its name; None for what is kept beside its layers, and is none.
        size: bytes of its files; None where they are unreadable or missing.
    """

    container: Container
    cache_id: str | None
    size: int | None


class WhatIf(NamedTuple):
    """What removing images and containers together would do.

    Attributes:
        removed: the images that would go: those asked for, then the unneeded parents.
        containers: the containers that would go.
        directories: what these have of their own.
        freed_size: bytes that would go; None where a layer of theirs is damaged or missing.
        others: what would go and is no layer, as the blobs of images.
        layers: the layers that would go, in the order in which the engine removes them.
        kept: their other layers, base first, which something else needs.
    """

    removed: tuple[Image, ...]
    containers: tuple[Container, ...]
    directories: tuple[OwnDirectory, ...]
    freed_size: int | None
    others: tuple[Part, ...]
    layers: tuple[Layer, ...]
    kept: tuple[Layer, ...]


class StoreUsage:
    """The shared-layer account of one store.

    Attributes:
        holders: who holds each layer.
    """

    def __init__(self, root: Store) -> None:
        """Read every image, container and cache snapshot of `root`."""
        self.root = root
        self.holders = Holders.of(root)
        self._layers = self.holders.layers
        self._images = {image.id: image for image in root.images()}
        self._chains = {image.id: image.chain for image in self._images.values()}
        self._children = Counter(image.parent for image in self._images.values() if image.parent)
        every = root.account_rules.every_row
        self._listed = [item.image for item in listed_images(root, every=every)]
        self._parts = {image.id: root.parts(image) for image in self._images.values()}
        self._uses = Counter(name for image in self._listed for name in self._shareable(image))
        self._unlisted = self._images.keys() - {image.id for image in self._listed}
        self._containers = container_counts(root)
        self._references = self._count_references()

    def _count_references(self) -> Counter[ChainID]:
        """How many images, containers, layers, and whether a cache, refer to each layer directly."""
        found = Counter(layer.parent for layer in self._layers.values() if layer.parent)
        found.update(top for image in self._images.values() for top in self._held_directly(image))
        found.update(item.top for item in self.root.containers() if item.top)
        found.update(self.holders.buildkit)
        found.update(self.holders.borrowed)
        return found

    def _held_directly(self, image: Image) -> Sequence[ChainID]:
        """The layers that an image refers to: its top, or all that is left where its chain is broken."""
        chain = self._chains[image.id]
        return chain[-1:] if self._is_whole(image) else [item for item in chain if item in self._layers]

    def _is_whole(self, image: Image) -> bool:
        return all(chain in self._layers for chain in self._chains[image.id])

    # -- images --------------------------------------------------------------------------------

    def listed(self) -> list[ImageUsage]:
        """The account of each image that a listing shows, newest first."""
        return [self.of(image) for image in self._listed]

    def of(self, image: Image) -> ImageUsage:
        """The account of one image.

        An intermediate image, which the engine gives no account of, counts as a user of its layers.
        """
        containers = self._containers[image.id]
        if not self._is_whole(image):
            return ImageUsage(image, None, None, None, None, containers)
        counted = self._parts[image.id].counted
        shared, own = self._shared_and_own(counted, 0 if image.id in self._unlisted else 1)
        size = added_up(part.size for part in counted)
        return ImageUsage(image, size, shared, own, self.what_if([image]).freed_size, containers)

    def _shareable(self, image: Image) -> set[str]:
        """The names of what others may have too."""
        return {part.name for part in self._parts[image.id].counted if part.shareable}

    def _shared_and_own(self, parts: Iterable[Part], others: int) -> tuple[int | None, int | None]:
        """Bytes of what more than `others` of the listed images have, each part once, and of all the rest."""
        shared: dict[str, int | None] = {}
        own: list[int | None] = []
        for part in parts:
            if part.shareable and self._uses[part.name] > others and part.name not in shared:
                shared[part.name] = part.size
            else:
                own.append(part.size)
        return added_up(shared.values()), added_up(own)

    @property
    def total_size(self) -> int | None:
        """Bytes of all that images need, each part once: the Engine's LayersSize.

        None where a part is damaged or missing; so are the sizes below.
        """
        images = self._images.values() if self.root.account_rules.every_image else self._listed
        whole = [self._parts[image.id] for image in images]
        return self._sum(part for parts in whole for part in (*parts.counted, *parts.beside))

    @property
    def unneeded_size(self) -> int | None:
        """Bytes of the layers that no image has, by the size that is noted of each."""
        images = self.holders.images
        return added_up(layer.size for chain, layer in self.holders.layers.items() if chain not in images)

    @property
    def shared_size(self) -> int | None:
        """Bytes of all parts that several listed images need, each once."""
        counted = (part for image in self._listed for part in self._parts[image.id].counted)
        return self._sum(part for part in counted if part.shareable and self._uses[part.name] > 1)

    @property
    def reclaimable_size(self) -> int | None:
        """What the Engine calls reclaimable, by the rules of the store."""
        alone = self.root.account_rules.unused_alone
        counted = [self.of(image) for image in self._listed if bool(self._containers[image.id]) != alone]
        if alone:
            return added_up(item.unique for item in counted)
        total = self.total_size
        return None if total is None else total - sum(item.unique or 0 for item in counted)

    @staticmethod
    def _sum(parts: Iterable[Part]) -> int | None:
        return added_up({part.name: part.size for part in parts}.values())

    # -- removal -------------------------------------------------------------------------------

    def what_if(self, images: Sequence[Image], containers: Sequence[Container] = ()) -> WhatIf:
        """What removing these together would free, with the untagged parents only the images need."""
        removed = self._with_unneeded_parents(images, Counter(_made_from(item) for item in containers))
        directories = [found for item in containers for found in self._own_directories(item)]
        held = [top for image in removed for top in self._held_directly(image)]
        stood_on = [item.top for item in containers if item.top]
        freed = {layer.chain_id: layer for layer in self._released([*stood_on, *held])}
        needed = [self._chains[image.id] for image in removed] + list(map(self._below, stood_on))
        chains = dict.fromkeys(chain for needs in needed for chain in needs)
        kept = [self._layers[chain] for chain in chains if chain in self._layers and chain not in freed]
        others = self._alone(removed)
        sizes = [
            *map(self.root.freed_size, freed.values()),
            *(found.size for found in directories),
            *(part.size for part in others),
        ]
        size = added_up(sizes) if all(self._is_whole(image) for image in removed) else None
        return WhatIf(
            tuple(removed),
            tuple(containers),
            tuple(directories),
            size,
            tuple(others),
            tuple(freed.values()),
            tuple(kept),
        )

    def _alone(self, removed: Iterable[Image]) -> list[Part]:
        """What is no layer, and only these images need."""
        parts = {part.name: part for image in removed for part in self._every_part(image)}
        gone = Counter(name for image in removed for name in {part.name for part in self._every_part(image)})
        return [
            part
            for name, part in parts.items()
            if not part.is_layer and gone[name] == self._needs[name] and name not in self.holders.others
        ]

    @functools.cached_property
    def _needs(self) -> Counter[str]:
        """How many images need each part, listed or not."""
        return Counter(
            name
            for image in self._images.values()
            for name in {part.name for part in self._every_part(image)}
        )

    def _every_part(self, image: Image) -> Iterator[Part]:
        yield from self._parts[image.id].counted
        yield from self._parts[image.id].beside

    def _own_directories(self, container: Container) -> Iterator[OwnDirectory]:
        for layer in container.own:
            yield OwnDirectory(container, layer.cache_id, self.root.freed_size(layer))
        beside = self.root.size_beside(container)
        if beside != 0:
            yield OwnDirectory(container, None, beside)

    def _below(self, top: ChainID) -> list[ChainID]:
        """A layer and those it stands on, base first, as far as they are sound."""
        return [layer.chain_id for layer in walk_down(top, self._layers.get)][::-1]

    def _released(self, tops: Iterable[ChainID]) -> Iterator[Layer]:
        """The layers to which nothing refers once a holder of each of `tops` is gone, in that order."""
        dropped: Counter[ChainID] = Counter()
        for top in tops:
            at: ChainID | None = top
            while at is not None:
                dropped[at] += 1
                layer = self._layers.get(at)
                if layer is None or dropped[at] < self._references[at]:
                    break
                yield layer
                at = layer.parent

    def _with_unneeded_parents(self, images: Iterable[Image], gone: Mapping[str, int]) -> list[Image]:
        """The images, and each untagged parent left without another child, as `docker rmi` goes on.

        `gone` is how many containers made from each image have been removed before.
        """
        removed = {image.id: image for image in images}
        orphaned: Counter[str] = Counter()
        pending = list(removed.values())
        while pending:
            child = pending.pop()
            if child.parent is None:
                continue
            orphaned[child.parent] += 1
            # the note is unchecked text: a key that is no image's ID finds none
            parent = self._images.get(child.parent)  # type: ignore[call-overload]
            if parent is None or parent.id in removed or self._stays(parent, orphaned, gone):
                continue
            removed[parent.id] = parent
            pending.append(parent)
        return list(removed.values())

    def _stays(self, parent: Image, orphaned: Mapping[str, int], gone: Mapping[str, int]) -> bool:
        """Whether a parent has a name, another child, or a container of its own."""
        containers = self._containers[parent.id] - gone.get(parent.id, 0)
        return bool(parent.has_name or self._children[parent.id] > orphaned[parent.id] or containers > 0)

    # -- orphans -------------------------------------------------------------------------------

    @functools.cached_property
    def orphans(self) -> list[Orphan] | None:
        """Places that no image, container, or build cache uses; none in a store that tells of none.

        None, after a warning, where something that could own them is damaged: then nothing tells.
        """
        if not isinstance(self.root, Accountable):
            return []
        if not self.holders.complete:
            _log.warning(
                "%s: which directories are orphans cannot be told: records that could own them are damaged",
                self.root.places_path,
            )
            return None
        layers = {layer.cache_id: layer for layer in self._layers.values() if layer.cache_id}
        held = {place for place, layer in layers.items() if self.holders.held(layer.chain_id)}
        return [
            Orphan(place, path, layers.get(place) if place else None, size)
            for place, path, size in self.root.unclaimed(self.holders.directories | held)
        ]


def _made_from(container: Container) -> str:
    return container.config.image_id if container.config else ""
