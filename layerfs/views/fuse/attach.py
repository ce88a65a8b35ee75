"""Getting a `/dev/fuse` descriptor that is mounted: by root itself, else through fusermount3.

Root makes a mount that is nowhere to be seen, and puts it on the directory: what changes on the way to that
meanwhile leads nowhere else. mount(2), which goes by the path, is for Linux before 5.4, and for sandboxes
that refuse calls they do not know.

Sources: mount(2), fuse(4); Linux `fs/fuse/inode.c` (fuse_fs_parameters).
"""

from __future__ import annotations

import ctypes
import logging
import os
from typing import TYPE_CHECKING

from layerfs.errors import MountFailed, reason
from layerfs.syscalls import NewFileSystem
from layerfs.views.fuse.driver import FILE_SYSTEM
from layerfs.views.fuse.mountpoint import kernel_source, put_mount

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.views.fuse.driver import MountOptions

__all__ = ["attach"]

_DEVICE = "/dev/fuse"
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_ROOT_MODE = 0o40755

_log = logging.getLogger(__name__)


def attach(mountpoint: Path, options: MountOptions) -> int:
    """Mount on `mountpoint` and return the descriptor to serve; raises `MountFailed`."""
    return _mount_as_root(mountpoint, options) if os.geteuid() == 0 else _mount_as_user(mountpoint, options)


def _mount_as_root(mountpoint: Path, options: MountOptions) -> int:
    try:
        fd = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise MountFailed(
            f"{mountpoint}: {_DEVICE}: {error.strerror}", hint="load the kernel module: modprobe fuse"
        ) from error
    try:
        mount = _made(fd, options)
        if mount is None:
            _mount_by_path(fd, mountpoint, options)
            return fd
        try:
            put_mount(mount, mountpoint)
        finally:
            os.close(mount)  # open, it keeps a mount busy
    except OSError as error:
        os.close(fd)
        raise MountFailed(f"{mountpoint}: mount: {reason(error)}") from error
    return fd


def _made(fd: int, options: MountOptions) -> int | None:
    """The descriptor of a mount that is nowhere to be seen; None where the kernel makes none."""
    try:
        with NewFileSystem("fuse") as made:
            made.configure("source", kernel_source(options.source))
            made.configure("subtype", FILE_SYSTEM.encode())
            made.configure("ro")
            for key, value in _numbers(fd).items():
                made.configure(key, value.encode())
            for flag in _access(options):
                made.configure(flag)
            return made.mount(noexec=options.noexec)
    except OSError as error:
        _log.debug("mounting by path, as the kernel makes no mount without one: %s", reason(error))
        return None


def _mount_by_path(fd: int, mountpoint: Path, options: MountOptions) -> None:
    """Mount as mount(2) does; raises `OSError`."""
    words = [*(f"{key}={value}" for key, value in _numbers(fd).items()), *_access(options)]
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | (_MS_NOEXEC if options.noexec else 0)
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.mount(
        os.fsencode(options.source),
        os.fsencode(mountpoint),
        f"fuse.{FILE_SYSTEM}".encode(),
        ctypes.c_ulong(flags),
        ",".join(words).encode(),
    )
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _numbers(fd: int) -> dict[str, str]:
    return {"fd": f"{fd}", "rootmode": f"{_ROOT_MODE:o}", "user_id": "0", "group_id": f"{os.getegid()}"}


def _access(options: MountOptions) -> list[str]:
    """The options that say who may read what."""
    modes = [] if options.ignore_permissions else ["default_permissions"]
    return modes + ["allow_other"] * options.allow_other


def _mount_as_user(mountpoint: Path, options: MountOptions) -> int:
    from layerfs.views.fuse.fusermount import mount_by_helper  # noqa: PLC0415 - root needs no helper

    source = options.source.replace("\\", "\\\\").replace(",", "\\,")
    words = ["ro", "nosuid", "nodev", f"fsname={source}", f"subtype={FILE_SYSTEM}", *_access(options)]
    return mount_by_helper(mountpoint, ",".join([*words, *["noexec"] * options.noexec]))
