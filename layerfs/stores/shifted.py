"""Which users of the host are which inside, in a store whose engine runs in a user namespace.

The owner of the layers' directories is root inside. The owner of a file in an archive, compared with its
owner on disk, gives the other IDs; in a copy that lost owners it contradicts, and then there is no map.

Sources: user_namespaces(7); subuid(5), which has all but root (rootlesskit, Podman).
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from layerfs.errors import CorruptStore, DataRootError
from layerfs.formats.idmap import SAME, IDMap, IDRange, Owners, shifted
from layerfs.formats.tarsplit import Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layerfs.stores.layerarchive import LayerArchive

__all__ = ["LAYERS", "SUB_IDS", "RootOwner", "find_owners", "spread"]

LAYERS = 16
"""Layers to be compared with their archives: those with the shortest."""

SUB_IDS = 100_000
"""Where ranges of subuid(5) begin that useradd(8) makes; ordinary users are below."""

_MEMBERS = 1 << 14  # members of all these archives that are read
_PAIRS, _ENOUGH = 8, 256  # users and groups to find, as the owner of a single file may have been changed

_log = logging.getLogger(__name__)

Name = TypeVar("Name", bound=str)


class RootOwner(NamedTuple):
    """The owner that is root inside, and whether it is certain, as no copy looks like that."""

    uid: int
    gid: int
    certain: bool


class _Pair(NamedTuple):
    """An ID in an archive, and the ID of the same file on disk."""

    inside: int
    outside: int


def find_owners(root: RootOwner, archives: Iterable[LayerArchive], name: str) -> Owners | None:
    """The maps in which `root` is root; None where archives contradict, as in a copy that lost owners.

    Args:
        root: see there.
        archives: of some layers, the shortest first.
        name: of the store, for messages.
    """
    uid, gid, certain = root
    users, groups = _evidence(archives)
    if not all(map(_agree, ((uid, users), (gid, groups)))):
        return None  # all files belong to the user who made the copy
    if not (certain or users or groups):
        return SAME  # may be a copy
    found = Owners(_map_of(uid, users), _map_of(gid, groups))
    if uid == gid and found.users.whole != found.groups.whole:
        known = found.users if found.users.whole else found.groups  # both begin at the same ID
        found = Owners(known, known)
    if not (found.users.whole and found.groups.whole):
        _log.info("%s: nothing tells which users of the host are others than root", name)
    return found


def spread(sizes: Sequence[tuple[int, Name]]) -> list[tuple[int, Name]]:
    """Layers with archives of all lengths, of (bytes, layer) in this order: all, if they are few."""
    if len(sizes) <= LAYERS:
        return list(sizes)
    return [sizes[index * len(sizes) // LAYERS] for index in range(LAYERS)]


def _evidence(archives: Iterable[LayerArchive]) -> tuple[list[_Pair], list[_Pair]]:
    """Some users, and some groups, that are not root, each with its ID on disk."""
    users: list[_Pair] = []
    groups: list[_Pair] = []
    for archive, member in itertools.islice(_members(archives), _MEMBERS):
        header = member.header
        if not header.kind or not (header.uid or header.gid):
            continue
        try:
            found = archive.diff.lstat(member.path)
        except (CorruptStore, DataRootError, OSError):
            continue
        users += [_Pair(header.uid, found.st_uid)] if header.uid else []
        groups += [_Pair(header.gid, found.st_gid)] if header.gid else []
        if min(len(users), len(groups)) >= _PAIRS or max(len(users), len(groups)) >= _ENOUGH:
            break
    return users, groups


def _members(archives: Iterable[LayerArchive]) -> Iterator[tuple[LayerArchive, Member]]:
    for archive in archives:
        try:
            with closing(archive.members()) as members:
                for member in members:
                    if isinstance(member, Member):
                        yield archive, member
        except (CorruptStore, DataRootError):
            continue


def _agree(pairs: tuple[int, Sequence[_Pair]]) -> bool:
    """Whether at most half of the files are root's on disk; in a copy without owners all have one owner."""
    base, found = pairs
    return 2 * sum(pair.outside == base for pair in found) <= len(found)


def _map_of(base: int, pairs: Sequence[_Pair]) -> IDMap:
    """The map in which 0 is `base`, and that agrees with most of `pairs`."""
    apart = Counter(pair.outside - pair.inside for pair in pairs)
    offset = apart.most_common(1)[0][0] if apart else None
    if offset == base or (offset is None and base >= SUB_IDS):
        return shifted(base)
    root = IDRange(0, base, 1)
    if offset is None or offset < 0:
        return IDMap((root,), whole=False)
    return IDMap((root, *_from_one(offset + 1)))


def _from_one(outside: int) -> Iterator[IDRange]:
    """All IDs from 1 on."""
    for item in shifted(outside).ranges:
        yield IDRange(1, item.outside, item.length)
