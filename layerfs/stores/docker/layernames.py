"""The names that Docker's layers have besides chain and diff IDs: cache IDs, short links, digests of blobs.

Sources: moby `layer/filestore.go`, `daemon/graphdriver/overlay2/overlay.go`,
`distribution/metadata/v2_metadata_service.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore
from layerfs.ids import CacheID, InvalidID, LinkID
from layerfs.layernames import KnownLayer, LayerNames, Match, hex_digits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.stores.docker.distribution import Distribution
    from layerfs.stores.docker.overlay2 import Overlay2

__all__ = ["DockerLayerNames"]

_INIT = "-init"

_SHORTEST = 25
"""Characters of the shortest cache ID that an engine gives, BuildKit's."""

_LINK = 26
"""Characters of a link that an engine gives."""


class DockerLayerNames(LayerNames):
    """Finds layers of a data root by name."""

    place_meaning = "cache ID"

    def __init__(
        self, layers: Callable[[], Iterable[KnownLayer]], overlay2: Overlay2, distribution: Distribution
    ) -> None:
        """Find among `layers`, which is called only when a name could be of one of them."""
        super().__init__(layers)
        self._overlay2 = overlay2
        self._distribution = distribution

    def beginning(self, name: str) -> list[Match]:
        """Every layer with an ID, a link or a blob's digest that begins with `name`.

        A beginning of both names of a container's directories means the read-write layer, not the -init
        layer.
        """
        found = super().beginning(name)
        texts = {match.text for match in found}
        return [match for match in found if match.text.removesuffix(_INIT) not in texts - {match.text}]

    # -- in full -------------------------------------------------------------------------------

    def may_be_place(self, name: str) -> bool:
        """Whether a name may be a cache ID, so that all records must be read."""
        try:
            return CacheID(name) in self._overlay2 or len(name) >= _SHORTEST
        except InvalidID:
            return False

    def link(self, name: str) -> Iterator[Match]:
        """By the short link, or, if that is lost, by the `link` files of layers."""
        if (link := _link(name)) is None:
            return
        target = self._overlay2.link_target(link)
        if target is None and len(link) < _LINK:
            return
        for layer in self.layers:
            if layer.place and (layer.place == target if target else self._own_link(layer) == link):
                yield Match(layer.id, link, "link")

    def blob(self, name: str) -> Iterator[Match]:
        """By the full digest of a blob in the records of pulls and pushes."""
        if digits := hex_digits(name):
            yield from (match for match in self._blobs() if match.text.endswith(digits))

    # -- beginnings ----------------------------------------------------------------------------

    def every_name(self) -> Iterator[Match]:
        """Every name of every layer."""
        yield from super().every_name()
        yield from self._blobs()
        for layer in self.layers:
            if link := self._own_link(layer):
                yield Match(layer.id, link, "link")

    def begins(self, match: Match, name: str) -> bool:
        """Whether the matched text begins with `name`; `-init` at the end of both is left out."""
        if match.meaning == "link":
            link = _link(name)
            return link is not None and match.text.startswith(link)
        if match.meaning == self.place_meaning and match.text.endswith(_INIT):
            beginning = name.removesuffix(_INIT)
            whole = match.text.startswith(name) or (name != beginning and match.text.startswith(beginning))
            return bool(beginning) and whole
        return bool(name) and super().begins(match, name)

    def _blobs(self) -> Iterator[Match]:
        blobs = self._distribution.blobs
        for layer in self.layers:
            for blob in blobs.get(layer.diff_id, ()) if layer.diff_id else ():
                above = str(layer.diff_id) != layer.chain_id
                yield Match(layer.id, blob.digest, "digest of its compressed blob", above)

    def _own_link(self, layer: KnownLayer) -> LinkID | None:
        try:
            return self._overlay2.link(CacheID(layer.place)) if layer.place else None
        except CorruptStore:
            return None


def _link(name: str) -> LinkID | None:
    try:
        return LinkID(name.removeprefix("l/"))
    except InvalidID:
        return None
