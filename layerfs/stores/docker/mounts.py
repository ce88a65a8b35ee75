"""Finds the layers of containers: their own, and those of the image below.

The layers below are recorded four times: in the `lower` of the container's directory, by which the engine
mounts it, in the -init layer's `lower`, as `parent` in `layerdb`, and by the image in the container's config.
If these differ, the answer of most of them is used, and that is reported. A container's own directory is
recorded only in `layerdb`; without that, the time at which it was made may tell it.

Sources: moby `layer/filestore.go`, `layer/mounted_layer.go`, `daemon/graphdriver/overlay2/overlay.go`.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import BrokenChain, CorruptStore, MissingFile
from layerfs.ids import CacheID, ChainID, InvalidID
from layerfs.stores.docker.creation import made_together
from layerfs.stores.docker.layerdb import MountRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.ids import ContainerID, LinkID
    from layerfs.stores.docker.containers import ContainerDB
    from layerfs.stores.docker.layerdb import LayerDB, NotedMount
    from layerfs.stores.docker.overlay2 import Overlay2
    from layerfs.stores.docker.records import Records

__all__ = ["Mounts"]

_INIT = "-init"


class _Witness(NamedTuple):
    """One record's answer for the layers below a container.

    Attributes:
        below: their directories, base first.
        told_by: the record, in words.
        top: the uppermost layer, if the record has it.
    """

    below: tuple[CacheID, ...]
    told_by: str
    top: ChainID | None = None


class Mounts:
    """The layers of one store's containers."""

    def __init__(
        self, layerdb: LayerDB, overlay2: Overlay2, records: Records, containerdb: ContainerDB
    ) -> None:
        """Join the parts of the store."""
        self._layerdb = layerdb
        self._overlay2 = overlay2
        self._records = records
        self._containerdb = containerdb

    def of(
        self,
        container: ContainerID,
        image_top: Callable[[], ChainID | None],
        note: Callable[[CorruptStore], object],
    ) -> MountRecord:
        """The layers of a container; raises `CorruptStore` if its own are not known.

        Args:
            container: the container.
            image_top: gives the uppermost layer of its image; called only if records differ.
            note: called with what is missing or wrong, and what is used instead.
        """
        noted = self._layerdb.noted_mount(container)
        mount_id = self._mount_id(container, noted, note)
        init_id = self._init_id(container, noted, mount_id, note)
        mount = MountRecord(container, mount_id, init_id, noted.parent)
        if "parent" not in noted.problems and self._agrees(mount):
            return mount
        return self._by_most(mount, noted, image_top, note)

    # -- its own layers --------------------------------------------------------------------------

    def _mount_id(
        self, container: ContainerID, noted: NotedMount, note: Callable[[CorruptStore], object]
    ) -> CacheID:
        """The read-write layer's directory, by its record, or by the name of the -init layer."""
        by_init = _without_init(noted.init_id)
        if noted.mount_id and (by_init in (None, noted.mount_id) or not self._is_shared(noted.mount_id)):
            return noted.mount_id
        if by_init and by_init in self._overlay2 and not self._is_shared(by_init):
            path = self._layerdb.mount_name(container, "mount-id")
            problem = noted.problems.get("mount-id") or BrokenChain(
                path, "another container's directory", expected=by_init, found=noted.mount_id
            )
            note(problem.instead(f"{by_init} is used, by init-id"))
            return by_init
        if noted.mount_id:
            return noted.mount_id
        problem = next(iter(noted.problems.values()))
        if found := self._by_creation.get(container):
            note(problem.instead(f"{found} is used, which was made when the container was, and no other"))
            return found
        raise problem.again()

    @functools.cached_property
    def _by_creation(self) -> Mapping[ContainerID, CacheID]:
        """The read-write layer of each container by time; directories with a record are left out."""
        begun: dict[ContainerID, int] = {}
        for container in self._containerdb.container_ids():
            with contextlib.suppress(CorruptStore):
                created = self._containerdb.config(container).created_ns
                if created is not None and not self._containerdb.has_other_driver(container):
                    begun[container] = created
        made: dict[CacheID, int] = {}
        for cache_id in self._overlay2.cache_ids():
            own = _without_init(cache_id)
            when = self._overlay2.made_ns(cache_id) if own else None
            if own and when is not None:
                made[own] = when
        claims = self._records.directories.claims
        found = made_together(begun, made)
        return {key: own for key, own in found.items() if own in self._overlay2 and own not in claims}

    def _init_id(
        self,
        container: ContainerID,
        noted: NotedMount,
        mount_id: CacheID,
        note: Callable[[CorruptStore], object],
    ) -> CacheID | None:
        """The -init layer's directory, which the engine names after the read-write layer's."""
        expected = CacheID(f"{mount_id}{_INIT}")
        if noted.init_id == expected or expected not in self._overlay2:
            return noted.init_id
        path = self._layerdb.mount_name(container, "init-id")
        problem = noted.problems.get("init-id") or noted.problems.get("")
        if problem is None and noted.init_id is None:
            problem = MissingFile(path, "the file is missing")
        problem = problem or BrokenChain(path, "another's directory", expected=expected, found=noted.init_id)
        note(problem.instead(f"{expected} is used, by mount-id"))
        return expected

    def _is_shared(self, cache_id: CacheID) -> bool:
        return len(self._records.directories.claims.get(cache_id, ())) > 1

    # -- those below -----------------------------------------------------------------------------

    def _agrees(self, mount: MountRecord) -> bool:
        """Whether the container's `lower` and `parent` have the same depth, and the same uppermost layer."""
        links = self._lower(mount.mount_id)
        if links is None:
            return mount.parent is None and mount.init_id is None
        links = links[1 if mount.init_id else 0 :]
        if mount.parent is None:
            return not links
        depth = self._records.chains.depth(mount.parent)
        found = self._records.directories.of(mount.parent)
        if depth is None or found is None or len(links) != depth + 1:
            return False
        return self._records.directories.named(links[:1]) == [found.cache_id]

    def _by_most(
        self,
        mount: MountRecord,
        noted: NotedMount,
        image_top: Callable[[], ChainID | None],
        note: Callable[[CorruptStore], object],
    ) -> MountRecord:
        """The container with the layers below that most records have; unchanged if no record has any."""
        witnesses = list(self._witnesses(mount, image_top))
        if not witnesses:
            return mount
        votes = Counter(item.below for item in witnesses)
        best = max(witnesses, key=lambda item: votes[item.below])  # in a tie the first one
        top = next((item.top for item in witnesses if item.top and item.below == best.below), None)
        top = top or self._layer_on(best.below)
        found = MountRecord(
            mount.container_id, mount.mount_id, mount.init_id, top, None if top else best.below or None
        )
        if top != noted.parent or "parent" in noted.problems:
            note(self._parent_problem(mount, noted).instead(f"{_said(found)}, by {best.told_by}"))
        return found

    def _witnesses(self, mount: MountRecord, image_top: Callable[[], ChainID | None]) -> Iterator[_Witness]:
        stack = self._records.directories.stack
        if mount.parent and (below := stack(mount.parent)) is not None:
            yield _Witness(tuple(below), "parent", mount.parent)
        for cache_id, own in ((mount.mount_id, 1 if mount.init_id else 0), (mount.init_id, 0)):
            links = self._lower(cache_id) if cache_id else None
            found = None if links is None else self._records.directories.named(links[own:])
            if found is not None:
                yield _Witness(
                    tuple(reversed(found)), f"{self._overlay2.path_of(cache_id or mount.mount_id)}/lower"
                )
        top = image_top()
        if top and (below := stack(top)) is not None:
            yield _Witness(tuple(below), "the image in its config", top)

    def _layer_on(self, below: Sequence[CacheID]) -> ChainID | None:
        """The layer of the uppermost of these directories, if the others are those of the layers below it."""
        directories = self._records.directories
        for claimant in directories.claims.get(below[-1], ()) if below else ():
            if isinstance(claimant, ChainID) and directories.stack(claimant) == list(below):
                return claimant
        return None

    def _parent_problem(self, mount: MountRecord, noted: NotedMount) -> CorruptStore:
        path = self._layerdb.mount_name(mount.container_id, "parent")
        if problem := noted.problems.get("parent") or noted.problems.get(""):
            return problem
        if noted.parent is None:
            return MissingFile(path, "the file is missing")
        return BrokenChain(path, "not the layer below the container", found=noted.parent)

    def _lower(self, cache_id: CacheID) -> Sequence[LinkID] | None:
        """A directory's `lower`; None if it is missing or damaged."""
        try:
            return self._overlay2.lower(cache_id)
        except CorruptStore:
            return None


def _without_init(init_id: CacheID | None) -> CacheID | None:
    """The read-write layer's name, from that of the -init layer."""
    if not init_id or not init_id.endswith(_INIT):
        return None
    try:
        return CacheID(init_id.removesuffix(_INIT))
    except InvalidID:
        return None


def _said(mount: MountRecord) -> str:
    """The layers below a container, in words."""
    if mount.parent:
        return f"{mount.parent} is used"
    return f"{len(mount.below)} directories are used" if mount.below else "nothing is below"
