"""Finds for each chain ID the layer's diff ID and the layer below, proven by the hash.

A chain ID is the sha256 of these two. So a pair that gives the chain ID is right, wherever it was read: in
the layer's own `diff` and `parent`, in an image's config, or, if these are lost, in records of other layers.

Source: OCI image-spec `config.md` (Layer ChainID).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CorruptStore
from layerfs.ids import DiffID, chain_id, chain_ids
from layerfs.stores.docker.distribution import known_diff_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.stores.docker.imagedb import ImageDB
    from layerfs.stores.docker.layerdb import LayerDB
    from layerfs.stores.docker.overlay2 import Overlay2

__all__ = ["ChainParts", "Chains", "Step"]

_TRIALS = 1 << 18
"""The most pairs of IDs that are tried, so that much damage does not cost quadratic time."""


class ChainParts(NamedTuple):
    """The two parts of a layer's chain ID."""

    diff_id: DiffID
    parent: ChainID | None


class Step(NamedTuple):
    """A layer on the way down a chain, and its parts; None if they are not known, which ends the way."""

    chain: ChainID
    parts: ChainParts | None


class Chains:
    """The chains of one store; the parts of a chain ID are looked for once."""

    def __init__(
        self,
        driver_dir: HostDir,
        imagedb: ImageDB,
        layerdb: LayerDB,
        overlay2: Overlay2,
        digest: Callable[[ChainID], DiffID | None] = lambda _chain: None,
    ) -> None:
        """Read these parts of a store; `digest` computes a layer's diff ID from its files, or gives None."""
        self._driver_dir = driver_dir
        self._imagedb = imagedb
        self._layerdb = layerdb
        self._overlay2 = overlay2
        self._digest = digest
        self._places: dict[ChainID, ChainParts | None] = {}
        self._depths: dict[ChainID, int | None] = {}
        self._trials = _TRIALS

    def place(self, chain: ChainID) -> ChainParts | None:
        """The parts of a layer's chain ID; None if they are not known."""
        if chain not in self._places:
            self._places[chain] = self._noted(chain) or self.wanted.get(chain) or self._tried(chain)
        return self._places[chain]

    def down(self, top: ChainID) -> list[ChainID] | None:
        """A layer and all below it, uppermost first; None if one of them is not known."""
        found = list(self.walk(top))
        return None if found[-1].parts is None else [step.chain for step in found]

    def walk(self, top: ChainID, until: Container[ChainID] = ()) -> Iterator[Step]:
        """A layer and those below it, uppermost first, down to the first one of `until` (left out).

        It always ends, as a chain ID is a hash of the one below, so there are no cycles.
        """
        at: ChainID | None = top
        while at is not None and at not in until:
            parts = self.place(at)
            yield Step(at, parts)
            at = parts.parent if parts else None

    def depth(self, chain: ChainID) -> int | None:
        """How many layers are below one; None if that is not known."""
        for at, parts in reversed(list(self.walk(chain, until=self._depths))):
            below = self._depths[parts.parent] if parts and parts.parent else -1
            self._depths[at] = None if parts is None or below is None else below + 1
        return self._depths[chain]

    @functools.cached_property
    def wanted(self) -> Mapping[ChainID, ChainParts]:
        """The parts of each chain ID in the configs of all sound images."""
        found: dict[ChainID, ChainParts] = {}
        for image_id in self._imagedb.image_ids():
            try:
                diff_ids = self._imagedb.config(image_id).diff_ids
            except CorruptStore:
                continue
            below: ChainID | None = None
            for diff_id, chain in zip(diff_ids, chain_ids(diff_ids), strict=True):
                found[chain] = ChainParts(diff_id, below)
                below = chain
        return found

    # -- sources ---------------------------------------------------------------------------------

    def _noted(self, chain: ChainID) -> ChainParts | None:
        """The parts in the layer's own record, if they give its chain ID."""
        noted = self._layerdb.noted_layer(chain)
        if noted.diff_id is None or "parent" in noted.problems:
            return None
        return (
            ChainParts(noted.diff_id, noted.parent)
            if chain_id(noted.parent, noted.diff_id) == chain
            else None
        )

    def _tried(self, chain: ChainID) -> ChainParts | None:
        """The pair that gives the chain ID, tried from what is left of the record, and from other records."""
        noted = self._layerdb.noted_layer(chain)
        if "" in noted.problems:
            return None
        for diff_id, parent in self._pairs(chain):
            self._trials -= 1
            if self._trials < 0:
                return None
            if chain_id(parent, diff_id) == chain:
                return ChainParts(diff_id, parent)
        return None

    def _pairs(self, chain: ChainID) -> Iterator[ChainParts]:
        noted = self._layerdb.noted_layer(chain)
        if noted.diff_id:
            for parent in (None, *self._layer_ids):
                yield ChainParts(noted.diff_id, parent)
        parents = [noted.parent] if noted.parent else []
        if self._is_base(chain):  # the chain ID of a base is its diff ID
            yield ChainParts(DiffID(chain), None)
        for parent in parents:
            for diff_id in self._diff_ids:
                yield ChainParts(diff_id, parent)
        if found := self._digest(chain):
            for parent in (*parents, None, *self._layer_ids):
                yield ChainParts(found, parent)

    def _is_base(self, chain: ChainID) -> bool:
        """Whether a layer's record has no parent, and its directory no `lower`."""
        noted = self._layerdb.noted_layer(chain)
        if not noted.cache_id or noted.parent or "parent" in noted.problems:
            return False
        try:
            return noted.cache_id in self._overlay2 and self._overlay2.lower(noted.cache_id) is None
        except CorruptStore:
            return False

    @functools.cached_property
    def _layer_ids(self) -> list[ChainID]:
        return self._layerdb.chain_ids()

    @functools.cached_property
    def _diff_ids(self) -> list[DiffID]:
        """Every diff ID that is recorded anywhere in the store."""
        noted = (self._layerdb.noted_layer(chain).diff_id for chain in self._layer_ids)
        return list(dict.fromkeys([*filter(None, noted), *known_diff_ids(self._driver_dir)]))
