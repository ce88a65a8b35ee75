"""An image verified by layerfs, beside the hash of the same bytes, and what a Docker Engine does with them.

`openssl dgst -sha256` reads the layers' tars, written out beforehand: one file each, by one core. layerfs
makes the same tars of the layers' files and their headers, hashes them, computes each file's CRC-64, and
compares every attribute. `docker save >/dev/null` of a real Engine computes the CRC-64 too, but no
sha256. "From the disk" means that the kernel had forgotten everything but the programs; "again", that the
same was done just before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from layerfs import DataRoot
from tests.bench.mounts import LAYERFS, drop_caches
from tests.bench.packing import IMAGE
from tests.bench.timing import alternate, seconds
from tests.support.capabilities import CAPABILITIES, docker_command
from tests.support.engine import Engine, copy_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.bench.roots import TreeRoot
    from tests.bench.timing import Medians

__all__ = ["ONE_CORE", "OPENSSL", "OURS", "ROWS", "SAVE", "measure"]

ONE_CORE, OURS = "layerfs verify, one core", "layerfs verify"
OPENSSL, SAVE = "openssl dgst -sha256", "docker save"

ROWS = {"disk": "from the disk", "again": "again"}


def measure(tree: TreeRoot, runs: int, progress: Callable[[str], None]) -> tuple[Medians, int]:
    """The median seconds of each contender, and the bytes of the tars."""
    place = tree.path.with_name("verify-tars")
    shutil.rmtree(place, ignore_errors=True)
    with ExitStack() as cleaning:
        cleaning.callback(shutil.rmtree, place, ignore_errors=True)
        progress("the layers' tars for openssl")
        tars = _write_tars(tree.path, place)
        verify = [str(LAYERFS), "--root", str(tree.path), "verify", IMAGE]
        core = str(min(os.sched_getaffinity(0)))
        commands = {
            ONE_CORE: ["taskset", "--cpu-list", core, *verify],
            OURS: verify,
            OPENSSL: ["openssl", "dgst", "-sha256", *map(str, tars)],
        }
        if not CAPABILITIES["dockerd"]():
            progress("a copy of the data root for an Engine")
            commands[SAVE] = cleaning.enter_context(_saving(tree.path))
        contenders = {name: _contender(command) for name, command in commands.items()}
        return alternate(contenders, runs, progress), sum(tar.stat().st_size for tar in tars)


def _write_tars(path: Path, place: Path) -> list[Path]:
    """Each layer's tar as a file."""
    place.mkdir()
    root = DataRoot.open(path)
    tars = []
    for number, layer in enumerate(root.chain(root.image(IMAGE))):
        tars.append(place / f"{number}.tar")
        with tars[-1].open("wb") as file:
            faults = list(root.archive(layer).rebuild(file.write))
        if faults:
            raise RuntimeError(f"{path}: {faults[0]}")
    return tars


@contextmanager
def _saving(path: Path) -> Iterator[list[str]]:
    """An Engine on a copy of a data root, and the command that has it save the image."""
    copy = path.with_name("verify-copy")
    shutil.rmtree(copy, ignore_errors=True)
    try:
        with Engine(copy_root(path, copy)) as engine:
            yield [docker_command() or "docker", "--host", f"unix://{engine.socket}", "save", IMAGE]
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _contender(command: Sequence[str]) -> Callable[[], Mapping[str, float]]:
    def once() -> Mapping[str, float]:
        drop_caches()
        for program in ([command[0], "--help"], [str(LAYERFS), "verify", "--help"]):  # not what is measured
            subprocess.run(program, capture_output=True, check=False)
        return {"disk": seconds(command), "again": seconds(command)}

    return once
