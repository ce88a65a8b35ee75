"""What cannot be read for this user: met on a walk it costs exit code 1, asked for by its path 6."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from fixtures.unpack import unpack
from tests.hostile.demo import Demo
from tests.support.nobody import NOBODY, layerfs_as_nobody

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.root

MET, ASKED = 1, 6
TROUBLE = 6  # of `diff`, whose 1 is that there are differences

WALKS = [
    "ls -R demo",
    "tree demo",
    "find demo",
    "find --all motd",
    "hashes demo",
    "changes demo",
    "waste demo",
    "waste --all --duplicates",
    "deleted demo",
    "timeline demo",
    "blame -R demo",
    "cp demo:/ {target}",
]

ASKINGS = [
    "ls demo /root",
    "tree demo /root",
    "find demo /root",
    "stat demo /root/password.txt",
    "cat demo@3 /root/password.txt",
    "deleted demo /nope",
    "ls demo /nope",
    "cp demo:/nope {target}",
]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that belongs to nobody, whose image has a directory in layer 3 that nobody may read."""
    root = _given(tmp_path_factory.mktemp("closed"))
    for number in range(1, 7):
        directory = Demo(root).directory(number) / "diff/root"
        if directory.is_dir():
            os.chown(directory, 0, 0)
            directory.chmod(0o700)
    return root


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that belongs to nobody."""
    return _given(tmp_path_factory.mktemp("readable"))


def _given(place: Path) -> Path:
    """The recorded root below `place`, all of it nobody's, and the way to it open."""
    for parent in (place, *place.parents[:2]):
        parent.chmod(0o755)
    root = unpack(place)
    for directory, directories, files in os.walk(root):
        for name in [".", *directories, *files]:
            os.chown(os.path.join(directory, name), NOBODY, NOBODY, follow_symlinks=False)
    return root


@pytest.mark.parametrize(
    ("line", "code"),
    [*((line, MET) for line in WALKS), *((line, ASKED) for line in ASKINGS), ("diff demo@2 demo", TROUBLE)],
)
def test_exit_code(closed: Path, line: str, code: int) -> None:
    """A walk goes on, names what it cannot read, and exits with 1 (`diff` 6); what was asked for is 6."""
    with tempfile.TemporaryDirectory() as target:
        os.chown(target, NOBODY, NOBODY)
        words = line.format(target=target).split()
        done = layerfs_as_nobody("--root", str(closed), "--metadata", "disk", *words)
    assert (done.returncode, "error" in done.stderr) == (code, True), done.stderr
    assert "/root" in done.stderr or "/nope" in done.stderr


# -- records ---------------------------------------------------------------------------------------


RECORDS = ("config", "diff", "parent", "cache-id", "size", "tar-split.json.gz", "link", "lower")


@pytest.mark.parametrize("name", RECORDS)
def test_verify_of_an_image_whose_record_cannot_be_read(readable: Path, name: str) -> None:
    """What `verify` may not look at is no finding of damage, but never a clean result."""
    demo = Demo(readable)
    place = demo.directory(4) if name in ("link", "lower") else demo.layer(4)
    path = demo.config if name == "config" else place / name
    done = _verified_without(readable, path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert path.name[:12] in done.stdout


@pytest.mark.parametrize("place", [".", "diff", "diff/etc", "diff/etc/motd"])
def test_verify_of_an_image_whose_layer_cannot_be_read(readable: Path, place: str) -> None:
    """Whatever of a layer's directory is closed is named, is no error, and no clean result either."""
    path = Demo(readable).directory(4) / place
    done = _verified_without(readable, path)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "content of 5 of 6 layers proven" in lines[-1]
    assert " 0 errors, " in lines[-1]
    assert any(str(path.relative_to(readable)) in line and "unreadable]" in line for line in lines)


def test_verify_of_an_image_that_can_be_read(readable: Path) -> None:
    """Beside the others: the same image by the same user with nothing closed is clean."""
    done = layerfs_as_nobody("--root", str(readable), "verify", "--ignore", "mode", "--no-trunc", "demo:1.0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "content of 6 layers proven" in done.stdout


def _verified_without(root: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """What nobody is told of the image while a file or directory is root's alone."""
    os.chown(path, 0, 0)
    mode = path.stat().st_mode
    path.chmod(0o600)
    try:
        return layerfs_as_nobody("--root", str(root), "verify", "--ignore", "mode", "--no-trunc", "demo:1.0")
    finally:
        path.chmod(mode)
        os.chown(path, NOBODY, NOBODY)
