"""Who holds each layer: images, containers, and BuildKit's cache.

A layer stays in the store as long as one of them needs it, so this is the ground of every account
of disk space, and of the lists of users beside a layer. Used by `usage`, `layers`, and `inspect`.

Sources: moby `layer/layer_store.go` (references), `builder/builder-next/adapters/snapshot/snapshot.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import CorruptStore
from layerfs.store.buildkit import read_buildkit_snapshots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from layerfs.dataroot import DataRoot
    from layerfs.formats.buildkit import BuildKitSnapshot
    from layerfs.ids import ChainID
    from layerfs.model import Container, Image, Layer
    from layerfs.store.layerdb import MountRecord, NotedMount

__all__ = ["Holders", "owned_directories"]

Holder = TypeVar("Holder")


@dataclass(frozen=True, slots=True)
class Holders:
    """What holds the layers of one data root.

    Attributes:
        layers: every sound layer.
        images: the images that need a layer, newest first.
        containers: the containers that need a layer, newest first.
        buildkit: the layers that BuildKit's cache needs.
        directories: names in `overlay2/` that containers or BuildKit own; no layer is among them.
        complete: whether everything that could hold a layer could be read; if not, a layer or
            directory that nothing is known to hold may still be held.
    """

    layers: Mapping[ChainID, Layer]
    images: Mapping[ChainID, tuple[Image, ...]]
    containers: Mapping[ChainID, tuple[Container, ...]]
    buildkit: frozenset[ChainID]
    directories: frozenset[str]
    complete: bool

    @classmethod
    def of(cls, root: DataRoot) -> Holders:
        """Read every image, container and cache snapshot of `root`; damage is reported to it."""
        layers = {layer.chain_id: layer for layer in root.layers()}
        images = root.images()
        containers = root.containers()
        snapshots = _snapshots(root)
        needed = [(image, image.chain) for image in images]
        below = {item.id: _below(root, item) for item in containers}
        mounted = [(item, [layer.chain_id for layer in below[item.id] or ()]) for item in containers]
        lost = {chain for _, needs in needed for chain in needs if chain not in layers}
        return cls(
            layers | dict(_made_good(root, sorted(lost))),
            _inverted(needed),
            _inverted(mounted),
            frozenset(_cached(root, snapshots or ())),
            frozenset(owned_directories([item.mount for item in containers if item.mount], snapshots or ())),
            complete=root.is_whole
            and snapshots is not None
            and len(layers) == len(root.layerdb.chain_ids())
            and len(images) == len(root.image_ids())
            and None not in below.values()
            and not lost
            and {item.id for item in containers if item.mount} >= set(root.layerdb.container_ids()),
        )

    def held(self, chain: ChainID) -> bool:
        """Whether anything is known to hold the layer."""
        return chain in self.images or chain in self.containers or chain in self.buildkit


def _made_good(root: DataRoot, chains: Iterable[ChainID]) -> Iterator[tuple[ChainID, Layer]]:
    """Layers that images need and that have no sound record, as far as anything else tells of them."""
    for chain in chains:
        try:
            yield chain, root.record(chain)
        except CorruptStore as error:
            root.report(error)


def _snapshots(root: DataRoot) -> tuple[BuildKitSnapshot, ...] | None:
    try:
        return read_buildkit_snapshots(root.directory)
    except CorruptStore as error:
        root.report(error)
        return None


def _below(root: DataRoot, container: Container) -> tuple[Layer, ...] | None:
    """The image layers a container stands on; None where they are damaged, which is reported."""
    try:
        return root.chain_of_mount(container.mount) if container.mount else ()
    except CorruptStore as error:
        root.report(error)
        return None


def _cached(root: DataRoot, snapshots: Iterable[BuildKitSnapshot]) -> Iterator[ChainID]:
    """The layers of snapshots; one whose layer is gone holds nothing, as the engine has it."""
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
            # the engine makes the -init layer in any case
            yield mount.init_id or f"{mount.mount_id}-init"
    for snapshot in snapshots:
        yield from snapshot.directories


def _inverted(
    holders: Iterable[tuple[Holder, Iterable[ChainID]]],
) -> Mapping[ChainID, tuple[Holder, ...]]:
    """From what each holder needs to who needs each layer."""
    found: dict[ChainID, dict[int, Holder]] = {}
    for number, (holder, needs) in enumerate(holders):
        for chain in needs:
            found.setdefault(chain, {})[number] = holder
    return {chain: tuple(by_number.values()) for chain, by_number in found.items()}
