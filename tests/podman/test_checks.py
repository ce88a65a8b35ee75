"""`verify` and `doctor` on roots that Podman made: nothing in sound ones, and each change in a copy."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.podman.conftest import BASE, UPPER
from tests.support.command import layerfs
from tests.support.podman import MAP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.podman import Podman

pytestmark = [pytest.mark.podman, pytest.mark.root]


def test_sound_roots_have_no_finding(podman: Podman) -> None:
    """Images loaded, built and committed, and containers of every kind: all is proven, strictly."""
    owners = ("--userns", MAP) if podman.form.rootless else ()
    done = layerfs(podman.root, *owners, "verify", "--all", "--strict", "--jobs", "1")
    assert (done.code, done.stderr) == (0, ""), done.stdout
    layers = done.stdout.split(" layers")[0].split()[-1]
    assert f"content of {layers} layers proven" in done.stdout
    done = layerfs(podman.root, *owners, "doctor", "--verify")
    assert (done.code, done.stdout, done.stderr) == (0, "nothing found\n", "")


# -- whole trees ---------------------------------------------------------------------------------


def _flip(path: Path) -> None:
    """Change the content, and nothing else."""
    found = path.stat()
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _relink(path: Path) -> None:
    """Let a link lead elsewhere, and nothing else."""
    time = path.lstat().st_mtime_ns
    path.unlink()
    path.symlink_to("issue")
    os.utime(path, ns=(time, time), follow_symlinks=False)


def _within(path: Path, change: Callable[[Path], object]) -> None:
    """Change an entry, and leave the time of its directory as it was."""
    time = path.parent.stat().st_mtime_ns
    change(path)
    os.utime(path.parent, ns=(time, time))


CHANGES: Mapping[str, tuple[str, Callable[[Path], object], str]] = {
    "content of its own": ("etc/motd", _flip, "content-altered"),
    "content of a layer below": ("srv/new", _flip, "content-altered"),
    "gone, of its own": ("opt/third", lambda path: _within(path, os.unlink), "entry-missing"),
    "gone, of a layer below": ("opt/kept", lambda path: _within(path, os.unlink), "entry-missing"),
    "more": ("etc/more", lambda path: _within(path, lambda file: file.touch()), "entry-extra"),
    "deleted, and there": ("etc/issue", lambda path: _within(path, lambda file: file.touch()), "entry-extra"),
    "mode": ("etc/motd", lambda path: path.chmod(0o600), "mode-altered"),
    "owner of its own": ("opt/third", lambda path: os.chown(path, 4, 5), "owner-altered"),
    "time": ("etc/motd", lambda path: os.utime(path, (5, 5)), "mtime-altered"),
    "attribute": ("etc/motd", lambda path: os.setxattr(path, "user.a", b""), "xattr-extra"),
    "target": ("etc/link", lambda path: _within(path, _relink), "target-altered"),
}  # fmt: skip
"""In the uppermost layer of `UPPER`, which keeps the whole tree: what is changed, and the code."""


@pytest.fixture(scope="module")
def whole(made: Callable[[str], Podman], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the root of the driver vfs."""
    place = tmp_path_factory.mktemp("whole") / "root"
    subprocess.run(["cp", "-a", made("vfs").root, place], check=True)
    return place


@pytest.mark.parametrize("name", CHANGES)
def test_changes_of_a_whole_tree(whole: Path, name: str, tmp_path: Path) -> None:
    """Each is found in the layer in which it is, whether its tar names the entry or a layer below has it."""
    path, change, code = CHANGES[name]
    layer = _uppermost(whole, UPPER)
    tree, away = whole / "vfs/dir" / layer, tmp_path / "away"
    subprocess.run(["cp", "-a", tree, away], check=True)
    try:
        change(tree / path)
        done = layerfs(whole, "verify", UPPER, "--jobs", "1", "--format", "json")
    finally:
        subprocess.run(["rm", "-rf", tree], check=True)
        away.rename(tree)
    rows: list[dict[str, Any]] = done.json
    changed = [row for row in rows if row["path"] == str(tree / path)]
    assert (done.code, {row["code"] for row in changed}) == (1, {code}), rows
    assert [row for row in rows if row not in changed and f"/{layer}/" in row["path"]] == []


def _uppermost(root: Path, image: str) -> str:
    records = json.loads((root / "vfs-images/images.json").read_bytes())
    found: str = next(row["layer"] for row in records if image in (row.get("names") or ()))
    assert found != next(row["layer"] for row in records if BASE in (row.get("names") or ()))
    return found
