"""A mount of the kernel's overlayfs: read-only, of lower directories alone, and nowhere to be seen yet.

The layers are given one by one (`lowerdir+`), so no length of paths is a limit, in one of two ways.
`SEALED`: by descriptors of mounts of our own, read-only and without access times, which Linux takes from
6.15 on. `NAMED`: by the names that our descriptors have in /proc, from 6.8 on. Which of them a kernel can is
found out by trying.

Overlayfs reads lower layers through mounts of its own that are read-only and note no accesses, whichever
way. There is no upper layer, and all is off that could want one: nothing is ever written.

Sources: Linux `Documentation/filesystems/overlayfs.rst`, `fs/overlayfs/{params,super}.c`, `fs/namespace.c`
(clone_private_mount).
"""

from __future__ import annotations

import bisect
import enum
import errno
import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import HostExhausted, MountFailed, reason
from layerfs.formats.whiteouts import USER
from layerfs.pool import on_host
from layerfs.syscalls import NewFileSystem, own_mount
from layerfs.views.fuse.mountpoint import (
    KERNEL_SOURCE,
    detach_own,
    device_of,
    kernel_source,
    mount_table,
    put_mount,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from layerfs.hostdir import HostDir
    from layerfs.views.kernel.lowerdirs import LowerDirectories

__all__ = ["Wanted", "Way", "make_overlay"]

_MAX_LOWER = 500  # OVL_MAX_STACK
_OPTIONS = {"index": b"off", "metacopy": b"off", "redirect_dir": b"nofollow"}
_FEWEST = 2  # layers that overlayfs wants where none is an upper one


class Way(enum.Enum):
    """How the kernel is given a layer."""

    SEALED = "by descriptors of mounts of our own (Linux 6.15)"
    NAMED = "by names in /proc (Linux 6.8)"


class Wanted(NamedTuple):
    """What to mount.

    Attributes:
        lower: the layers.
        source: what the mount table is to show; cut where it is too long for the kernel.
        place: an empty directory of the host that is to be mounted on.
        noexec: let nothing in it be executed.
    """

    lower: LowerDirectories
    source: str
    place: Path
    noexec: bool = False


def make_overlay(wanted: Wanted, ways: Sequence[Way] = tuple(Way)) -> int:
    """The descriptor of a mount, for `attach_mount`; closed, the mount is gone.

    Args:
        wanted: what to mount.
        ways: those to try, in this order.

    Raises:
        MountFailed: with the kernel's reason, and the layer that it does not take.
    """
    layers = wanted.lower.directories
    if len(layers) > _MAX_LOWER:
        problem = f"the kernel's overlayfs stacks {_MAX_LOWER} layers at most, and these are {len(layers)}"
        raise MountFailed(problem, hint="--driver native stacks them")
    for way in ways[:-1]:
        # an older kernel, too few descriptors for so many mounts, or something that fails in every way
        with suppress(OSError, HostExhausted):
            return _made(wanted, layers, way)
    try:
        return _made(wanted, layers, ways[-1])
    except OSError as error:
        raise _refusal(wanted, ways[-1], error) from error


def _made(wanted: Wanted, layers: Sequence[HostDir], way: Way) -> int:
    """A mount of some of the layers; raises `OSError` with the kernel's words, where it has some."""
    with NewFileSystem("overlay") as made, ExitStack() as held:
        try:
            made.configure("source", kernel_source(wanted.source))
            made.configure("ro")
            for key, value in _OPTIONS.items():
                made.configure(key, value)
            if wanted.lower.dialect is USER:
                made.configure("userxattr")
            for layer in layers:
                with on_host(layer) as directory:
                    _add(made, directory.fd, way, held)
            for _ in range(_FEWEST - len(layers)):
                _add_empty(made, wanted.place, way, held)
            return made.mount(noexec=wanted.noexec)
        except OSError as error:
            raise OSError(error.errno, made.told() or reason(error)) from error


def _add(made: NewFileSystem, directory: int, way: Way, held: ExitStack) -> None:
    """Give one more layer, lower than all before. A mount of our own must last until all is mounted."""
    if way is Way.NAMED:
        made.configure("lowerdir+", b"/proc/self/fd/%d" % directory)
        return
    mount = own_mount(directory)
    if mount < 0:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    held.callback(os.close, mount)
    made.configure("lowerdir+", mount)


def _add_empty(made: NewFileSystem, place: Path, way: Way, held: ExitStack) -> None:
    """Give an empty directory, in memory. To be given by its name it must be mounted, for that moment."""
    with NewFileSystem("tmpfs") as memory:
        memory.configure("source", KERNEL_SOURCE.encode())
        memory.configure("mode", b"755")
        empty = memory.mount()
    held.callback(os.close, empty)
    if way is Way.NAMED:
        held.callback(detach_own, place, device_of(os.fstat(empty)))
        put_mount(empty, place)
        made.configure("lowerdir+", b"/proc/self/fd/%d" % empty)
    else:
        made.configure("lowerdir+", empty)


# -- why not -------------------------------------------------------------------------------------


def _refusal(wanted: Wanted, way: Way, error: OSError) -> MountFailed:
    """What the kernel does not take, and why."""
    layers = wanted.lower.directories
    fewer = range(len(layers))
    number = bisect.bisect_left(fewer, 1, key=lambda number: _refuses(wanted, number, way))
    if number == 0:  # not even none
        return _refusal_of_all(error)
    layer = layers[number - 1]
    problem = f"the kernel's overlayfs does not take a layer: {_words(layer, error)}: {layer.display}"
    return MountFailed(problem, hint="--driver native reads it")


def _refuses(wanted: Wanted, number: int, way: Way) -> bool:
    """Whether the kernel does not even take so many of the uppermost layers."""
    try:
        os.close(_made(wanted, wanted.lower.directories[:number], way))
    except OSError:
        return True
    return False


def _refusal_of_all(error: OSError) -> MountFailed:
    """For a kernel that has no such overlayfs, or not for us."""
    if error.errno == errno.ENODEV:
        return MountFailed("this kernel has no overlayfs", hint="load the module: modprobe overlay")
    needs = "--driver kernel needs Linux 6.8, and root of the host; --driver native needs neither"
    return MountFailed(f"the kernel's overlayfs cannot be mounted: {reason(error)}", hint=needs)


def _words(layer: HostDir, error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it lies in another layer, or another in it"
    if error.errno != errno.EINVAL:
        return reason(error)
    device = device_of(layer.lstat())
    kind = next((mount.fs_type for mount in mount_table() if mount.device == device), None)
    if kind == "overlay":
        return "it lies on overlayfs over overlayfs, and the kernel stacks two at most"
    return f"{reason(error)} ({f'it lies on {kind}; ' if kind else ''}`dmesg` may say more)"
