"""Finds each layer's directory in `overlay2/`: by its `cache-id`, unless that is missing or contradicted.

There are several sources: `cache-id`; the `lower` of every layer and container above, whose entries count
from the base; the directory's own `lower`, which names the layers below; and its contents, compared with the
layer's tar-split data. A `cache-id` is used if no other layer has the same one, and the directory is on the
right layers. Otherwise all sources are compared. If they do not decide it, there is no answer, so that no
layer is ever shown with files of another.

Source: moby `layer/filestore.go`, `daemon/graphdriver/overlay2/overlay.go`.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CorruptStore
from layerfs.ids import ChainID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.ids import CacheID, ContainerID, LinkID
    from layerfs.stores.docker.chains import ChainParts, Chains
    from layerfs.stores.docker.layerdb import LayerDB
    from layerfs.stores.docker.overlay2 import Overlay2

__all__ = ["Directories", "Directory"]

_MOST_LIKELY = 64
"""The most directories without a record that are compared with one layer's tar-split data."""


_MOST_CLAIMS = 16
"""The most layers with one directory in their records for which it is checked whose it is."""


class Directory(NamedTuple):
    """A layer's directory.

    Attributes:
        cache_id: its name in `overlay2/`.
        told_by: the source, in words, if it is not the layer's own `cache-id`; else None.
    """

    cache_id: CacheID
    told_by: str | None = None


class _Votes(NamedTuple):
    """The directories that `lower` files above a layer name for it: how many name each, and the first."""

    of: Counter[CacheID]
    by: dict[CacheID, str]

    @property
    def winners(self) -> list[CacheID]:
        """The directories that most files name."""
        most = max(self.of.values(), default=0)
        return [cache_id for cache_id, count in self.of.items() if count == most]


