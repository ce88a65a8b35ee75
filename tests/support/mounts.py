"""Our own mounts: `served` for a tree at hand; what is mounted, and by which process, seen from outside.

Mounts of this process's own are ended here; those of the command end up in `leftovers` if a test fails.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from layerfs.errors import MountFailed
from layerfs.views.fuse.driver import MountOptions
from layerfs.views.fuse.drivers import DRIVERS, driver_named
from layerfs.views.fuse.mountpoint import unmount
from layerfs.views.fuse.server import Job, serve_detached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.tree.union import UnionTree

__all__ = ["VARIANTS", "eventually", "mount_line", "served", "servers", "stacked_by_docker"]

VARIANTS = (*DRIVERS, "native+passthrough")
"""The drivers, in every mode they have."""

_OPTIONS = MountOptions("test")
_PATIENCE = 30  # seconds until something that must happen counts as not happening


@contextmanager
def served(
    tree: UnionTree, mountpoint: Path, driver: str, options: MountOptions = _OPTIONS
) -> Iterator[Path]:
    """Mount `tree` on a new directory for the time of the block, by a process that ends with it.

    `driver` is one of `VARIANTS`: a driver's name, perhaps with the mode it is to use.
    """
    mountpoint.mkdir()
    name, _, mode = driver.partition("+")
    options = replace(options, passthrough=mode == "passthrough")
    job = Job(driver_named(name), tree, mountpoint, options, detached=lambda: None)
    server = serve_detached(job)
    try:
        yield mountpoint
    finally:
        try:
            unmount(mountpoint)
        except MountFailed:
            unmount(mountpoint, lazy=True)
        _see_off(server)
    mountpoint.rmdir()


def _see_off(server: int) -> None:
    """Wait for the end of a server whose mount is gone; one that goes on is killed, and the test fails."""
    try:
        eventually(lambda: os.waitpid(server, os.WNOHANG)[0])
    except BaseException:  # also the end of the test's time: what goes on holds all files of the session
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        raise


def mount_line(mountpoint: Path) -> list[str] | None:
    """The fields of /proc/mounts for a mount point with a plain name, or None where nothing is mounted."""
    table = Path("/proc/self/mounts").read_text().splitlines()
    found = [line.split(" ") for line in table if line.split(" ")[1] == str(mountpoint)]
    return found[-1] if found else None


def servers(mountpoint: Path) -> list[int]:
    """The processes whose command line names the mount point."""
    wanted = os.fsencode(mountpoint)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in words:
            found.append(int(process.name))
    return found


def eventually(happened: Callable[[], object]) -> None:
    """Return as soon as it has happened; fail when it does not at all."""
    patience = time.monotonic() + _PATIENCE
    while not happened():
        assert time.monotonic() < patience, "it never happened"
        time.sleep(0.01)


def stacked_by_docker(root: Path, cache_id: str) -> list[Path]:
    """The directories Docker stacks for a layer, uppermost first: by its `lower` file, as the driver does."""
    directory = root / "overlay2" / cache_id
    lower = directory / "lower"
    links = lower.read_text().split(":") if lower.exists() else []
    return [directory / "diff", *(root / "overlay2" / link for link in links)]
