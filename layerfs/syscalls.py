"""System calls that Python has no name for: openat2 and those that make mounts; and what this process may.

Their numbers are the same on every architecture that got them through the common table. Sources:
openat2(2), mount_setattr(2); Linux `fs/namespace.c` (open_tree, fsmount, move_mount), `fs/fsopen.c`.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "PATH_CHUNK",
    "NewFileSystem",
    "attach_mount",
    "is_system_admin",
    "open_beneath",
    "openat2",
    "own_mount",
    "split_path",
]

PATH_CHUNK = 4000
"""Bytes that a system call takes in one path, below PATH_MAX."""

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_SYS_MOUNT_SETATTR = 442
_OPEN_TREE_CLONE = 1
_AT_EMPTY_PATH = 0x1000
_CAP_SYS_ADMIN = 1 << 21
_MOVE_MOUNT_EMPTY_PATHS = 0x04 | 0x40  # both the mount and its place are given by descriptor
_FSCONFIG_FLAG, _FSCONFIG_STRING, _FSCONFIG_FD, _FSCONFIG_CREATE = 0, 1, 5, 6
_FS_CLOEXEC = 1
_LOG_LINE = 4096
_MOUNT_ATTR_RDONLY = 0x01
_MOUNT_ATTR_NOSUID = 0x02
_MOUNT_ATTR_NODEV = 0x04
_MOUNT_ATTR_NOEXEC = 0x08
_MOUNT_ATTR_NOATIME = 0x10
_MOUNT_ATTR_SEALED = _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NODEV | _MOUNT_ATTR_NOATIME
_MOUNT_ATTR_ATIMES = 0x70  # the kinds of noting accesses, of which one is chosen


class _OpenHow(ctypes.Structure):
    """`struct open_how` of linux/openat2.h."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _MountAttr(ctypes.Structure):
    """`struct mount_attr` of linux/mount.h."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def openat2(path: bytes, flags: int, *, dir_fd: int) -> int:
    """Open a path below a directory, following no link and never leaving it; raises `OSError`."""
    how, size = _how(flags)
    fd = int(_syscall()(_SYS_OPENAT2, dir_fd, path, how, size))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path))
    return fd


@functools.cache
def _how(flags: int) -> tuple[Any, int]:
    """A reference to a `struct open_how`, which the kernel only reads, and its size."""
    how = _OpenHow(flags, 0, _RESOLVE)
    return ctypes.byref(how), ctypes.sizeof(how)


def open_beneath(path: bytes, flags: int, *, dir_fd: int) -> int:
    """Open `path` below `dir_fd` as open(2) does, following no link and never leaving it."""
    try:
        return openat2(path, flags, dir_fd=dir_fd)
    except OSError as error:
        # ENOSYS: Linux before 5.6; EPERM: some sandboxes refuse what they do not know;
        # EAGAIN: something was renamed on the host meanwhile, so the kernel cannot tell where `..` leads
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EAGAIN):
            raise
        return _open_by_component(path, flags, dir_fd=dir_fd)


def _open_by_component(path: bytes, flags: int, *, dir_fd: int) -> int:
    """What openat2 does, one component at a time."""
    *parents, name = path.split(b"/")
    at, opened = dir_fd, -1
    try:
        for component in [*parents, name]:
            if component in (b"", b".", b".."):
                raise OSError(errno.EXDEV, "leaves the directory", os.fsdecode(path))
        for parent in parents:
            below = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            if opened >= 0:
                os.close(opened)
            at = opened = below
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=at)
    finally:
        if opened >= 0:
            os.close(opened)


def split_path(path: bytes) -> tuple[bytes, bytes]:
    """Cut an overlong path at the last slash that fits one system call."""
    cut = path.rfind(b"/", 0, PATH_CHUNK)
    if cut <= 0:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), os.fsdecode(path[:100]))
    return path[:cut], path[cut + 1 :]


def own_mount(fd: int) -> int:
    """A new mount of a directory that is nowhere to be seen; or -1.

    It is read-only, notes no access, and no device can be opened on it.
    """
    mount = int(_syscall()(_SYS_OPEN_TREE, fd, b"", _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH))
    if mount < 0:
        return -1
    attributes = _MountAttr(_MOUNT_ATTR_SEALED, _MOUNT_ATTR_ATIMES)
    size = ctypes.sizeof(attributes)
    if _syscall()(_SYS_MOUNT_SETATTR, mount, b"", _AT_EMPTY_PATH, ctypes.byref(attributes), size) < 0:
        os.close(mount)
        return -1
    return mount


class NewFileSystem:
    """A file system that is being made. Methods raise `OSError`; `told` is what the kernel says of it."""

    def __init__(self, kind: str) -> None:
        """Begin one of this type (fsopen)."""
        self._fd = _call(_SYS_FSOPEN, kind.encode(), _FS_CLOEXEC)

    def __enter__(self) -> Self:
        """Use as a context manager to close it at the end; what was mounted of it stays."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close it."""
        os.close(self._fd)

    def configure(self, key: str, value: bytes | int | None = None) -> None:
        """Set an option: to bytes (at most 255), to an open file, or without a value (fsconfig)."""
        name = key.encode()
        if value is None:
            _call(_SYS_FSCONFIG, self._fd, _FSCONFIG_FLAG, name, None, 0)
        elif isinstance(value, int):
            _call(_SYS_FSCONFIG, self._fd, _FSCONFIG_FD, name, None, value)
        else:
            _call(_SYS_FSCONFIG, self._fd, _FSCONFIG_STRING, name, value, 0)

    def mount(self, *, noexec: bool = False) -> int:
        """Make it; the descriptor of a mount of it that is nowhere to be seen, `ro,nosuid,nodev`."""
        _call(_SYS_FSCONFIG, self._fd, _FSCONFIG_CREATE, None, None, 0)
        attributes = _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV
        return _call(_SYS_FSMOUNT, self._fd, _FS_CLOEXEC, attributes | _MOUNT_ATTR_NOEXEC * noexec)

    def told(self) -> str:
        """The last error that the kernel has words for; nothing where it has none."""
        last = b""
        while True:
            try:
                line = os.read(self._fd, _LOG_LINE)
            except OSError:  # ENODATA: that was all
                return os.fsdecode(last).strip()
            last = line[2:] if line.startswith(b"e ") else last


def attach_mount(mount: int, place: int) -> None:
    """Put a mount that is nowhere to be seen on a directory; both are descriptors. Raises `OSError`."""
    _call(_SYS_MOVE_MOUNT, mount, b"", place, b"", _MOVE_MOUNT_EMPTY_PATHS)


def _call(*arguments: object) -> int:
    """The result of a system call; raises `OSError`."""
    result = int(_syscall()(*arguments))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@functools.cache
def _syscall() -> Callable[..., int]:
    """`syscall(2)` of the C library."""
    function: Callable[..., int] = ctypes.CDLL(None, use_errno=True).syscall
    return function


def is_system_admin() -> bool:
    """Whether this process has CAP_SYS_ADMIN in the first user namespace.

    Only then the kernel shows it `trusted.*` attributes, and takes backing files from it.
    """
    with open("/proc/self/status", "rb") as status:
        fields = dict(line.split(b":", 1) for line in status.read().splitlines() if b":" in line)
    with open("/proc/self/uid_map", "rb") as mapping:
        initial = mapping.read().split() == [b"0", b"0", b"4294967295"]
    return initial and bool(int(fields[b"CapEff"], 16) & _CAP_SYS_ADMIN)
