"""The attributes by which a mount tells where its entries come from, by every driver."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from layerfs.model import LayerInfo
from layerfs.views.provenance import TracedTree
from tests.support.layerspec import Dir, File, LayerSpec, Meta, materialise_stack
from tests.support.mounts import eventually, served, servers
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.fuse

LAYERFS = str(Path(sys.executable).with_name("layerfs"))
NAMES = {f"user.layerfs.{name}" for name in ("layer", "diff_id", "chain_id", "created_by", "versions")}


@contextmanager
def _mounted(
    root: Path, place: Path, driver: str, *options: str, name: str = "demo:latest"
) -> Iterator[Path]:
    place.mkdir()
    command = [LAYERFS, "--root", str(root), "mount", "--driver", driver, *options, name, str(place)]
    subprocess.run(command, check=True)
    try:
        yield place
    finally:
        subprocess.run([LAYERFS, "umount", str(place)], check=True)
        eventually(lambda: not servers(place))


def _told(path: Path, name: str) -> str:
    return os.getxattr(path, f"user.layerfs.{name}").decode()


def _below(place: Path) -> Iterator[Path]:
    """Every file and directory, which alone can have such attributes (xattr(7))."""
    for path in [place, *place.rglob("*")]:
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            yield path


def test_every_entry_tells_its_layer(dataroot_path: Path, tmp_path: Path, driver: str) -> None:
    """Layer, diff ID, chain ID and command are those of the uppermost layer whose directory has the path."""
    image = DataRoot.open(dataroot_path).image("demo:latest")
    chain = DataRoot.open(dataroot_path).chain(image)
    config = json.loads((dataroot_path / "image/overlay2/imagedb/content/sha256" / image.id.hex).read_bytes())
    steps = [step.get("created_by") for step in config["history"] if not step.get("empty_layer")]
    compared = 0
    with _mounted(dataroot_path, tmp_path / "m", driver) as place:
        for path in _below(place):
            inside = path.relative_to(place)
            having = [
                number
                for number, layer in enumerate(chain, 1)
                if os.path.lexists(dataroot_path / "overlay2" / layer.cache_id / "diff" / inside)
            ]
            index = having[-1] - 1
            assert _told(path, "layer") == str(having[-1])
            assert _told(path, "diff_id") == config["rootfs"]["diff_ids"][index]
            assert _told(path, "chain_id") == chain[index].chain_id
            if steps[index]:
                assert _told(path, "created_by") == steps[index]
            assert [line.split()[0] for line in _told(path, "versions").splitlines()] == [*map(str, having)]
            compared += 1
    assert compared > 10


def test_versions_tell_what_hides_them(dataroot_path: Path, tmp_path: Path, driver: str) -> None:
    """A replaced file has a line for each of its versions, the one seen last."""
    with _mounted(dataroot_path, tmp_path / "m", driver, name="demo:latest") as place:
        assert _told(place / "etc/motd", "versions") == "2 hidden by 4 (replaced)\n4 visible"


def test_containers_own_layer_has_no_ids(dataroot_path: Path, tmp_path: Path, driver: str) -> None:
    """What a container wrote tells its layer's number; there is no diff ID, chain ID or command to tell."""
    with _mounted(dataroot_path, tmp_path / "m", driver, "--provenance", name="changed") as place:
        own = {f"user.layerfs.{name}" for name in ("layer", "versions")}
        assert NAMES & set(os.listxattr(place / "etc/motd")) == own
        with pytest.raises(OSError, match="No data available"):
            _told(place / "etc/motd", "diff_id")


@pytest.mark.parametrize("listed", [False, True], ids=["by default", "--provenance"])
def test_attributes_are_listed_on_request_only(
    dataroot_path: Path, tmp_path: Path, driver: str, *, listed: bool
) -> None:
    """A copy with all attributes stays clean unless they were asked for."""
    options = ["--provenance"] if listed else []
    with _mounted(dataroot_path, tmp_path / "m", driver, *options) as place:
        subprocess.run(["cp", "-a", place / "etc", tmp_path / "copy"], check=True)
    for path in _below(tmp_path / "copy"):
        found = NAMES & set(os.listxattr(path))
        assert found == (NAMES if listed else set())


@pytest.mark.root
def test_attribute_of_the_file_wins(tmp_path: Path, driver: str) -> None:
    """What a file really has of that name is shown, and listed once."""
    meta = Meta(xattrs={b"user.layerfs.layer": b"its own"})
    tree = union_of(
        materialise_stack([LayerSpec(Dir({b"f": File(b"x", meta=meta), b"g": File()}))], tmp_path)
    )
    traced = TracedTree(tree, [LayerInfo(1, None)], lambda _number: None, listed=True)
    with served(traced, tmp_path / "m", driver) as place:
        assert _told(place / "f", "layer") == "its own"
        assert sorted(os.listxattr(place / "f")) == ["user.layerfs.layer", "user.layerfs.versions"]
        assert _told(place / "g", "layer") == "1"
        with pytest.raises(OSError, match="No data available"):
            _told(place / "g", "nonsense")
