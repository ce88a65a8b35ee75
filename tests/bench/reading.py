"""What is done with each mount, the same commands for every contender, and what they took.

`find`, `cat`, `grep`, `tar` and `dd` do the work, so the time is that of the file system. "From the
disk" means that the kernel had forgotten everything, if not the host of a virtual machine; "fresh
mount", that the layers' own files are in the caches while the mount is new; "again", that the same was
done on this mount before. Before `layerfs, kernel` mounts it looks through all layers for marks: so it pays
for a walk from the disk in the mount already. Memory for the large file was in use until just before each
row from the disk: the host of a virtual machine takes back what is free.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.mounts import drop_caches
from tests.bench.packing import BIG_FILE, BIG_SIZE
from tests.bench.timing import seconds
from tests.support.kernel import overlay_mount

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.mounts import Mounter
    from tests.bench.roots import TreeRoot

__all__ = [
    "MEMORY_ROWS",
    "TIME_ROWS",
    "WALK_ROWS",
    "Contents",
    "contents",
    "one_pass",
    "read_small",
    "walk",
    "walks",
]

_SMALL_FILES = 5_000
_RANDOM_READS = 20_000
_READERS = 4

TIME_ROWS = {
    "ready": "mount, until the root can be looked at",
    "walk disk": "walk with attributes, from the disk",
    "walk fresh": "walk with attributes, fresh mount",
    "walk again": "walk with attributes, again",
    "read disk": f"read {_SMALL_FILES:,} small files, from the disk",
    "read fresh": f"read {_SMALL_FILES:,} small files, fresh mount",
    "read again": f"read {_SMALL_FILES:,} small files, again",
    "parallel": f"read {_SMALL_FILES:,} small files, {_READERS} at a time, fresh mount",
    "grep": "grep -r through everything, fresh mount",
    "tar": "tar c of everything, fresh mount",
    "big disk": f"read a file of {BIG_SIZE >> 20} MiB, from the disk",
    "big fresh": f"read a file of {BIG_SIZE >> 20} MiB, fresh mount",
    "big again": f"read a file of {BIG_SIZE >> 20} MiB, again",
    "random": f"{_RANDOM_READS:,} random reads of 4 KiB, fresh mount",
}
WALK_ROWS = {key: TIME_ROWS[key] for key in ("ready", "walk disk", "walk fresh", "walk again")}
MEMORY_ROWS = {
    "memory mounted": "just mounted, MiB",
    "memory walked": "after a walk, MiB",
    "memory per entry": "per entry walked, bytes",
    "memory all": "after everything else, MiB",
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What the tree holds, by the kernel.

    Attributes:
        entries: how many names there are.
        small_files: a file with the names of small files, each ended by a zero byte.
    """

    entries: int
    small_files: Path


