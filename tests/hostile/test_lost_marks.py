"""Copies that lost `trusted.*` attributes or device nodes still give the right union, and say so."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from layerfs.analysis.tree.versions import versions
from tests.support.command import configs, layerfs
from tests.support.kernel import kernel_snapshot
from tests.support.snapshot import without_ghosts
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from layerfs import Image
    from layerfs.analysis.tree.versions import Hidden, Version
    from tests.support.snapshot import Entry, Snapshot

pytestmark = [pytest.mark.root, pytest.mark.kernel]

UNREPEATABLE = (
    "lab/redirect:1",
    "lab/metacopy:1",
    "lab/xattr-whiteouts:1",
    "lab/opaque-values:1",
    "lab/nodes:1",
)
"""Marks that are none of the archive's own: attributes in PAX records, and a real device 0:0."""


def _copy_without(source: Path, target: Path, *, attributes: bool, devices: bool) -> Path:
    """A copy as a careless tool makes it."""
    kept = "--preserve=all" if attributes else "--no-preserve=xattr"
    subprocess.run(["cp", "-a", kept, "--no-target-directory", source, target], check=True)
    if not devices:
        for directory, _, names in os.walk(target / "overlay2"):
            for path in (os.path.join(directory, name) for name in names):
                if stat.S_ISCHR(os.lstat(path).st_mode) and os.lstat(path).st_rdev == 0:
                    os.unlink(path)
    return target


def _shape(snapshot: Snapshot) -> dict[bytes, object]:
    """Names, types and contents: what a copy without attributes can still tell."""

    def told(entry: Entry) -> object:
        return entry.mode, entry.size, entry.target, entry.content

    return {
        path: told(entry)
        for path, entry in without_ghosts(snapshot).items()
        if not (stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode))
    }


def _lowerdirs(root: Path, image: Image) -> list[Path]:
    """The layers of an image, uppermost first, through the engine's own files."""
    stored = root / "image/overlay2/layerdb/sha256"
    return [
        root / "overlay2" / (stored / chain.hex / "cache-id").read_text() / "diff"
        for chain in reversed(image.chain)
    ]


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("attributes", "devices"),
    [(False, True), (True, False), (False, False)],
    ids=["xattrs", "devices", "both"],
)
def test_union_is_the_kernels_view_of_the_intact_root(
    dataroot_path: Path,
    tmp_path: Path,
    attributes: bool,  # noqa: FBT001
    devices: bool,  # noqa: FBT001
) -> None:
    """What the copy lost is taken from tar-split: each tree is what the kernel shows of the intact layers."""
    copied = _copy_without(dataroot_path, tmp_path / "root", attributes=attributes, devices=devices)
    # without containers nothing proves that marks survived, and nothing hides that they did not
    subprocess.run(["rm", "-rf", copied / "image/overlay2/layerdb/mounts"], check=True)
    root, compared = DataRoot.open(copied), 0
    for image in root.images():
        if not image.chain or image.name in UNREPEATABLE:
            continue
        expected = _shape(kernel_snapshot(_lowerdirs(dataroot_path, image)))
        assert _shape(tree_snapshot(root.tree(image))) == expected, image.name
        compared += 1
    assert compared > len(configs(dataroot_path)) // 2


@pytest.mark.timeout(120)
def test_restored_marks_are_said_aloud_once(dataroot_path: Path, tmp_path: Path) -> None:
    """The loss is reported on standard error, once for the whole root."""
    copied = _copy_without(dataroot_path, tmp_path / "root", attributes=False, devices=False)
    intact = layerfs(dataroot_path, "ls", "-R", "lab/whiteouts:1")
    found = layerfs(copied, "ls", "-R", "lab/whiteouts:1")
    assert (found.code, found.stdout) == (0, intact.stdout)
    assert "are taken from each layer's tar-split.json.gz" in found.stderr
    assert len(found.stderr.splitlines()) == len(set(found.stderr.splitlines()))


def test_hidden_versions_are_those_of_the_intact_root(dataroot_path: Path, tmp_path: Path) -> None:
    """What hides a version is known from tar-split too, for whole trees and for single paths."""
    copied = _copy_without(dataroot_path, tmp_path / "root", attributes=False, devices=False)
    subprocess.run(["rm", "-rf", copied / "image/overlay2/layerdb/mounts"], check=True)
    intact, lost = DataRoot.open(dataroot_path), DataRoot.open(copied)
    compared = 0
    for image in intact.images():
        if not image.chain or image.name in UNREPEATABLE:
            continue
        before, after = intact.tree(image).layers, lost.tree(image).layers
        expected = _told(versions(before))
        assert _told(versions(after)) == expected, image.name
        for path in {path for path, _, hidden in expected if hidden}:
            assert _told(versions(after, below=path)) == _told(versions(before, below=path)), path
            compared += 1
    assert compared > 20


def _told(found: Iterable[Version]) -> list[tuple[bytes, int, Hidden | None]]:
    devices = (stat.S_IFCHR, stat.S_IFBLK)
    return [(item.path, item.layer, item.hidden) for item in found if item.stat.kind not in devices]


@pytest.mark.timeout(120)
def test_differences_are_those_of_the_intact_root(dataroot_path: Path, tmp_path: Path) -> None:
    """What lost marks would have deleted is told by `diff` as of the intact root."""
    copied = _copy_without(dataroot_path, tmp_path / "root", attributes=False, devices=False)
    subprocess.run(["rm", "-rf", copied / "image/overlay2/layerdb/mounts"], check=True)
    for image in (
        "lab/whiteouts:1@3",
        "lab/opaque:1@2",
        "demo@5",
        "lab/names:1",
        "lab/links:1",
        "lab/twice:1@3",
    ):
        intact = layerfs(dataroot_path, "diff", "--ignore", "mtime", image)
        found = layerfs(copied, "diff", "--ignore", "mtime", image)
        assert intact.code == 1 or image.startswith("lab/twice")
        assert (found.code, found.stdout) == (intact.code, intact.stdout)
