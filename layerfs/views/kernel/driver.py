"""The `kernel` driver: the kernel's own overlayfs over the directories of the layers, without a server.

What is mounted stays until somebody takes it off; in the foreground that is waited for.

Source: proc_pid_mountinfo(5) (poll).
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from layerfs.errors import MountFailed, reason
from layerfs.syscalls import is_system_admin
from layerfs.views.fuse.mountpoint import KERNEL_SOURCE, detach_own, device_of, is_mounted_on
from layerfs.views.kernel.lowerdirs import lower_directories
from layerfs.views.kernel.overlayfs import Wanted, Way, attach, make_overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from layerfs.tree.union import UnionTree
    from layerfs.views.fuse.driver import MountOptions

__all__ = ["KernelDriver"]

_MOUNT_TABLE = "/proc/self/mountinfo"
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Told(BaseException):
    """A signal said that it is over; no error of anybody's."""


class KernelDriver:
    """Has the kernel stack the layers."""

    def __init__(self, ways: Sequence[Way] = tuple(Way)) -> None:
        """Give it the layers in one of these ways, the first that it takes."""
        self._ways = ways

    def mount(self, tree: UnionTree, mountpoint: Path, options: MountOptions) -> None:
        """Mount, and be done; see `Unattended`."""
        self._mount(tree, mountpoint, options)

    def serve(
        self, tree: UnionTree, mountpoint: Path, options: MountOptions, ready: Callable[[], None]
    ) -> None:
        """Mount, and wait until unmounted or signalled; see `Driver`."""
        with _told_by_signals():
            device = self._mount(tree, mountpoint, options)
            try:
                ready()
                _wait_until_gone(mountpoint, device)
            finally:
                detach_own(mountpoint, device)

    def _mount(self, tree: UnionTree, mountpoint: Path, options: MountOptions) -> str:
        """Mount; the device of what is mounted. Nothing is left if anything raises, Ctrl-C too."""
        if not is_system_admin():
            raise MountFailed(
                f"{mountpoint}: only root mounts the kernel's overlayfs", hint="--driver native needs no root"
            )
        source = KERNEL_SOURCE + options.source
        wanted = Wanted(lower_directories(tree), source, mountpoint, options.noexec)
        with ExitStack() as held:
            mount = make_overlay(wanted, self._ways)
            held.callback(os.close, mount)  # an open descriptor would keep the mount busy
            device = device_of(os.fstat(mount))
            try:
                attach(mount, mountpoint)
            except OSError as error:
                raise MountFailed(f"{mountpoint}: {reason(error)}") from error
            except BaseException:
                detach_own(mountpoint, device)
                raise
        return device


def _wait_until_gone(mountpoint: Path, device: str) -> None:
    with open(_MOUNT_TABLE, "rb") as table:
        changes = select.poll()
        changes.register(table, select.POLLPRI)
        while is_mounted_on(mountpoint, device):
            changes.poll()


@contextmanager
def _told_by_signals() -> Iterator[None]:
    """The first signal that ends a program ends the block, by `_Told`, and those after it do nothing."""

    def tell(_number: int, _frame: object) -> None:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        raise _Told

    heeded = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, tell) for number in heeded}
    try:
        yield
    except _Told:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
