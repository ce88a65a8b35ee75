"""Attributes of an entry kept in an extended attribute, where the file system could not hold them.

`<uid>:<gid>:<octal mode>`, and for what is of another type than the entry on disk `:<type>`, for devices
`:<type>-<major>-<minor>`. containers/storage writes it where `force_mask` is set, fuse-overlayfs under its
own names where `xattr_permissions` is.

Sources: containers/storage `pkg/idtools/idtools.go` (Stat, parseOverrideXattr); fuse-overlayfs `utils.c`
(override_mode), `direct.c` (direct_load_data_source).
"""

from __future__ import annotations

import re
import stat
from typing import NamedTuple

from layerfs.formats.errors import FormatError

__all__ = ["ATTRIBUTES", "OverrideStat", "parse_override_stat"]

ATTRIBUTES = (
    b"security.fuseoverlayfs.override_stat",
    b"user.fuseoverlayfs.override_stat",
    b"user.containers.override_stat",
)
"""The names it has. The first of these that a layer's root carries is in force in the whole layer."""

_FORM = re.compile(
    rb"([0-9]{1,10}):([0-9]{1,10}):([0-7]{1,7})"
    rb"(?::(file|dir|symlink|pipe|socket|block|char)(?:-([0-9]{1,7})-([0-9]{1,7}))?)?"
)
_TYPES = {
    b"file": stat.S_IFREG,
    b"dir": stat.S_IFDIR,
    b"symlink": stat.S_IFLNK,
    b"pipe": stat.S_IFIFO,
    b"socket": stat.S_IFSOCK,
    b"block": stat.S_IFBLK,
    b"char": stat.S_IFCHR,
}
_MOST_ID = (1 << 32) - 2  # the last number is no ID
_MOST_MAJOR, _MOST_MINOR = 0xFFF, 0xFFFFF


class OverrideStat(NamedTuple):
    """What replaces the attributes of an entry.

    Attributes:
        uid: as the image has it, shifted by no user namespace.
        gid: likewise.
        mode: permissions, without a type.
        kind: the file type bits, as `stat.S_IFCHR`; 0 where it stays as it is.
        device: major and minor number of a device.
    """

    uid: int
    gid: int
    mode: int
    kind: int = 0
    device: tuple[int, int] = (0, 0)


def parse_override_stat(value: bytes) -> OverrideStat:
    """Parse the value of the attribute.

    Raises:
        FormatError: it is of another form, or has numbers that no entry can have.
    """
    found = _FORM.fullmatch(value)
    if found is None:
        raise _refused(value)
    uid, gid, mode = int(found[1]), int(found[2]), int(found[3], 8)
    if max(uid, gid) > _MOST_ID or mode > 0o7777:
        raise _refused(value)
    kind = _TYPES[found[4]] if found[4] else 0
    if (found[5] is not None) != (kind in (stat.S_IFBLK, stat.S_IFCHR)):
        raise _refused(value)
    major, minor = int(found[5] or 0), int(found[6] or 0)
    if major > _MOST_MAJOR or minor > _MOST_MINOR:
        raise _refused(value)
    return OverrideStat(uid, gid, mode, kind, (major, minor))


def _refused(value: bytes) -> FormatError:
    wanted = "UID:GID:MODE[:TYPE[-MAJOR-MINOR]]"
    return FormatError("not the attributes of an entry", expected=wanted, found=ascii(value[:60])[1:])
