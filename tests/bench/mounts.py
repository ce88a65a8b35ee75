"""One tree mounted by each contender: layerfs by each of its drivers, fuse-overlayfs, the kernel.

Each is mounted by its own command, as a user would, and unmounted at the end whatever happens.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from layerfs.views.fuse.drivers import DRIVERS
from tests.bench.packing import IMAGE
from tests.bench.timing import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from tests.bench.roots import TreeRoot

__all__ = [
    "CONTAINERD",
    "FUSE_OVERLAYFS",
    "KERNEL",
    "LAYERFS",
    "OVERLAY2",
    "WITHOUT_SERVER",
    "Mounted",
    "Mounter",
    "drop_caches",
    "mounter",
    "mounters",
    "stores",
]

KERNEL = "kernel overlayfs"
FUSE_OVERLAYFS = "fuse-overlayfs"
WITHOUT_SERVER = (KERNEL, "layerfs, kernel")
"""What has no process whose memory could be measured."""

OVERLAY2, CONTAINERD = "overlay2", "containerd"
LAYERFS = Path(sys.executable).with_name("layerfs")

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
_RESIDENT = re.compile(r"VmRSS:\s+(\d+) kB")
_PATIENCE = 10  # seconds a server may take to end after its mount is gone


@dataclass(frozen=True, slots=True)
class Mounted:
    """A tree that can be used.

    Attributes:
        path: where.
        ready: seconds from the mount command's start until the root of the tree could be looked at.
    """

    path: Path
    ready: float

    def peak_memory(self) -> int:
        """The most memory in bytes that the server process has had resident; 0 for the kernel."""
        return self._status(_PEAK)

    def memory(self) -> int:
        """The memory in bytes that the server process has resident now; 0 for the kernel."""
        return self._status(_RESIDENT)

    def _status(self, line: re.Pattern[str]) -> int:
        return max((_status(pid, line) for pid in _servers(self.path)), default=0)


Mounter: TypeAlias = "Callable[[], AbstractContextManager[Mounted]]"


def mounters(tree: TreeRoot, others: Mapping[str, Path] = MappingProxyType({})) -> dict[str, Mounter]:
    """Every contender that this machine has, by name; `others` are more programs of layerfs."""
    lower = "lowerdir=" + ":".join(map(str, tree.layers))
    commands: dict[str, list[str]] = {}
    for name, program in {"layerfs": LAYERFS, **others}.items():
        ours = [str(program), "mount", "--root", str(tree.path)]
        for driver in DRIVERS:
            if driver == "kernel" and program is not LAYERFS:
                continue  # another checkout may not have it, and there is nothing in it to compare
            commands[f"{name}, {driver}"] = [*ours, "--driver", driver, IMAGE]
        commands[f"{name}, native, --no-passthrough"] = [*ours, "--no-passthrough", IMAGE]
    if shutil.which("fuse-overlayfs"):
        commands[FUSE_OVERLAYFS] = ["fuse-overlayfs", "-o", lower]
    commands[KERNEL] = ["mount", "-t", "overlay", "overlay", "-o", f"ro,{lower}"]
    return {name: mounter(command) for name, command in commands.items()}


def stores(overlay2: TreeRoot, containerd: TreeRoot) -> dict[str, tuple[Mounter, TreeRoot]]:
    """The same image in each kind of store, mounted by layerfs: what mounts it, and the tree."""
    return {
        kind: (mounter([str(LAYERFS), "mount", "--root", str(tree.path), IMAGE]), tree)
        for kind, tree in ((OVERLAY2, overlay2), (CONTAINERD, containerd))
    }


def mounter(command: list[str]) -> Mounter:
    """What mounts by a command that ends with the mount point, which is added."""
    return lambda: _mounted(command)


@contextlib.contextmanager
def _mounted(command: list[str]) -> Iterator[Mounted]:
    """Mount by a command that ends with the mount point."""
    with tempfile.TemporaryDirectory(prefix="layerfs-bench-", ignore_cleanup_errors=True) as name:
        path = Path(name).resolve()
        try:
            ready = seconds([*command, name])
            started = time.perf_counter()
            path.stat()
            yield Mounted(path, ready + time.perf_counter() - started)
        finally:
            _unmount(path)


def _unmount(path: Path) -> None:
    """Unmount, if it is mounted, and wait for the server to end."""
    if path.is_mount():
        subprocess.run(["umount", path], check=True)
    patience = time.monotonic() + _PATIENCE
    while _servers(path) and time.monotonic() < patience:
        time.sleep(0.005)


def _servers(path: Path) -> list[int]:
    """The living processes that were given the mount point on their command line."""
    wanted = os.fsencode(path)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def _status(pid: int, line: re.Pattern[str]) -> int:
    """A figure of /proc/PID/status in bytes; 0 for a process that is gone."""
    with contextlib.suppress(OSError):
        if match := line.search(Path(f"/proc/{pid}/status").read_text()):
            return int(match[1]) << 10
    return 0


def drop_caches() -> None:
    """Let the kernel forget every file and directory that it has read; needs root."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
