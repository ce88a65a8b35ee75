"""Sizes of a graph root as Podman prints them; what later versions count of containers too, by GNU find."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.podman import Podman

pytestmark = [pytest.mark.podman, pytest.mark.root]


def _bytes(path: Path) -> int:
    """Of all files below a directory, each inode once."""
    command = ["find", str(path), "!", "-type", "d", "-printf", "%i %s\n"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return sum(int(size) for _, size in {tuple(line.split()) for line in done.stdout.splitlines()})


def _asked(podman: Podman, *words: str) -> Any:
    done = layerfs(podman.root, *words, "--format", "json")
    assert (done.code, done.stderr) == (0, ""), words
    return json.loads(done.stdout)


def test_containers(podman: Podman) -> None:
    """What Podman 4.3 counts of a container's layer, and its config and log; below is the whole image."""
    told = {row["Id"]: row["Size"]["rwSize"] for row in podman.json("ps", "--all", "--size")}
    images = {row["id"]: row["size"] for row in _asked(podman, "images", "-a")}
    kept = podman.root / f"{podman.form.driver}-containers"
    found = {row["id"]: row for row in _asked(podman, "containers", "-a", "--size")}
    for own, written in told.items():
        row = found[own]
        assert row["size_rw"] == written + _bytes(kept / own)
        assert row["size_root_fs"] == row["size_rw"] + images[row["image_id"]]
    assert len(told) > 1


def test_system_df(podman: Podman) -> None:
    """The rows of `podman system df -v`, whose SHARED SIZE and UNIQUE SIZE are wrong in 4.3."""
    lines = podman("system", "df", "-v").splitlines()
    rows = [re.split(r" {2,}", line.rstrip()) for line in lines[3 : lines.index("", 3)]]
    ours = _asked(podman, "system", "df", "-v")["images"]
    assert sorted((row[0], row[1], row[2], row[7]) for row in rows) == sorted(
        (row["repository"] or "<none>", row["tag"] or "<none>", row["id"][7:19], str(row["containers"]))
        for row in ours
    )
    sizes = {row["Id"]: row["Size"] for row in podman.json("images", "--all")}
    assert all(row["size"] == sizes[row["id"][7:]] == row["shared_size"] + row["unique_size"] for row in ours)


def test_what_goes_with_a_container(podman: Podman) -> None:
    """Every byte below its layer's directory of files, of vfs the whole tree, and of its own."""
    (row,) = (item for item in podman.json("ps", "--all") if item["Names"] == ["changed"])
    kept = podman.root / f"{podman.form.driver}-containers" / row["Id"]
    found = _asked(podman, "du", "--what-if", "changed")
    (layer,) = (item["cache_id"] for item in found["directories"] if item["cache_id"])
    place = f"overlay/{layer}/diff" if podman.form.driver == "overlay" else f"vfs/dir/{layer}"
    assert found["freed_size"] == _bytes(podman.root / place) + _bytes(kept)
