"""Layers of whole trees: a difference of two directories, and the union of both."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from layerfs.formats.whiteouts import TRUSTED
from layerfs.hostdir import HostDir
from layerfs.stores.containers_storage.wholetrees import DifferenceLayer, WholeTree
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.union import UnionTree
from tests.support.snapshot import diff_snapshots
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root


@pytest.fixture
def below(tmp_path: Path) -> Path:
    """A directory with files, directories, links and attributes."""
    top = tmp_path / "below"
    for name in ("a/b", "kept/deep", "empty"):
        (top / name).mkdir(parents=True)
    for name in ("a/file", "a/b/inner", "kept/deep/one", "two"):
        (top / name).write_text(name)
        os.utime(top / name, (1, 1))
    (top / "link").symlink_to("two")
    os.mknod(top / "device", 0o20600, os.makedev(1, 3))
    os.setxattr(top / "two", "user.note", b"x")
    return top


def _replace_dir(top: Path) -> None:
    shutil.rmtree(top / "a")
    (top / "a").write_text("now a file")


def _replace_file(top: Path) -> None:
    (top / "two").unlink()
    (top / "two").mkdir()
    (top / "two/in").write_text("x")


def _same_size_and_time(top: Path) -> None:
    (top / "a/file").write_text("a/FILE")
    os.utime(top / "a/file", (1, 1))


def _relink(top: Path) -> None:
    (top / "link").unlink()
    (top / "link").symlink_to("a/b")


CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "added": lambda top: (top / "kept/deep/new").write_text("x"),
    "removed": lambda top: (top / "a/b/inner").unlink(),
    "removed all": lambda top: shutil.rmtree(top / "kept"),
    "content of the same size and time": _same_size_and_time,
    "mode": lambda top: (top / "a/b").chmod(0o700),
    "owner": lambda top: os.chown(top / "two", 7, 8),
    "attribute": lambda top: os.setxattr(top / "two", "user.note", b"y"),
    "file for directory": _replace_dir,
    "directory for file": _replace_file,
    "link": _relink,
    "mark of overlayfs": lambda top: os.setxattr(top / "a", "trusted.overlay.opaque", b"y"),
}


def _union(below: Path, above: Path) -> UnionTree:
    layer = DifferenceLayer(HostDir.open(above), HostDir.open(below))
    return UnionTree([OverlayLayer(layer, TRUSTED), OverlayLayer(WholeTree(HostDir.open(below)), TRUSTED)])


@pytest.mark.parametrize("name", CHANGES)
def test_the_union_is_the_upper_tree(below: Path, name: str) -> None:
    """Whatever was done to a copy: it is the union of its difference and of what was copied."""
    above = below.with_name("above")
    shutil.copytree(below, above, symlinks=True, ignore=lambda *_: ["device"])
    os.mknod(above / "device", 0o20600, os.makedev(1, 3))
    for path in below.rglob("*"):
        found = path.lstat()
        os.utime(above / path.relative_to(below), ns=(0, found.st_mtime_ns), follow_symlinks=False)
    CHANGES[name](above)
    shown = tree_snapshot(_union(below, above))
    wanted = tree_snapshot(UnionTree([RawLayer(HostDir.open(above))]))
    assert [line for line in diff_snapshots(wanted, shown) if "nlink" not in line] == []


def test_what_is_the_same_is_not_in_the_layer(below: Path) -> None:
    """The layer has what changed, the directories it is in, and whiteouts."""
    above = below.with_name("above")
    subprocess.run(["cp", "-a", below, above], check=True)
    (above / "a/b/new").write_text("x")
    (above / "kept/deep/one").unlink()
    layer = DifferenceLayer(HostDir.open(above), HostDir.open(below))
    assert sorted(entry.name for entry in layer.scan(b"")) == [b"a", b"kept"]
    assert [entry.name for entry in layer.scan(b"a")] == [b"b"]
    assert [(entry.name, entry.stat.rdev) for entry in layer.scan(b"kept/deep")] == [(b"one", 0)]
    assert layer.entry(b"two") is None
