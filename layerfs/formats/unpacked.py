"""The attributes that an entry of `diff/` must have, given the tar header it was unpacked from.

They differ from the header, because the engine leaves out some attributes, and the kernel changes others. The
functions here follow both, from headers to the values that lstat(2) and getxattr(2) give.

Sources: moby `pkg/archive/archive.go` (Unpack, createTarFile), `archive_linux.go` (ConvertRead),
`pkg/system/chtimes.go`, `utimes_unix.go` (v20.10.24); Linux `fs/posix_acl.c`, `uapi/linux/capability.h`.
"""

from __future__ import annotations

import posixpath
import stat
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layerfs.formats.idmap import IDMap, Owners
    from layerfs.formats.tarheader import Header

__all__ = [
    "ACL_ACCESS",
    "ACL_DEFAULT",
    "CAPABILITY",
    "OPAQUE_MARKER",
    "WHITEOUT",
    "acl_inside",
    "add_hard_link",
    "capability_inside",
    "ignores_root",
    "is_stored_time",
    "plain_capability",
    "stored_mtime",
    "stored_xattrs",
]

WHITEOUT = b".wh."
"""A member whose name begins with this makes no entry: it hides the name that follows."""
OPAQUE_MARKER = b".wh..wh..opq"

ACL_ACCESS, ACL_DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
CAPABILITY = b"security.capability"

_LAST_TIME = (1 << 63) - 1  # nanoseconds, in 2262; the engine makes later times the epoch
_ZERO_TIME = -62135596800 * 10**9  # Go's zero time, of the year 1: the engine does not set it (UTIME_OMIT)
_SECOND = 10**9
_RANGES = (
    (-(1 << 31), (1 << 31) - 1),  # XFS without bigtime; ext2, ext3, and ext4 with inodes of 128 bytes
    (-(1 << 31), (1 << 34) - 1 - (1 << 31)),  # ext4
    (-(1 << 31), 16299260424),  # XFS with bigtime: 2^64 ns
    (0, (1 << 32) - 1),  # EROFS, older f2fs and others without a sign
)
"""Ranges of seconds that file systems can store (Linux `fs/ext4/ext4.h`, `fs/xfs/libxfs/xfs_format.h`)."""
_UNITS = (_SECOND, 1000, 100)
"""The units, in nanoseconds, in which file systems store times."""
_NOT_FOR_USERS = (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO)
_CAPABILITY_V2_BYTES = 20


def ignores_root(name: bytes) -> bool:
    """Whether a member names the layer's root in a way that the engine ignores: `./`, not `/` or `..`."""
    return posixpath.normpath(name) == b"."


def stored_mtime(header: Header) -> int:
    """The time of modification that the engine sets, in nanoseconds since 1970.

    A time before 1970 or after 2262 becomes the epoch; but the time of a symbolic link wraps around in 64
    bits.
    """
    time = header.mtime_ns
    if header.kind == stat.S_IFLNK:
        return (time + (1 << 63)) % (1 << 64) - (1 << 63)
    return time if 0 <= time <= _LAST_TIME else 0


def is_stored_time(header: Header, found: int, changed: int) -> bool:
    """Whether a time on disk is that of a header, as some file system stores it.

    A time outside the range of a file system becomes its first or last one (before Linux 5.4 the higher bits
    were lost), and some file systems store no fractions.

    Args:
        header: of the entry.
        found: its time of modification, in nanoseconds.
        changed: its time of status change, which shows whether the file system stores fractions.
    """
    wanted = stored_mtime(header)
    if found == wanted:
        return True
    if header.kind == stat.S_IFLNK and header.mtime_ns == _ZERO_TIME:
        return True  # not set, so it is the time at which the link was made
    seconds, fraction = divmod(wanted, _SECOND)
    if found // _SECOND == seconds:
        return any(found == wanted - fraction % unit and changed % unit == 0 for unit in _UNITS)
    return any(
        not first <= seconds <= last
        and found in ((last if seconds > last else first) * _SECOND, _wrapped(wanted, first, last))
        for first, last in _RANGES
    )


