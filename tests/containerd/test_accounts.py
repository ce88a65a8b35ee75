"""What holds snapshots and blobs of a containerd store, and what is counted when something is taken away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs
from tests.support.containerdroots import ContainerdRoot
from tests.support.recorded import Recorded
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.boltfiles import Tree

pytestmark = pytest.mark.root

ALONE = {
    "contentonly:1": "docker.io/library/contentonly:1",
    "dockertypes:1": "docker.io/library/dockertypes:1",
    "twice:1": "docker.io/library/twice:1",
    "zstd:1": "docker.io/library/zstd:1",
    "registry.example.com:5000/team/arch:1": "registry.example.com:5000/team/arch:1",
}
"""Images that nothing was made from, by what they are called and by their records."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A data root of Docker 29."""
    top = unpack_sample("docker29-containerd", tmp_path_factory.mktemp("accounts"))
    return ContainerdRoot(top, "containerd/daemon", "moby")


@pytest.fixture
def root(whole: ContainerdRoot) -> Iterator[ContainerdRoot]:
    """The same; what a test does to it is undone."""
    with whole.mended():
        yield whole


def _json(root: ContainerdRoot, *arguments: str) -> Any:
    found = layerfs(root.top, *arguments, "--format", "json")
    assert (found.code, found.stderr) == (0, "")
    return found.json


def _orphans(root: ContainerdRoot) -> set[str]:
    return {item["directory"].rpartition("/")[2] for item in _json(root, "du")["orphans"]}


def _numbers(root: ContainerdRoot, *keys: str) -> set[str]:
    return {root.directory(key).name for key in keys}


# -- what removal frees --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALONE)
def test_freed_is_what_the_total_loses(root: ContainerdRoot, name: str) -> None:
    """Without the record of an image the store's total is less by what was said to be freed."""
    before = _json(root, "du")
    (row,) = [row for row in before["images"] if name in row["references"]]
    outcome = _json(root, "du", "--what-if", name)
    root.edit_meta(lambda space: space[b"images"].pop(ALONE[name].encode()))
    assert before["total_size"] - _json(root, "du")["total_size"] == row["freed_size"]
    sizes = [item["size"] for item in (*outcome["layers"], *outcome["others"])]
    assert sum(sizes) == outcome["freed_size"] == row["freed_size"]


def test_snapshot_of_no_image_is_an_orphan(root: ContainerdRoot) -> None:
    """A layer that only the removed image had is named, with its size."""
    (layer,) = _json(root, "layers", "contentonly:1")
    root.edit_meta(lambda space: space[b"images"].pop(ALONE["contentonly:1"].encode()))
    (orphan,) = _json(root, "du")["orphans"]
    assert orphan["directory"].endswith(f"/snapshots/{layer['cache_id']}")
    assert orphan["size"] == layer["size"]


# -- what holds snapshots ------------------------------------------------------------------------


def _build_cache(root: ContainerdRoot) -> set[str]:
    """The keys of snapshots that are BuildKit's: of 25 characters, and views."""
    keys = (key.decode() for key in root.space()[b"snapshots"][b"overlayfs"] if key)
    return {key for key in keys if len(key.removesuffix("-view")) == 25 or key.endswith("-view")}


def test_records_and_leases_hold_the_build_cache(root: ContainerdRoot) -> None:
    """Each alone keeps the snapshots of a build cache from being orphans; without both they are."""
    records = root.top / "buildkit/containerd-overlayfs/metadata_v2.db"
    leased = {
        key.decode()
        for lease in root.space()[b"leases"].values()
        if isinstance(lease, dict)
        for key in lease.get(b"snapshots", {}).get(b"overlayfs", {})
    }
    assert _orphans(root) == set()
    root.remove(records)
    unleased = _build_cache(root) - leased
    assert _orphans(root) == _numbers(root, *unleased)
    root.edit_meta(lambda space: space.pop(b"leases"))
    assert _orphans(root) == _numbers(root, *_build_cache(root))
    assert len(_build_cache(root)) > len(unleased)


def test_build_cache_holds_without_leases(root: ContainerdRoot) -> None:
    """BuildKit's own records are enough."""
    root.edit_meta(lambda space: space.pop(b"leases"))
    assert _orphans(root) == set()


def test_containers_hold_their_snapshots(root: ContainerdRoot) -> None:
    """Without the notes and the lease of a container its two snapshots are orphans."""
    container = root.container("idle")
    root.remove(root.top / "containers" / container)
    root.edit_meta(lambda space: space[b"leases"].pop(container.encode()))
    assert _orphans(root) == _numbers(root, container, f"{container}-init")


@pytest.mark.parametrize(("year", "holds"), [(b"2001", False), (b"9999", True)])
def test_expired_lease_holds_nothing(root: ContainerdRoot, year: bytes, *, holds: bool) -> None:
    """A lease keeps its snapshots until the time that its label tells."""
    container = root.container("idle")
    root.remove(root.top / "containers" / container)
    until = {b"containerd.io/gc.expire": year + b"-02-03T04:05:06Z"}
    root.edit_meta(lambda space: space[b"leases"][container.encode()].update({b"labels": until}))
    assert _orphans(root) == (set() if holds else _numbers(root, container, f"{container}-init"))


