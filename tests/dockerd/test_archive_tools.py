"""Archives that Docker, skopeo, umoci and Podman write of the same images, beside the root they came from."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from layerfs.cache.options import CacheOptions
from layerfs.stores.archive.store import ArchiveStore
from tests.support.snapshot import diff_snapshots
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.engine import Engine

pytestmark = pytest.mark.dockerd

NAME = "demo:latest"


@pytest.fixture(scope="module")
def saved(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`docker save` of one image of the recorded root."""
    path = tmp_path_factory.mktemp("saved") / "demo.tar"
    engine.cli("save", "--output", path, NAME)
    return path


def _compare(engine: Engine, path: Path, cache: Path, name: str | None = NAME) -> None:
    """The same ID, chain, size and tree as in the Engine's own root, and no fault."""
    store = ArchiveStore.open(path, cache=CacheOptions(directory=str(cache)))
    root = DataRoot.open(engine.root)
    image, theirs = store.image(name), root.image(NAME)
    assert image.chain == theirs.chain
    assert store.size(image) == root.size(theirs)
    expected, found = tree_snapshot(root.tree(theirs)), tree_snapshot(store.tree(image))
    for name_, entry in found.items():  # when the Engine made a directory that no header names, none tells
        if not entry.mtime_ns:
            expected[name_] = replace(expected[name_], mtime_ns=0)
    assert diff_snapshots(expected, found) == []
    assert {fault.code for fault in store.faults()} <= {"media-type-wrong"}


def test_docker_save(engine: Engine, saved: Path, tmp_path: Path) -> None:
    """The Engine's own archive."""
    _compare(engine, saved, tmp_path / "cache")


@pytest.mark.skopeo
@pytest.mark.parametrize("target", ["oci:{0}/x:demo:latest", "oci-archive:{0}/x:demo:latest", "dir:{0}/x",
                                    "docker-archive:{0}/x:demo:latest"])  # fmt: skip
def test_skopeo(target: str, engine: Engine, saved: Path, tmp_path: Path) -> None:
    """Each form that skopeo writes, of compressed layers too."""
    place = target.format(tmp_path)
    command = ["skopeo", "copy", "--insecure-policy", "--quiet", f"docker-archive:{saved}", place]
    if target.startswith("dir"):
        command.insert(3, "--dest-compress")
    subprocess.run(command, check=True)
    _compare(engine, tmp_path / "x", tmp_path / "cache", None if target.startswith("dir") else NAME)


@pytest.mark.skopeo
@pytest.mark.umoci
def test_umoci(engine: Engine, saved: Path, tmp_path: Path) -> None:
    """A layout in which umoci has tagged an image: its names are tags alone."""
    source = f"docker-archive:{saved}"
    subprocess.run(
        ["skopeo", "copy", "--insecure-policy", "--quiet", source, f"oci:{tmp_path}/x:one"], check=True
    )
    subprocess.run(["umoci", "tag", "--image", f"{tmp_path}/x:one", "two"], check=True)
    for name in ("one", "two"):
        _compare(engine, tmp_path / "x", tmp_path / "cache", name)


@pytest.mark.skopeo
def test_podman(engine: Engine, saved: Path, tmp_path: Path) -> None:
    """Podman's own archives, where it is installed."""
    if not shutil.which("podman"):
        pytest.skip("podman is not installed (package podman)")
    base = ["podman", "--root", f"{tmp_path}/store", "--runroot", f"{tmp_path}/run", "--storage-driver=vfs"]
    done = subprocess.run([*base, "load", "--input", str(saved)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"podman cannot load here: {done.stderr.strip()[-200:]}")
    for form in ("docker-archive", "oci-archive", "oci-dir", "docker-dir"):
        target = tmp_path / form
        command = [
            *base,
            "save",
            "--quiet",
            "--format",
            form,
            "--output",
            str(target),
            "localhost/demo:latest",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            command[-1] = "docker.io/library/demo:latest"
            subprocess.run(command, check=True)
        _compare(engine, target, tmp_path / "cache", None)
