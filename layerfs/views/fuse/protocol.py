"""The FUSE wire protocol: every structure and number the native driver uses, by its kernel name.

All integers are in host byte order without padding beyond what the C structures spell out. Times are
signed on the wire in effect: the kernel takes the unsigned seconds as a `time64_t`.

Source: Linux `include/uapi/linux/fuse.h` (protocol 7.31 and later).
"""

from __future__ import annotations

import enum
from struct import Struct

__all__ = [
    "ATTR",
    "ATTR_VALID",
    "BACKING_MAP",
    "BATCH_FORGET_IN",
    "DEV_IOC_BACKING_CLOSE",
    "DEV_IOC_BACKING_OPEN",
    "DIRENTPLUS",
    "ENTRY_OUT",
    "ENTRY_START",
    "FORGET_IN",
    "FORGET_ONE",
    "GETXATTR_IN",
    "GETXATTR_OUT",
    "INIT_IN",
    "INIT_IN_OLD",
    "INIT_OUT",
    "INODE_MODE_AND_LINKS",
    "INTERRUPT_IN",
    "IN_HEADER",
    "KERNEL_VERSION",
    "LSEEK_IN",
    "LSEEK_OUT",
    "MINOR",
    "MIN_MINOR",
    "NAME_LENGTH",
    "NODE_ID",
    "OPEN_IN",
    "OPEN_OUT",
    "OUT_HEADER",
    "READ_IN",
    "RELEASE_IN",
    "ROOT_ID",
    "STATFS_OUT",
    "InitFlags",
    "Opcode",
    "OpenFlags",
]

KERNEL_VERSION = 7
"""FUSE_KERNEL_VERSION."""
MIN_MINOR = 31
"""The oldest protocol spoken: Linux 5.4."""
MINOR = 40
"""The newest protocol known here: passthrough (Linux 6.9)."""
ROOT_ID = 1
"""FUSE_ROOT_ID."""

IN_HEADER = Struct("=IIQQIIIHH")
"""fuse_in_header: len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding."""
OUT_HEADER = Struct("=IiQ")
"""fuse_out_header: len, error, unique."""
INIT_IN_OLD = Struct("=IIII")
"""fuse_init_in up to 7.35: major, minor, max_readahead, flags."""
INIT_IN = Struct("=IIIII44x")
"""fuse_init_in since 7.36: … flags, flags2, unused."""
INIT_OUT = Struct("=IIIIHHIIHHIIH22x")
"""fuse_init_out: major, minor, max_readahead, flags, max_background, congestion_threshold, max_write,
time_gran, max_pages, map_alignment, flags2, max_stack_depth, request_timeout, unused."""
_ATTR = "QQQqqqIIIIIIIIII"
"""fuse_attr: ino, size, blocks, atime, mtime, ctime, their nsec, mode, nlink, uid, gid, rdev, blksize,
flags."""
ATTR = Struct("=" + _ATTR)
"""fuse_attr alone."""
ATTR_VALID = Struct("=QI4x")
"""fuse_attr_out before its fuse_attr: attr_valid, attr_valid_nsec."""
ENTRY_START = Struct("=Q92xI")
"""The nodeid and the mode of a fuse_entry_out."""
INODE_MODE_AND_LINKS = Struct("=40xQ52xII")
"""The inode number, the mode and the link count of a fuse_entry_out."""
NODE_ID = Struct("=Q")
"""The nodeid with which fuse_entry_out begins."""
ENTRY_OUT = Struct("=QQQQII" + _ATTR)
"""fuse_entry_out: nodeid, generation, entry_valid, attr_valid, their nsec, fuse_attr."""
DIRENTPLUS = Struct("=QQQQII" + _ATTR + "QQII")
"""fuse_direntplus before its name: fuse_entry_out and fuse_dirent (ino, off, namelen, type)."""
NAME_LENGTH = Struct("=144xI")
"""The namelen of a fuse_direntplus."""
OPEN_IN = Struct("=II")
"""fuse_open_in: flags, open_flags."""
OPEN_OUT = Struct("=QIi")
"""fuse_open_out: fh, open_flags, backing_id."""
RELEASE_IN = Struct("=QIIQ")
"""fuse_release_in: fh, flags, release_flags, lock_owner."""
READ_IN = Struct("=QQIIQI4x")
"""fuse_read_in: fh, offset, size, read_flags, lock_owner, flags."""
GETXATTR_IN = Struct("=I4x")
"""fuse_getxattr_in: size."""
GETXATTR_OUT = Struct("=I4x")
"""fuse_getxattr_out: size."""
STATFS_OUT = Struct("=QQQQQIII28x")
"""fuse_kstatfs: blocks, bfree, bavail, files, ffree, bsize, namelen, frsize."""
INTERRUPT_IN = Struct("=Q")
"""fuse_interrupt_in: unique."""
LSEEK_IN = Struct("=QQI4x")
"""fuse_lseek_in: fh, offset, whence."""
LSEEK_OUT = Struct("=Q")
"""fuse_lseek_out: offset."""
FORGET_IN = Struct("=Q")
"""fuse_forget_in: nlookup."""
BATCH_FORGET_IN = Struct("=I4x")
"""fuse_batch_forget_in: count."""
FORGET_ONE = Struct("=QQ")
"""fuse_forget_one: nodeid, nlookup."""
BACKING_MAP = Struct("=iIQ")
"""fuse_backing_map: fd, flags, padding."""

DEV_IOC_BACKING_OPEN = 0x4010E501
"""FUSE_DEV_IOC_BACKING_OPEN = _IOW(229, 1, struct fuse_backing_map)."""
DEV_IOC_BACKING_CLOSE = 0x4004E502
"""FUSE_DEV_IOC_BACKING_CLOSE = _IOW(229, 2, uint32_t)."""


class Opcode(enum.IntEnum):
    """enum fuse_opcode, as far as it is answered with more than a refusal."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    READLINK = 5
    OPEN = 14
    READ = 15
    STATFS = 17
    RELEASE = 18
    GETXATTR = 22
    LISTXATTR = 23
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    ACCESS = 34
    INTERRUPT = 36
    DESTROY = 38
    IOCTL = 39
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    READDIRPLUS = 44
    LSEEK = 46

    # what would change the tree, and is refused with EROFS
    SETATTR = 4
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    WRITE = 16
    SETXATTR = 21
    REMOVEXATTR = 24
    CREATE = 35
    FALLOCATE = 43
    RENAME2 = 45
    COPY_FILE_RANGE = 47
    TMPFILE = 51


class InitFlags(enum.IntFlag):
    """INIT request and reply flags; those from bit 32 travel in `flags2`."""

    ASYNC_READ = 1 << 0
    DO_READDIRPLUS = 1 << 13
    ASYNC_DIO = 1 << 15
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    POSIX_ACL = 1 << 20
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24
    INIT_EXT = 1 << 30
    PASSTHROUGH = 1 << 37
    NO_EXPORT_SUPPORT = 1 << 38


class OpenFlags(enum.IntFlag):
    """FOPEN_* flags of an OPEN or OPENDIR reply."""

    KEEP_CACHE = 1 << 1
    NOFLUSH = 1 << 5
    PASSTHROUGH = 1 << 7
