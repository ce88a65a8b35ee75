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
from layerfs.views.kernel.driver import KernelDriver
from layerfs.views.kernel.overlayfs import Way
from tests.support.snapshot import snapshot, without_ghosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.tree.union import UnionTree
    from layerfs.views.fuse.driver import Driver
    from tests.support.snapshot import Snapshot

__all__ = [
    "FUSE",
    "KERNEL",
    "VARIANTS",
    "eventually",
    "have_far_marks",
    "mount_line",
    "served",
    "servers",
    "shown",
    "stacked_by_docker",
]

KERNEL = ("kernel", "kernel+named")
"""The driver without a server: as this kernel has it, and as those before Linux 6.15."""

FUSE = (*(name for name in DRIVERS if name not in KERNEL), "native+passthrough")
"""The drivers with one, in every mode they have."""

VARIANTS = (*FUSE, *KERNEL)


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
    options = replace(options, passthrough=driver == "native+passthrough")
    try:
        server = serve_detached(Job(_driver(driver), tree, mountpoint, options, detached=lambda: None))
    except MountFailed:
        mountpoint.rmdir()  # which it could not be if anything were mounted there
        raise
    try:
        yield mountpoint
    finally:
        try:
            unmount(mountpoint)
        except MountFailed:
            unmount(mountpoint, lazy=True)
        if server is not None:
            _see_off(server)
    mountpoint.rmdir()


def _driver(variant: str) -> Driver:
    name, _, mode = variant.partition("+")
    return KernelDriver([Way.NAMED]) if mode == "named" else driver_named(name)


def shown(mountpoint: Path, driver: str, layers: Sequence[Path]) -> Snapshot:
    """What a mount of these layers shows; the kernel's without what `kernel_snapshot` leaves out, too."""
    found = snapshot(mountpoint)
    if driver in KERNEL:
        found = without_ghosts(found)
        if len(layers) == 1:  # an empty one below makes the root a merged directory
            found[b""] = replace(found[b""], nlink=layers[0].stat().st_nlink)
    return found


def have_far_marks(layers: Sequence[Path], *, userxattr: bool = False) -> bool:
    """Whether a redirect or metacopy is on any entry below the roots of the layers."""
    prefix = "user" if userxattr else "trusted"
    marks = {f"{prefix}.overlay.redirect", f"{prefix}.overlay.metacopy"}
    return any(
        marks & set(os.listxattr(os.path.join(place, name), follow_symlinks=False))
        for layer in layers
        for place, directories, files in os.walk(layer)
        for name in (*directories, *files)
    )


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
