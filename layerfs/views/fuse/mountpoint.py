"""The mount point: what may be mounted on, what is mounted there, and taking it off again.

Source: proc_pid_mountinfo(5), umount2(2).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import logging
import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from layerfs.errors import MountFailed, reason
from layerfs.reserves import enough
from layerfs.syscalls import attach_mount, open_beneath
from layerfs.views.fuse.driver import FILE_SYSTEM
from layerfs.views.fuse.liveness import State, ask

__all__ = [
    "KERNEL_SOURCE",
    "Mount",
    "check_mountpoint",
    "detach",
    "detach_own",
    "device_of",
    "find_mount",
    "is_mounted",
    "kernel_source",
    "mount_on",
    "mount_table",
    "put_mount",
    "tune_readahead",
    "unmount",
]

KERNEL_SOURCE = "layerfs:"
"""What the source of a mount of ours begins with that is of a file system of the kernel's own."""

_KERNEL_TYPES = ("overlay", "tmpfs")
_MNT_DETACH = 2
_READAHEAD_KB = 2048
_SOURCE_MAX = 255  # of fsconfig's strings
_AT = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_UMOUNT_NOFOLLOW = 8
_OCTAL = re.compile(rb"\\([0-7]{3})")


_log = logging.getLogger(__name__)


class Mount(NamedTuple):
    """One line of the mount table.

    Attributes:
        path: where it is mounted.
        fs_type: with the subtype, as `fuse.layerfs`.
        source: of ours, the name of the image, container or layer, perhaps behind `KERNEL_SOURCE`.
        device: `major:minor`.
        options: of the mount, then of the file system.
    """

    path: Path
    fs_type: str
    source: str
    device: str
    options: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        """Whether this is a mount of ours, by whichever driver."""
        return self.is_served or (self.fs_type in _KERNEL_TYPES and self.source.startswith(KERNEL_SOURCE))

    @property
    def is_served(self) -> bool:
        """Whether it is of ours, and a process answers for it."""
        return self.fs_type == f"fuse.{FILE_SYSTEM}"

    @property
    def name(self) -> str:
        """Of ours, the name of the image, container or layer."""
        return self.source if self.is_served else self.source.removeprefix(KERNEL_SOURCE)

    @property
    def uid(self) -> int:
        """The user who mounted a FUSE file system, whom the kernel lets look in."""
        return self._number("user_id")

    @property
    def gid(self) -> int:
        """The group of that user."""
        return self._number("group_id")

    def _number(self, name: str) -> int:
        values = (option.removeprefix(f"{name}=") for option in self.options if option.startswith(f"{name}="))
        return int(next(values, "0"))


def find_mount(path: Path) -> Mount | None:
    """The topmost mount on exactly this path, whether its server lives or not."""
    # unlike Path.resolve, realpath takes what it cannot look at, such as a dead mount, as it is
    return mount_on(Path(os.path.realpath(path)))


def mount_on(wanted: Path) -> Mount | None:
    """The topmost mount on this very path, which is not looked at."""
    return next((mount for mount in reversed(mount_table()) if mount.path == wanted), None)


def mount_table() -> list[Mount]:
    """All that this process sees mounted; of several on one path, the last is the topmost."""
    lines = Path("/proc/self/mountinfo").read_bytes().split(b"\n")
    return [_mount_of(line) for line in lines if line]


def _mount_of(line: bytes) -> Mount:
    left, _, right = line.partition(b" - ")
    _, _, device, _, path, options, *_ = left.split(b" ")
    fs_type, source, more = right.split(b" ", 2)
    shown = tuple(dict.fromkeys(map(_unescape, [*options.split(b","), *more.split(b",")])))
    return Mount(Path(_unescape(path)), _unescape(fs_type), _unescape(source), _unescape(device), shown)


def _unescape(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field))


def check_mountpoint(path: Path, data_root: Path) -> Path:
    """The absolute path of a directory that may be mounted on; raises `MountFailed` with the reason."""
    mounted = find_mount(path)
    if mounted and mounted.is_ours:
        dead = ask(mounted) is State.DEAD
        raise MountFailed(
            f"{path}: {mounted.name} is mounted there "
            + ("still, but its server is dead" if dead else "already"),
            hint=f"`layerfs umount {shlex.quote(os.fspath(path))}` first",
        )
    try:
        real = Path(os.path.realpath(path, strict=True))
        names = os.listdir(real)
    except NotADirectoryError as error:
        raise MountFailed(f"{path}: not a directory") from error
    except OSError as error:
        hint = f"`mkdir {path}` first" if error.errno == errno.ENOENT else None
        raise MountFailed(f"{path}: {error.strerror}", hint=hint) from error
    if real.is_relative_to(data_root.resolve()):
        raise MountFailed(f"{path}: lies in the data root, where nothing may change")
    if names:
        raise MountFailed(f"{path}: not empty", hint="choose an empty directory")
    return real


