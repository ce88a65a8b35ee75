"""Getting a `/dev/fuse` descriptor that is mounted: by mount(2) as root, else through fusermount3.

Sources: mount(2), fuse(4).
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from layerfs.errors import MountFailed
from layerfs.views.fuse.driver import FILE_SYSTEM

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.views.fuse.driver import MountOptions

__all__ = ["attach"]

_DEVICE = "/dev/fuse"
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_ROOT_MODE = 0o40755


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
    data = f"fd={fd},rootmode={_ROOT_MODE:o},user_id=0,group_id={os.getegid()}{_access(options)}"
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | (_MS_NOEXEC if options.noexec else 0)
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.mount(
        os.fsencode(options.source),
        os.fsencode(mountpoint),
        f"fuse.{FILE_SYSTEM}".encode(),
        ctypes.c_ulong(flags),
        data.encode(),
    )
    if done != 0:
        number = ctypes.get_errno()
        os.close(fd)
        raise MountFailed(f"{mountpoint}: mount: {os.strerror(number)}")
    return fd


def _access(options: MountOptions) -> str:
    """The options that say who may read what, each behind a comma."""
    modes = "" if options.ignore_permissions else ",default_permissions"
    return modes + (",allow_other" if options.allow_other else "")


def _mount_as_user(mountpoint: Path, options: MountOptions) -> int:
    from layerfs.views.fuse.fusermount import mount_by_helper  # noqa: PLC0415 - root needs no helper

    source = options.source.replace("\\", "\\\\").replace(",", "\\,")
    flags = f"ro,nosuid,nodev,fsname={source},subtype={FILE_SYSTEM}{_access(options)}"
    if options.noexec:
        flags += ",noexec"
    return mount_by_helper(mountpoint, flags)
