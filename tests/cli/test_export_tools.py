"""OCI layouts and archives of ours as skopeo and umoci read them."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from tests.support.command import run_bytes
from tests.support.kernel import overlay_mount
from tests.support.mounts import stacked_by_docker
from tests.support.snapshot import snapshot, without_ghosts

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root


def _export(root: Path, *arguments: str) -> None:
    found = run_bytes(root, "export", *arguments)
    assert (found.code, found.stdout, found.stderr) == (0, b"", "")


def _layers(root: Path, image: str) -> list[dict[str, Any]]:
    return list(json.loads(run_bytes(root, "layers", "--format", "json", image).stdout))


@pytest.fixture(params=["oci", "oci-gzip", "oci-archive", "docker-archive"])
def exported(request: pytest.FixtureRequest, dataroot_path: Path, tmp_path: Path) -> str:
    """`demo:1.0` in each form that skopeo reads, by skopeo's name."""
    form, _, compressed = request.param.partition("-gzip")
    target = f"{tmp_path}/exported" + ("/" if form == "oci" else "")
    wanted = ["--format", "docker-archive" if form == "docker-archive" else "oci", "-o", target]
    _export(
        dataroot_path,
        *wanted,
        *(["--compress", "gzip"] if compressed or request.param == "oci-gzip" else []),
        "demo:1.0",
    )
    return f"{form}:{target.rstrip('/')}:demo:1.0"


@pytest.mark.skopeo
def test_skopeo_copies_it(dataroot_path: Path, exported: str, tmp_path: Path) -> None:
    """skopeo, which checks every digest, copies each form; the config's digest stays the image ID."""
    command = ["skopeo", "--insecure-policy", "copy", "--quiet", exported, f"dir:{tmp_path}/copied"]
    subprocess.run(command, check=True, capture_output=True)
    manifest = json.loads((tmp_path / "copied/manifest.json").read_text())
    image = DataRoot.open(dataroot_path).image("demo")
    assert manifest["config"]["digest"] == image.id
    raw = subprocess.run(
        ["skopeo", "inspect", "--config", "--raw", exported], check=True, capture_output=True
    ).stdout
    assert "sha256:" + hashlib.sha256(raw).hexdigest() == image.id


@pytest.mark.umoci
@pytest.mark.kernel
@pytest.mark.parametrize("compress", [[], ["--compress", "gzip"]], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", ["demo:1.0", "lab/whiteouts:1", "lab/links:1"])
def test_umoci_unpacks_it(dataroot_path: Path, tmp_path: Path, name: str, compress: list[str]) -> None:
    """What umoci unpacks of our layout is the tree that the kernel shows of the layers."""
    _export(dataroot_path, "--format", "oci", *compress, "-o", f"{tmp_path}/layout/", name)
    command = ["umoci", "unpack", "--image", f"{tmp_path}/layout:{name}", f"{tmp_path}/bundle"]
    subprocess.run(command, check=True, capture_output=True)
    with overlay_mount(stacked_by_docker(dataroot_path, _layers(dataroot_path, name)[-1]["cache_id"])) as top:
        expected = _plain(top)
    assert _plain(tmp_path / "bundle/rootfs") == expected
    assert len(expected) > 3


def _plain(top: Path) -> dict[bytes, tuple[object, ...]]:
    """What every unpacker keeps."""
    return {
        path: (entry.mode, entry.uid, entry.gid, entry.size, entry.target, entry.content, entry.links)
        for path, entry in without_ghosts(snapshot(top)).items()
        if path
    }


@pytest.mark.umoci
def test_umoci_unpacks_it_rootless(dataroot_path: Path, tmp_path: Path) -> None:
    """`umoci unpack --rootless` reads our layout, too."""
    _export(dataroot_path, "--format", "oci", "-o", f"{tmp_path}/layout/", "demo:1.0")
    command = [
        "umoci",
        "unpack",
        "--rootless",
        "--image",
        f"{tmp_path}/layout:demo:1.0",
        f"{tmp_path}/bundle",
    ]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "bundle/rootfs/etc/motd").read_text().startswith("Welcome. This file was replaced")
