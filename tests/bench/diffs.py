"""The difference of two images that differ in one layer: by layerfs, Podman, and diff(1) on kernel mounts.

`diff -rq --no-dereference` tells names and contents only; layerfs every attribute as well. "From the
disk" means that the kernel had forgotten everything but the programs; "again", that the same was done
just before. The mounts are there already. Podman has the same images in a store of its own.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from tests.bench.mounts import LAYERFS, drop_caches
from tests.bench.packing import IMAGE, IMAGE_BELOW, podman
from tests.bench.timing import alternate, seconds
from tests.support.kernel import overlay_mount

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.bench.roots import TreeRoot
    from tests.bench.timing import Medians

__all__ = ["DIFF", "OURS", "PODMAN", "STEPS", "measure", "rows"]

OURS, DIFF, PODMAN = "layerfs diff", "diff -rq", "podman image diff"


class Step(NamedTuple):
    """A layer of the measured image: its number from the top, and what it did."""

    above: int
    title: str


STEPS = (
    Step(1, "every twentieth file replaced"),
    Step(0, "files and directories deleted, one large file added"),
)

_DIFFERENT = (0, 1)  # what they exit with; podman with 0


def rows() -> list[tuple[str, str]]:
    """The key and the title of each row."""
    whens = {"disk": "from the disk", "again": "again"}
    return [
        (f"{step.above} {when}", f"{step.title}, {title}") for step in STEPS for when, title in whens.items()
    ]


def measure(tree: TreeRoot, store: Path | None, runs: int, progress: Callable[[str], None]) -> Medians:
    """The median seconds of each contender for each step; `store` is Podman's, if there is one."""
    depth = len(tree.layers)
    with ExitStack() as mounted:
        ours, theirs = {}, {}
        for step in STEPS:
            number = depth - step.above
            before, after = (
                mounted.enter_context(overlay_mount(tree.layers[start:]))
                for start in (step.above + 1, step.above)
            )
            names = f"{IMAGE}@{number - 1}", f"{IMAGE}@{number}"
            ours[step] = [str(LAYERFS), "--root", str(tree.path), "diff", *names]
            theirs[step] = ["diff", "-rq", "--no-dereference", str(before), str(after)]
        contenders = {OURS: ours, DIFF: theirs}
        if store:
            contenders[PODMAN] = {STEPS[-1]: [*podman(store), "image", "diff", IMAGE, IMAGE_BELOW]}
        return alternate({name: _contender(done) for name, done in contenders.items()}, runs, progress)


def _contender(commands: Mapping[Step, Sequence[str]]) -> Callable[[], Mapping[str, float]]:
    def once() -> Mapping[str, float]:
        found = {}
        for step, command in commands.items():
            drop_caches()
            _warm_programs()
            found[f"{step.above} disk"] = seconds(command, good=_DIFFERENT)
            found[f"{step.above} again"] = seconds(command, good=_DIFFERENT)
        return found

    return once


def _warm_programs() -> None:
    """Have the programs in memory again, as they are not what is measured."""
    programs = [["diff", "--version"], [str(LAYERFS), "diff", "--help"]]
    if shutil.which("podman"):
        programs.append(["podman", "--version"])
    for program in programs:
        subprocess.run(program, stdout=subprocess.DEVNULL, check=True)
