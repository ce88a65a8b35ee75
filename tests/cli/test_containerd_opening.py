"""containerd roots are found where engines keep them, and of several it is said which one is read."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bolt import bolt_tree
from tests.support.command import layerfs
from tests.support.samples import linked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.bolt import Nested

pytestmark = pytest.mark.root

CRI, DOCKER, CTR = "containerd-2.1-cri", "docker29-containerd", "containerd-1.6-store"
META = "io.containerd.metadata.v1.bolt/meta.db"
SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs/metadata.db"
NO_ROOT, DAMAGED = 4, 1

PLACES = {
    "var/lib/containerd": "kubernetes",
    "var/lib/rancher/k3s/agent/containerd": "k3s",
    "var/lib/rancher/rke2/agent/containerd": "rke2",
    "var/lib/k0s/containerd": "k0s",
    "var/snap/microk8s/common/var/lib/containerd": "microk8s",
    "home/ann/.local/share/containerd": "ann",
}


def _images(root: Path, *arguments: str) -> list[str]:
    done = layerfs(root, *arguments, "images", "-q", "--no-trunc")
    assert done.code == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("place", PLACES)
def test_a_root_is_found_in_its_usual_place(
    sample: Callable[[str], Path], tmp_path: Path, place: str
) -> None:
    """Below the top of a system each is found, and named with its engine."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("ann:x:1000:1000::/home/ann:/bin/sh\n")
    root = linked(sample(CRI), tmp_path / place)
    assert _images(tmp_path) == _images(root) == _images(sample(CRI)) != []
    said = layerfs(tmp_path, "-v", "images").stderr
    assert f"{root}: the containerd root of {PLACES[place]}" in said
    assert "other containerd roots" not in said


