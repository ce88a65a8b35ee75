"""The `kernel` driver: the kernel's own overlayfs over the directories of the layers, without a server.

What is mounted stays until somebody takes it off; in the foreground that is waited for.

Source: proc_pid_mountinfo(5) (poll).
"""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from layerfs.errors import MountFailed, reason
from layerfs.syscalls import is_system_admin
from layerfs.views.fuse.mountpoint import KERNEL_SOURCE, detach_own, device_of, is_mounted, put_mount
from layerfs.views.kernel.lowerdirs import lower_directories
from layerfs.views.kernel.overlayfs import Wanted, Way, make_overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from layerfs.tree.union import UnionTree
    from layerfs.views.fuse.driver import MountOptions

__all__ = ["KernelDriver"]

_MOUNT_TABLE = "/proc/self/mountinfo"
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class KernelDriver:
    """Has the kernel stack the layers."""

    def __init__(self, ways: Sequence[Way] = tuple(Way)) -> None:
        """Give it the layers in one of these ways, the first that it takes."""
        self._ways = ways

    def mount(self, tree: UnionTree, mountpoint: Path, options: MountOptions) -> None:
        """Mount, and be done; see `Unattended`. A signal that ends the process leaves nothing mounted."""
        wanted = _wanted(tree, mountpoint, options)
        device = ""
        try:
            with _undisturbed(lambda: detach_own(mountpoint, device)):
                device = self._put(wanted)
        except KeyboardInterrupt:  # perhaps since the end of the block
            detach_own(mountpoint, device)
            raise

    def serve(
        self, tree: UnionTree, mountpoint: Path, options: MountOptions, ready: Callable[[], None]
    ) -> None:
        """Mount, and wait until unmounted or signalled; see `Driver`."""
        wanted = _wanted(tree, mountpoint, options)
        with _told_by_signals() as told, ExitStack() as held:
            device = self._put(wanted)
            held.callback(detach_own, mountpoint, device)
            ready()
            _wait_until_gone(device, told)

    def _put(self, wanted: Wanted) -> str:
        """Mount it on its place; its device. Ended by a signal half-way, something would stay mounted."""
        mount = make_overlay(wanted, self._ways)
        try:
            put_mount(mount, wanted.place)
            return device_of(os.fstat(mount))
        except OSError as error:
            raise MountFailed(f"{wanted.place}: {reason(error)}") from error
        finally:
            os.close(mount)  # open, it keeps a mount busy


def _wanted(tree: UnionTree, mountpoint: Path, options: MountOptions) -> Wanted:
    """What to mount; raises `MountFailed` where that is not for us, or nothing for the kernel."""
    if not is_system_admin():
        raise MountFailed(
            "--driver kernel needs root of the host (CAP_SYS_ADMIN)",
            hint="--driver native needs no root",
        )
    lower = lower_directories(tree, options.on_progress)
    return Wanted(lower, KERNEL_SOURCE + options.source, mountpoint, options.noexec)


def _wait_until_gone(device: str, told: int) -> None:
    with open(_MOUNT_TABLE, "rb") as table:
        events = select.poll()
        events.register(table, select.POLLPRI)  # something was mounted or unmounted
        events.register(told, select.POLLIN)
        while is_mounted(device):
            if any(fd == told for fd, _ in events.poll()):
                return


def _heeded() -> set[signal.Signals]:
    """The signals that end this process; Python hears them in its main thread only."""
    if threading.current_thread() is not threading.main_thread():
        return set()
    return {number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN}


@contextmanager
def _heard_by(handler: Callable[[int, object], object]) -> Iterator[None]:
    """Signals that end the process call `handler` instead, within the block."""
    before: dict[signal.Signals, Any] = {}
    try:
        for number in _heeded():
            before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def _undisturbed(undo: Callable[[], object]) -> Iterator[None]:
    """Signals that end the process wait for the end of the block, and then for `undo`.

    They are noted, not blocked: a signal of the process would come through any thread that blocks none.
    """
    came: list[int] = []
    try:
        with _heard_by(lambda number, _frame: came.append(number)):
            yield
    finally:
        if came:
            undo()
            signal.raise_signal(came[0])


@contextmanager
def _told_by_signals() -> Iterator[int]:
    """A descriptor that can be read once a signal said that it is over: these do nothing else meanwhile."""
    told, tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with _heard_by(lambda _number, _frame: None):
            signal.set_wakeup_fd(tell)
            try:
                yield told
            finally:
                signal.set_wakeup_fd(-1)
    finally:
        os.close(told)
        os.close(tell)
