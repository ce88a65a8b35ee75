"""What cannot be read for this user: met on a walk it costs exit code 1, asked for by its path 6."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from tests.hostile.demo import Demo
from tests.support.nobody import NOBODY, layerfs_as_nobody
from tests.support.shallow import unpack_shallow

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
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

LEADING = ("demo /bin/to", "demo /bin/to-to")
"""Links that lead to the directory that nobody may read."""

ASKINGS = [
    "ls demo /root",
    "tree demo /root",
    "find demo /root",
    "stat demo /root/password.txt",
    "cat demo@3 /root/password.txt",
    "deleted demo /nope",
    "ls demo /nope",
    "cp demo:/nope {target}",
    "hashes demo /root",
    "hashes demo /nope",
    "deleted demo /root/x",
    *(f"{command} {end}" for command in ("ls", "tree", "hashes") for end in LEADING),
    *(
        f"{command} {end}/"
        for command in ("ls -l", "find", "find -live -deleted", "deleted")
        for end in LEADING
    ),
    *(
        f"{command} {end}/x"
        for command in ("ls", "ls -d", "stat", "stat -L", "cat", "tree", "hashes", "find", "blame", "deleted")
        for end in LEADING
    ),
    "cp demo:/bin/to/x {target}",
]

THEMSELVES = [
    f"{command} {end}"
    for command in ("ls -d", "ls -l", "stat", "stat -L", "find", "blame", "blame -d")
    for end in LEADING
]
"""What is asked of a link, or of its target's attributes, which the directory above the target has."""


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that belongs to nobody, whose image has a directory in layer 3 that nobody may read."""
    root = _given(tmp_path_factory.mktemp("closed"))
    for number in range(1, 7):
        directory = Demo(root).directory(number) / "diff/root"
        if directory.is_dir():
            os.chown(directory, 0, 0)
            directory.chmod(0o700)
    programs = Demo(root).directory(1) / "diff/bin"
    for name, target in (("to", "/root"), ("to-to", "../bin/to")):
        (programs / name).symlink_to(target)
        os.chown(programs / name, NOBODY, NOBODY, follow_symlinks=False)
    return root


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that belongs to nobody."""
    return _given(tmp_path_factory.mktemp("readable"))


def _given(place: Path) -> Path:
    """The recorded root below `place`, all of it nobody's, and the way to it open."""
    for parent in (place, *place.parents[:2]):
        parent.chmod(0o755)
    root = unpack_shallow(place)
    for directory, directories, files in os.walk(root):
        for name in [".", *directories, *files]:
            os.chown(os.path.join(directory, name), NOBODY, NOBODY, follow_symlinks=False)
    return root


EXPECTED = {
    **dict.fromkeys(WALKS, MET),
    **dict.fromkeys(ASKINGS, ASKED),
    **dict.fromkeys(THEMSELVES, 0),
    "diff demo@2 demo": TROUBLE,
}


@pytest.fixture(scope="module")
def answers(closed: Path) -> Mapping[str, tuple[int, str]]:
    """Exit code and messages of every line."""
    with tempfile.TemporaryDirectory() as target:
        places = [os.path.join(target, str(number)) for number in range(len(EXPECTED))]
        for place in places:
            os.mkdir(place)
            os.chown(place, NOBODY, NOBODY)
        os.chmod(target, 0o755)
        before = ("--root", str(closed), "--metadata", "disk")
        done = [
            layerfs_as_nobody(*before, *line.format(target=place).split())
            for line, place in zip(EXPECTED, places, strict=True)
        ]
        return {line: (one.returncode, one.stderr) for line, one in zip(EXPECTED, done, strict=True)}


@pytest.mark.parametrize("line", EXPECTED)
def test_exit_code(answers: Mapping[str, tuple[int, str]], line: str) -> None:
    """A walk goes on, names what it cannot read, and exits with 1 (`diff` 6); what was asked for is 6.

    A link itself, and what the directory above its target tells of that, are there for all.
    """
    code, said = answers[line]
    assert code == EXPECTED[line], said
    if code:
        assert "error" in said
        assert "/root" in said or "/nope" in said
    else:
        assert said == ""


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