def kernel_source(source: str) -> bytes:
    """A source as fsconfig takes it, cut between two characters where it is too long."""
    raw = os.fsencode(source)
    end = min(len(raw), _SOURCE_MAX)
    while end < len(raw) and raw[end] & 0xC0 == 0x80:  # within a character
        end -= 1
    return raw[:end]


def put_mount(mount: int, place: Path) -> None:
    """Put a mount that is nowhere to be seen on a directory, whose path holds no link.

    Raises `OSError`, or `HostExhausted` where there is no descriptor left to reach it by.
    """
    top = enough(functools.partial(os.open, "/"), _AT)
    try:
        # a directory on the way that was replaced by a link meanwhile leads nowhere
        way = os.fsencode(place.relative_to("/"))
        directory = enough(functools.partial(open_beneath, way, dir_fd=top), _AT)
    finally:
        os.close(top)
    try:
        attach_mount(mount, directory)
    finally:
        os.close(directory)


def unmount(path: Path, *, lazy: bool = False) -> Mount:
    """Take a layerfs mount off `path`; works on the mount of a dead server too.

    Args:
        path: the mount point.
        lazy: detach now, clean up when nobody uses it any more.

    Raises:
        MountFailed: nothing of ours is mounted there, or it is in use.
    """
    mounted = find_mount(path)
    if mounted is None:
        raise MountFailed(f"{path}: nothing is mounted there")
    if not mounted.is_ours:
        raise MountFailed(
            f"{path}: not a layerfs mount but {mounted.fs_type}", hint=f"use `umount {path}` if you mean it"
        )
    if os.geteuid() == 0:
        _unmount_as_root(mounted.path, lazy=lazy)
    elif mounted.is_served:
        _unmount_as_user(mounted.path, lazy=lazy)
    else:
        raise MountFailed(f"{path}: root mounted it, by the kernel's overlayfs", hint="run as root")
    return mounted


def _unmount_as_root(path: Path, *, lazy: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
    if libc.umount2(os.fsencode(path), flags) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise MountFailed(f"{path}: {reason}", hint=_way_out(path, reason))


def _unmount_as_user(path: Path, *, lazy: bool) -> None:
    from layerfs.views.fuse.fusermount import unmount_by_helper  # noqa: PLC0415 - root needs no helper

    if (reason := unmount_by_helper(path, lazy=lazy)) is not None:
        raise MountFailed(f"{path}: {reason}", hint=_way_out(path, reason))


def _way_out(path: Path, reason: str) -> str | None:
    """What to do about a mount that is in use."""
    if os.strerror(errno.EBUSY) not in reason:
        return None
    return f"something uses it (see `fuser -vm {path}`); --lazy detaches it all the same"


def detach(path: Path) -> None:
    """Detach our own mount at once, even if it is in use. It never fails, as it is for a server that ends."""
    try:
        if os.geteuid() == 0:
            _unmount_as_root(path, lazy=True)
        else:
            _unmount_as_user(path, lazy=True)
    except MountFailed as error:
        _log.debug("%s", reason(error))


def is_mounted(device: str) -> bool:
    """Whether the file system of a device is mounted, wherever: its directory may have got another name."""
    return any(mount.device == device for mount in mount_table())


def detach_own(path: Path, device: str) -> None:
    """Detach the file system of a device at once, if it is the topmost on this path. It never fails."""
    mounted = mount_on(path)
    if mounted and mounted.device == device:
        detach(path)


def device_of(status: os.stat_result) -> str:
    """The device of an entry as the mount table writes it."""
    return f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"


def tune_readahead(path: Path) -> None:
    """Let the kernel read ahead further on the mount at `path`, where privilege allows it.

    A FUSE mount begins with 128 KiB, so a large file costs eight requests a mebibyte instead of one.
    """
    mounted = mount_on(path)  # a look at the mount would wait for ourselves
    try:
        if mounted:
            Path(f"/sys/class/bdi/{mounted.device}/read_ahead_kb").write_text(f"{_READAHEAD_KB}\n")
    except OSError as error:
        _log.debug("readahead stays as it is: %s", reason(error))
