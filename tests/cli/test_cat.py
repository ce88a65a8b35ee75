"""`layerfs cat` against the files themselves."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from tests.support.command import run_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.support.command import Output

    MountedByKernel = Callable[[str], AbstractContextManager[Path]]

LAYERFS = str(Path(sys.executable).with_name("layerfs"))


def _cat(root: Path, *arguments: str) -> Output:
    return run_bytes(root, "cat", *arguments)


@pytest.mark.kernel
@pytest.mark.parametrize("image", ["demo:latest", "lab/types:1", "lab/hundred:latest", "buildkit:latest"])
def test_every_file_is_the_kernels(
    dataroot_path: Path, mounted_by_kernel: MountedByKernel, image: str
) -> None:
    """All regular files of an image, one after another, are byte for byte those of the kernel's mount."""
    with mounted_by_kernel(image) as mounted:
        files = [path for path in sorted(mounted.rglob("*")) if path.is_file() and not path.is_symlink()]
        expected = b"".join(path.read_bytes() for path in files)
        done = _cat(dataroot_path, image, *(f"/{path.relative_to(mounted)}" for path in files))
    assert (done.code, done.stderr) == (0, "")
    assert files
    assert done.stdout == expected


def test_failures_do_not_stop_it(dataroot_path: Path) -> None:
    """What cannot be read is told, in its place; the rest comes; the exit code is 6."""
    motd = _cat(dataroot_path, "demo:latest", "/etc/motd").stdout
    assert motd
    done = _cat(dataroot_path, "demo:latest", "/none", "/etc/motd", "/etc", "/etc/motd")
    assert done.code == 6
    assert done.stdout == motd * 2
    assert "/none: No such file or directory" in done.stderr
    assert "/etc: Is a directory" in done.stderr


def test_devices_and_fifos_are_never_opened(dataroot_path: Path) -> None:
    """Special files are refused, not opened: a FIFO would hang, a device would be the host's."""
    for path in ("/dev/null", "/dev/sda", "/dev/fifo"):
        done = _cat(dataroot_path, "lab/nodes:1", path)
        assert done.code == 6
        assert "never opened" in done.stderr


def test_links_stay_inside_the_tree(dataroot_path: Path) -> None:
    """An absolute link, or one with too many `..`, leads to the image's file, never the host's."""
    expected = _cat(dataroot_path, "lab/attributes:1", "/setuid")
    assert expected.code == 0
    for link in ("/link-absolute", "/link-up"):
        assert _cat(dataroot_path, "lab/attributes:1", link).stdout == expected.stdout


def test_reader_that_leaves_is_no_error(dataroot_path: Path) -> None:
    """When nobody reads on, the command ends at once and without a word."""
    program = f"{LAYERFS} --root {dataroot_path} cat odd /sparse; echo $? >&2"
    done = subprocess.run(
        ["bash", "-c", f"( {program} ) | head -c 10 | wc -c"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "10"
    assert done.stderr.strip() == "141"


def test_names_that_are_no_text_can_be_given(dataroot_path: Path) -> None:
    """A path on the command line means its bytes, whatever they are."""
    listed = subprocess.run(
        [LAYERFS, "--root", str(dataroot_path), "ls", "-A", "--format", "jsonl", "lab/names:1", "/"],
        capture_output=True,
        check=True,
    )
    names = [os.fsencode(json.loads(line)["path"]) for line in listed.stdout.splitlines()]
    odd = [name for name in names if b"\xff" in name or b"\xe9" in name or b"\xf0\xf0" in name]
    assert odd
    for name in odd:
        command: list[str | bytes] = [LAYERFS, "--root", str(dataroot_path), "cat", "lab/names:1", name]
        done = subprocess.run(command, capture_output=True, check=False)
        assert b"No such file" not in done.stderr


def test_earlier_state_is_read(dataroot_path: Path) -> None:
    """--up-to reads the file as it was; its bytes are those in that layer's own directory."""
    root = DataRoot.open(dataroot_path)
    chain = root.chain(root.image("demo:latest"))
    held = [
        (number, dataroot_path / "overlay2" / layer.cache_id / "diff/etc/motd")
        for number, layer in enumerate(chain, 1)
        if (dataroot_path / "overlay2" / layer.cache_id / "diff/etc/motd").exists()
    ]
    digests = set()
    for number, path in held:
        done = _cat(dataroot_path, "--up-to", str(number), "demo:latest", "/etc/motd")
        assert done.stdout == path.read_bytes()
        digests.add(hashlib.sha256(done.stdout).digest())
    assert len(digests) > 1
