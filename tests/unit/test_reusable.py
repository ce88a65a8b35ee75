"""A copy that one test has damaged is for the next one as if newly made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.reusable import Reusable
from tests.support.snapshot import diff_snapshots, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.snapshot import Snapshot

pytestmark = [pytest.mark.root, pytest.mark.slow]

STORE = "image/overlay2"
LAYERS = f"{STORE}/layerdb/sha256"


def _layers(root: Path) -> list[Path]:
    return sorted((root / LAYERS).iterdir())


def _files(root: Path) -> None:
    """What lies in a file, what it is, and what is said of it."""
    names = root / STORE / "repositories.json"
    names.write_bytes(names.read_bytes().replace(b"a", b"b"))  # as long as it was
    layers = _layers(root)
    (layers[0] / "size").unlink()
    (layers[1] / "size").chmod(0)
    os.chown(layers[2] / "size", 7, 7)
    os.setxattr(layers[3] / "size", "user.more", b"x")
    os.utime(layers[4] / "size", (0, 0))
    (layers[5] / "size").unlink()
    (layers[5] / "size").mkdir()
    (layers[5] / "size/file").touch()
    (layers[6] / "size").unlink()
    (layers[6] / "size").symlink_to("diff")
    (layers[7] / "diff").rename(layers[8] / "diff")
    os.truncate(layers[9] / "tar-split.json.gz", 1)
    (layers[10] / "new").touch()
    os.link(layers[11] / "size", layers[11] / "another")


def _directories(root: Path) -> None:
    """Directories that are gone, new, changed, or another's."""
    layers = _layers(root)
    shutil.rmtree(layers[0])
    layers[1].rename(root / "away")
    layers[2].rename(root / "x")
    layers[3].rename(layers[2])
    (root / "x").rename(layers[3])
    layers[4].chmod(0o700)
    os.setxattr(layers[5], "user.more", b"x")
    (layers[6] / "a/b/c").mkdir(parents=True)
    shutil.rmtree(layers[7])
    layers[7].write_text("x")
    layers[8].rename(root / "y")
    (root / "y").rename(layers[8])
    for make in (os.mkfifo, Path.touch):
        empty = next(path for path in (root / "overlay2").glob("*/diff/**") if not any(path.iterdir()))
        empty.rmdir()
        make(empty)
    shutil.rmtree(root / STORE / "distribution")
    shutil.rmtree(root / "containers")


def _root(root: Path) -> None:
    """The root itself."""
    root.chmod(0o777)
    os.chown(root, 7, 7)
    os.setxattr(root, "user.more", b"x")


def _nothing(root: Path) -> None:
    """No damage."""


def _hard_links(root: Path) -> None:
    """A file that has other names in the layer."""
    path = next(path for path in root.rglob("*") if path.is_file() and path.stat().st_nlink > 1)
    path.write_bytes(b"x")


def _everything(root: Path) -> None:
    """All that there is."""
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def recorded(dataroot_path: Path) -> Snapshot:
    """Every entry of the recording."""
    return snapshot(dataroot_path)


@pytest.mark.parametrize("damage", [_nothing, _files, _directories, _root, _hard_links, _everything])
def test_damage_is_undone(
    dataroot_path: Path, recorded: Snapshot, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Whatever a test does, the next one has the recording in every detail."""
    (tmp_path / "place").mkdir()
    copies = Reusable(dataroot_path, tmp_path / "place")
    first = copies.lend(tmp_path / "first")
    damage(first)
    copies.take_back(first)
    second = copies.lend(tmp_path / "second")
    assert diff_snapshots(recorded, snapshot(second)) == []
    assert first.exists() == (damage is _hard_links)  # which no copy of a part brings back


def test_damage_of_the_same_moment_is_seen(dataroot_path: Path, tmp_path: Path) -> None:
    """A change right after a file was put back is told from its being put back."""
    (tmp_path / "place").mkdir()
    copies = Reusable(dataroot_path, tmp_path / "place")
    names = f"{STORE}/repositories.json"
    right = (dataroot_path / names).read_bytes()
    for number in range(20):
        root = copies.lend(tmp_path / f"{number}")
        assert (root / names).read_bytes() == right
        (root / names).write_bytes(right.swapcase())
        copies.take_back(root)
