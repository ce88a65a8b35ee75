"""How long whole commands take, from the shell's point of view, beside the floor they stand on."""

from __future__ import annotations

import subprocess
import sys
from types import MappingProxyType
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

PROMISES = {"layerfs --help": 0.15, "layerfs images": 0.5, "layerfs --root BIG images -q": 1.0}
"""Seconds that a command is to stay under."""


def measure(
    root: Path,
    containerd: Path,
    graph_root: Path,
    big: Path,
    runs: int,
    progress: Callable[[str], None],
    others: Mapping[str, Path] = MappingProxyType({}),
) -> Medians:
    """The median seconds of each command; `others` are more programs of layerfs.

    Args:
        root: a Docker data root.
        containerd: a containerd root of as many images.
        graph_root: a graph root of Podman of as many images.
        big: another, of a busy node.
        runs: how often.
        progress: is told what is going on.
        others: by the names they have in the table.
    """
    commands = _floor()
    for name, program in {"layerfs": LAYERFS, **others}.items():
        commands |= _commands(name, program, root)
        if program is LAYERFS or _reads(program, containerd):  # an older one may not know this kind
            commands |= _listings(name, program, "CONTAINERD", containerd)
            commands |= _listings(name, program, "BIG", big)
        if program is LAYERFS or _reads(program, graph_root):
            commands |= _listings(name, program, "GRAPHROOT", graph_root)
    for command in commands.values():
        seconds(command)  # once for the caches
    contenders = {name: _contender(command) for name, command in commands.items()}
    return alternate(contenders, runs, progress)


def _reads(program: Path, root: Path) -> bool:
    """Whether a program can list the images of a root."""
    command = [str(program), "--root", str(root), "images", "-q"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _floor() -> dict[str, list[str]]:
    """What no command of ours can be faster than."""
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import click'": [sys.executable, "-c", "import click"],
    }


def _commands(name: str, program: Path, root: Path) -> dict[str, list[str]]:
    layerfs = [str(program), "--root", str(root)]
    return {
        f"{name} --help": [str(program), "--help"],
        f"{name} images": [*layerfs, "images"],
        f"{name} images -a --format json": [*layerfs, "images", "-a", "--format", "json"],
        f"{name} du": [*layerfs, "du"],
        f"{name} history IMAGE": [*layerfs, "history", MEASURED_IMAGE],
    }


def _listings(name: str, program: Path, word: str, root: Path) -> dict[str, list[str]]:
    layerfs = [str(program), "--root", str(root)]
    return {
        f"{name} --root {word} images -q": [*layerfs, "images", "-q"],
        f"{name} --root {word} images": [*layerfs, "images"],
    }


def _contender(command: list[str]) -> Callable[[], Mapping[str, float]]:
    return lambda: {ROW: seconds(command)}
