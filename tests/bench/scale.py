"""Commands about a whole root, on roots that grow by images and layers, each measured once.

Every image has a small layer of its own on three of 40,000 entries, of which 50, 10 and 2 images have the
same, so images see five times the entries that there are. "A million" is of the entries of all layers, each
layer counted once. Output goes to /dev/null; it is a table, so what `find` and `timeline` list goes through a
temporary file. CPU seconds are those of all processes of a command; MiB are the most that one of them had
resident, for the mount its server. All is in the caches, as far as it fits there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.mounts import LAYERFS, mounter
from tests.bench.timing import seconds, used
from tests.support.scaleroot import Scale, count_entries, scale_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["COMMANDS", "ENTRIES", "IMAGES", "MOUNT", "Measured", "Root", "measure"]

IMAGES = (20, 50, 200)
"""How many images each root has."""

ENTRIES = 40_000
"""How many entries each shared layer has, about."""

COMMANDS = ("find --all", "timeline --all", "waste --all", "verify --all")
MOUNT = "a mount of one image, walked"
_IMAGE = "scale:0"


class Measured(NamedTuple):
    """What one thing took.

    Attributes:
        seconds: from start to end.
        cpu: seconds of processors; None where other processes do the work too.
        entries: what it looked at.
        resident: bytes.
    """

    seconds: float
    cpu: float | None
    entries: int
    resident: int


class Root(NamedTuple):
    """What was measured on one root; None where this machine has no room for it."""

    images: int
    layers: int
    entries: int
    found: dict[str, Measured] | None


def measure(place: Path, images: Sequence[int], progress: Callable[[str], None]) -> Iterator[Root]:
    """Make each root, measure it, and remove it: millions of files are not kept."""
    for count in images:
        scale = Scale(count, ENTRIES)
        layers = list(scale.layers())
        entries = sum(count_entries(scale, depth) for depth, _ in layers)
        path = place / f"scale-{count}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        try:
            progress(f"a data root of {entries:,} entries")
            room = os.statvfs(path)
            found = None
            if room.f_favail > 1.1 * entries:
                root = path / "root"
                scale_root(root, scale)
                found = _measured(root, entries, progress)
            yield Root(count, len(layers), entries, found)
        finally:
            progress(f"removing a data root of {entries:,} entries")
            shutil.rmtree(path)


def _measured(root: Path, entries: int, progress: Callable[[str], None]) -> dict[str, Measured]:
    found = {}
    for command in COMMANDS:
        progress(f"{entries:,} entries: layerfs {command}")
        took = used([str(LAYERFS), "--root", str(root), *command.split()])
        found[command] = Measured(took.seconds, took.cpu, entries, took.resident)
    progress(f"{entries:,} entries: {MOUNT}")
    with mounter([str(LAYERFS), "mount", "--root", str(root), _IMAGE])() as mounted:
        walk = seconds(["find", mounted.path, "-newermt", "2200-01-01"])
        memory = mounted.peak_memory()
        shown = subprocess.run(["find", mounted.path, "-printf", "."], stdout=subprocess.PIPE, check=True)
        found[MOUNT] = Measured(walk, None, len(shown.stdout), memory)
    return found
