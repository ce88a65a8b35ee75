"""Whole roots: `scale_root`, which the bench measures, makes sound ones, and what images share costs once."""

from __future__ import annotations

import functools
import os
import subprocess
import tarfile
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from layerfs_cli import spool
from layerfs_cli.main import run
from tests.support.command import layerfs
from tests.support.growth import growth_of_steps, peak, steps
from tests.support.rootbuilder import RootBuilder
from tests.support.scaleroot import Scale, count_entries, scale_root

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root

COMMANDS = ("find --all", "waste --all", "verify --all --jobs 1")
ONCE = ("find --all", "waste --all", "timeline --all --bodyfile", "verify --all --jobs 1")
"""Those that look at an entry once, however many images have it."""

LIMIT = 7  # see `test_growth`
FEW, MANY, SHARED = 6, 24, 1200


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A generated root by its number of images; each is written once."""

    @functools.cache
    def made(images: int) -> Path:
        path = tmp_path_factory.mktemp("scale") / "root"
        assert scale_root(path, Scale(images, 100)) == _on_disk(path)
        return path

    return made


def _on_disk(root: Path) -> int:
    """What GNU find counts in all layers, without their roots."""
    layers = [str(path) for path in root.glob("overlay2/*/diff")]
    if not layers:
        return 0
    done = subprocess.run(
        ["find", *layers, "-mindepth", "1", "-printf", "."], stdout=subprocess.PIPE, check=True
    )
    return len(done.stdout)


def test_a_generated_root_is_sound(root: Callable[[int], Path]) -> None:
    """Every layer hashes to its diff ID, nothing is wrong with the root, and its tars are what tar takes."""
    path = root(FEW)
    layers = list(Scale(FEW, 100).layers())
    found = layerfs(path, "verify", "--all", "--strict")
    assert (found.code, found.stderr) == (0, "")
    assert f"{FEW} images, {len(layers)} layers: 0 errors" in found.stdout
    assert f"content of {len(layers)} layers proven" in found.stdout
    assert layerfs(path, "doctor").stdout == "nothing found\n"


def test_a_generated_layer_is_a_tar(root: Callable[[int], Path], tmp_path: Path) -> None:
    """The tar of a layer, as it is hashed, names what the plan has, and lies on disk as it says."""
    data = DataRoot.open(root(FEW))
    layer = data.chain(data.image("scale:0"))[1]
    with (tmp_path / "layer.tar").open("wb") as file:
        assert not list(data.archive(layer).rebuild(file.write))
    diff = root(FEW) / "overlay2" / layer.cache_id / "diff"
    with tarfile.open(tmp_path / "layer.tar") as tar:
        members = tar.getmembers()
        marks = [item for item in members if item.name.endswith(".wh..wh..opq")]
        assert len(members) - len(marks) == count_entries(Scale(FEW, 100), 1)
        for item in members:
            name = item.name.rpartition("/")[2]
            if name == ".wh..wh..opq":
                assert os.getxattr((diff / item.name).parent, "trusted.overlay.opaque") == b"y"
            elif name.startswith(".wh."):
                assert (diff / item.name.replace(".wh.", "")).is_char_device()
            else:
                at = os.lstat(diff / item.name)
                assert (at.st_mtime, at.st_size if item.isreg() else 0) == (item.mtime, item.size)


@pytest.mark.parametrize("command", COMMANDS)
def test_work_follows_the_number_of_entries(root: Callable[[int], Path], command: str) -> None:
    """Four times the images and layers, alike in size, are four times the work."""

    def work(images: int) -> Counter[str]:
        path = root(images)
        return steps(lambda: _done(path, command))

    _done(root(FEW), command)  # what is imported now is not counted below
    found = growth_of_steps(work, FEW)
    assert found.ratio < LIMIT, found.what


def _done(path: Path, command: str) -> None:
    assert layerfs(path, *command.split()).code == 0


@pytest.mark.parametrize("command", ONCE)
def test_what_images_share_is_worked_on_once(command: str, tmp_path: Path) -> None:
    """An image more on the same layers costs what is its own: no step is done for each entry it shares."""

    def work(images: int) -> Counter[str]:
        builder = RootBuilder(tmp_path / f"root{images}")
        base = builder.layer(None, _files)
        for number in range(images):
            builder.image(builder.layer(base), f"app:{number}", config={"comment": str(number)})
        path = builder.finish()
        codes: list[int] = []
        counted = steps(lambda: codes.append(layerfs(path, *command.split()).code))
        assert codes[0] in (0, 1)  # the archives that `verify` needs are not there
        return counted

    work(1)
    few, many = work(FEW), work(MANY)
    grown = {step: (count - few[step]) / (MANY - FEW) for step, count in many.items()}
    most = max(grown, key=lambda step: grown[step])
    assert grown[most] < 0.9 * SHARED, (most, grown[most])


def _files(diff: Path) -> None:
    for number in range(SHARED):
        (diff / f"file-{number:03}").write_bytes(b"x")


@pytest.mark.parametrize("command", ["timeline --all"])
def test_memory_does_not_follow_the_number_of_entries(
    root: Callable[[int], Path], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times the entries need hardly more memory: that of the layers of one image, and of the records."""
    monkeypatch.setattr(spool, "MOST", 200)
    monkeypatch.setattr(spool, "_BLOCK", 20)

    def most(images: int) -> int:
        words = ["--root", str(root(images)), *command.split()]
        with open(os.devnull, "w") as away, redirect_stdout(away):
            assert run(words) == 0
            return peak(lambda: run(words))

    few, many = most(FEW), most(MANY)
    assert many < 2 * few, (few, many)