def _wrapped(time: int, first: int, last: int) -> int:
    seconds, fraction = divmod(time, _SECOND)
    return ((seconds - first) % (last - first + 1) + first) * _SECOND + fraction


def stored_xattrs(xattrs: Mapping[bytes, bytes], kind: int, mode: int) -> dict[bytes, bytes]:
    """A header's extended attributes as the kernel stores them on an entry of type `kind` and `mode`."""
    found = {}
    for name, value in xattrs.items():
        if name.startswith(b"user.") and kind in _NOT_FOR_USERS:
            continue  # the kernel refuses these, and the engine ignores that
        if name in (ACL_ACCESS, ACL_DEFAULT):
            acl = None if kind == stat.S_IFLNK else _stored_acl(value, mode if name == ACL_ACCESS else None)
            if acl is None:
                continue
            found[name] = acl
        else:
            found[name] = value
    return found


def add_hard_link(before: Header, xattrs: dict[bytes, bytes], link: Header, kind: int) -> Header:
    """The header of an inode of type `kind` after a hard link to it was unpacked: that of the link.

    But mode and time of a symbolic link stay, and a change of owner removes a file's capabilities. `xattrs`
    are the extended attributes of the inode, and are changed in place, as one inode may have very many names.
    """
    xattrs.pop(CAPABILITY, None)
    xattrs.update(link.xattrs)
    after = before._replace(uid=link.uid, gid=link.gid, xattrs=xattrs)
    return after if kind == stat.S_IFLNK else after._replace(mode=link.mode, mtime_ns=link.mtime_ns)


def plain_capability(value: bytes) -> bytes:
    """File capabilities without the root ID of a user namespace (revision 3 becomes revision 2)."""
    if len(value) > _CAPABILITY_V2_BYTES and value[3] == 3:
        return value[:3] + b"\2" + value[4:_CAPABILITY_V2_BYTES]
    return value


def capability_inside(value: bytes, users: IDMap) -> bytes:
    """File capabilities as a user namespace sees them: if its own root gave them, without the root ID."""
    if len(value) > _CAPABILITY_V2_BYTES and users.inside(int.from_bytes(value[20:24], "little")) == 0:
        return plain_capability(value)
    return value


# -- access control lists ------------------------------------------------------------------------

_ACL_HEAD, _ACL_ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFFFFFF


def _stored_acl(value: bytes, mode: int | None) -> bytes | None:
    """An access control list as the kernel gives it back; None for one that says no more than the mode.

    The engine sets the list before the mode, and the mode overwrites entries of the list.
    """
    if len(value) % _ACL_ENTRY.size != _ACL_HEAD.size:
        return value
    entries = list(_ACL_ENTRY.iter_unpack(value[_ACL_HEAD.size :]))
    tags = {tag for tag, _, _ in entries}
    if mode is not None and not tags & {_USER, _GROUP, _MASK}:
        return None
    classes = {}
    if mode is not None:
        group = _MASK if _MASK in tags else _GROUP_OBJ
        classes = {_USER_OBJ: mode >> 6 & 7, group: mode >> 3 & 7, _OTHER: mode & 7}
    return value[: _ACL_HEAD.size] + b"".join(
        _ACL_ENTRY.pack(tag, classes.get(tag, allowed), who if tag in (_USER, _GROUP) else _NOBODY)
        for tag, allowed, who in entries
    )


def acl_inside(value: bytes, owners: Owners) -> bytes:
    """An access control list with its users and groups as a namespace sees them."""
    if len(value) % _ACL_ENTRY.size != _ACL_HEAD.size:
        return value
    ids = {_USER: owners.users, _GROUP: owners.groups}
    return value[: _ACL_HEAD.size] + b"".join(
        _ACL_ENTRY.pack(tag, allowed, ids[tag].inside(who) if tag in ids else who)
        for tag, allowed, who in _ACL_ENTRY.iter_unpack(value[_ACL_HEAD.size :])
    )
