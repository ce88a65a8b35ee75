"""What the host refuses is told in words, with the path that was typed; nothing is told as Python has it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from layerfs_cli.main import COMMANDS
from tests.hostile.test_names import COMMAND_LINES
from tests.support.command import layerfs
from tests.support.fixture import private_copy
from tests.support.hostility import one_of_each_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.command import Result

RAW = re.compile(r"""Traceback|Errno|\bb['"]|\w+Error\b|bug in layerfs""")
"""What Python says, and we do not."""

PLACES = ("missing/x", "file/x", "read-only/x", "full/x", "x" * 300, "loop", "loop/x")
WRITERS = (
    "cp lab/unsavable:1:/ {place}",
    "export -o {place} demo lab/unsavable:1",
    "export -o {place}/ --format oci demo lab/unsavable:1",
    "export -o {place} --format rootfs lab/unsavable:1",
    "deleted --recover {place} lab/unsavable:1",
    "mount demo {place}",
    "umount {place}",
    "--root {place} images",
)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with places where nothing can be written, each for another reason."""
    top = tmp_path_factory.mktemp("places")
    (top / "file").touch()
    (top / "loop").symlink_to("loop")
    mounted = []
    try:
        for name, options in (("read-only", "ro"), ("full", "size=64k")):
            (top / name).mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "test", top / name], check=True)
            mounted.append(top / name)
        yield top
    finally:
        for place in mounted:
            subprocess.run(["umount", place], check=True)


def _told_in_words(done: Result) -> None:
    assert done.code not in (0, 70), done
    assert not RAW.search(done.stderr), done.stderr


@pytest.mark.kernel
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[:12])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_place_that_cannot_be_written(dataroot_path: Path, places: Path, place: str, writer: str) -> None:
    """Every command that takes a place of the host says of which place what is wrong, and what to do."""
    words = [word.replace("{place}", str(places / place)) for word in writer.split(" ")]
    try:
        done = layerfs(dataroot_path, *words)
    finally:
        for left in (places / "full").iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    if done.code == 0 and writer.startswith("deleted"):
        return  # it is so small that it found room, or there was nothing to copy
    _told_in_words(done)
    assert str(places / place) in "".join(done.stderr.split("\n")), done.stderr
    assert "hint" in done.stderr or done.code in (2, 7)


@pytest.mark.parametrize("command", ["images", "ls demo", "tree demo", "cat demo /etc/motd", "export demo"])
def test_a_full_disk(dataroot_path: Path, command: str) -> None:
    """Where standard output is full, it is named, with what to do."""
    program: list[str | Path] = [
        sys.executable,
        "-c",
        "from layerfs_cli.main import main; main()",
        "--root",
        dataroot_path,
    ]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*program, *command.split(" ")], stdout=full, stderr=subprocess.PIPE, check=False, text=True
        )
    assert done.returncode == 74
    error, hint = done.stderr.splitlines()
    assert error == "layerfs: error: standard output: No space left on device"
    assert hint.startswith("layerfs: hint: free some space")


# -- the data root -------------------------------------------------------------------------------


def _make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _cut_or_make_loop(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
        path.symlink_to(path.name)
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture(scope="module", params=[_make_directory, _cut_or_make_loop], ids=lambda make: make.__name__)
def refusing(
    request: pytest.FixtureRequest, shallow_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The recorded root, one file of each kind in it replaced by something that cannot be read."""
    spoil: Callable[[Path], None] = request.param
    root = private_copy(shallow_path, tmp_path_factory.mktemp("refusing") / "root")
    for path in one_of_each_kind(root):
        if path.name != "repositories.json" and (path.is_file() or path.is_symlink()):
            spoil(path)
    return root


@pytest.mark.root
@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if verb not in ("completion", "mount", "umount")])
def test_a_root_that_cannot_be_read(refusing: Path, tmp_path: Path, verb: str) -> None:
    """Whatever file of a data root refuses to be read, no command says so in Python's words."""
    places = {"evil:0": "demo", "{container}": "changed", "{evil}": "absent"}
    for line in COMMAND_LINES[verb][:1]:
        words = [places.get(word, word).replace("{out}", str(tmp_path)) for word in line.split()]
        done = layerfs(refusing, verb, *words)
        assert done.code != 70, done.stderr
        assert not RAW.search(done.stderr), done.stderr
