"""containerd's databases: what real stores hold, beside the engines' recorded answers, the files, sha256."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from layerfs.formats.bolt import open_bolt
from layerfs.formats.boltvalues import any_of, integer_of, time_of, unsigned_of
from layerfs.formats.containerdmeta import parse_meta
from layerfs.formats.errors import FormatError
from layerfs.formats.snapshotdb import ACTIVE, COMMITTED, SnapshotDB
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from layerfs.formats.containerdmeta import Namespace
    from layerfs.formats.snapshotdb import Snapshot

pytestmark = pytest.mark.root

DOCKER = ("docker29-containerd", "containerd/daemon", "overlayfs")
STORES = (
    DOCKER,
    ("containerd-1.6-store", ".", "overlayfs"),
    ("containerd-2.1-cri", ".", "overlayfs"),
    ("containerd-2.1-erofs", ".", "erofs"),
)
each_store = pytest.mark.parametrize("store", STORES, ids=lambda store: store[0])


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Unpacks a sample once."""
    found: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in found:
            found[name] = unpack_sample(name, tmp_path_factory.mktemp(name))
        return found[name]

    return get


def meta(root: Path) -> dict[str, Namespace]:
    """The namespaces of a containerd root; a malformed record fails."""
    content = (root / "io.containerd.metadata.v1.bolt/meta.db").read_bytes()
    faults: list[FormatError] = []
    root_bucket = open_bolt(lambda at, size: content[at : at + size], len(content))
    found = parse_meta(root_bucket, faults.append)
    assert faults == []
    return found


def snapshots(root: Path, snapshotter: str) -> Mapping[str, Snapshot]:
    """The snapshots of a snapshotter; likewise."""
    content = (root / f"io.containerd.snapshotter.v1.{snapshotter}/metadata.db").read_bytes()
    faults: list[FormatError] = []
    found = SnapshotDB(open_bolt(lambda at, size: content[at : at + size], len(content)), faults.append).all
    assert faults == []
    return found


@each_store
def test_every_blob_is_the_file_of_its_size_and_digest(
    store: tuple[str, str, str], unpacked: Callable[[str], Path]
) -> None:
    """Each blob that a namespace has is a file of that many bytes, which hash to its name."""
    root = unpacked(store[0]) / store[1]
    blobs = {(item.digest, item.size) for space in meta(root).values() for item in space.blobs.values()}
    assert blobs
    for digest, size in blobs:
        content = (root / "io.containerd.content.v1.content/blobs" / digest.replace(":", "/")).read_bytes()
        assert (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}") == (size, digest)


@each_store
def test_snapshots_of_both_databases_are_the_directories(
    store: tuple[str, str, str], unpacked: Callable[[str], Path]
) -> None:
    """What the namespaces name and what the snapshotter has agree, on names, on parents and with the disk."""
    root = unpacked(store[0]) / store[1]
    known = snapshots(root, store[2])
    named = [(space, item) for space in meta(root).values() for item in space.snapshots(store[2]).values()]
    assert named
    assert {item.name for _, item in named} <= known.keys()
    for space, item in named:
        parent = space.snapshots(store[2])[item.parent].name if item.parent else ""
        assert known[item.name].parent == parent
    directory = root / f"io.containerd.snapshotter.v1.{store[2]}/snapshots"
    on_disk = {int(path.name) for path in directory.iterdir() if path.name.isdecimal()}
    assert {item.number for item in known.values()} <= on_disk
    assert all((item.size is not None) == (item.kind == COMMITTED) for item in known.values())


def test_names_are_those_docker_lists(unpacked: Callable[[str], Path]) -> None:
    """Every image that Docker 29 listed is the target of its names, and there is no other target."""
    space = meta(unpacked(DOCKER[0]) / DOCKER[1])["moby"]
    names: defaultdict[str, set[str]] = defaultdict(set)
    for image in space.images.values():
        names[image.digest].add(image.name)
    listed = json.loads((unpacked("docker29-containerd-recorded") / "api-images.json").read_bytes())
    assert names.keys() == {row["Id"] for row in listed}
    for row in listed:
        tagged = (name for name in names[row["Id"]] if not name.startswith("moby-dangling@"))
        tags = {name.removeprefix("docker.io/library/").removeprefix("docker.io/") for name in tagged}
        assert tags == set(row["RepoTags"] or ())


def test_docker_containers_have_their_snapshots(unpacked: Callable[[str], Path]) -> None:
    """Every container that Docker 29 listed has a writable snapshot on its own init snapshot."""
    root = unpacked(DOCKER[0]) / DOCKER[1]
    space, known = meta(root)["moby"].snapshots("overlayfs"), snapshots(root, "overlayfs")
    listed = json.loads((unpacked("docker29-containerd-recorded") / "api-ps.json").read_bytes())
    assert listed
    for row in listed:
        own = space[row["Id"]]
        assert known[own.name].kind == ACTIVE
        assert own.parent == f"{row['Id']}-init"
        assert known[space[own.parent].name].kind == COMMITTED


def test_kubernetes_containers_carry_their_pod(unpacked: Callable[[str], Path]) -> None:
    """A container's own record and its sandbox's tell the same pod, in the form of their types."""
    containers = meta(unpacked("containerd-2.1-cri"))["k8s.io"].containers.values()
    by_kind = {item.labels["io.cri-containerd.kind"]: item for item in containers}
    assert by_kind.keys() == {"container", "sandbox"}
    labels = by_kind["sandbox"].labels
    pod = [labels[f"io.kubernetes.pod.{part}"] for part in ("name", "namespace")]
    for kind, item in by_kind.items():
        noted = item.extensions[f"io.cri-containerd.{kind}.metadata"]
        assert noted.type_url == f"github.com/containerd/cri/pkg/store/{kind}/Metadata"
        document = json.loads(noted.value)["Metadata"]
        assert document["ID"] == item.id == item.snapshot_key
        assert document["Name"].split("_")[-4:-2] == pod
    assert by_kind["container"].sandbox == by_kind["sandbox"].id


def test_values_are_go_s() -> None:
    """Integers are zigzag or plain varints, a time counts from year 1: bytes as Go 1.23 writes them."""
    assert (integer_of(b"\xf8\x01"), integer_of(b"\x01"), unsigned_of(b"\xf8\x01")) == (124, -1, 248)
    epoch = b"\x01" + (62_135_596_800).to_bytes(8, "big") + (7).to_bytes(4, "big") + b"\xff\xff"
    assert time_of(epoch) == 7
    assert time_of(b"\x02" + epoch[1:] + b"\x1e") == 7
    assert time_of(b"\x01" + bytes(12) + b"\xff\xff") is None
    assert any_of(b"\x0a\x01t\x12\x02{}") == ("t", b"{}")


@pytest.mark.parametrize(
    "read",
    [
        lambda: time_of(b"\x01\x02"),
        lambda: time_of(b"\x03" + bytes(14)),
        lambda: time_of(b"\x01" + bytes(8) + b"\xff" * 6),
        lambda: unsigned_of(b""),
        lambda: unsigned_of(b"\x80"),
        lambda: unsigned_of(b"\xff" * 9 + b"\x7f"),
        lambda: any_of(b"\x0a\x05t"),
        lambda: any_of(b"\x08\x01"),
    ],
)
def test_malformed_values_are_refused(read: Callable[[], object]) -> None:
    """A value that ends too early, or is of no known form, is a `FormatError` and no other error."""
    with pytest.raises(FormatError):
        read()
