"""Finds the layer, image or container that a name or path from an alert, an audit log or a tool means.

These are the names of `naming`, and paths of Docker's data roots and of containerd's roots. Damaged records
are used as far as they can be read.

Sources: moby `layer/filestore.go`, `daemon/graphdriver/overlay2/overlay.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from layerfs.analysis.store.forest import Owner, Stage
from layerfs.errors import LookupFailed
from layerfs.formats.rootpath import RootPath, root_paths
from layerfs.ids import ContainerID, ImageID
from layerfs.layernames import KnownLayer
from layerfs.model import Container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.store.forest import Forest
    from layerfs.layernames import Match
    from layerfs.store import Store

__all__ = ["Named", "Target", "Targets"]

Named: TypeAlias = Stage | Owner
"""What a name can mean: a layer, an image or a container."""


class Target(NamedTuple):
    """One meaning of a name.

    Attributes:
        named: the layer, image or container.
        meaning: the kind of name, such as `cache ID`.
        place: the parts of the path, if the name is one.
    """

    named: Named
    meaning: str
    place: RootPath | None = None


class Targets:
    """The names of one store."""

    def __init__(self, root: Store, forest: Forest, path: bytes) -> None:
        """Find names in `root`; `path` is its absolute path, `forest` has its layers."""
        self._root = root
        self._forest = forest
        self._path = path
        self._layers = root.layer_names(self._known_layers)
        self._names = root.names.with_layers(self._layers)

    def _known_layers(self) -> Iterator[KnownLayer]:
        """The layers, also those known only from an image's config."""
        for stage in self._forest.stages():
            if stage.chain_id or stage.cache_id:
                yield KnownLayer(stage.chain_id, stage.diff_id, stage.cache_id)

    def find(self, thing: str) -> list[Target]:
        """The meanings of `thing`; several for a diff ID of several layers or a volume of several containers.

        Raises:
            LookupFailed: it means nothing in this store. AmbiguousName: it is the beginning of several IDs.
            CorruptStore: it means only an image whose config is damaged or missing.
        """
        if "\0" not in thing:
            if found := list(self._by_path(thing)):
                return found
            matches: dict[str, Match] = {}
            for match in self._names.of_every_kind(thing):
                matches.setdefault(match.id, match)
            if found := [target for match in matches.values() for target in self._targets(match)]:
                return list(_each_once(found))
            for match in matches.values():
                if isinstance(match.id, ImageID):
                    self._root.read_image(match.id)  # the image exists: raise why it cannot be read
        if lost := self._root.lost_name(thing, ("container", "image", "layer")):
            raise lost
        raise LookupFailed(
            f"nothing of this root: {thing}",
            hint=f"known are {self._root.place_word}s, {self._root.link_word}s, chain, diff, image and "
            "container IDs, names, paths below the root, and digests of blobs and manifests",
        )

    def _targets(self, match: Match) -> Iterator[Target]:
        """The layer, image or container of an ID; nothing for a damaged image, which is reported."""
        if isinstance(match.id, ContainerID):
            yield Target(self._root.load_container(match.id), match.meaning)
        elif isinstance(match.id, ImageID):
            if image := self._root.load_image(match.id):
                yield Target(image, match.meaning)
        else:
            for stage in self._forest.stages():
                if match.id in (stage.chain_id, stage.cache_id):
                    yield Target(stage, match.meaning)

    # -- paths ---------------------------------------------------------------------------------

    def _by_path(self, thing: str) -> Iterator[Target]:
        if "/" in thing:
            for place in root_paths(thing.encode("utf-8", "surrogateescape"), self._path):
                if found := list(self._at(place)):
                    yield from (Target(named, "path", place) for named in found)
                    return

    def _at(self, place: RootPath) -> Iterator[Named]:
        name, digest = place.name, f"sha256:{place.name}"
        if place.kind == "directory":
            yield from self._having("cache_id", name)
        elif place.kind == "link":
            yield from self._of_layers(self._layers.link(name))
        elif place.kind == "chain":
            yield from self._having("chain_id", digest)
        elif place.kind == "diff":
            yield from self._having("diff_id", digest)
        elif place.kind == "blob":
            yield from self._of_layers(self._layers.blob(name))
        elif place.kind == "content":
            yield from self._of_layers(iter(self._names.of_every_kind(digest)))
        elif place.kind == "volume":
            yield from self._mounting(name)
        else:
            wanted = digest if place.kind == "image" else name
            yield from (owner for owner in self._owners() if owner.id == wanted)

    def _mounting(self, volume: str) -> Iterator[Container]:
        for container in self._root.containers():
            mounts = container.config.mount_points if container.config else ()
            if any(mount.name == volume for mount in mounts):
                yield container

    def _of_layers(self, found: Iterator[Match]) -> Iterator[Named]:
        return (target.named for match in found for target in self._targets(match))

    def _having(self, attribute: str, value: str) -> list[Stage]:
        return [stage for stage in self._forest.stages() if getattr(stage, attribute) == value]

    def _owners(self) -> list[Owner]:
        """Every image and container, also those without layers."""
        return [*self._root.images(), *self._root.containers()]


def _each_once(found: list[Target]) -> Iterator[Target]:
    """Drop duplicates, and a layer with the name of its container: the answer for the container has both."""
    containers = {target.named.id for target in found if isinstance(target.named, Container)}
    for target in found:
        own = isinstance(target.named, Stage) and {owner.id for owner in target.named.owners} & containers
        if not own:
            yield target
