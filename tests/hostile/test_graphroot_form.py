"""What tells the form of a graph root is lost or damaged: the tree stays as it is, or the damage is told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root

SAMPLES = ("podman-4.3-rootful", "podman-4.3-rootless-native", "podman-4.3-rootless-fuse")
DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda _: None,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(b"tr"),
    "garbage": lambda path: path.write_bytes(b"\xff\x1b[31m"),
    "huge": lambda path: path.write_bytes(b"true" * 100_000),
    "a directory": lambda path: path.mkdir(),
    "a FIFO": os.mkfifo,
    "a link": lambda path: path.symlink_to("../../true"),
}


@pytest.fixture(scope="module", params=SAMPLES)
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of each form, and a file outside to which a link leads."""
    top = tmp_path_factory.mktemp("form")
    (top / "true").write_text("true")
    return unpack_sample(request.param, top / "root")


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_form_of_a_root(damage: str, root: Path) -> None:
    """The trees are those of the intact root; what is wrong is told by `ls`, and found by `doctor`."""
    path = root / "overlay/.has-mount-program"
    said = path.read_text()
    names = layerfs(root, "images", "-q", "--no-trunc").stdout.split()[:2]
    intact = [layerfs(root, "ls", "-lR", name) for name in names]
    path.unlink()
    try:
        DAMAGES[damage](path)
        found = [layerfs(root, "ls", "-lR", name) for name in names]
        doctor = layerfs(root, "doctor", "--quick")
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_text(said)
    assert [item.stdout for item in found] == [item.stdout for item in intact]
    is_told = damage != "missing" or said.strip() == "true"  # older engines wrote none
    assert [item.code for item in found] == [int(is_told)] * len(names)
    assert all((path.name in item.stderr) is is_told for item in found)
    assert (path.name in doctor.stdout) is is_told


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A composefs root."""
    return unpack_sample("podman-5.8-composefs", tmp_path_factory.mktemp("pool") / "root")


@pytest.mark.parametrize("damage", [*DAMAGES, "half"])
def test_the_image_of_a_composefs_layer(damage: str, pool: Path) -> None:
    """Without it, or with another thing in its place, the engine cannot mount the layer."""
    path = next(pool.glob("overlay/*/composefs-data/composefs.blob"))
    content = path.read_bytes()
    assert layerfs(pool, "doctor", "--quick").code == 0
    path.unlink()
    try:
        if damage == "half":
            path.write_bytes(content[: len(content) // 2])
        else:
            DAMAGES[damage](path)
        found = layerfs(pool, "doctor", "--quick", "--format", "json").json
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    assert [row["code"] for row in found] == [
        "composefs-missing" if damage == "missing" else "composefs-malformed"
    ]