def contents(tree: TreeRoot) -> Contents:
    """Count the tree's entries, and list the small files to read."""
    small = tree.path.with_name("small-files")
    with overlay_mount(tree.layers) as path:
        everything = subprocess.run(["find", path, "-print0"], stdout=subprocess.PIPE, check=True).stdout
        listed = subprocess.run(
            ["find", ".", "-type", "f", "-size", "-128", "-print0"],
            cwd=path,
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
    names = sorted(listed.split(b"\0")[:-1])
    chosen = names[:: max(1, len(names) // _SMALL_FILES)][:_SMALL_FILES]
    small.write_bytes(b"".join(name + b"\0" for name in chosen))
    return Contents(everything.count(b"\0"), small)


def one_pass(mounter: Mounter, tree: TreeRoot, held: Contents) -> dict[str, float]:
    """Everything once; the values by the keys of `TIME_ROWS` and `MEMORY_ROWS`."""
    found: dict[str, float] = {}
    _warm_layers(tree)  # what lies behind the disk may keep it; then it shall for everybody
    for row, work in _FROM_DISK.items():
        drop_caches()
        with mounter() as mounted:
            _warm_tools()
            _warm_memory(tree)
            found[row] = work(mounted.path, held)
    _warm_layers(tree)
    with mounter() as mounted:
        found["ready"] = mounted.ready
        before = mounted.peak_memory()
        found["walk fresh"] = walk(mounted.path)
        found["walk again"] = walk(mounted.path)
        after = mounted.peak_memory()
        found["memory mounted"], found["memory walked"] = before / 2**20, after / 2**20
        found["memory per entry"] = (after - before) / held.entries
    for row, again, work in _ON_FRESH_MOUNT:
        with mounter() as mounted:
            found[row] = work(mounted.path, held)
            if again:
                found[again] = work(mounted.path, held)
            found["memory all"] = max(found.get("memory all", 0), mounted.peak_memory() / 2**20)
    return found


def walks(mounter: Mounter, tree: TreeRoot) -> dict[str, float]:
    """The mount and the walks alone; the values by the keys of `WALK_ROWS`."""
    found: dict[str, float] = {}
    _warm_layers(tree)
    drop_caches()
    with mounter() as mounted:
        _warm_tools()
        _warm_memory(tree)
        found["walk disk"] = walk(mounted.path)
    _warm_layers(tree)
    with mounter() as mounted:
        found["ready"] = mounted.ready
        found["walk fresh"], found["walk again"] = walk(mounted.path), walk(mounted.path)
    return found


def _warm_tools() -> None:
    """Have the programs in memory again, as they are not what is measured."""
    for tool in ("find", "xargs", "cat", "dd"):
        subprocess.run([tool, "--version"], stdout=subprocess.DEVNULL, check=True)


def _warm_memory(tree: TreeRoot) -> None:
    """Have as much free memory at hand as the largest file takes, by reading that file and forgetting it.

    The host of a virtual machine takes back what was free for a second, and gives it again page by page. That
    costs more than reading the file, and only those whose mount had taken a second.
    """
    with (tree.layers[0] / BIG_FILE).open("rb", buffering=0) as big:
        piece = bytearray(1 << 20)
        while big.readinto(piece):
            pass
        os.posix_fadvise(big.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _warm_layers(tree: TreeRoot) -> None:
    """Have every file of the layers in the host's caches."""
    for layer in tree.layers:
        seconds(["grep", "-rF", "no file contains this, but one: ours", layer], good=(0, 1))


def walk(path: Path) -> float:
    """The seconds to look at every entry's attributes."""
    # -newermt looks at every entry's attributes, and nothing is that new, so nothing is printed
    return seconds(["find", path, "-newermt", "2200-01-01"])


def read_small(path: Path, held: Contents, readers: int = 1) -> float:
    """The seconds to read the small files."""
    shares = ["-P", str(readers), "-n", "250"]
    return seconds(["xargs", "-0", "-a", held.small_files, *shares, "cat"], cwd=path)


def _read_in_parallel(path: Path, held: Contents) -> float:
    return read_small(path, held, _READERS)


def _grep(path: Path, _held: Contents) -> float:
    pattern = "no file contains this, but one: ours"
    return seconds(["grep", "-rF", f"--exclude={BIG_FILE}", pattern, path], good=(0, 1))


def _tar(path: Path, _held: Contents) -> float:
    # tar sees when its output is /dev/null, and then reads nothing
    return seconds(["sh", "-c", f'tar -C "$0" --exclude={BIG_FILE} -cf - . | cat', path])


def _read_big(path: Path, _held: Contents) -> float:
    return seconds(["dd", f"if={path / BIG_FILE}", "of=/dev/null", "bs=1M"])


def _read_randomly(path: Path, _held: Contents) -> float:
    program = Path(__file__).with_name("randread.py")
    command = [sys.executable, "-IS", str(program), str(path / BIG_FILE), str(_RANDOM_READS)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


_FROM_DISK: dict[str, Callable[[Path, Contents], float]] = {
    "walk disk": lambda path, _held: walk(path),
    "read disk": read_small,
    "big disk": _read_big,
}
_ON_FRESH_MOUNT: tuple[tuple[str, str | None, Callable[[Path, Contents], float]], ...] = (
    ("read fresh", "read again", read_small),
    ("parallel", None, _read_in_parallel),
    ("grep", None, _grep),
    ("tar", None, _tar),
    ("big fresh", "big again", _read_big),
    ("random", None, _read_randomly),
)
"""Rows measured on a mount of their own: the first time, perhaps the second time, and the work."""
