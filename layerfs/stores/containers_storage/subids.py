"""The user namespace of a rootless store as the system that it lies in has it: in its etc/subuid.

The store does not note it. The system is the nearest directory above with an etc/passwd in which the owner
of the store has a home that the store lies in; so a store that was copied elsewhere has none, and the files
of the analyst's own system are not taken for it.

Sources: passwd(5), subuid(5); containers/storage `pkg/idtools` (parseSubidFile).
"""

from __future__ import annotations

import posixpath

from layerfs.formats.errors import FormatError
from layerfs.formats.idmap import Owners
from layerfs.formats.subid import homes_of, map_of
from layerfs.hostdir import HostDir

__all__ = ["noted_owners"]

_LIMIT = 1 << 20
_MOST_ABOVE = 64


def noted_owners(path: str, uid: int, gid: int) -> Owners | None:
    """The namespace of the user and group who own a store, by its path in full; None if not told."""
    above, inner = path, ""
    for _ in range(_MOST_ABOVE):
        above, name = posixpath.split(above)
        if not name:
            return None
        inner = posixpath.join(name, inner)
        try:
            with HostDir.open(above) as system:
                for user, home in homes_of(system.read("etc/passwd", _LIMIT), uid):
                    if inner.startswith(f"{home}/"):
                        return _owners(system, user, uid, gid)
        except OSError:
            continue
    return None


def _owners(system: HostDir, user: str, uid: int, gid: int) -> Owners | None:
    try:
        users = map_of(system.read("etc/subuid", _LIMIT), user, uid, uid)
        groups = map_of(system.read("etc/subgid", _LIMIT), user, uid, gid)
    except (OSError, FormatError):
        return None
    return Owners(users, groups) if users and groups else None
