"""`ls`, `tree` and `stat` of a layer alone: each mark of overlayfs on disk is named, and no other."""

from __future__ import annotations

import functools
import os
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from layerfs import DataRoot
from tests.support.command import layerfs
from tests.support.kernel import check_trusted_xattrs, private_dir
from tests.support.layerspec import materialise
from tests.support.rootbuilder import RootBuilder
from tests.support.stacks import redirect_stacks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.layerspec import LayerSpec
    from tests.support.rootbuilder import BuiltLayer

pytestmark = pytest.mark.root

IMAGES = ("demo:1.0", "lab/opaque:1", "lab/opaque-values:1", "lab/whiteouts:1", "lab/xattr-whiteouts:1",
          "lab/redirect:1", "lab/metacopy:1", "lab/nodes:1")  # fmt: skip
PREFIX = "trusted.overlay."


def _on_disk(diff: Path) -> dict[str, tuple[list[str], str | None]]:
    """The marks of every entry below `diff/` by lstat(2) and getxattr(2), and where redirects lead."""
    found = {}
    for directory, names, files in os.walk(os.fsencode(diff)):
        for name in (*names, *files):
            path = directory + b"/" + name
            shown = path.removeprefix(os.fsencode(diff)).decode("utf-8", "surrogateescape")
            found[shown] = _marks(path)
    return found


def _marks(path: bytes) -> tuple[list[str], str | None]:
    status = os.lstat(path)
    own = set(os.listxattr(path, follow_symlinks=False))

    def value(name: str) -> bytes:
        return os.getxattr(path, PREFIX + name, follow_symlinks=False)

    marks = []
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        marks.append("whiteout")
    if stat.S_ISREG(status.st_mode) and status.st_size == 0 and f"{PREFIX}whiteout" in own:
        return ["whiteout"], None
    if stat.S_ISDIR(status.st_mode) and f"{PREFIX}opaque" in own and value("opaque") == b"y":
        marks.append("opaque")
    is_metacopy = stat.S_ISREG(status.st_mode) and f"{PREFIX}metacopy" in own
    redirect = None
    if (stat.S_ISDIR(status.st_mode) or is_metacopy) and f"{PREFIX}redirect" in own:
        marks.append("redirect")
        redirect = value("redirect").decode("utf-8", "surrogateescape")
    return marks + ["metacopy"] * is_metacopy, redirect


def _said(root: Path, name: str, number: int) -> dict[str, tuple[list[str], str | None]]:
    rows: list[dict[str, Any]] = layerfs(
        root, "ls", "-RA", "--format", "json", "--layer", str(number), name
    ).json
    return {row["path"]: (row["marks"], row["redirect"]) for row in rows}


@pytest.mark.parametrize("name", IMAGES)
def test_every_mark_of_the_recorded_root_is_named(dataroot_path: Path, name: str) -> None:
    """JSON has the marks that are on disk; the text of `ls` and `tree` has them behind each name."""
    root = DataRoot.open(dataroot_path)
    for number, layer in enumerate(root.chain(root.image(name)), 1):
        expected = _on_disk(dataroot_path / "overlay2" / layer.cache_id / "diff")
        assert _said(dataroot_path, name, number) == expected
        for command in (("ls", "-RA"), ("ls", "-RAl"), ("tree", "-a")):
            done = layerfs(dataroot_path, *command, "--layer", str(number), name)
            assert done.code == 0
            words = re.findall(r" \[(.*)\]$", done.stdout, re.MULTILINE)
            shown = [word.split(" ")[0] for text in words for word in text.split(", ")]
            assert sorted(shown) == sorted(mark for marks, _ in expected.values() for mark in marks)


@settings(max_examples=8)
@given(redirect_stacks(max_layers=3))
def test_every_mark_of_generated_layers_is_named(stack: list[LayerSpec]) -> None:
    """The same for any layers."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        builder = RootBuilder(work / "root")
        built: list[BuiltLayer] = []
        for spec in reversed(stack):
            built.append(builder.layer(built[-1] if built else None, functools.partial(materialise, spec)))
        builder.image(built[-1], "generated:1")
        root = builder.finish()
        for number, layer in enumerate(built, 1):
            assert _said(root, "generated:1", number) == _on_disk(layer.diff)


def test_whiteouts_are_counted_as_such(dataroot_path: Path) -> None:
    """The summary of `tree` counts no whiteout as a file, and `stat` does not call one a device alone."""
    done = layerfs(dataroot_path, "tree", "--layer", "5", "demo:1.0")
    assert done.stdout.splitlines()[-1] == "2 directories, 0 files, 1 whiteout"
    done = layerfs(dataroot_path, "stat", "--layer", "5", "demo:1.0", "/root/password.txt")
    assert "character special file [whiteout]" in done.stdout


def test_a_layer_by_its_own_name_has_marks_and_a_tree_has_none(dataroot_path: Path) -> None:
    """A chain ID as NAME is a layer alone too; in the tree of an image marks are null."""
    root = DataRoot.open(dataroot_path)
    layer = root.chain(root.image("demo:1.0"))[4]
    (row,) = layerfs(dataroot_path, "ls", "--format", "json", layer.chain_id, "/root").json
    assert (row["name"], row["marks"]) == ("password.txt", ["whiteout"])
    rows = layerfs(dataroot_path, "ls", "--format", "json", "demo:1.0", "/").json
    assert {(row["marks"], row["redirect"]) for row in rows} == {(None, None)}


@pytest.mark.parametrize("metadata", ["disk", "tar-split"])
def test_marks_come_from_where_attributes_do(dataroot_path: Path, metadata: str) -> None:
    """From the archive as from the disk: a copy that lost them shows whiteouts and opaque directories too."""
    for name, number in (("lab/whiteouts:1", 3), ("lab/opaque:1", 2)):
        disk = layerfs(dataroot_path, "tree", "-a", "--layer", str(number), name)
        marked = layerfs(dataroot_path, "--metadata", metadata, "tree", "-a", "--layer", str(number), name)
        assert sorted(marked.stdout.splitlines()) == sorted(disk.stdout.splitlines())
        assert "[" in marked.stdout