def test_of_several_roots_the_others_are_named(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """The system's own is read; one line names the rest, and `--root` chooses."""
    linked(sample(CTR), tmp_path / "var/lib/containerd")
    k3s = linked(sample(CRI), tmp_path / "var/lib/rancher/k3s/agent/containerd")
    done = layerfs(tmp_path, "--namespace", "k8s.io", "images", "-q", "--no-trunc")
    assert (done.code, done.stdout.split()) == (0, _images(sample(CTR), "--namespace", "k8s.io"))
    assert [line for line in done.stderr.splitlines() if str(k3s) in line] == done.stderr.splitlines() != []
    assert layerfs(k3s, "images").stderr == ""


def test_a_root_in_which_nothing_is_gives_way(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """A service that nobody uses has a root too: it is not read, and not told of."""
    empty = tmp_path / "var/lib/containerd" / META
    empty.parent.mkdir(parents=True)
    empty.write_bytes(bolt_tree({b"v1": {b"version": b"\x08"}}))
    linked(sample(CRI), tmp_path / "var/lib/rancher/k3s/agent/containerd")
    assert _images(tmp_path) == _images(sample(CRI))
    assert layerfs(tmp_path, "images").stderr == ""


# -- Docker ----------------------------------------------------------------------------------------


def _inside(sample: Path, tree: Path) -> Path:
    return linked(sample, tree / "var/lib/docker")


def _beside(sample: Path, tree: Path) -> Path:
    docker = _inside(sample, tree)
    (docker / "containerd/daemon").rename(tree / "var/lib/containerd")
    return docker


DOCKERS = {"inside": _inside, "beside": _beside}


@pytest.mark.parametrize("make", DOCKERS.values(), ids=DOCKERS)
def test_a_data_root_has_its_containerd_inside_or_beside(
    sample: Callable[[str], Path], tmp_path: Path, make: Callable[[Path, Path], Path]
) -> None:
    """Its images and its own notes of containers are shown, from the data root and from above it."""
    docker = make(sample(DOCKER), tmp_path)
    names = layerfs(sample(DOCKER), "containers", "--format", "{{.Names}}").stdout
    for root in (docker, tmp_path):
        assert _images(root) == _images(sample(DOCKER))
        assert layerfs(root, "containers", "--format", "{{.Names}}") == (0, names, "")


def test_a_remapped_engine_has_a_namespace_of_its_own(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """Its data root is a directory in the one that it was given, where its containerd is."""
    top = _inside(sample(DOCKER), tmp_path)
    remapped = top / "1000.1000"
    remapped.mkdir()
    for name in ("containers", "volumes", "buildkit", "engine-id"):
        (top / name).rename(remapped / name)
    _rename_namespace(top / "containerd/daemon", "moby", "moby-1000.1000")
    for root in (remapped, top, tmp_path):
        assert _images(root) == _images(sample(DOCKER))
        assert "changed" in layerfs(root, "containers").stdout


def _rename_namespace(root: Path, old: str, new: str) -> None:
    """Write the databases of a root anew, with another name of a namespace."""
    from layerfs.formats.bolt import Bucket, buffer_reader, open_bolt

    def renamed(bucket: Bucket) -> Nested:
        found: dict[bytes, Any] = {}
        for key, value in bucket.items():
            name = key.replace(old.encode() + b"/", new.encode() + b"/") if b"/" in key else key
            name = new.encode() if name == old.encode() else name
            if isinstance(value, bytes):
                found[name] = value.replace(f"{old}/".encode(), f"{new}/".encode())
            else:
                found[name] = renamed(value)
        return found

    for path in (root / META, root / SNAPSHOTS):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(bolt_tree(renamed(open_bolt(*buffer_reader(content)))))


def test_what_lies_beside_is_not_reached_by_a_link(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """A link of the evidence leads nowhere on the host; the path that was looked at is told."""
    docker = _beside(sample(DOCKER), tmp_path / "tree")
    (tmp_path / "tree/var/lib/containerd").rename(tmp_path / "outside")
    (tmp_path / "tree/var/lib/containerd").symlink_to(tmp_path / "outside")
    done = layerfs(docker, "images")
    assert (done.code, done.stdout) == (NO_ROOT, "")
    assert str(tmp_path / "tree/var/lib/containerd") in done.stderr


# -- two stores of one Docker ----------------------------------------------------------------------


def _two_stores(sample: Path, tree: Path, drivers: Mapping[str, str], settings: object = None) -> str:
    """A data root with images in both; `drivers` of containers by name. The ID of overlay2's image."""
    docker = _inside(sample, tree)
    content = json.dumps({"rootfs": {"type": "layers"}, "os": "linux", "architecture": "amd64"}).encode()
    digest = hashlib.sha256(content).hexdigest()
    configs = docker / "image/overlay2/imagedb/content/sha256"
    configs.mkdir(parents=True)
    (configs / digest).write_bytes(content)
    (docker / "overlay2").mkdir()
    for path in (docker / "containers").glob("*/config.v2.json"):
        noted = json.loads(path.read_bytes())
        if noted["Name"][1:] not in drivers:
            shutil.rmtree(path.parent)
            continue
        path.unlink()
        path.write_text(json.dumps({**noted, "Driver": drivers[noted["Name"][1:]]}))
        if drivers[noted["Name"][1:]] == "overlay2":
            mount = docker / "image/overlay2/layerdb/mounts" / noted["ID"]
            mount.mkdir(parents=True)
            (mount / "mount-id").write_text(noted["ID"])
            (docker / "overlay2" / noted["ID"] / "diff").mkdir(parents=True)
            (docker / "overlay2" / noted["ID"] / "link").write_text("A" * 26)
    if settings is not None:
        (tree / "etc/docker").mkdir(parents=True)
        (tree / "etc/docker/daemon.json").write_text(json.dumps(settings))
    return f"sha256:{digest}"


FEATURE = "containerd-snapshotter"
CHOICES: Mapping[str, tuple[dict[str, str], object, str]] = {
    "no container": ({}, None, "overlay2"),
    "its containers": ({"idle": "overlayfs"}, None, "containerd"),
    "containers before daemon.json": ({"idle": "overlay2"}, {"features": {FEATURE: True}}, "overlay2"),
    # `changed` is the oldest of the sample, `running` the newest
    "the newest container": ({"changed": "overlay2", "running": "overlayfs"}, None, "containerd"),
    "the newest of overlay2": ({"changed": "overlayfs", "running": "overlay2"}, None, "overlay2"),
    "daemon.json": ({}, {"features": {FEATURE: True}}, "containerd"),
    "daemon.json against": ({}, {"features": {FEATURE: False}, "storage-driver": "overlayfs"}, "overlay2"),
    "storage-driver": ({}, {"storage-driver": "overlayfs"}, "containerd"),
    "another storage-driver": ({}, {"storage-driver": "overlay2"}, "overlay2"),
    "odd daemon.json": ({}, {"features": []}, "overlay2"),
}


@pytest.mark.parametrize(("drivers", "settings", "wanted"), CHOICES.values(), ids=CHOICES)
def test_of_two_stores_the_one_in_use_is_read(
    sample: Callable[[str], Path], tmp_path: Path, drivers: dict[str, str], settings: object, wanted: str
) -> None:
    """One line tells of the other, from wherever it is opened, and `--store` chooses without a word."""
    own = _two_stores(sample(DOCKER), tmp_path, drivers, settings)
    images = {"overlay2": [own], "containerd": _images(sample(DOCKER))}
    for root in (tmp_path, tmp_path / "var/lib/docker"):
        done = layerfs(root, "images", "-q", "--no-trunc")
        assert (done.code, done.stdout.split()) == (0, images[wanted])
        assert len(done.stderr.splitlines()) == 1
        assert f"{wanted} is read" in done.stderr
    for word, found in images.items():
        assert layerfs(tmp_path, "--store", word, "images", "-q", "--no-trunc") == (
            *(0, "".join(f"{image}\n" for image in found), ""),
        )


def test_containers_of_the_other_store_are_not_called_damaged(
    sample: Callable[[str], Path], tmp_path: Path
) -> None:
    """Each store lists all that Docker notes, and says where the layers are that it has not."""
    _two_stores(sample(DOCKER), tmp_path, {"changed": "overlay2", "running": "overlayfs"})
    asked = ("containers", "--format", "{{.Names}} {{.Status}}")
    for word, elsewhere in (("overlay2", ["running"]), ("containerd", [])):
        done = layerfs(tmp_path, "--store", word, *asked)
        assert (done.code, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert {line.split()[0] for line in lines} == {"changed", "running"}
        assert [line.split()[0] for line in lines if "(layers in overlayfs)" in line] == elsewhere
        assert "missing" not in done.stdout


def test_a_store_that_is_not_there_is_not_chosen(sample: Callable[[str], Path]) -> None:
    """The error tells which there is."""
    done = layerfs(sample(DOCKER), "--store", "overlay2", "images")
    assert (done.code, done.stdout) == (NO_ROOT, "")
    assert "--store containerd" in done.stderr


def test_an_overlay2_root_with_another_engines_store_beside(
    sample: Callable[[str], Path], tmp_path: Path
) -> None:
    """What a node has in containerd is no second store of Docker: told of below a system, not of the root."""
    own = _two_stores(sample(DOCKER), tmp_path, {})
    shutil.rmtree(tmp_path / "var/lib/docker/containerd")
    node = linked(sample(CRI), tmp_path / "var/lib/containerd")
    assert layerfs(tmp_path / "var/lib/docker", "images", "-q", "--no-trunc") == (0, f"{own}\n", "")
    done = layerfs(tmp_path, "images", "-q", "--no-trunc")
    assert (done.code, done.stdout) == (0, f"{own}\n")
    assert str(node) in done.stderr
    assert _images(tmp_path, "--store", "containerd") == _images(sample(CRI))


# -- namespaces ------------------------------------------------------------------------------------


def test_of_several_namespaces_one_is_read(sample: Callable[[str], Path]) -> None:
    """That is said, and `--namespace` chooses."""
    root = sample(CTR)
    done = layerfs(root, "images", "-q", "--no-trunc")
    assert (done.code, done.stdout.split()) == (0, _images(root, "--namespace", "k8s.io"))
    assert "default" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert layerfs(root, "--namespace", "default", "images").stderr == ""
    refused = layerfs(root, "--namespace", "none", "images")
    assert refused.code == NO_ROOT
    assert "'default', 'k8s.io'" in refused.stderr


def test_all_namespaces_have_one_chain_in_several_directories(sample: Callable[[str], Path]) -> None:
    """Containers stand on the snapshots of their own namespace, and all show the same files."""
    root = sample(CTR)
    found = {
        space: layerfs(root, "--namespace", space, "layers", "web", "--format", "json").json
        for space in ("default", "all")
    }
    assert found["all"] == found["default"]
    hashes = {
        layerfs(root, "--namespace", space, "hashes", "multi:1") for space in ("default", "k8s.io", "all")
    }
    assert len(hashes) == 1


def test_a_layer_that_lies_twice_is_known_in_both_places(sample: Callable[[str], Path]) -> None:
    """Each directory is read by its own number, and neither is called an orphan or a build's."""
    root = sample(CTR)
    asked = ("--namespace", "all")
    layers = {
        space: {
            row["chain_id"]: row
            for row in layerfs(root, "--namespace", space, "layers", "--format", "json").json
        }
        for space in ("default", "k8s.io")
    }
    both = layers["default"].keys() & layers["k8s.io"].keys()
    pairs = [(layers["default"][chain], layers["k8s.io"][chain]) for chain in both]
    twins = [pair for pair in pairs if pair[0]["cache_id"] and pair[1]["cache_id"]]
    assert twins
    for row in (row for pair in twins for row in pair):
        (shown,) = layerfs(root, *asked, "inspect", row["cache_id"]).json
        assert (shown["ChainID"], shown["Directory"]) == (row["chain_id"], row["directory"])
        (told,) = layerfs(root, *asked, "whois", row["cache_id"], "--format", "json").json
        assert (told["chain_id"], told["directory"]) == (row["chain_id"], row["directory"])
        assert (told["orphan"], told["buildkit"]) == (False, False)
        assert told["images"]


# -- damage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"no database" * 1000], ids=["missing", "empty", "garbage"])
def test_without_meta_db_containers_of_docker_are_read(
    sample: Callable[[str], Path], tmp_path: Path, content: bytes | None
) -> None:
    """No image is known, which is said; Docker's notes and the snapshots of containers are all there."""
    docker = _inside(sample(DOCKER), tmp_path)
    path = docker / "containerd/daemon" / META
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    images = layerfs(docker, "images")
    assert (images.code, images.stdout) == (NO_ROOT, "")
    assert str(path) in images.stderr
    shown = layerfs(docker, "hashes", "changed")
    assert (shown.code, shown.stdout) == (DAMAGED, layerfs(sample(DOCKER), "hashes", "changed").stdout)
    assert str(path) in shown.stderr


@pytest.mark.parametrize("content", [None, b"no database" * 1000], ids=["missing", "garbage"])
def test_without_a_snapshotters_database_blobs_are_read(
    sample: Callable[[str], Path], tmp_path: Path, content: bytes | None
) -> None:
    """Which directory is whose is not known, which is said; images are read from their blobs."""
    root = linked(sample(CRI), tmp_path / "containerd")
    (root / SNAPSHOTS).unlink()
    if content is not None:
        (root / SNAPSHOTS).write_bytes(content)
    shown = layerfs(root, "hashes", "multi:1")
    assert (shown.code, shown.stdout) == (DAMAGED, layerfs(sample(CRI), "hashes", "multi:1").stdout)
    assert str(root / SNAPSHOTS) in shown.stderr


# -- stores ----------------------------------------------------------------------------------------


def test_stores_are_listed_by_namespace(sample: Callable[[str], Path], tmp_path: Path) -> None:
    """Each store once, with its engine and what the other commands count; nothing is said of others."""
    linked(sample(CTR), tmp_path / "var/lib/containerd")
    linked(sample(CRI), tmp_path / "var/lib/rancher/k3s/agent/containerd")
    _two_stores(sample(DOCKER), tmp_path, {"idle": "overlayfs"})
    done = layerfs(tmp_path, "stores", "--format", "json")
    assert (done.code, done.stderr) == (0, "")
    rows = {
        (row["path"].removeprefix(f"{tmp_path}/"), row["kind"], row["namespace"]): row for row in done.json
    }
    docker, own, k3s = "var/lib/docker", "var/lib/containerd", "var/lib/rancher/k3s/agent/containerd"
    assert {key: (row["owner"], row["images"], row["containers"]) for key, row in rows.items()} == {
        (docker, "docker", None): ("docker", 1, 1),
        (docker, "containerd", "moby"): ("docker", 13, 1),
        (own, "containerd", "k8s.io"): ("kubernetes", 7, 0),
        (own, "containerd", "default"): ("containerd", 7, 2),
        (k3s, "containerd", "k8s.io"): ("k3s", 8, 2),
    }
    for (path, _, namespace), row in rows.items():
        if namespace:
            asked = ("--store", "containerd", "--namespace", namespace)
            layers = layerfs(tmp_path / path, *asked, "layers", "--format", "json").json
            assert row["size"] == sum(layer["size"] or 0 for layer in layers if layer["chain_id"])


def test_a_namespace_of_a_store_without_is_refused(
    sample: Callable[[str], Path], tmp_path: Path, dataroot_path: Path
) -> None:
    """`--namespace` is never passed over: of two stores in one root it would show the other's images."""
    done = layerfs(dataroot_path, "--namespace", "k8s.io", "images")
    assert (done.code, done.stdout) == (NO_ROOT, "")
    assert "leave --namespace out" in done.stderr
    _two_stores(sample(DOCKER), tmp_path, {"changed": "overlay2"})
    done = layerfs(tmp_path, "--namespace", "moby", "images")
    assert (done.code, "--store containerd reads" in done.stderr) == (NO_ROOT, True), done.stderr
    assert layerfs(tmp_path, "--namespace", "moby", "--store", "containerd", "images").code == 0
