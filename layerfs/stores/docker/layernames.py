"""The names of layers: chain, diff and cache IDs, short links, digests of registries' blobs, beginnings.

What the layers are is given; so every caller knows those that it can know. Used by `naming`.

Sources: moby `layer/filestore.go`, `daemon/graphdriver/overlay2/overlay.go`,
`distribution/metadata/v2_metadata_service.go`.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from layerfs.errors import CorruptStore
from layerfs.ids import CacheID, ChainID, ContainerID, DiffID, ImageID, InvalidID, LinkID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layerfs.stores.docker.distribution import Distribution
    from layerfs.stores.docker.overlay2 import Overlay2

__all__ = ["HEX", "KnownLayer", "LayerNames", "Match", "hex_digits"]

HEX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
"""A digest or container ID, or the beginning of one."""

_DIGITS = 64
_INIT = "-init"

ID: TypeAlias = ContainerID | ImageID | ChainID | CacheID
"""What a name is resolved to: of a layer without a chain ID its directory."""


class Match(NamedTuple):
    """What a name fits.

    Attributes:
        id: of the thing.
        text: the name in full.
        meaning: how it was understood, as `cache ID`.
        above: whether it is a layer by what its files are, which a base may be too: then that is meant.
    """

    id: ID
    text: str
    meaning: str
    above: bool = False


class KnownLayer(NamedTuple):
    """What is known of a layer; at least one of chain ID and cache ID."""

    chain_id: ChainID | None
    diff_id: DiffID | None
    cache_id: CacheID | None

    @property
    def id(self) -> ChainID | CacheID:
        """What it is told by."""
        found = self.chain_id or self.cache_id
        assert found is not None  # noqa: S101 - what has neither is no layer
        return found


class LayerNames:
    """The names of some layers of a data root."""

    def __init__(
        self, layers: Callable[[], Iterable[KnownLayer]], overlay2: Overlay2, distribution: Distribution
    ) -> None:
        """Know the names of `layers`, which are asked for when a name could be one of theirs."""
        self._find_layers = layers
        self._overlay2 = overlay2
        self._distribution = distribution

    def exact(self, name: str) -> list[Match]:
        """Every layer of an ID, a link or a blob's digest in full."""
        looks = (self._by_place, self._by_diff_id, self.link, self.blob)
        return [match for look in looks for match in look(name)]

    def beginning(self, name: str) -> list[Match]:
        """Every layer of which an ID, a link or a blob's digest begins so.

        Of a container's two directories the beginning that they share means its own, not the -init.
        """
        found = [match for match in self._all() if _begins(match, name)]
        texts = {match.text for match in found}
        return [match for match in found if match.text.removesuffix(_INIT) not in texts - {match.text}]

    @functools.cached_property
    def _layers(self) -> Sequence[KnownLayer]:
        return list(self._find_layers())

    # -- in full -------------------------------------------------------------------------------

    def _by_place(self, name: str) -> Iterator[Match]:
        digits = hex_digits(name)
        for layer in self._layers if digits or self._may_be_directory(name) else ():
            if layer.chain_id and layer.chain_id.hex == digits:
                yield Match(layer.id, layer.chain_id, "chain ID")
            if layer.cache_id == name:
                yield Match(layer.id, name, "cache ID")

    def _may_be_directory(self, name: str) -> bool:
        """Whether it is worth reading all records: directories that are gone have the engine's long names."""
        try:
            return CacheID(name) in self._overlay2 or len(name) >= _SHORTEST
        except InvalidID:
            return False

    def _by_diff_id(self, name: str) -> Iterator[Match]:
        if digits := hex_digits(name):
            for layer in self._layers:
                if layer.diff_id and layer.diff_id.hex == digits and str(layer.diff_id) != layer.chain_id:
                    yield Match(layer.id, layer.diff_id, "diff ID", above=True)

    def link(self, name: str) -> Iterator[Match]:
        """By the short link, or, where that is lost, by the layers' own `link` files."""
        if (link := _link(name)) is None:
            return
        target = self._overlay2.link_target(link)
        if target is None and len(link) < _LINK:
            return
        for layer in self._layers:
            if layer.cache_id and (layer.cache_id == target if target else self._own_link(layer) == link):
                yield Match(layer.id, link, "link")

    def blob(self, name: str) -> Iterator[Match]:
        """By the digest in full of a blob that pulls and pushes noted."""
        if digits := hex_digits(name):
            yield from (match for match in self._blobs() if match.text.endswith(digits))

    # -- beginnings ----------------------------------------------------------------------------

    def _all(self) -> Iterator[Match]:
        for layer in self._layers:
            if layer.chain_id:
                yield Match(layer.id, layer.chain_id, "chain ID")
            if layer.diff_id and str(layer.diff_id) != layer.chain_id:
                yield Match(layer.id, layer.diff_id, "diff ID", above=True)
            if layer.cache_id:
                yield Match(layer.id, layer.cache_id, "cache ID")
        yield from self._blobs()
        yield from self._links()

    def _blobs(self) -> Iterator[Match]:
        blobs = self._distribution.blobs
        for layer in self._layers:
            for blob in blobs.get(layer.diff_id, ()) if layer.diff_id else ():
                above = str(layer.diff_id) != layer.chain_id
                yield Match(layer.id, blob.digest, "digest of its compressed blob", above)

    def _links(self) -> Iterator[Match]:
        for layer in self._layers:
            if link := self._own_link(layer):
                yield Match(layer.id, link, "link")

    def _own_link(self, layer: KnownLayer) -> LinkID | None:
        try:
            return self._overlay2.link(layer.cache_id) if layer.cache_id else None
        except CorruptStore:
            return None


_SHORTEST = 25
"""Characters of the shortest cache ID that an engine gives, BuildKit's."""

_LINK = 26
"""Characters of a link that an engine gives."""


def hex_digits(name: str) -> str | None:
    """The digits of a digest in full, given with its algorithm or without."""
    found = HEX.fullmatch(name)
    return found[1] if found and len(found[1]) == _DIGITS else None


def _link(name: str) -> LinkID | None:
    try:
        return LinkID(name.removeprefix("l/"))
    except InvalidID:
        return None


def _begins(match: Match, name: str) -> bool:
    """Whether a name is the beginning of a text, given as a text of its kind may be."""
    if match.meaning == "link":
        link = _link(name)
        return link is not None and match.text.startswith(link)
    if match.meaning == "cache ID":
        beginning = name.removesuffix(_INIT) if match.text.endswith(_INIT) else name
        whole = match.text.startswith(name) or (name != beginning and match.text.startswith(beginning))
        return bool(beginning) and whole
    digits = HEX.fullmatch(name)
    return digits is not None and match.text.partition(":")[2].startswith(digits[1])
