"""`layerfs whois` and the commands that go over everything, on containerd's stores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs
from tests.support.containerdroots import ContainerdRoot
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

NAME = "docker.io/library/multi:1"
SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
CONTENT = "io.containerd.content.v1.content/blobs"


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A data root of Docker 29."""
    top = unpack_sample("docker29-containerd", tmp_path_factory.mktemp("whois"))
    return ContainerdRoot(top, "containerd/daemon", "moby")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A root of Kubernetes."""
    return ContainerdRoot(unpack_sample("containerd-2.1-cri", tmp_path_factory.mktemp("node")), ".", "k8s.io")


def whois(root: ContainerdRoot, thing: str | Path) -> dict[str, Any]:
    """The one answer."""
    result = layerfs(root.top, "whois", "--format", "json", str(thing))
    assert result.code == 0, result
    (row,) = result.json
    return dict(row)


def test_every_name_of_a_snapshot_leads_to_its_layer(docker: ContainerdRoot) -> None:
    """Its number, its key, its paths on any host, and its blob: the same layer, command and images."""
    for number, chain in enumerate(docker.layers(NAME), 1):
        place = docker.directory(chain).name
        names: list[str | Path] = [place, chain, f"/var/lib/containerd/{SNAPSHOTS}/{place}"]
        names += [f"/mnt/docker/containerd/daemon/{SNAPSHOTS}/{place}/fs", docker.directory(chain)]
        for name in names:
            row = whois(docker, name)
            assert (row["cache_id"], row["chain_id"], row["number"]) == (place, chain, number), name
            assert row["created_by"] == (f"step {number}" if number > 1 else "")  # an import has the base too
            assert "multi:1" in json.dumps(row["images"])
        digest = docker.digest_of(NAME, str(number))
        for name in (digest, f"/var/lib/containerd/{CONTENT}/{digest.replace(':', '/')}"):
            rows = layerfs(docker.top, "whois", "--format", "json", name).json
            assert chain in {row["chain_id"] for row in rows}, name


def test_a_file_s_path_tells_who_sees_it(docker: ContainerdRoot) -> None:
    """A path below a snapshot's files: which trees show it, and which layer hides it in the others."""
    base, middle, _ = docker.layers(NAME)
    seen = {}
    for key in (base, middle):
        row = whois(docker, f"/var/lib/containerd/{SNAPSHOTS}/{docker.directory(key).name}/fs/etc/motd")
        assert (row["path"], row["type"]) == ("/etc/motd", "file")
        seen[key] = {name: image for image in row["images"] for name in image["names"]}
    assert seen[base]["base:1"]["sees"] is True
    assert (seen[base]["multi:1"]["sees"], seen[base]["multi:1"]["hidden"]["by"]) == (False, 2)
    assert seen[middle]["multi:1"]["sees"] is True
    assert "base:1" not in seen[middle]


def test_paths_of_running_containers_lead_to_the_layer_that_shows_them(
    docker: ContainerdRoot, node: ContainerdRoot
) -> None:
    """Below a task's `rootfs`, and Docker's mount point: a file of the container, and one of its image."""
    listed = layerfs(node.top, "containers", "--format", "json").json
    (app,) = (row["id"] for row in listed if "app" in row["name"])
    task = f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{app}"
    own = whois(node, f"{task}/rootfs/etc/motd")
    assert (own["kind"], own["link"], own["path"]) == ("read-write layer", app, "/etc/motd")
    lower = whois(node, f"{task}/rootfs/etc/passwd")
    assert (lower["kind"], lower["number"], lower["path"]) == ("layer", 1, "/etc/passwd")
    assert whois(node, task)["kind"] == "container"
    noted = f"/var/lib/containerd/io.containerd.grpc.v1.cri/containers/{app}/status"
    assert whois(node, noted)["kind"] == "container"
    changed = docker.container("changed")
    lower = whois(docker, f"/var/lib/docker/rootfs/overlayfs/{changed}/etc/passwd")
    assert (lower["kind"], lower["number"]) == ("layer", 1)


def test_documents_lead_to_their_image(docker: ContainerdRoot) -> None:
    """The path of a manifest or config is the image."""
    for which in ("manifest", "config"):
        row = whois(docker, docker.blob(docker.digest_of(NAME, which)))
        assert (row["kind"], "multi:1" in json.dumps(row)) == ("image", True), which


def test_everything_is_gone_over(docker: ContainerdRoot) -> None:
    """`find --all`, `timeline --all` and `blame --all` reach every snapshot, of builds too."""
    marked = {}
    with docker.mended():
        for directory in sorted((docker.snapshotter / "snapshots").iterdir()):
            docker.keep(directory)
            if (directory / "fs").is_dir():
                (directory / "fs/everywhere").write_text(directory.name)
                marked[directory.name] = directory
        found = layerfs(docker.top, "find", "--all", "everywhere", "--format", "json")
        times = layerfs(docker.top, "timeline", "--all", "--format", "json")
        blame = layerfs(docker.top, "blame", "--all", "/everywhere", "--format", "json")
    assert {row["cache_id"] for row in found.json} == set(marked)
    assert {row["cache_id"] for row in times.json if row["path"] == "/everywhere"} == set(marked)
    chains = {docker.directory(chain).name for chain in docker.layers(NAME)}
    assert blame.code == 0
    assert len(blame.json) >= len(chains)


def test_a_container_is_told_once_though_its_snapshot_has_its_id(
    docker: ContainerdRoot, node: ContainerdRoot
) -> None:
    """Its ID in full is the key of its snapshot: one answer, with both."""
    for root in (docker, node):
        for row in layerfs(root.top, "containers", "-a", "--format", "json").json:
            found = whois(root, row["id"])
            assert (found["kind"], found["link"]) == ("container", row["id"])


def test_words_are_those_of_the_store(docker: ContainerdRoot) -> None:
    """Snapshots have numbers and keys; cache IDs and links are overlay2's."""
    place = docker.directory(docker.layers(NAME)[1]).name
    told = [layerfs(docker.top, "whois", place).stdout, layerfs(docker.top, "whois", "nothing").stderr]
    tables = (["layers"], ["du", "--layers"], ["find", "--all", "motd"], ["waste", "--layers", "multi"])
    told += [layerfs(docker.top, *command).stdout.splitlines()[0] for command in tables]
    for text in told:
        assert "snapshot" in text.lower(), text
        assert "cache id" not in text.lower(), text
        assert "link" not in text.lower(), text


def test_a_layer_that_is_not_unpacked_is_not_called_missing(tmp_path: Path) -> None:
    """Of an image that was only downloaded nothing is lost: its cells are empty."""
    top = unpack_sample("containerd-1.6-store", tmp_path)
    done = layerfs(top, "layers", "contentonly:1")
    assert done.code == 0
    assert "missing" not in done.stdout
    (row,) = layerfs(top, "layers", "--format", "json", "contentonly:1").json
    assert (row["cache_id"], row["directory"]) == (None, None)


ODD = "odd name/without:registry"


@pytest.mark.parametrize("command", ["ls", "tree", "blame", "deleted", "hashes", "find"])
def test_a_name_that_is_no_reference_is_a_name(tmp_path: Path, command: str) -> None:
    """Containerd lets an image be called anything: what the store knows is no path that lacks its slash."""
    top = unpack_sample("containerd-1.6-store", tmp_path)
    space = ("--namespace", "default")
    assert layerfs(top, *space, command, ODD).stdout == layerfs(top, *space, command, "base:1").stdout != ""
    refused = layerfs(top, *space, command, "base:1:etc")
    assert (refused.code, "base:1:/etc" in refused.stderr) == (2, True), refused
