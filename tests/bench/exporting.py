"""An image of many files out of a data root: by layerfs, and by a Docker Engine on a copy of it.

All goes to /dev/null. Both check every layer's files by their CRC-64; layerfs also computes each
layer's sha256, and needs no room on disk: `docker save` unpacks the image into files first. "From the disk"
means that the kernel had forgotten everything but the programs; "again", that the same was done just before.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.bench.mounts import LAYERFS, drop_caches
from tests.bench.packing import IMAGE
from tests.bench.timing import alternate, seconds
from tests.support.capabilities import docker_command
from tests.support.engine import Engine, copy_root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.bench.roots import TreeRoot
    from tests.bench.timing import Medians

__all__ = ["DOCKER", "OURS", "ROWS", "measure"]

OURS, DOCKER = "layerfs export", "docker save, docker export"

_IMAGE, _TREE, _OCI = "image", "tree", "oci"

ROWS = {
    f"{_IMAGE} disk": "an archive for docker load, from the disk",
    f"{_IMAGE} again": "an archive for docker load, again",
    f"{_TREE} disk": "the tree of a container, from the disk",
    f"{_TREE} again": "the tree of a container, again",
    f"{_OCI} again": "an OCI layout as a tar, again",
}

_CONTAINER = "measured"


def measure(tree: TreeRoot, runs: int, progress: Callable[[str], None]) -> Medians:
    """The median seconds of both."""
    copy = tree.path.with_name("export-copy")
    shutil.rmtree(copy, ignore_errors=True)
    progress("a copy of the data root for an Engine")
    try:
        with Engine(copy_root(tree.path, copy)) as engine:
            engine.cli("create", "--name", _CONTAINER, IMAGE, "/none")
            theirs = [docker_command() or "docker", "--host", f"unix://{engine.socket}"]
            ours = [str(LAYERFS), "--root", str(copy), "export"]
            contenders = {
                OURS: _contender(
                    {
                        _IMAGE: [*ours, IMAGE],
                        _TREE: [*ours, _CONTAINER],
                        _OCI: [*ours, "--format", "oci", IMAGE],
                    }
                ),
                DOCKER: _contender(
                    {
                        _IMAGE: [*theirs, "save", IMAGE],
                        _TREE: [*theirs, "export", _CONTAINER],
                    }
                ),
            }
            return alternate(contenders, runs, progress)
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _contender(commands: Mapping[str, Sequence[str]]) -> Callable[[], Mapping[str, float]]:
    def once() -> Mapping[str, float]:
        found = {}
        for what, command in commands.items():
            if f"{what} disk" in ROWS:
                drop_caches()
                subprocess.run([command[0], "--help"], stdout=subprocess.DEVNULL, check=True)
                found[f"{what} disk"] = seconds(command)
            found[f"{what} again"] = seconds(command)
        return found

    return once
