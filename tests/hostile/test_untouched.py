"""The evidence stays as it is: not a byte, a name, or a time below the root changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.fixture import private_copy

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

NAMES = ("demo", "buildkit", "lab/whiteouts:1", "changed")
COMMANDS = (
    ["images", "-a", "--usage", "--digests"],
    ["containers", "--size"],
    ["layers"],
    ["du"],
    ["du", "--layers"],
    ["chain-id", "--steps", "demo"],
    ["history", "--layers", "demo"],
    *(["inspect", name] for name in NAMES),
    *(["ls", "-lR", name] for name in NAMES),
    *(["tree", name] for name in NAMES),
    ["waste", "--all"],
    ["waste", "--duplicates", "--all"],
    *(["waste", name] for name in NAMES[:-1]),
    ["stat", "demo", "/etc/motd", "/bin/sh"],
    ["blame", "demo", "/etc/motd"],
    ["blame", "--all", "/etc/motd"],
    *(["blame", "-R", "--hidden", "--no-trunc", name] for name in NAMES),
    *(["deleted", "--no-trunc", name] for name in NAMES),
    ["cat", "demo", "/etc/motd", "/bin/fx"],
)


def _state(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything a write would change, and the access times; those of links are the kernel's to keep."""
    found: dict[str, tuple[object, ...]] = {}
    for directory, names, files in os.walk(root):
        for name in [".", *names, *files]:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            is_link = os.path.islink(path)
            atime = None if is_link else status.st_atime_ns
            found[path] = (
                status.st_mode, status.st_nlink, status.st_uid, status.st_gid, status.st_size,
                status.st_mtime_ns, status.st_ctime_ns, status.st_ino, atime,
            )  # fmt: skip
    return found


@pytest.mark.timeout(120)
def test_reading_changes_nothing(dataroot_path: Path, tmp_path: Path) -> None:
    """After every reading command, each entry has its attributes and times, access times included."""
    root = private_copy(dataroot_path, tmp_path / "root")
    for directory, names, files in os.walk(root):  # old access times, so that relatime would renew them
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            os.utime(path, ns=(10**18, os.lstat(path).st_mtime_ns), follow_symlinks=False)
    before = _state(root)
    assert len(before) > 1000
    for command in COMMANDS:
        assert layerfs(root, *command).code in (0, 6), command
    after = _state(root)
    assert {path: (before[path], after[path]) for path in before if before[path] != after.get(path)} == {}
    assert set(after) == set(before)


CONTROL = bytes(range(32)).replace(b"\n", b"").replace(b"\t", b"") + b"\x7f"


@pytest.mark.parametrize("command", COMMANDS[:-1], ids=" ".join)
def test_no_control_byte_reaches_a_terminal(dataroot_path: Path, command: list[str]) -> None:
    """Tables never carry a control character, whatever names and histories the root holds."""
    command = [word.replace("lab/whiteouts:1", "lab/names:1") for word in command]
    found = layerfs(dataroot_path, *command)
    assert not set(found.stdout.encode("utf-8", "surrogateescape")) & set(CONTROL)
    assert not set(found.stderr.encode("utf-8", "surrogateescape")) & set(CONTROL)
