"""What needs each layer: images, containers, and others that a kind of store knows, such as BuildKit's cache.

An engine keeps a layer while one of them needs it. So all accounts of disk space, and the lists of users of a
layer, are made from this.

Sources: moby `layer/layer_store.go` (references), `builder/builder-next/adapters/snapshot/snapshot.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from layerfs.capabilities import Holding, Pinned
from layerfs.damage import attempt
from layerfs.errors import CorruptStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from layerfs.ids import ChainID
    from layerfs.model import Container, Image, Layer
    from layerfs.store import Store

__all__ = ["Holders"]

Holder = TypeVar("Holder")


class Holders(NamedTuple):
    """What holds the layers of one store.

    Attributes:
        layers: every sound layer.
        images: the images that need a layer, newest first.
        containers: the containers that need a layer, newest first.
        buildkit: the layers that BuildKit's cache needs.
        borrowed: the layers of another store, which go with nothing in this one.
        others: the names of image parts that are no layers, and that something else than an image needs.
        directories: directories that containers or BuildKit own; no layer of an image is among them.
        complete: whether all records of what may need a layer could be read; if not, a layer or directory
            that nothing seems to need may be needed.
    """

    layers: Mapping[ChainID, Layer]
    images: Mapping[ChainID, tuple[Image, ...]]
    containers: Mapping[ChainID, tuple[Container, ...]]
    buildkit: frozenset[ChainID]
    borrowed: frozenset[ChainID]
    others: frozenset[str]
    directories: frozenset[str]
    complete: bool

    @classmethod
    def of(cls, root: Store) -> Holders:
        """Read all images and containers of `root`, and what else needs layers; damage is reported to it."""
        layers = {layer.chain_id: layer for layer in root.layers()}
        images = root.images()
        containers = root.containers()
        pinned = root.pinned() if isinstance(root, Holding) else Pinned()
        needed = [(image, image.chain) for image in images]
        below = {item.id: _below(root, item) for item in containers}
        mounted = [(item, [layer.chain_id for layer in below[item.id] or ()]) for item in containers]
        lost = {chain for _, needs in needed for chain in needs if chain not in layers}
        return cls(
            layers | dict(_made_good(root, sorted(lost))),
            _inverted(needed),
            _inverted(mounted),
            pinned.chains,
            pinned.borrowed,
            pinned.others,
            pinned.places,
            complete=pinned.complete
            and len(images) == len(root.image_ids())
            and None not in below.values()
            and not lost,
        )

    def held(self, chain: ChainID) -> bool:
        """Whether anything is known to need the layer."""
        return any(chain in held for held in (self.images, self.containers, self.buildkit, self.borrowed))


def _made_good(root: Store, chains: Iterable[ChainID]) -> Iterator[tuple[ChainID, Layer]]:
    """Layers of images without a sound record, as far as they can be known from elsewhere."""
    for chain in chains:
        try:
            yield chain, root.record(chain)
        except CorruptStore as error:
            root.report(error)


def _below(root: Store, container: Container) -> tuple[Layer, ...] | None:
    """The image layers below a container; None if they are damaged, which is reported."""
    return attempt(root.report, lambda: root.layers_below(container))


def _inverted(
    holders: Iterable[tuple[Holder, Iterable[ChainID]]],
) -> Mapping[ChainID, tuple[Holder, ...]]:
    """Turn (holder, its layers) into layer -> its holders."""
    found: dict[ChainID, dict[int, Holder]] = {}
    for number, (holder, needs) in enumerate(holders):
        for chain in needs:
            found.setdefault(chain, {})[number] = holder
    return {chain: tuple(by_number.values()) for chain, by_number in found.items()}
