"""The owners of a name, an ID or a path of a store: the layer, what made it, and who uses it.

What can be asked for is what `targets` knows.

Source: moby `layer/layer_store.go` (references).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.store.forest import Forest, Stage
from layerfs.analysis.store.layers import LayerTable
from layerfs.analysis.store.targets import Targets
from layerfs.analysis.tree.find import is_superseded
from layerfs.analysis.tree.versions import versions
from layerfs.errors import CorruptStore, TreeError
from layerfs.model import NOWHERE, BareLayer, Image
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerfs.analysis.store.forest import Owner
    from layerfs.analysis.store.targets import Target
    from layerfs.analysis.tree.versions import Hidden
    from layerfs.formats.rootpath import RootPath
    from layerfs.ids import ChainID, DiffID
    from layerfs.store import Store
    from layerfs.tree.source import Entry

__all__ = ["Answer", "Spot", "User", "Whois"]


class Spot(NamedTuple):
    """A path inside a layer.

    Attributes:
        path: absolute.
        entry: what the layer has there; None where it has nothing, or that cannot be read.
        merged: whether the path asked for is one of a mounted union; the layer is what supplies it.
    """

    path: bytes
    entry: Entry | None
    merged: bool


class User(NamedTuple):
    """Who uses a layer.

    Attributes:
        owner: the image or container.
        sees: whether its tree shows what the layer has at the path asked for; None without a path, and
            where that cannot be told.
        hidden: what hides it there.
    """

    owner: Owner
    sees: bool | None = None
    hidden: Hidden | None = None


class Answer(NamedTuple):
    """Whose a name is.

    Attributes:
        meaning: how it was understood, as `cache ID`.
        kind: `layer`; `read-write layer` or `init layer` of a container; `directory`, one of `overlay2/`
            that no layer has; `image`; `container`. What follows is of the layer, or of the top one.
        number: 1 for the base; None where the layers below are not known.
        cache_id: its directory.
        chain_id: of an image's layer.
        diff_id: likewise.
        link: its short name.
        size: bytes, as the engine counts; None where nothing tells.
        directory: its path, relative like the store's own; None where it is missing.
        created_by: the history entry that made it.
        spot: the path inside it, where a path was given.
        users: every image and container using it.
        buildkit: whether BuildKit's cache uses it.
        orphan: whether nothing uses it; None where what could is damaged.
    """

    meaning: str
    kind: str
    number: int | None = None
    cache_id: str | None = None
    chain_id: ChainID | None = None
    diff_id: DiffID | None = None
    link: str | None = None
    size: int | None = None
    directory: str | None = None
    created_by: str | None = None
    spot: Spot | None = None
    users: tuple[User, ...] = ()
    buildkit: bool = False
    orphan: bool | None = False


class Whois:
    """Answers for one store."""

    def __init__(self, root: Store, path: bytes) -> None:
        """Read the records of `root`, whose absolute path is `path`; damage is reported to it."""
        self._root = root
        self._forest = Forest(root)
        self._table = LayerTable(root, self._forest.holders)
        self._targets = Targets(root, self._forest, path)

    def answers(self, thing: str) -> list[Answer]:
        """Resolve `thing` to its owners; several where it is shared. Raises `LookupFailed`."""
        return [self._answer(target) for target in self._targets.find(thing)]

    def _answer(self, target: Target) -> Answer:
        named, meaning, place = target
        if not isinstance(named, Stage):
            top = self._tops.get(named.id)
            if top and place and place.inner and place.area == "merged":
                return self._at(top, meaning, place)
            return self._owner(named, meaning)
        if place and place.inner and place.area in ("diff", "merged"):
            return self._at(named, meaning, place)
        return self._layer(named, meaning)

    def _owner(self, owner: Owner, meaning: str) -> Answer:
        """An image, with the containers made from it, or a container; and its top layer."""
        users = [User(owner)]
        if isinstance(owner, Image):
            made = [item for item in self._root.containers() if item.config]
            users += [User(item) for item in made if item.config and item.config.image_id == owner.id]
        kind = "image" if isinstance(owner, Image) else "container"
        top = self._tops.get(owner.id)
        answer = self._layer(top, meaning) if top else Answer(meaning, kind)
        created_by = self._created_by(top, [owner]) if top else None
        return answer._replace(kind=kind, created_by=created_by, users=tuple(users), orphan=False)

    @functools.cached_property
    def _tops(self) -> Mapping[str, Stage]:
        """The uppermost layer of each image and container, by its ID."""
        return {owner.id: stage for stage in self._forest.stages() for owner in stage.owners}

    def _layer(self, stage: Stage, meaning: str) -> Answer:
        forest, cache_id = self._forest, stage.cache_id
        known = stage.twin or stage
        owners = forest.owners_of(known)
        bare = BareLayer(cache_id) if cache_id else None
        place = self._root.place(bare) if bare and self._root.has_place(bare.cache_id) else NOWHERE
        size = self._root.content_size(bare) if bare and not stage.record else None
        cached = stage.used is True and known.chain_id is None and not owners
        return Answer(
            meaning,
            _kind(known),
            number=known.number,
            cache_id=cache_id,
            chain_id=known.chain_id,
            diff_id=known.diff_id,
            link=place.link,
            size=stage.record.size if stage.record else size,
            directory=place.directory,
            created_by=self._created_by(known, owners),
            users=tuple(map(User, owners)),
            buildkit=cached or stage.chain_id in forest.holders.buildkit,
            orphan=None if stage.used is None else not stage.used,
        )

    def _created_by(self, stage: Stage, owners: list[Owner]) -> str | None:
        """The history entry, of the image with the least above the layer."""
        images = [owner for owner in owners if isinstance(owner, Image)]
        if stage.chain_id is None or not images:
            return None
        maker = min(images, key=lambda image: len(image.config.diff_ids))
        return self._table.made_by(maker).get(stage.chain_id)

    # -- paths ---------------------------------------------------------------------------------

    def _at(self, stage: Stage, meaning: str, place: RootPath) -> Answer:
        """The layer of a path; of one in a mounted union, the layer that supplies it."""
        path, merged = place.inner, place.area == "merged"
        if merged:
            stage, path = self._supplier(stage, path)
        source = self._forest.source(stage)
        try:
            entry = source.entry(path) if source else None
        except OSError:
            entry = None
        answer = self._layer(stage, meaning)
        users = tuple(self._user(user.owner, stage, path) for user in answer.users) if entry else answer.users
        return answer._replace(spot=Spot(b"/" + path, entry, merged), users=users)

    def _supplier(self, top: Stage, path: bytes) -> tuple[Stage, bytes]:
        """The layer that supplies a path of a layer's union with those below; the layer where none does."""
        chain = top.chain()
        layers = [layer for layer in map(self._forest.source, chain) if layer]
        if len(layers) < len(chain):
            return top, path
        try:
            part = UnionTree(layers).resolve(b"/" + path, follow=False).part
        except TreeError:
            return top, path
        return chain[part.layer], part.path

    def _user(self, owner: Owner, stage: Stage, path: bytes) -> User:
        """Whether a tree shows what a layer has at a path."""
        problems: list[TreeError] = []
        try:
            layers = self._root.tree(owner).layers
        except (CorruptStore, TreeError):
            return User(owner)
        found = [
            version
            for version in versions(layers, below=b"/" + path, depth=0, problem=problems.append)
            if (version.layer, version.part) == (stage.number, path)
        ]
        if not found or problems:
            return User(owner)
        hidden = found[-1].hidden
        seen = hidden is None or is_superseded(found[-1].stat, hidden)
        return User(owner, seen, None if seen else hidden)


def _kind(stage: Stage) -> str:
    if stage.chain_id:
        return "layer"
    if stage.owners:
        return "read-write layer"
    return "init layer" if stage.above else "directory"
