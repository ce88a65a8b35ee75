"""Entries that carry their attributes: devices, hostile values, and layers that have none."""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING

import pytest

from layerfs.formats.idmap import Owners, shifted
from layerfs.hostdir import HostDir
from layerfs.stores.containers_storage.forms import Form, stored_layer
from layerfs.tree.overlay import RawLayer

if TYPE_CHECKING:
    from pathlib import Path

_NAME = "user.containers.override_stat"


def _layer(place: Path, values: dict[str, str], form: Form = Form.KERNEL) -> RawLayer:
    for name, value in values.items():
        if name.endswith("/"):
            (place / name).mkdir(exist_ok=True)
        else:
            (place / name).write_text("12345")
        os.setxattr(place / name, _NAME, value.encode())
    return stored_layer(HostDir.open(place), form)


@pytest.mark.parametrize("form", Form)
def test_types_and_devices(form: Form, tmp_path: Path) -> None:
    """A regular file stands for what the disk could not hold; listed and looked up it is the same."""
    layer = _layer(
        tmp_path,
        {
            "./": "0:0:555",
            "tty": "0:5:620:char-4-1",
            "disk": "0:6:660:block-8-0",
            "pipe": "1:1:600:pipe",
            "sock": "2:2:777:socket",
            "file": "3:3:4755:file",
            "d/": "4:4:2711:dir",
        },
        form,
    )
    listed = {entry.name: entry.stat for entry in layer.scan(b"")}
    for name, found in listed.items():
        entry = layer.entry(name)
        assert entry is not None
        assert entry.stat == found
    assert {name: (found.mode, found.uid) for name, found in listed.items()} == {
        b"tty": (stat.S_IFCHR | 0o620, 0),
        b"disk": (stat.S_IFBLK | 0o660, 0),
        b"pipe": (stat.S_IFIFO | 0o600, 1),
        b"sock": (stat.S_IFSOCK | 0o777, 2),
        b"file": (stat.S_IFREG | 0o4755, 3),
        b"d": (stat.S_IFDIR | 0o2711, 4),
    }
    assert (listed[b"tty"].rdev, listed[b"disk"].rdev) == (os.makedev(4, 1), os.makedev(8, 0))
    assert (listed[b"tty"].size, listed[b"file"].size) == (0, 5)


@pytest.mark.parametrize("value", ["", "x", "0:0:644:symlink", "0:0:755:dir", "0:0:644:char", "-1:0:644"])
def test_hostile_values_are_told_once_and_ignored(
    value: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The entry is shown as on disk; the message names the file and its attribute."""
    layer = _layer(tmp_path, {"./": "0:0:755", "a": value, "b": value})
    found = [stat.S_IFMT(entry.stat.mode) for entry in layer.scan(b"")]
    assert found == [stat.S_IFREG] * 2
    (record,) = [item for item in caplog.records if item.levelno == logging.WARNING]
    assert _NAME in record.getMessage()
    assert str(tmp_path) in record.getMessage()
    assert record.__dict__["damage"] is True


def test_a_directory_stands_for_no_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Else what is in it could not be reached, and the file would have no content."""
    layer = _layer(tmp_path, {"./": "0:0:755", "d/": "0:0:644:file"})
    entry = layer.entry(b"d")
    assert entry is not None
    assert entry.stat.is_dir
    assert "d: " in caplog.text


def test_a_root_without_it_decides(tmp_path: Path) -> None:
    """In a layer whose root carries none it is an image's own attribute, and replaces nothing."""
    layer = _layer(tmp_path, {"f": "9:9:777"})
    entry = layer.entry(b"f")
    assert type(layer) is RawLayer
    assert entry is not None
    assert (entry.stat.uid, layer.xattr(b"f", _NAME.encode())) == (0, b"9:9:777")


def test_carried_owners_are_those_inside(tmp_path: Path) -> None:
    """A namespace shifts what is on disk, and not what is carried."""
    os.chown(tmp_path, 100_000, 100_000)
    layer = _layer(tmp_path, {"./": "0:0:755", "f": "33:33:644"})
    (tmp_path / "own").touch()
    os.chown(tmp_path / "own", 100_007, 100_008)
    shown = stored_layer(HostDir.open(tmp_path), Form.KERNEL, Owners(shifted(100_000), shifted(100_000)))
    assert not layer.is_as_on_disk
    owners = {entry.name: (entry.stat.uid, entry.stat.gid) for entry in shown.scan(b"")}
    assert owners == {b"f": (33, 33), b"own": (7, 8)}
