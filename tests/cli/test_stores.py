"""`layerfs stores`: each store that lies below a directory, once, wherever engines keep them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bolt import bolt_tree
from tests.support.command import layerfs

if TYPE_CHECKING:
    from pathlib import Path

K3S = "var/lib/rancher/k3s/agent/containerd"
PODMAN = "home/ann/.local/share/containers/storage"
DATABASE = "io.containerd.metadata.v1.bolt/meta.db"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """The top of a system without stores, with a user and one whose home lies elsewhere."""
    top = tmp_path / "system"
    (top / "etc").mkdir(parents=True)
    (top / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n"
        "out:x:1001:1001::/../../outside:/bin/sh\nno line\n"
    )
    return top


def _containerd(path: Path) -> None:
    (path / DATABASE).parent.mkdir(parents=True)
    (path / DATABASE).write_bytes(bolt_tree({b"v1": {}}))


def _podman(path: Path) -> None:
    for name in ("overlay-images", "overlay-layers"):
        (path / name).mkdir(parents=True)


def _found(top: Path) -> dict[str, dict[str, Any]]:
    """The rows by their paths below the directory."""
    done = layerfs(top, "stores", "--format", "json")
    assert done.code == 0
    rows = {str(row.pop("path")).removeprefix(f"{top}").lstrip("/"): row for row in done.json}
    assert len(rows) == len(done.json)
    return rows


def test_a_system_without_stores(system: Path) -> None:
    """Nothing is found where nothing is."""
    assert _found(system) == {}


def test_usual_places_and_homes(system: Path) -> None:
    """Each is found with its owner and user, and said not to be read yet where it is not."""
    _containerd(system / K3S)
    _podman(system / PODMAN)
    _podman(system.parent / "outside/.local/share/containers/storage")
    rows = _found(system)
    assert rows.keys() == {K3S, PODMAN}
    assert (rows[K3S]["kind"], rows[K3S]["owner"], rows[K3S]["user"]) == ("containerd", "k3s", None)
    assert (rows[PODMAN]["kind"], rows[PODMAN]["owner"], rows[PODMAN]["user"]) == (
        "containers-storage",
        "podman",
        "ann",
    )
    assert rows[PODMAN]["problem"] == "not read yet"
    assert rows[PODMAN]["images"] is None


def test_a_store_that_is_read_is_counted(dataroot_path: Path) -> None:
    """Its images, containers and bytes are those that the other commands tell."""
    row = _found(dataroot_path)[""]
    assert (row["kind"], row["owner"], row["problem"]) == ("docker", "docker", None)
    listed = layerfs(dataroot_path, "images", "-a", "-q", "--no-trunc").stdout.split()
    assert row["images"] == len(set(listed))
    assert row["containers"] == len(layerfs(dataroot_path, "containers", "-q").stdout.split())
    layers = layerfs(dataroot_path, "layers", "--format", "json").json
    assert row["size"] == sum(layer["size"] or 0 for layer in layers if layer["chain_id"])


def test_stores_in_volumes_of_stores(system: Path) -> None:
    """An engine in a container keeps its store in a volume, mounted as the store or as /var."""
    outer = system / "var/lib/docker"
    for name in ("containers", "engine-id"):
        (outer / name).mkdir(parents=True)
    _podman(outer / "volumes/storage/_data")
    _containerd(outer / "volumes/node/_data/lib/containerd")
    rows = _found(system)
    assert rows.keys() == {
        "var/lib/docker",
        "var/lib/docker/volumes/storage/_data",
        "var/lib/docker/volumes/node/_data/lib/containerd",
    }
    assert {row["inside"] for row in rows.values()} == {None, str(outer)}


def test_links_are_resolved_beneath(system: Path) -> None:
    """What a link in a usual place names is looked for in the evidence, and never on the host."""
    outside = system.parent / "outside"
    _containerd(outside)
    _podman(system / "data/podman")
    (system / "var/lib/containers").mkdir(parents=True)
    (system / "var/lib/containers/storage").symlink_to("/data/podman")
    (system / "var/lib/containerd").symlink_to(f"../../../{outside.name}")
    (system / "var/lib/docker").symlink_to(outside)
    (system / "var/lib/buildkit").symlink_to("buildkit")
    assert _found(system).keys() == {"data/podman"}


def test_copies_of_systems_side_by_side(system: Path) -> None:
    """A directory of evidence: what lies below each of its directories."""
    _containerd(system / "var/lib/containerd")
    _podman(system.parent / "copied")
    os.mkfifo(system.parent / "fifo")
    assert _found(system.parent).keys() == {"copied", "system/var/lib/containerd"}


def test_a_damaged_store_is_named(system: Path) -> None:
    """A Docker data root that cannot be opened is a row with what is wrong."""
    (system / "var/lib/docker/image/overlay2/imagedb").mkdir(parents=True)
    (system / "var/lib/docker/containers").mkdir(parents=True)
    done = layerfs("/none", "stores", str(system), "--format", "json")
    assert [row["kind"] for row in done.json] == ["docker"]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """It is said, with the exit code of a root that cannot be read."""
    done = layerfs("/", "stores", str(tmp_path / "none"))
    assert (done.code, done.stdout) == (4, "")
    assert "No such file or directory" in done.stderr
