"""What a name from an alert, an audit log or another tool points at: a layer, an image, a container.

Every ID of a data root is known here, in full or by a beginning that is no other's, and every path of
one; damaged records count as far as they can be read. Used by `whois`.

Sources: moby `layer/filestore.go`, `daemon/graphdriver/overlay2/overlay.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from layerfs.analysis.forest import Owner, Stage
from layerfs.errors import AmbiguousName, CorruptStore, LookupFailed
from layerfs.formats.errors import FormatError
from layerfs.formats.layerfiles import parse_diff
from layerfs.formats.reference import parse_reference
from layerfs.formats.rootpath import RootPath, root_paths
from layerfs.ids import InvalidID, LinkID
from layerfs.model import Container, Image
from layerfs.store.files import parse_optional

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.forest import Forest
    from layerfs.dataroot import DataRoot

__all__ = ["Named", "Target", "Targets"]

Named: TypeAlias = Stage | Owner
"""What a name can mean."""

_HEX = frozenset("0123456789abcdef")


class Target(NamedTuple):
    """What a name points at.

    Attributes:
        named: the layer, image or container.
        meaning: how the name was understood, as `cache ID`.
        place: the path, where the name is one.
    """

    named: Named
    meaning: str
    place: RootPath | None = None


class Targets:
    """The names of one data root."""

    def __init__(self, root: DataRoot, forest: Forest, path: bytes) -> None:
        """Know the names in `root`, whose absolute path is `path`, and whose layers are `forest`."""
        self._root = root
        self._forest = forest
        self._path = path

    def find(self, thing: str) -> list[Target]:
        """What `thing` points at; several layers for a diff ID they share, containers for a volume.

        Raises:
            LookupFailed: at nothing in this root.
            AmbiguousName: it is the beginning of several IDs.
        """
        if "\0" not in thing:
            for look in (self._by_path, self._by_id, self._by_name, self._by_prefix):
                if found := list(look(thing)):
                    return found
        raise LookupFailed(
            f"nothing of this data root: {thing}",
            hint="known are cache, chain, diff, image and container IDs, links, and paths below the root",
        )

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
            yield from self._linked(name)
        elif place.kind == "chain":
            yield from self._having("chain_id", digest)
        elif place.kind == "diff":
            yield from self._having("diff_id", digest)
        elif place.kind == "blob":
            yield from self._of_blob(name)
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

    # -- names ---------------------------------------------------------------------------------

    def _by_id(self, thing: str) -> Iterator[Target]:
        """By an ID in full: everything that has it, once."""
        found = {id(target.named): target for text, target in self._ids(thing) if text == thing}
        yield from found.values()
        if not found:
            stages = self._of_blob(thing.removeprefix("sha256:"))
            yield from (Target(stage, "digest of its compressed blob") for stage in stages)

    def _by_name(self, thing: str) -> Iterator[Target]:
        """By a reference, the digest of a manifest, or a container's name."""
        try:
            reference = parse_reference(thing)
        except FormatError:
            wanted = None
        else:
            wanted = reference.without_tag() if reference.digest else reference.with_default_tag()
        rows = self._root.repositories.rows
        named = {row.image_id for row in rows if row.reference == wanted or row.reference.digest == thing}
        for owner in self._owners():
            if owner.id in named or (isinstance(owner, Container) and owner.name == thing):
                yield Target(owner, "name")

    def _by_prefix(self, thing: str) -> Iterator[Target]:
        """By the beginning of an ID, if it is that of no other."""
        if not thing.removeprefix("sha256:").removeprefix("l/"):
            return
        found = [(text, target) for text, target in self._ids(thing) if text.startswith(thing)]
        if len(texts := {text for text, _ in found}) > 1:
            raise AmbiguousName(thing, sorted(texts))
        yield from {id(target.named): target for _, target in found}.values()

    def _ids(self, thing: str) -> Iterator[tuple[str, Target]]:
        """Everything that has an ID, in the form that `thing` has."""
        for stage in self._forest.stages():
            if stage.cache_id:
                yield stage.cache_id, Target(stage, "cache ID")
        if set(thing.removeprefix("sha256:")) <= _HEX:
            for text, target in self._digests():
                yield text if thing.startswith("sha256:") else text.rpartition(":")[2], target
        before = "l/" if thing.startswith("l/") else ""
        for link, stage in self._links(thing.removeprefix("l/")):
            yield before + link, Target(stage, "link")

    def _digests(self) -> Iterator[tuple[str, Target]]:
        for stage in self._forest.stages():
            if stage.diff_id and str(stage.diff_id) != stage.chain_id:
                yield stage.diff_id, Target(stage, "diff ID")
            if stage.chain_id:
                yield stage.chain_id, Target(stage, "chain ID")
        for owner in self._owners():
            yield owner.id, Target(owner, "image ID" if isinstance(owner, Image) else "container ID")

    def _links(self, beginning: str) -> Iterator[tuple[str, Stage]]:
        """The short links that begin so; the file of each layer is read only if the link is none in full."""
        if found := self._linked(beginning):
            yield from ((beginning, stage) for stage in found)
        elif _is_link(beginning):
            for stage in self._forest.stages():
                if (own := self._forest.link(stage)) and own.startswith(beginning):
                    yield own, stage

    def _linked(self, name: str) -> list[Stage]:
        """The layer of a short link: by the link, or, where that is lost, by the layers' own `link` files."""
        if not _is_link(name):
            return []
        if target := self._root.overlay2.link_target(LinkID(name)):
            return self._having("cache_id", target)
        return [stage for stage in self._forest.stages() if self._forest.link(stage) == name]

    def _having(self, attribute: str, value: str) -> list[Stage]:
        return [stage for stage in self._forest.stages() if getattr(stage, attribute) == value]

    def _owners(self) -> list[Owner]:
        """Every image and container, those without layers too."""
        return [*self._root.images(), *self._root.containers()]

    def _of_blob(self, digits: str) -> list[Stage]:
        """The layers that a compressed blob, pulled or pushed, became."""
        if len(digits) != 64 or not set(digits) <= _HEX:
            return []
        path = f"image/overlay2/distribution/diffid-by-digest/sha256/{digits}"
        try:
            found = parse_optional(self._root.directory, path, parse_diff)
        except CorruptStore as error:
            self._root.report(error)
            return []
        return self._having("diff_id", found) if found else []


def _is_link(text: str) -> bool:
    try:
        LinkID(text)
    except InvalidID:
        return False
    return True
