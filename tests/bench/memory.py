"""Memory of the server over a tree of half a million entries: mounted, walked once, and forgotten.

"Forgotten" is after the kernel was told to drop its directory cache, so that it gives back all its look-ups.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.packing import IMAGE
from tests.bench.timing import seconds
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.mounts import Mounter

__all__ = ["ENTRIES", "ROWS", "many_entries", "measure"]

ENTRIES = 500_000
ROWS = {
    "mounted": "just mounted, MiB",
    "walked": "after one walk, MiB",
    "per entry": "bytes per entry",
    "forgotten": "after the kernel forgot it all, MiB",
    "seconds": "seconds of the walk",
}
_FILES_PER_DIRECTORY = 99
_SETTLING = 30  # seconds to wait at most for the kernel's forgetting


def many_entries(path: Path) -> None:
    """A data root whose image `IMAGE` has `ENTRIES` entries in two layers that share every directory."""
    builder = RootBuilder(path)
    base = builder.layer(None, lambda diff: _fill(diff, 0))
    builder.image(builder.layer(base, lambda diff: _fill(diff, 1)), IMAGE)
    builder.finish()


def _fill(diff: Path, layer: int) -> None:
    """This layer's half of the files, each of a few bytes."""
    for directory in range(ENTRIES // (_FILES_PER_DIRECTORY + 1)):
        place = diff / f"{directory // 100:02}" / f"package-{directory:04}"
        place.mkdir(parents=True)
        for number in range(layer, _FILES_PER_DIRECTORY, 2):
            fd = os.open(place / f"module_{number:02}.py", os.O_WRONLY | os.O_CREAT, 0o644)
            os.write(fd, b"pass\n")
            os.close(fd)


def measure(mounter: Mounter) -> dict[str, float]:
    """Walk once; values by the keys of `ROWS`."""
    with mounter() as mounted:
        before = mounted.memory()
        walk = seconds(["find", mounted.path, "-newermt", "2200-01-01"])
        found = subprocess.run(["find", mounted.path, "-printf", "."], stdout=subprocess.PIPE, check=True)
        walked = mounted.peak_memory()
        Path("/proc/sys/vm/drop_caches").write_text("2")
        return {
            "mounted": before / 2**20,
            "walked": walked / 2**20,
            "per entry": (walked - before) / len(found.stdout),
            "forgotten": _settled(mounted.memory) / 2**20,
            "seconds": walk,
        }


def _settled(memory: Callable[[], int]) -> int:
    """The memory once it has stopped falling."""
    patience = time.monotonic() + _SETTLING
    last, now = 0, memory()
    while now != last and time.monotonic() < patience:
        time.sleep(1)
        last, now = now, memory()
    return now
