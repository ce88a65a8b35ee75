"""How long whole commands take, from the shell's point of view, beside the floor they stand on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.bench.mounts import LAYERFS
from tests.bench.roots import MEASURED_IMAGE
from tests.bench.timing import alternate, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.bench.timing import Medians

__all__ = ["PROMISES", "ROW", "measure"]

ROW = "seconds"

PROMISES = {"layerfs --help": 0.15, "layerfs images": 0.5}
"""Seconds that a command is to stay under."""


def measure(root: Path, runs: int, progress: Callable[[str], None]) -> Medians:
    """The median seconds of each command on the data root `root`."""
    commands = _commands(root)
    for command in commands.values():
        seconds(command)  # once for the caches
    contenders = {name: _contender(command) for name, command in commands.items()}
    return alternate(contenders, runs, progress)


def _commands(root: Path) -> dict[str, list[str]]:
    layerfs = [str(LAYERFS), "--root", str(root)]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import click'": [sys.executable, "-c", "import click"],
        "layerfs --help": [str(LAYERFS), "--help"],
        "layerfs images": [*layerfs, "images"],
        "layerfs images -a --format json": [*layerfs, "images", "-a", "--format", "json"],
        "layerfs du": [*layerfs, "du"],
        "layerfs history IMAGE": [*layerfs, "history", MEASURED_IMAGE],
    }


def _contender(command: list[str]) -> Callable[[], Mapping[str, float]]:
    return lambda: {ROW: seconds(command)}
