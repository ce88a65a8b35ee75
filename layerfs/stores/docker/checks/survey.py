"""Everything a data root holds, and who needs what: each record by itself, so that no damage hides the rest.

`Holders` tells who needs each sound layer, in every kind of store. It is made of what `Store` gives, which
reports damage and stops at what may not be read. A survey is made of Docker's single records, as here damage
is looked for: it has layers without a sound record too, and tells what is certain.

Sources: moby `layer/layer_store.go` (references), `builder/builder-next/adapters/snapshot/snapshot.go`.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import container_subject, image_subject
from layerfs.errors import CorruptStore
from layerfs.ids import chain_ids
from layerfs.stores.docker.overlay2 import MAX_STACK
from layerfs.stores.docker.pins import owned_directories

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.ids import ChainID, ContainerID, ImageID, LinkID
    from layerfs.stores.docker.checks.structure import Structure

__all__ = ["Survey"]


class Survey:
    """What holds what in one data root.

    Attributes:
        images: the layers of every sound image, base first.
        configs: of every container that has one that can be read.
        mounts: the mount record of every container that has one.
        layers: every layer that has a directory in `layerdb`.
        snapshots: BuildKit's, as far as its database can be read.
        snapshots_problems: what is wrong with that.
        users: the images and containers that need a layer, as subjects of findings.
        cached: the layers that BuildKit's cache needs.
        held: every layer that anything needs.
        above: the layers that stand directly on a layer.
        directories: who claims each name in `overlay2/`, as far as that can be read.
        layers_certain: whether everything that could hold a layer was readable.
        directories_certain: whether everything that could claim a directory was.
    """

    def __init__(self, structure: Structure) -> None:
        """Read every record of the root that `structure` checks."""
        self.structure = structure
        self.root = structure.root
        self.images = dict(self._images())
        self.layers = frozenset(self.root.layerdb.chain_ids())
        self.mounts = {
            item: self.root.layerdb.noted_mount(item) for item in self.root.layerdb.container_ids()
        }
        self.configs = dict(self._configs())
        self.snapshots, self.snapshots_problems = self.root.snapshots
        self.above = self._above()
        self.users = self._users()
        self.cached = frozenset(self._cached())
        self.held = self.users.keys() | self.cached
        self.directories = frozenset(self._directories())
        mounts_sound = self.root.is_whole and not any(mount.problems for mount in self.mounts.values())
        self.layers_certain = (
            len(self.images) == len(structure.image_ids())
            and mounts_sound
            and not self.snapshots_problems
            and all(structure.below(chain) for chain in self.held & self.layers)
        )
        self.directories_certain = (
            mounts_sound
            and not self.snapshots_problems
            and self.users.keys() <= self.layers
            and all(structure.directory_of(chain) for chain in self.layers)
        )

    def chain(self, top: ChainID) -> Iterator[ChainID]:
        """A layer and all below it, uppermost first, as far as that can be told."""
        for step in itertools.islice(self.root.records.chains.walk(top), MAX_STACK):
            yield step.chain

    def standing_on(self, chain: ChainID, until: Container[ChainID] = ()) -> Iterator[ChainID]:
        """A layer and all that stand on it, but for those in `until` and what stands on them."""
        pending = [chain]
        while pending:
            at = pending.pop()
            yield at
            pending += (above for above in self.above.get(at, ()) if above not in until)

    def lower_links(self) -> set[LinkID]:
        """The short names in the `lower` of every directory that something claims."""
        found: set[LinkID] = set()
        for cache_id in self.root.overlay2.cache_ids():
            if cache_id in self.directories:
                try:
                    found.update(self.root.overlay2.lower(cache_id) or ())
                except CorruptStore:
                    continue
        return found

    # -- reading ---------------------------------------------------------------------------------

    def _images(self) -> Iterator[tuple[ImageID, Sequence[ChainID]]]:
        for image_id in self.root.imagedb.image_ids():
            config = self.structure.config(image_id)
            if not isinstance(config, CorruptStore):
                yield image_id, chain_ids(config.diff_ids)

    def _configs(self) -> Iterator[tuple[ContainerID, ContainerConfig]]:
        for container_id in self.root.containerdb.container_ids():
            try:
                yield container_id, self.root.containerdb.config(container_id)
            except CorruptStore:
                continue

    # -- joining ---------------------------------------------------------------------------------

    def _above(self) -> dict[ChainID, list[ChainID]]:
        found: defaultdict[ChainID, list[ChainID]] = defaultdict(list)
        for chain in sorted(self.layers.union(*self.images.values())):
            place = self.structure.below(chain)
            if place and place.parent:
                found[place.parent].append(chain)
        return dict(found)

    def _users(self) -> dict[ChainID, list[str]]:
        found: defaultdict[ChainID, list[str]] = defaultdict(list)
        for image_id, chain in self.images.items():
            for layer in chain:
                found[layer].append(image_subject(image_id))
        for container_id, mount in self.mounts.items():
            for layer in self.chain(mount.parent) if mount.parent else ():
                found[layer].append(container_subject(container_id))
        return dict(found)

    def _cached(self) -> Iterator[ChainID]:
        """The layers of snapshots; one whose layer is gone holds nothing, as the engine has it."""
        told: set[ChainID] = set()
        for snapshot in self.snapshots:
            if snapshot.chain_id in self.layers and snapshot.chain_id:
                told.update(itertools.takewhile(lambda at: at not in told, self.chain(snapshot.chain_id)))
        yield from told

    def _directories(self) -> Iterator[str]:
        for chain in self.layers:
            if cache_id := self.structure.directory_of(chain):
                yield cache_id
        yield from owned_directories(self.mounts.values(), self.snapshots)
