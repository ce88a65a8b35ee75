"""`layerfs stat` against stat(2), stat(1) and the directories of the layers."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    MountedByKernel = Callable[[str], AbstractContextManager[Path]]

IMAGES = ("demo:latest", "lab/attributes:1", "lab/links:1", "lab/xattrs:1", "lab/names:1", "lab/types:1")


def _paths(top: bytes) -> list[bytes]:
    """Every path below a directory, as paths of the tree."""
    found = [b"/"]
    for place, below, files in os.walk(top):
        found += [os.path.join(place, name).removeprefix(top) for name in (*below, *files)]
    return found


def _ns(text: str) -> int:
    """RFC 3339 as nanoseconds, by date(1)."""
    done = subprocess.run(["date", "-d", text, "+%s%N"], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.kernel
@pytest.mark.parametrize("image", IMAGES)
def test_json_is_what_the_kernel_says(
    dataroot_path: Path, mounted_by_kernel: MountedByKernel, image: str
) -> None:
    """Every attribute, extended ones included, of every entry is what the kernel's mount has."""
    with mounted_by_kernel(image) as mounted:
        top = os.fsencode(mounted)
        paths = _paths(top)
        found = layerfs(dataroot_path, "stat", "--format", "json", image, *map(os.fsdecode, paths)).json
        assert [os.fsencode(entry["path"]) for entry in found] == paths
        for entry, path in zip(found, paths, strict=True):
            real = top + path
            status = os.lstat(real)
            assert entry["mode"] == f"{stat.S_IMODE(status.st_mode):04o}"
            assert [entry[key] for key in ("uid", "gid", "size", "nlink", "blocks")] == [
                status.st_uid,
                status.st_gid,
                status.st_size,
                status.st_nlink,
                status.st_blocks,
            ]
            assert _ns(entry["mtime"]) == status.st_mtime_ns
            assert _ns(entry["ctime"]) == status.st_ctime_ns
            xattrs = {
                name: os.getxattr(real, name, follow_symlinks=False)
                for name in os.listxattr(real, follow_symlinks=False)
            }
            assert {name: os.fsencode(value) for name, value in entry["xattrs"].items()} == xattrs


@pytest.mark.kernel
def test_text_agrees_with_stat(
    dataroot_path: Path, mounted_by_kernel: MountedByKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of times, and the mode, are those stat(1) prints in the kernel's mount."""
    monkeypatch.setenv("TZ", "America/St_Johns")
    time.tzset()
    with mounted_by_kernel("lab/attributes:1") as mounted:
        names = sorted(os.listdir(mounted))
        done = subprocess.run(["stat", *names], cwd=mounted, capture_output=True, check=True)
    theirs = os.fsdecode(done.stdout).split("\n")
    expected = [line for line in theirs if line.startswith(("Modify:", "Change:"))]
    modes = [line.split(")")[0] for line in theirs if line.startswith("Access: (")]
    ours = layerfs(dataroot_path, "stat", "lab/attributes:1", *names).stdout.splitlines()
    assert [line for line in ours if line.startswith(("Modify:", "Change:"))] == expected
    assert [line.split(")")[0] for line in ours if line.startswith("Access: (")] == modes
    assert len(expected) == 2 * len(names) > 20
    monkeypatch.undo()
    time.tzset()


def test_layer_and_backing_file_are_named(dataroot_path: Path) -> None:
    """The layer is the uppermost that has the file; the backing path leads to its very bytes."""
    root = DataRoot.open(dataroot_path)
    chain = root.chain(root.image("demo:latest"))
    [found] = layerfs(dataroot_path, "stat", "--format", "json", "demo:latest", "/etc/motd").json
    held = [
        (number, layer)
        for number, layer in enumerate(chain, 1)
        if (dataroot_path / "overlay2" / layer.cache_id / "diff/etc/motd").exists()
    ]
    number, layer = held[-1]
    assert len(held) > 1
    assert (found["layer"], found["diff_id"], found["chain_id"], found["cache_id"]) == (
        number,
        layer.diff_id,
        layer.chain_id,
        layer.cache_id,
    )
    assert found["backing_path"] == str(dataroot_path / "overlay2" / layer.cache_id / "diff/etc/motd")
    assert os.stat(found["backing_path"]).st_ino == found["inode"]


def test_merged_directory_names_every_layer(dataroot_path: Path) -> None:
    """The root of an image merges all its layers, uppermost first."""
    depth = len(DataRoot.open(dataroot_path).image("demo:latest").config.diff_ids)
    [found] = layerfs(dataroot_path, "stat", "--format", "json", "demo:latest", "/").json
    assert found["merged_layers"] == list(range(depth, 0, -1))
    text = layerfs(dataroot_path, "stat", "demo:latest", "/").stdout
    assert text.count(" Layer: ") == depth


def test_image_of_no_layers_has_a_root(dataroot_path: Path) -> None:
    """An image without layers has a root that no layer supplied."""
    done = layerfs(dataroot_path, "stat", "--format", "json", "zero/scratch:1", "/")
    assert done.code == 0
    assert (done.json[0]["layer"], done.json[0]["backing_path"]) == (None, None)


def test_links_are_followed_on_request_only(dataroot_path: Path) -> None:
    """Without -L a link is shown itself, with its target; with it, what it leads to inside the tree."""
    [link] = layerfs(dataroot_path, "stat", "--format", "json", "lab/attributes:1", "/link-up").json
    assert (link["type"], link["target"]) == ("symlink", "../../../../setuid")
    [led] = layerfs(dataroot_path, "stat", "-L", "--format", "json", "lab/attributes:1", "/link-up").json
    assert (led["type"], led["path"], led["mode"]) == ("file", "/setuid", "4755")


def test_template_takes_every_placeholder(dataroot_path: Path) -> None:
    """A template chooses among the values."""
    done = layerfs(dataroot_path, "stat", "--format", "{{.Layer}} {{.Mode}} {{.Name}}", "demo:latest", "/etc")
    assert done.stdout.split()[1:] == ["0755", "etc"]


def test_missing_path_is_told_and_the_rest_shown(dataroot_path: Path) -> None:
    """A path that is not there exits with 6, and the others are still shown."""
    done = layerfs(dataroot_path, "stat", "demo:latest", "/none", "/etc/motd")
    assert done.code == 6
    assert "File: /etc/motd" in done.stdout
    assert "/none: No such file or directory" in done.stderr


@pytest.mark.root
def test_hostile_attribute_is_harmless(copy: Path) -> None:
    """Attribute names and values from the image reach the terminal escaped."""
    root = copy
    data = DataRoot.open(root)
    layer = data.chain(data.image("demo:latest"))[-1]
    top = root / "overlay2" / layer.cache_id / "diff"
    os.setxattr(top, "user.\x1b[2Jname", b"\x1b[2Jvalue")
    text = layerfs(root, "stat", "demo:latest", "/").stdout
    assert "\x1b" not in text
    assert r"user.\033[2Jname=0x1b5b324a76616c7565" in text