def test_containers_and_leases_hold_layers_of_lost_images(root: ContainerdRoot) -> None:
    """What a container, or its lease alone, stands on is no orphan when the image is gone."""

    def forget_images(space: Tree) -> None:
        for name in [name for name in space[b"images"] if name]:
            del space[b"images"][name]

    root.edit_meta(forget_images)
    held = root.keys_below(root.container("changed"))
    assert len([key for key in held if key.startswith("sha256:")]) == 3
    assert not _orphans(root) & _numbers(root, *held)
    root.remove(root.top / "containers" / root.container("changed"))
    assert not _orphans(root) & _numbers(root, *held)


def test_what_only_lies_there_is_an_orphan(root: ContainerdRoot) -> None:
    """Directories without a record, half made or not, belong to nobody."""
    for name in ("new-123", "999"):
        root.make(root.snapshotter / "snapshots" / name, "fs", "work")
    assert _orphans(root) == {"new-123", "999"}


def test_labels_hold_snapshots_and_no_namespace_is_forgotten(tmp_path: Path) -> None:
    """A snapshot is held by its label; that an image has it in another namespace too makes it no orphan."""
    root = ContainerdRoot(unpack_sample("containerd-1.6-store", tmp_path), ".", "default")
    kept = root.directory("left-over").name
    for namespace in ("default", "all"):
        found = layerfs(root.top, "--namespace", namespace, "du", "--format", "json")
        orphans = {item["directory"].rpartition("/")[2] for item in found.json["orphans"]}
        assert kept not in orphans
        assert orphans <= _numbers(root, "a-view")


# -- what is counted -----------------------------------------------------------------------------


def test_blob_without_a_record_is_not_counted(root: ContainerdRoot) -> None:
    """A layer's blob that the namespace has dropped counts in neither size, as with Docker."""
    before = {row["id"]: row for row in _json(root, "images")}
    digest = root.digest_of(ALONE["zstd:1"], "1")
    size = root.blob(digest).stat().st_size
    root.edit_meta(lambda space: space[b"content"][b"blob"].pop(digest.encode()))
    for row in _json(root, "images"):
        lost = size if row["repository"] == "zstd" else 0
        was = before[row["id"]]
        assert (was["size"] - row["size"], was["content_size"] - row["content_size"]) == (lost, lost)
    assert before


def test_image_without_a_name_is_listed_when_asked_for(root: ContainerdRoot) -> None:
    """Docker's client shows one that lost its name with `-a` or `dangling` alone; JSON has it always."""
    target = root.target(ALONE["zstd:1"])

    def unname(space: Tree) -> None:
        images = space[b"images"]
        images[f"moby-dangling@{target}".encode()] = images.pop(ALONE["zstd:1"].encode())

    root.edit_meta(unname)
    for options, is_there in (((), False), (("-a",), True), (("--filter", "dangling=true"), True)):
        found = layerfs(root.top, "images", "--no-trunc", "-q", *options)
        assert (target in found.stdout.split()) == is_there
    assert target in {row["id"] for row in _json(root, "images")}
    assert target in {row["id"] for row in _json(root, "system", "df", "-v")["images"]}


def test_shared_sizes_of_all_images(root: ContainerdRoot) -> None:
    """With names for the intermediate images too, what is shared is what the Engine said of all."""

    def name_all(space: Tree) -> None:
        images = space[b"images"]
        for number, name in enumerate([name for name in images if name.startswith(b"moby-dangling@")]):
            images[b"docker.io/library/step:%d" % number] = images.pop(name)

    theirs = {
        item["Id"]: (item["Size"], item["SharedSize"])
        for item in Recorded("docker29-containerd-recorded").json("api-images.json")
    }
    assert len(theirs) > len(_json(root, "du")["images"])
    root.edit_meta(name_all)
    found = _json(root, "du")["images"]
    assert {row["id"]: (row["size"], row["shared_size"]) for row in found} == theirs


def test_kubernetes_sizes_are_those_of_blobs(tmp_path: Path) -> None:
    """In the namespace of Kubernetes the ID is that of the config, and the size that of what was pulled."""
    root = ContainerdRoot(unpack_sample("containerd-2.1-cri", tmp_path), ".", "k8s.io")
    rows = {row["target"]: row for row in _json(root, "images")}
    for target, row in rows.items():
        document = json.loads(root.blob(target).read_bytes())
        size = root.blob(target).stat().st_size
        if "manifests" in document:  # the first is the one for this machine
            chosen = document["manifests"][0]
            size += chosen["size"]
            document = json.loads(root.blob(chosen["digest"]).read_bytes())
        named = [document["config"], *document["layers"]]
        assert (row["id"], row["size"]) == (
            document["config"]["digest"],
            size + sum(item["size"] for item in named),
        )
        assert row["disk_usage"] > row["content_size"]
    assert next(row["size"] for row in rows.values() if row["repository"] == "base") == 7192
