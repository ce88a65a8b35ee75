"""What the engine makes of a tar header on disk: the attributes that an entry of `diff/` must have.

A header is not what lies on disk: the engine skips some of it, and the kernel changes the rest. Here
are the rules of both, as functions from headers to what lstat and getxattr then tell.

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
"""A member whose name begins so is no entry: the rest of its name is what it hides."""
OPAQUE_MARKER = b".wh..wh..opq"

ACL_ACCESS, ACL_DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
CAPABILITY = b"security.capability"

_LAST_TIME = (1 << 63) - 1  # nanoseconds, in 2262; later times become the epoch
_ZERO_TIME = -62135596800 * 10**9  # Go's, of the year 1: to utimensat(2) the engine says "leave it"
_SECOND = 10**9
_RANGES = (
    (-(1 << 31), (1 << 31) - 1),  # XFS without bigtime; ext2, ext3, and ext4 with inodes of 128 bytes
    (-(1 << 31), (1 << 34) - 1 - (1 << 31)),  # ext4
    (-(1 << 31), 16299260424),  # XFS with bigtime: 2^64 ns
    (0, (1 << 32) - 1),  # EROFS, older f2fs and others without a sign
)
"""Seconds that file systems have room for (Linux `fs/ext4/ext4.h`, `fs/xfs/libxfs/xfs_format.h`)."""
_UNITS = (_SECOND, 1000, 100)
"""Nanoseconds that a file system may count in."""
_NOT_FOR_USERS = (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO)
_CAPABILITY_V2_BYTES = 20


def ignores_root(name: bytes) -> bool:
    """Whether a member that names the layer's root is passed over: `./` is, `/` and `..` are not."""
    return posixpath.normpath(name) == b"."


def stored_mtime(header: Header) -> int:
    """The time in nanoseconds that the engine gives an entry.

    What is before 1970 or after 2262 becomes the epoch; the time of a symbolic link is computed in 64
    bits and wraps.
    """
    time = header.mtime_ns
    if header.kind == stat.S_IFLNK:
        return (time + (1 << 63)) % (1 << 64) - (1 << 63)
    return time if 0 <= time <= _LAST_TIME else 0


def is_stored_time(header: Header, found: int, changed: int) -> bool:
    """Whether a time on disk is what the engine's system call made of a header's, on some file system.

    A file system keeps the times it can: earlier and later ones become its first and its last (before
    Linux 5.4 the bits that do not fit are lost), and some have no fractions.

    Args:
        header: of the entry.
        found: its time of modification, in nanoseconds.
        changed: its time of change, by which a file system without fractions is known.
    """
    wanted = stored_mtime(header)
    if found == wanted:
        return True
    if header.kind == stat.S_IFLNK and header.mtime_ns == _ZERO_TIME:
        return True  # left as it was when the link was made
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
    """The attributes of a header as the kernel keeps them on an entry of type `kind` and `mode`."""
    found = {}
    for name, value in xattrs.items():
        if name.startswith(b"user.") and kind in _NOT_FOR_USERS:
            continue  # refused by the kernel, and that is ignored by the engine
        if name in (ACL_ACCESS, ACL_DEFAULT):
            acl = None if kind == stat.S_IFLNK else _stored_acl(value, mode if name == ACL_ACCESS else None)
            if acl is None:
                continue
            found[name] = acl
        else:
            found[name] = value
    return found


def add_hard_link(before: Header, xattrs: dict[bytes, bytes], link: Header, kind: int) -> Header:
    """The header of an inode of type `kind` after one more name was linked to it: the last one wins.

    A change of owner costs a file its capabilities; mode and time of a symbolic link stay. The inode's
    attributes are kept in `xattrs`, which is changed: there may be as many names as headers, so nothing
    goes through all that earlier ones had.
    """
    xattrs.pop(CAPABILITY, None)
    xattrs.update(link.xattrs)
    after = before._replace(uid=link.uid, gid=link.gid, xattrs=xattrs)
    return after if kind == stat.S_IFLNK else after._replace(mode=link.mode, mtime_ns=link.mtime_ns)


def plain_capability(value: bytes) -> bytes:
    """File capabilities without the user namespace they are bound to (revision 3 as revision 2)."""
    if len(value) > _CAPABILITY_V2_BYTES and value[3] == 3:
        return value[:3] + b"\2" + value[4:_CAPABILITY_V2_BYTES]
    return value


def capability_inside(value: bytes, users: IDMap) -> bytes:
    """File capabilities as a user namespace sees them: those that its own root gave, without that."""
    if len(value) > _CAPABILITY_V2_BYTES and users.inside(int.from_bytes(value[20:24], "little")) == 0:
        return plain_capability(value)
    return value


# -- access control lists ------------------------------------------------------------------------

_ACL_HEAD, _ACL_ENTRY = struct.Struct("<I"), struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFFFFFF


def _stored_acl(value: bytes, mode: int | None) -> bytes | None:
    """A list as the kernel gives it back; None for one that says no more than the mode.

    The engine sets the list first and the mode then, which overwrites the list's own classes.
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
    """A list of a file system with the users and groups that a namespace sees."""
    if len(value) % _ACL_ENTRY.size != _ACL_HEAD.size:
        return value
    ids = {_USER: owners.users, _GROUP: owners.groups}
    return value[: _ACL_HEAD.size] + b"".join(
        _ACL_ENTRY.pack(tag, allowed, ids[tag].inside(who) if tag in ids else who)
        for tag, allowed, who in _ACL_ENTRY.iter_unpack(value[_ACL_HEAD.size :])
    )
