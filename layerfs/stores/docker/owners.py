"""Who owns the files of a data root: `OwnerJudge` finds the user namespace of its engine.

The name of a remapped root has the IDs of root (`231072.231072`). Under another name, or for a rootless
engine, the maps are found in the root itself: the engine's own directories belong to root inside, and the
owner of a file in an archive, compared with its owner on disk, gives the other IDs.

Sources: moby `daemon/daemon_unix.go` (setupDaemonRoot), `daemon/graphdriver/overlay2/overlay.go` (create);
rootlesskit (root is the user who runs it, all others are from subuid(5)).
"""

from __future__ import annotations

import functools
import itertools
import logging
import re
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import CorruptStore, DataRootError
from layerfs.formats.idmap import SAME, IDMap, IDRange, Owners, parse_owners, shifted
from layerfs.formats.tarsplit import Member
from layerfs.formats.whiteouts import USER
from layerfs.stores.layerarchive import LayerArchive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.hostdir import HostDir
    from layerfs.ids import ChainID
    from layerfs.stores.docker.layerdb import LayerDB, LayerRecord
    from layerfs.stores.docker.overlay2 import Overlay2
    from layerfs.stores.docker.records import Records

__all__ = ["OwnerJudge"]

_REMAPPED = re.compile(r"[0-9]{1,10}\.[0-9]{1,10}")
_LAYERS = 16  # layers read (those with the shortest archives), and listed
_MEMBERS = 1 << 14  # members of all these archives that are read
_PAIRS, _ENOUGH = 8, 256  # users and groups to find, as the owner of a single file may have been changed
_SUB_IDS = 100_000  # where subuid(5) ranges of useradd(8) begin; ordinary users are below

_log = logging.getLogger(__name__)


class _Pair(NamedTuple):
    """An ID in an archive, and the ID of the same file on disk."""

    inside: int
    outside: int


class _Root(NamedTuple):
    """The owner that is root inside, and whether it is certain, as no copy looks like that."""

    uid: int
    gid: int
    certain: bool


class OwnerJudge:
    """Finds the user namespace of one data root."""

    def __init__(
        self,
        root: HostDir,
        layerdb: LayerDB,
        overlay2: Overlay2,
        records: Records,
        chosen: str = "auto",
    ) -> None:
        """Judge the data root open as `root`; `chosen` is what `parse_owners` takes, or `auto`."""
        self._root = root
        self._layerdb = layerdb
        self._overlay2 = overlay2
        self._layers = records
        self._chosen = None if chosen == "auto" else parse_owners(chosen)

    @functools.cached_property
    def owners(self) -> Owners:
        """The maps of the namespace; `SAME` without one, and in a copy that lost owners."""
        if self._chosen is not None:
            return self._chosen
        root = self._root_of_layers()
        return self._with_others(root) if root else SAME

    def _root_of_layers(self) -> _Root | None:
        """The owner of layers' directories, if not root, and if the engine's directory or the name agree."""
        name = self._root.display.rstrip("/").rpartition("/")[2]
        named = _REMAPPED.fullmatch(name) is not None
        try:
            own = self._root.lstat("overlay2")
        except OSError:
            return None
        if not (own.st_gid or named):
            return None
        for record in self._records():
            try:
                directory = self._overlay2.diff(record.cache_id)
                found, marked = directory.lstat(), any(map(USER.private, directory.xattr_names()))
            except (CorruptStore, DataRootError, OSError):
                continue
            uid, gid = found.st_uid, found.st_gid
            named = name == f"{uid}.{gid}"
            if uid and (named or (gid == own.st_gid and own.st_uid in (0, uid))):
                return _Root(uid, gid, named or marked or own.st_uid == 0 or uid >= _SUB_IDS)
        return None

    def _with_others(self, root: _Root) -> Owners:
        """The maps in which `root` is root."""
        uid, gid, certain = root
        users, groups = self._evidence()
        if not all(map(_agree, ((uid, users), (gid, groups)))):
            return SAME  # a copy: all files belong to the user who made it
        if not (certain or users or groups):
            return SAME  # may be a copy
        found = Owners(_map_of(uid, users), _map_of(gid, groups))
        if uid == gid and found.users.whole != found.groups.whole:
            known = found.users if found.users.whole else found.groups  # both begin at the same ID
            found = Owners(known, known)
        if not (found.users.whole and found.groups.whole):
            _log.info("%s: nothing tells which users of the host are others than root", self._root.display)
        return found

    def _evidence(self) -> tuple[list[_Pair], list[_Pair]]:
        """Some users, and some groups, that are not root, each with its ID on disk."""
        users: list[_Pair] = []
        groups: list[_Pair] = []
        for record, member in itertools.islice(self._members(), _MEMBERS):
            header = member.header
            if not header.kind or not (header.uid or header.gid):
                continue
            try:
                found = self._overlay2.diff(record.cache_id).lstat(member.path)
            except (CorruptStore, DataRootError, OSError):
                continue
            users += [_Pair(header.uid, found.st_uid)] if header.uid else []
            groups += [_Pair(header.gid, found.st_gid)] if header.gid else []
            if min(len(users), len(groups)) >= _PAIRS or max(len(users), len(groups)) >= _ENOUGH:
                break
        return users, groups

    def _members(self) -> Iterator[tuple[LayerRecord, Member]]:
        for record in self._records():
            try:
                archive = LayerArchive(record.chain_id, self._layerdb, self._overlay2.diff(record.cache_id))
                with closing(archive.members()) as members:
                    for member in members:
                        if isinstance(member, Member):
                            yield record, member
            except (CorruptStore, DataRootError):
                continue

    def _records(self) -> Iterator[LayerRecord]:
        """Some layers, those with the shortest archives first."""
        sizes = sorted((self._layerdb.tar_split_size(chain), chain) for chain in self._layerdb.chain_ids())
        for _, chain in sizes if len(sizes) <= _LAYERS else _spread(sizes):
            try:
                yield self._layers.layer(chain)
            except (CorruptStore, DataRootError):
                continue


def _spread(sizes: Sequence[tuple[int, ChainID]]) -> list[tuple[int, ChainID]]:
    """A selection of layers with archives of all lengths."""
    return [sizes[index * len(sizes) // _LAYERS] for index in range(_LAYERS)]


def _agree(pairs: tuple[int, Sequence[_Pair]]) -> bool:
    """Whether at most half of the files are root's on disk; in a copy without owners all have one owner."""
    base, found = pairs
    return 2 * sum(pair.outside == base for pair in found) <= len(found)


def _map_of(base: int, pairs: Sequence[_Pair]) -> IDMap:
    """The map in which 0 is `base`, and that agrees with most of `pairs`."""
    apart = Counter(pair.outside - pair.inside for pair in pairs)
    offset = apart.most_common(1)[0][0] if apart else None
    if offset == base or (offset is None and base >= _SUB_IDS):
        return shifted(base)
    root = IDRange(0, base, 1)
    if offset is None or offset < 0:
        return IDMap((root,), whole=False)
    return IDMap((root, *_from_one(offset + 1)))


def _from_one(outside: int) -> Iterator[IDRange]:
    """All IDs from 1 on."""
    for item in shifted(outside).ranges:
        yield IDRange(1, item.outside, item.length)
