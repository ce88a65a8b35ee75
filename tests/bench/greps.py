"""Lines found in one image and in all: by layerfs, and by GNU grep and ripgrep on mounts of the kernel.

What was read lies in memory. Nothing matches, so all is read. The mounts are there already. The images
share all layers but one. ripgrep runs as `rg -uuu`, with a thread for each processor.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.bench.mounts import LAYERFS
from tests.bench.packing import IMAGE
from tests.bench.timing import alternate, seconds
from tests.support.kernel import overlay_mount

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.bench.roots import TreeRoot
    from tests.bench.timing import Medians

__all__ = ["OURS", "ROWS", "measure"]

OURS, GREP, RIPGREP = "layerfs grep", "grep -r", "rg"

ROWS = {
    "text": "a text, one image",
    "expression": "an expression, one image",
    "all": "a text, `--all` beside the mounts of both images",
}

_TEXT, _EXPRESSION = "no such text", "no.*such[0-9]*text"
_NONE = (1,)  # what they exit with where nothing matches


def measure(tree: TreeRoot, runs: int, progress: Callable[[str], None]) -> Medians:
    """The median seconds of each contender for each row."""
    with ExitStack() as mounted:
        top, below = (str(mounted.enter_context(overlay_mount(tree.layers[start:]))) for start in (0, 1))
        layerfs = [str(LAYERFS), "--root", str(tree.path), "grep"]
        commands = {
            OURS: {
                "text": [*layerfs, _TEXT, IMAGE],
                "expression": [*layerfs, "-E", _EXPRESSION, IMAGE],
                "all": [*layerfs, "--all", _TEXT],
            }
        }
        programs = {GREP: ["grep", "-r"], RIPGREP: ["rg", "-uuu"] if shutil.which("rg") else None}
        for name, program in programs.items():
            if program:
                commands[name] = {
                    "text": [*program, _TEXT, top],
                    "expression": [*program, *(["-E"] if name == GREP else []), _EXPRESSION, top],
                    "all": [*program, _TEXT, top, below],
                }
        for command in commands[OURS].values():
            seconds(command, good=_NONE)  # once for the caches
        return alternate({name: _contender(done) for name, done in commands.items()}, runs, progress)


def _contender(commands: Mapping[str, Sequence[str]]) -> Callable[[], Mapping[str, float]]:
    return lambda: {row: seconds(command, good=_NONE) for row, command in commands.items()}
