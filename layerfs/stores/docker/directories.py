"""Which directory of `overlay2/` is a layer's: by its `cache-id`, unless that is missing or contradicted.

A directory's place is told more than once: by `cache-id`; by the `lower` of every layer and container
above, which count their layers from the base; by its own `lower`, which names the layers below; and by
what is in it, beside the layer's tar-split data. A `cache-id` that names a directory of its own on the
right layers is taken as it is. Any other is judged by all of these; what they leave open is not answered,
so that no layer is ever shown with another's files.

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
"""How many directories that nothing names are compared with one layer's tar-split data."""


_MOST_CLAIMS = 16
"""Layers that may note one directory, and each still be asked whether it is theirs."""


class Directory(NamedTuple):
    """A layer's directory.

    Attributes:
        cache_id: its name in `overlay2/`.
        told_by: what tells it, in words, where that is not the layer's own `cache-id`.
    """

    cache_id: CacheID
    told_by: str | None = None


class _Votes(NamedTuple):
    """What the `lower` files above a layer name as its directory: how many, and the first, name each."""

    of: Counter[CacheID]
    by: dict[CacheID, str]

    @property
    def winners(self) -> list[CacheID]:
        """What most of them name."""
        most = max(self.of.values(), default=0)
        return [cache_id for cache_id, count in self.of.items() if count == most]