class Directories:
    """The directories of the layers of one store; each is looked for once."""

    def __init__(
        self,
        layerdb: LayerDB,
        overlay2: Overlay2,
        chains: Chains,
        fits: Callable[[ChainID, CacheID], bool | None],
    ) -> None:
        """Read these parts of a store.

        Args:
            layerdb: the records of layers and containers.
            overlay2: the directories.
            chains: the chains of layers.
            fits: tells whether a directory has the entries of a layer's tar-split data; None if that is not
                known.
        """
        self._layerdb = layerdb
        self._overlay2 = overlay2
        self._chains = chains
        self._fits = functools.cache(fits)
        self._found: dict[ChainID, Directory | None] = {}
        self._links: dict[CacheID, LinkID | None] = {}  # as noted
        self._used: dict[CacheID, LinkID | None] = {}

    def of(self, chain: ChainID) -> Directory | None:
        """A layer's directory; None if it is not known."""
        pending = [step.chain for step in self._chains.walk(chain, until=self._found)]
        for item in reversed(pending):  # lower layers first, as they are needed for the others
            self._found[item] = self._sound(item) or self._judged(item)
        return self._found[chain]

    def stack(self, chain: ChainID | None) -> list[CacheID] | None:
        """The directories of a layer and of all below it, base first; None if one is not known."""
        down = self._chains.down(chain) if chain else []
        found = None if down is None else [self.of(at) for at in reversed(down)]
        known = [item.cache_id for item in found or () if item]
        return known if found is not None and len(known) == len(found) else None

    def named(self, links: Sequence[LinkID]) -> list[CacheID] | None:
        """The directories of short names, in their order; None if one leads nowhere."""
        found = [next(iter(self._linked(link)), None) for link in links]
        known = [cache_id for cache_id in found if cache_id]
        return known if len(known) == len(found) else None

    @functools.cached_property
    def claims(self) -> Mapping[str, Sequence[ChainID | ContainerID]]:
        """For each name in `overlay2/` the layers and containers whose records have it."""
        found: defaultdict[str, list[ChainID | ContainerID]] = defaultdict(list)
        for chain in self._layerdb.chain_ids():
            if cache_id := self._layerdb.noted_cache_id(chain):
                found[cache_id].append(chain)
        for container in self._layerdb.container_ids():
            mount = self._layerdb.noted_mount(container)
            for own in filter(None, (mount.mount_id, mount.init_id)):
                found[own].append(container)
        return found

    # -- by cache-id -----------------------------------------------------------------------------

    def _sound(self, chain: ChainID) -> Directory | None:
        """The directory in a layer's record, if no other record has it and it is on the right layers."""
        noted = self._layerdb.noted_cache_id(chain)
        if noted is None or noted not in self._overlay2 or len(self.claims[noted]) != 1:
            return None
        return None if self._is_placed(chain, noted) is False else Directory(noted)

    def _is_placed(self, chain: ChainID, cache_id: CacheID) -> bool | None:
        """Whether a directory's `lower` names the layers below `chain`; None if that is not known.

        It compares their number, and the first one; the rest follows from the `lower` of that one.
        """
        place, depth = self._chains.place(chain), self._chains.depth(chain)
        lower = self._lower(cache_id)
        if place is None or depth is None or lower is None:
            return None
        if len(lower) != depth:
            return False
        link = self._link_below(place)
        return None if depth and link is None else not depth or lower[0] == link

    def _link_below(self, place: ChainParts) -> LinkID | None:
        """The short name of the layer below, if it is known already."""
        if place.parent is None:
            return None
        found = self._found.get(place.parent)
        below = found.cache_id if found else self._layerdb.noted_cache_id(place.parent)
        return self.link(below) if below else None

    def _lower(self, cache_id: CacheID) -> Sequence[LinkID] | None:
        """A directory's `lower`; empty if there is none; None if it is damaged."""
        try:
            return self._overlay2.lower(cache_id) or ()
        except CorruptStore:
            return None

    def link(self, cache_id: CacheID) -> LinkID | None:
        """A directory's short name: by its `link`, unless that leads elsewhere, or by `l/`."""
        if cache_id not in self._used:
            self._used[cache_id] = self._used_link(cache_id)
        return self._used[cache_id]

    def _used_link(self, cache_id: CacheID) -> LinkID | None:
        noted = self._noted_link(cache_id)
        if noted and self._overlay2.link_target(noted) in (cache_id, None):
            return noted
        leading = self._leading_to.get(cache_id, ())
        return leading[0] if len(leading) == 1 else noted

    def _noted_link(self, cache_id: CacheID) -> LinkID | None:
        if cache_id not in self._links:
            try:
                self._links[cache_id] = self._overlay2.link(cache_id)
            except CorruptStore:
                self._links[cache_id] = None
        return self._links[cache_id]

    @functools.cached_property
    def _leading_to(self) -> Mapping[CacheID, Sequence[LinkID]]:
        """For each directory the short names in `l/` that lead to it."""
        found: defaultdict[CacheID, list[LinkID]] = defaultdict(list)
        try:
            links = self._overlay2.short_links()
        except CorruptStore:
            return found
        for link in links:
            if target := self._overlay2.link_target(link):
                found[target].append(link)
        return found

    # -- by all sources --------------------------------------------------------------------------

    def _judged(self, chain: ChainID) -> Directory | None:
        """The directory with the most evidence; None if no directory has enough."""
        noted = self._layerdb.noted_cache_id(chain)
        votes = self._votes.get(chain) or _Votes(Counter(), {})
        named = [item for item in dict.fromkeys([noted, *votes.of]) if item and item in self._overlay2]
        points = {item: self._points(chain, item) for item in named}
        best = max(named, key=lambda item: (points[item], item == noted), default=None)
        if best and points[best] > 0:
            return Directory(best, None if best == noted else f"{votes.by[best]} names it")
        alone = [item for item in self._unclaimed_upon(chain) if self._fits(chain, item)]
        if len(alone) == 1:
            told_by = "no other record claims it, and it holds what the layer's tar-split data list"
            return Directory(alone[0], told_by)
        if noted and not self._is_anothers(chain, noted) and self._fits(chain, noted) is not False:
            return Directory(noted)  # it may be gone or on wrong layers, but there is no evidence for another
        return None

    def _points(self, chain: ChainID, cache_id: CacheID) -> int:
        """The weight of the evidence for a directory; contents and votes count more than its own `lower`."""
        votes = self._votes.get(chain)
        named = votes is not None and cache_id in votes.winners
        placed = self._is_placed(chain, cache_id)
        return (
            {True: 2, False: -2, None: 0}[self._fits(chain, cache_id)]
            + {True: 1, False: -2, None: 0}[placed]
            + 2 * named
            + (self._layerdb.noted_cache_id(chain) == cache_id)
            - 2 * self._is_anothers(chain, cache_id)
        )

    def _is_anothers(self, chain: ChainID, cache_id: CacheID) -> bool:
        """Whether a directory may belong to another layer, or to a container."""
        claims = self.claims.get(cache_id, ())
        if len(claims) > _MOST_CLAIMS:  # otherwise each of them would be compared with all others
            return True
        others = [item for item in claims if item != chain]
        if any(not self._is_refuted(item, cache_id) for item in others):
            return True
        return any(item != chain for item in self._voted_for.get(cache_id, ()))

    def _is_refuted(self, claimant: ChainID | ContainerID, cache_id: CacheID) -> bool:
        """Whether the claimant is a layer whose files, or lower layers, are not those of the directory."""
        if isinstance(claimant, ChainID):
            return self._fits(claimant, cache_id) is False or self._is_placed(claimant, cache_id) is False
        return False

    @functools.cached_property
    def _votes(self) -> Mapping[ChainID, _Votes]:
        """For each layer, what the `lower` files of all layers and containers above say is its directory."""
        found: defaultdict[ChainID, _Votes] = defaultdict(lambda: _Votes(Counter(), {}))
        for top, cache_id, own in self._voters():
            lower = (self._lower(cache_id) or ())[own:]
            depth = self._chains.depth(top) if top else None
            if not lower or depth is None or len(lower) != depth + 1 or len(self.claims[cache_id]) != 1:
                continue
            for chain, link in zip(self._chains.down(top) or () if top else (), lower, strict=True):
                for named in self._linked(link):
                    found[chain].of[named] += 1
                    found[chain].by.setdefault(named, f"{self._overlay2.path_of(cache_id)}/lower")
        return found

    def _voters(self) -> Iterator[tuple[ChainID | None, CacheID, int]]:
        """Directories above layers: (layer below, directory, entries of `lower` before that layer)."""
        for chain in {*self._chains.wanted, *self._layerdb.chain_ids()}:
            place, cache_id = self._chains.place(chain), self._layerdb.noted_cache_id(chain)
            if place and cache_id:
                yield place.parent, cache_id, 0
        for container in self._layerdb.container_ids():
            mount = self._layerdb.noted_mount(container)
            if mount.mount_id:
                yield mount.parent, mount.mount_id, 1 if mount.init_id else 0
            if mount.init_id:
                yield mount.parent, mount.init_id, 0

    @functools.cached_property
    def _voted_for(self) -> Mapping[CacheID, Sequence[ChainID]]:
        """For each directory the layers whose directory it is by most of the votes."""
        found: defaultdict[CacheID, list[ChainID]] = defaultdict(list)
        for chain, votes in self._votes.items():
            for cache_id in votes.winners:
                found[cache_id].append(chain)
        return found

    # -- names -----------------------------------------------------------------------------------

    def _linked(self, link: LinkID) -> list[CacheID]:
        """The directories with a short name: by `l/`, or by their own `link` files."""
        target = self._overlay2.link_target(link)
        there = [target] if target and target in self._overlay2 else []
        if any(self._noted_link(item) in (link, None) for item in there):
            return there
        return list(dict.fromkeys([*there, *self._by_link.get(link, ())]))

    @functools.cached_property
    def _by_link(self) -> Mapping[LinkID, Sequence[CacheID]]:
        found: defaultdict[LinkID, list[CacheID]] = defaultdict(list)
        for cache_id in self._overlay2.cache_ids():
            if link := self._noted_link(cache_id):
                found[link].append(cache_id)
        return found

    def _unclaimed_upon(self, chain: ChainID) -> Sequence[CacheID]:
        """Directories without a record that are on the same layers as `chain`."""
        place, depth = self._chains.place(chain), self._chains.depth(chain)
        if place is None or depth is None:
            return ()
        link = self._link_below(place)
        found = self._unclaimed.get((depth, link), ()) if link or not depth else ()
        return found if len(found) <= _MOST_LIKELY else ()

    @functools.cached_property
    def _unclaimed(self) -> Mapping[tuple[int, LinkID | None], Sequence[CacheID]]:
        """Directories without a record, by the number of layers below and the first of them."""
        found: defaultdict[tuple[int, LinkID | None], list[CacheID]] = defaultdict(list)
        for cache_id in self._overlay2.cache_ids():
            lower = self._lower(cache_id)
            if lower is not None and cache_id not in self.claims:
                found[len(lower), lower[0] if lower else None].append(cache_id)
        return found
