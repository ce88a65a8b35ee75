"""A store that a real containerd has open: what layerfs reads is what `ctr` says, and the trees are the kernel's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs.stores.containerd.store import ContainerdStore
from layerfs.stores.registry import Options
from tests.containerd.conftest import BASE, UPPER
from tests.support.command import layerfs
from tests.support.kernel import kernel_snapshot
from tests.support.snapshot import diff_snapshots, snapshot
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from layerfs.model import BareLayer, Layer
    from tests.support.containerd import Containerd

pytestmark = [pytest.mark.containerd, pytest.mark.kernel, pytest.mark.root]

SNAPSHOTTERS = {"default": "overlayfs", "k8s.io": "overlayfs", "packed": "overlayfs", "native": "native"}
"""The namespaces of the store, and the snapshotter that each uses."""


@pytest.fixture(params=SNAPSHOTTERS)
def namespace(request: pytest.FixtureRequest) -> str:
    """Each namespace in turn."""
    found: str = request.param
    return found


def _store(live: Containerd, namespace: str) -> ContainerdStore:
    return ContainerdStore.open(str(live.root), Options(namespace=namespace))


def _layer(store: ContainerdStore, key: str) -> Layer | BareLayer:
    return store.layer(key)


def test_images_are_those_that_ctr_lists(live: Containerd, namespace: str) -> None:
    """Every name with its target, also a name that is no reference."""
    listed = live.ctr("images", "ls", namespace=namespace).splitlines()[1:]
    wanted = dict(re.split(r"\s+application/\S+\s+", line)[:2] for line in listed)
    store = _store(live, namespace)
    found = {
        name: image.target.digest for image in map(store.own_image, store.images()) for name in image.names
    }
    assert found == {name: rest.split()[0] for name, rest in wanted.items()}
    assert found
    assert store.damage == []


def test_snapshots_are_those_that_ctr_lists(live: Containerd, namespace: str) -> None:
    """Every key with the one below, its kind, and the bytes that it takes on disk."""
    name = SNAPSHOTTERS[namespace]
    rows = live.rows("snapshots", "--snapshotter", name, "ls", namespace=namespace)
    wanted = {row[0]: (row[1] if len(row) > 2 else "", row[-1].lower()) for row in rows}
    usage = live.rows("snapshots", "--snapshotter", name, "usage", namespace=namespace)
    store = _store(live, namespace)
    records = [
        item for item in store.snapshotters[name].all.values() if item.name.startswith(f"{namespace}/")
    ]
    found = {_key(item.name): (_key(item.parent), item.kind) for item in records}
    assert found == wanted
    assert bool(found) == (namespace != "packed")
    taken = {}
    for key in found:
        placed = store.placed(_layer(store, key))
        assert placed
        taken[key] = store.content_size(store.bare_layer(placed.place)) or 0
    assert {key: f"{size / 1024:.1f} KiB" for key, size in taken.items()} == {
        row[0]: f"{row[1]} {row[2]}" for row in usage
    }
    for item in records:
        assert item.size in (None, taken[_key(item.name)])


def _key(name: str) -> str:
    return name.split("/", 2)[-1]


def test_blobs_are_those_that_ctr_lists(live: Containerd, namespace: str) -> None:
    """Every digest that the namespace has is a file of its size."""
    digests = live.ctr("content", "ls", "-q", namespace=namespace).split()
    store = _store(live, namespace)
    (space,) = store.spaces
    assert sorted(space.blobs) == sorted(digests)
    assert {digest: blob.size for digest, blob in space.blobs.items()} == {
        digest: store.content.size(digest) for digest in digests
    }


def test_containers_are_those_that_ctr_lists(live: Containerd, namespace: str) -> None:
    """Every ID with its image, also of one whose image is gone."""
    wanted = {row[0]: row[1] for row in live.rows("containers", "ls", namespace=namespace)}
    store = _store(live, namespace)
    assert {item.id: item.config.image_name for item in store.containers() if item.config} == wanted
    assert set(wanted) == ({"web", "alone"} if namespace == "default" else set())


@pytest.mark.parametrize("image", [BASE, UPPER])
def test_images_are_as_ctr_mounts_them(live: Containerd, tmp_path: Path, namespace: str, image: str) -> None:
    """The tree of an image, unpacked as layers or as whole trees or not at all, is what containerd mounts."""
    if (namespace, image) == ("default", BASE):
        return  # it was removed there
    store = _store(live, namespace)
    found = tree_snapshot(store.tree(store.image(image)))
    options = ("--snapshotter", SNAPSHOTTERS[namespace])
    with live.mounted(image, tmp_path / "mnt", *options, namespace=namespace) as place:
        assert diff_snapshots(snapshot(place), found) == []
    assert store.damage == []


@pytest.mark.parametrize("key", ["web", "alone", "left-active", "left-view"])
def test_snapshots_are_as_ctr_would_mount_them(live: Containerd, key: str) -> None:
    """A container, also one whose image is gone, and what nobody needs: the kernel's mount of ctr's options."""
    (line,) = live.ctr("snapshots", "mounts", "/mnt", key).splitlines()
    options = dict(item.partition("=")[::2] for item in line.split()[-1].split(","))
    layers = [Path(path) for path in (options.get("upperdir"), *options["lowerdir"].split(":")) if path]
    store = _store(live, "default")
    found = store.container(key) if key in ("web", "alone") else store.layer(key)
    tree = store.tree(found) if key in ("web", "alone") else store.tree_below(found)  # type: ignore[arg-type]
    assert diff_snapshots(kernel_snapshot(layers), tree_snapshot(tree)) == []
    assert store.damage == []


def test_a_container_that_wrote(live: Containerd) -> None:
    """What it changed is told, of a store that is in use."""
    found = layerfs(live.root, "--namespace", "default", "diff", "web")
    assert set(found.stdout.splitlines()) >= {"A /edited", "D /etc/motd", "C /opt/kept"}
    assert layerfs(live.root, "--namespace", "default", "cat", "web", "/opt/kept").stdout == "keptmore"