class Directories:
    """The layers' directories of one store; each is judged once."""

    def __init__(
        self,
        layerdb: LayerDB,
        overlay2: Overlay2,
        chains: Chains,
        fits: Callable[[ChainID, CacheID], bool | None],
    ) -> None:
        """Join the halves of a store.

        Args:
            layerdb: what layers and containers note.
            overlay2: the directories.
            chains: what stands on what.
            fits: whether a directory holds what a layer's tar-split data list; None where nothing tells.
        """
        self._layerdb = layerdb
        self._overlay2 = overlay2
        self._chains = chains
        self._fits = functools.cache(fits)
        self._found: dict[ChainID, Directory | None] = {}
        self._links: dict[CacheID, LinkID | None] = {}

    def of(self, chain: ChainID) -> Directory | None:
        """A layer's directory; None where it cannot be told."""
        pending = [step.chain for step in self._chains.walk(chain, until=self._found)]
        for item in reversed(pending):  # those below first: they are asked for
            self._found[item] = self._sound(item) or self._judged(item)
        return self._found[chain]

    def stack(self, chain: ChainID | None) -> list[CacheID] | None:
        """The directories of a layer and of all below it, base first; None where one is not known."""
        down = self._chains.down(chain) if chain else []
        found = None if down is None else [self.of(at) for at in reversed(down)]
        known = [item.cache_id for item in found or () if item]
        return known if found is not None and len(known) == len(found) else None

    def named(self, links: Sequence[LinkID]) -> list[CacheID] | None:
        """The directories of short names, in their order; None where one leads nowhere."""
        found = [next(iter(self._linked(link)), None) for link in links]
        known = [cache_id for cache_id in found if cache_id]
        return known if len(known) == len(found) else None

    @functools.cached_property
    def claims(self) -> Mapping[str, Sequence[ChainID | ContainerID]]:
        """Which layers and containers note each name in `overlay2/`."""
        found: defaultdict[str, list[ChainID | ContainerID]] = defaultdict(list)
        for chain in self._layerdb.chain_ids():
            if cache_id := self._layerdb.noted_cache_id(chain):
                found[cache_id].append(chain)
        for container in self._layerdb.container_ids():
            mount = self._layerdb.noted_mount(container)
            for own in filter(None, (mount.mount_id, mount.init_id)):
                found[own].append(container)
        return found

    # -- the usual way ---------------------------------------------------------------------------

    def _sound(self, chain: ChainID) -> Directory | None:
        """The directory that a layer notes, if that is its alone and stands on the right layers."""
        noted = self._layerdb.noted_cache_id(chain)
        if noted is None or noted not in self._overlay2 or len(self.claims[noted]) != 1:
            return None
        return None if self._is_placed(chain, noted) is False else Directory(noted)

    def _is_placed(self, chain: ChainID, cache_id: CacheID) -> bool | None:
        """Whether a directory's `lower` names the layers below `chain`; None where nothing tells.

        It counts them, and the first is the one right below; that one's says the same of the rest.
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
        """The short name of the layer below, as far as it is known by now."""
        if place.parent is None:
            return None
        found = self._found.get(place.parent)
        below = found.cache_id if found else self._layerdb.noted_cache_id(place.parent)
        return self.link(below) if below else None

    def _lower(self, cache_id: CacheID) -> Sequence[LinkID] | None:
        """A directory's `lower`; empty where there is none; None where it is damaged."""
        try:
            return self._overlay2.lower(cache_id) or ()
        except CorruptStore:
            return None

    def link(self, cache_id: CacheID) -> LinkID | None:
        """A directory's short name: by its `link`, unless that leads elsewhere, or by `l/`."""
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
        """The short names in `l/` that lead to each directory."""
        found: defaultdict[CacheID, list[LinkID]] = defaultdict(list)
        try:
            links = self._overlay2.short_links()
        except CorruptStore:
            return found
        for link in links:
            if target := self._overlay2.link_target(link):
                found[target].append(link)
        return found

    # -- in doubt --------------------------------------------------------------------------------

    def _judged(self, chain: ChainID) -> Directory | None:
        """The directory for which most speaks; None where too little speaks for any."""
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
            return Directory(noted)  # perhaps gone, perhaps on the wrong layers: nothing speaks for another
        return None

    def _points(self, chain: ChainID, cache_id: CacheID) -> int:
        """How much speaks for a directory: what it holds and who names it more than its own `lower`."""
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
        """Whether a directory may well be another layer's, or a container's."""
        claims = self.claims.get(cache_id, ())
        if len(claims) > _MOST_CLAIMS:  # else each of them would look at all others
            return True
        others = [item for item in claims if item != chain]
        if any(not self._is_refuted(item, cache_id) for item in others):
            return True
        return any(item != chain for item in self._voted_for.get(cache_id, ()))

    def _is_refuted(self, claimant: ChainID | ContainerID, cache_id: CacheID) -> bool:
        """Whether a claim is a layer's whose files or whose layers below are not this directory's."""
        if isinstance(claimant, ChainID):
            return self._fits(claimant, cache_id) is False or self._is_placed(claimant, cache_id) is False
        return False

    @functools.cached_property
    def _votes(self) -> Mapping[ChainID, _Votes]:
        """What the `lower` of all layers and containers say of the directories of layers below."""
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
        """Directories above layers: the layer right below, and how many of `lower` come before that."""
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
        """The layers whose directory each is by most of the votes."""
        found: defaultdict[CacheID, list[ChainID]] = defaultdict(list)
        for chain, votes in self._votes.items():
            for cache_id in votes.winners:
                found[cache_id].append(chain)
        return found

    # -- names -----------------------------------------------------------------------------------

    def _linked(self, link: LinkID) -> list[CacheID]:
        """The directories that have a short name: by `l/`, or by their own `link` files."""
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
        """Directories that no record names, on the very layers that are below `chain`."""
        place, depth = self._chains.place(chain), self._chains.depth(chain)
        if place is None or depth is None:
            return ()
        link = self._link_below(place)
        found = self._unclaimed.get((depth, link), ()) if link or not depth else ()
        return found if len(found) <= _MOST_LIKELY else ()

    @functools.cached_property
    def _unclaimed(self) -> Mapping[tuple[int, LinkID | None], Sequence[CacheID]]:
        """Directories that no record names, by the number of layers below and the first of them."""
        found: defaultdict[tuple[int, LinkID | None], list[CacheID]] = defaultdict(list)
        for cache_id in self._overlay2.cache_ids():
            lower = self._lower(cache_id)
            if lower is not None and cache_id not in self.claims:
                found[len(lower), lower[0] if lower else None].append(cache_id)
        return found
