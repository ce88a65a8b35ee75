"""Directories that are no overlay2 data root are named for what they are; those that are, are found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.command import layerfs
from tests.support.kernel import private_dir
from tests.support.nobody import layerfs_as_nobody

NO_ROOT = 4

KINDS = {
    "empty": (
        [],
        "not a Docker data root: there is no image/overlay2 in it, nor a containerd root, nor a graph root",
    ),
    "far above a store": (["a/store/image/overlay2/"], "`layerfs stores DIRECTORY` looks for them"),
    "vfs": (["image/vfs/", "vfs/dir/", "containers/"], "storage driver 'vfs'"),
    "fuse-overlayfs": (["image/fuse-overlayfs/", "fuse-overlayfs/"], "storage driver 'fuse-overlayfs'"),
    "btrfs": (["image/btrfs/layerdb/"], "storage driver 'btrfs'"),
    "remapped": (["100000.100000/image/overlay2/", "231072.231072/image/overlay2/"], "100000.100000"),
    "containers-storage on btrfs": (["btrfs-images/", "btrfs-layers/"], "storage driver 'btrfs'"),
    "Docker without its containerd": (
        ["containers/", "volumes/", "engine-id"],
        "neither at {root}/containerd/daemon nor at {above}/containerd",
    ),
    "the image directory": (["overlay2/repositories.json"], "part of a Docker data root"),
    "the driver's directory": (["imagedb/", "layerdb/", "repositories.json"], "part of a Docker data root"),
    "the overlay2 directory": (["l/", "0" * 64 + "/diff/"], "part of a Docker data root"),
}


@pytest.mark.parametrize(("paths", "named"), KINDS.values(), ids=KINDS)
def test_what_is_no_data_root_is_named(tmp_path: Path, paths: list[str], named: str) -> None:
    """The error says what the directory is instead, with exit code 4 and no listing."""
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).mkdir(exist_ok=True) if path.endswith("/") else (tmp_path / path).touch()
    found = layerfs(tmp_path, "images")
    assert (found.code, found.stdout) == (NO_ROOT, "")
    assert named.format(root=tmp_path, above=tmp_path.parent) in found.stderr
    assert str(tmp_path) in found.stderr


def test_remapped_root_lists_its_subroots(tmp_path: Path) -> None:
    """A root with user namespace remapping names every data root in it, and each opens."""
    for name in ("100000.100000", "231072.231072"):
        (tmp_path / name / "image/overlay2").mkdir(parents=True)
    found = layerfs(tmp_path, "images")
    assert str(tmp_path / "100000.100000") in found.stderr
    assert str(tmp_path / "231072.231072") in found.stderr
    assert layerfs(tmp_path / "231072.231072", "images").code == 0


@pytest.mark.parametrize("make", [Path.touch, None], ids=["file", "missing"])
def test_no_directory_is_no_root(tmp_path: Path, make: object) -> None:
    """A file, or nothing at all, is an error that names the path."""
    path = tmp_path / "root"
    if make:
        path.touch()
    found = layerfs(path, "images")
    assert (found.code, str(path) in found.stderr) == (NO_ROOT, True)


def test_fresh_root_is_an_empty_listing(tmp_path: Path) -> None:
    """A store in which nothing was ever pulled has no images, layers, or containers."""
    (tmp_path / "image/overlay2/imagedb/content/sha256").mkdir(parents=True)
    (tmp_path / "overlay2/l").mkdir(parents=True)
    for command in ("images", "layers", "containers", "du"):
        assert layerfs(tmp_path, command).code == 0
    assert layerfs(tmp_path, "images", "--format", "json").json == []


def test_evidence_tree_is_looked_into(dataroot_path: Path, tmp_path: Path) -> None:
    """The directory above var/lib/docker serves as well as the data root itself."""
    (tmp_path / "var/lib").mkdir(parents=True)
    moved = tmp_path / "var/lib/docker"
    shutil.copytree(dataroot_path / "image", moved / "image")
    (moved / "overlay2").mkdir()
    (moved / "containers").mkdir()
    found = layerfs(tmp_path, "images", "-q", "--no-trunc", "-a")
    assert found.stdout == layerfs(dataroot_path, "images", "-q", "--no-trunc", "-a").stdout != ""


@pytest.mark.parametrize("link", ["var", "var/lib", "var/lib/docker"])
def test_evidence_tree_never_leads_onto_the_host(dataroot_path: Path, tmp_path: Path, link: str) -> None:
    """A symbolic link on the way to var/lib/docker is not followed, even to a sound data root."""
    target = tmp_path / "host/var/lib/docker"
    target.parent.mkdir(parents=True)
    target.symlink_to(dataroot_path)
    evidence = tmp_path / "evidence"
    (evidence / link).parent.mkdir(parents=True)
    (evidence / link).symlink_to(tmp_path / "host" / link)
    found = layerfs(evidence, "images")
    assert (found.code, found.stdout) == (NO_ROOT, "")


@pytest.mark.root
def test_refused_permission_is_said() -> None:
    """An ordinary user who may not read the root is told so, with exit code 4."""
    with private_dir() as place:
        root = place / "root"
        (root / "image/overlay2").mkdir(parents=True)
        (root / "image").chmod(0o700)
        place.chmod(0o755)
        done = layerfs_as_nobody("--root", str(root), "images")
    assert (done.returncode, "permission denied" in done.stderr) == (NO_ROOT, True)
