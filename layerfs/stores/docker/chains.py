"""What each chain ID is made of: the layer's diff ID and the layer below, proven by the hash.

A chain ID is the sha256 of these two, so whatever makes it is right, wherever it was read: in the layer's
own `diff` and `parent`, in an image's config, or, where these are lost, in the records of other layers.

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
"""How many pairs of IDs are tried in all, lest damage makes work that grows with its square."""


class ChainParts(NamedTuple):
    """What a layer's chain ID is made of."""

    diff_id: DiffID
    parent: ChainID | None


class Step(NamedTuple):
    """A layer on the way down a chain, and what it is made of; None, and the end, where nothing tells."""

    chain: ChainID
    parts: ChainParts | None


class Chains:
    """The chains of one store; what a chain ID is made of is found once."""

    def __init__(
        self,
        driver_dir: HostDir,
        imagedb: ImageDB,
        layerdb: LayerDB,
        overlay2: Overlay2,
        digest: Callable[[ChainID], DiffID | None] = lambda _chain: None,
    ) -> None:
        """Join the halves of a store; `digest` makes a layer's diff ID from its files, where it can."""
        self._driver_dir = driver_dir
        self._imagedb = imagedb
        self._layerdb = layerdb
        self._overlay2 = overlay2
        self._digest = digest
        self._places: dict[ChainID, ChainParts | None] = {}
        self._depths: dict[ChainID, int | None] = {}
        self._trials = _TRIALS

    def place(self, chain: ChainID) -> ChainParts | None:
        """What a layer is made of; None where nothing tells."""
        if chain not in self._places:
            self._places[chain] = self._noted(chain) or self.wanted.get(chain) or self._tried(chain)
        return self._places[chain]

    def down(self, top: ChainID) -> list[ChainID] | None:
        """A layer and all below it, uppermost first; None where some cannot be told."""
        found = list(self.walk(top))
        return None if found[-1].parts is None else [step.chain for step in found]

    def walk(self, top: ChainID, until: Container[ChainID] = ()) -> Iterator[Step]:
        """A layer and all below it, uppermost first, but for those of `until` and what is below them.

        Ends, whatever is damaged: a chain ID is a hash of the one below.
        """
        at: ChainID | None = top
        while at is not None and at not in until:
            parts = self.place(at)
            yield Step(at, parts)
            at = parts.parent if parts else None

    def depth(self, chain: ChainID) -> int | None:
        """How many layers are below one; None where that cannot be told."""
        for at, parts in reversed(list(self.walk(chain, until=self._depths))):
            below = self._depths[parts.parent] if parts and parts.parent else -1
            self._depths[at] = None if parts is None or below is None else below + 1
        return self._depths[chain]

    @functools.cached_property
    def wanted(self) -> Mapping[ChainID, ChainParts]:
        """The place of each layer by the configs of all sound images."""
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

    # -- ways to tell ----------------------------------------------------------------------------

    def _noted(self, chain: ChainID) -> ChainParts | None:
        """As the layer's own record has it, if that makes its chain ID."""
        noted = self._layerdb.noted_layer(chain)
        if noted.diff_id is None or "parent" in noted.problems:
            return None
        return (
            ChainParts(noted.diff_id, noted.parent)
            if chain_id(noted.parent, noted.diff_id) == chain
            else None
        )

    def _tried(self, chain: ChainID) -> ChainParts | None:
        """The pair that makes the chain ID, of what the layer's record still says and what others say."""
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
        if self._is_base(chain):  # its chain ID is its diff ID
            yield ChainParts(DiffID(chain), None)
        for parent in parents:
            for diff_id in self._diff_ids:
                yield ChainParts(diff_id, parent)
        if found := self._digest(chain):
            for parent in (*parents, None, *self._layer_ids):
                yield ChainParts(found, parent)

    def _is_base(self, chain: ChainID) -> bool:
        """Whether a layer notes no parent, and its directory no layers below."""
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
        """Every diff ID that is written anywhere in the store."""
        noted = (self._layerdb.noted_layer(chain).diff_id for chain in self._layer_ids)
        return list(dict.fromkeys([*filter(None, noted), *known_diff_ids(self._driver_dir)]))
