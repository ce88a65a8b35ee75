"""A store that a real containerd has open: layerfs reads what `ctr` says, and the trees are the kernel's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Layer
from layerfs.model import BareLayer
from layerfs.stores.containerd.store import ContainerdStore
from layerfs.stores.registry import Options
from tests.support.command import layerfs
from tests.support.containerd import running
from tests.support.kernel import kernel_snapshot
from tests.support.layouts import Layout, as_tar
from tests.support.samples import unpack_sample
from tests.support.snapshot import diff_snapshots, snapshot
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.model import Layer as StoredLayer
    from tests.support.containerd import Containerd

pytestmark = [pytest.mark.containerd, pytest.mark.kernel, pytest.mark.root]

BASE, UPPER, ODD = "docker.io/library/base:1", "docker.io/library/upper:1", "odd name/without:registry"


def _archive(program: bytes) -> bytes:
    """An archive of two images, a base with `program` and one on it with every kind of mark."""
    base = Layer().dir("bin").file("bin/fx", program, 0o755).dir("etc").file("etc/motd", b"base\n")
    base.file("etc/issue", b"issue\n").dir("srv").file("srv/old", b"old").symlink("etc/link", "motd")
    base.dir("opt").file("opt/kept", b"kept").link("opt/also", "opt/kept")
    base.dir("./", 0o700).file("opt/early", mtime=-5)
    base.file("opt/dropped", xattrs={"trusted.x": b"1", "user.y": b"2"})
    base.file("opt/made").whiteout("opt/made").whiteout("opt/never")
    base.dir("tmp", 0o1777, uid=7)
    upper = Layer().dir("etc").file("etc/motd", b"upper\n").whiteout("etc/issue")
    upper.dir("srv").opaque("srv").file("srv/new", b"new")
    third = Layer().dir("opt").file("opt/third", b"3").file("tmp/inner")
    layers = [base.done(), upper.done(), third.done()]
    layout = Layout()
    layout.name(layout.image(layers[:1], config={"Cmd": ["/bin/fx"]}), BASE)
    layout.name(layout.image(layers, config={"Labels": {"a": "b"}}), UPPER)
    return as_tar(layout.done())


CONTAINER = ("--null-io", "--cgroup", "")
"""How containers are run: without control groups, whose names the whole machine shares."""

IMPORTS = {
    "default": "",
    "k8s.io": "",
    "packed": "--no-unpack",
    "native": "--snapshotter native",
    "whole": "--snapshotter native",
}
"""By namespace how the images are imported into it."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """A containerd that runs: images unpacked and not, two namespaces, native, leftovers, containers."""
    place = tmp_path_factory.mktemp("containerd")
    sample = unpack_sample("containerd-1.6-store", place / "sample")
    program = next(sample.glob("io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs/bin/fx")).read_bytes()
    (place / "images.tar").write_bytes(_archive(program))
    (place / "live").mkdir()
    with running(place / "live") as found:
        for namespace, option in IMPORTS.items():
            found.ctr("images", "import", *option.split(), str(place / "images.tar"), namespace=namespace)
        found.ctr("images", "tag", UPPER, ODD)
        top = next(row[0] for row in found.rows("snapshots", "ls") if row[1].startswith("sha256:"))
        found.ctr("snapshots", "prepare", "left-active", top)
        words = ("write", "/edited", "e", ",", "rm", "/etc/motd", ",", "append", "/opt/kept", "more")
        found.ctr("run", *CONTAINER, UPPER, "web", "/bin/fx", *words)
        found.ctr("run", *CONTAINER, BASE, "alone", "/bin/fx", "write", "/x", "y")
        found.ctr("images", "rm", "--sync", BASE)
        found.ctr("snapshots", "view", "left-view", top)
        found.ctr("snapshots", "label", "left-view", "containerd.io/gc.root=now")
        yield found


SNAPSHOTTERS = {"default": "overlayfs", "k8s.io": "overlayfs", "packed": "overlayfs", "native": "native"}
"""The namespaces of the store, and the snapshotter that each uses."""


@pytest.fixture(params=SNAPSHOTTERS)
def namespace(request: pytest.FixtureRequest) -> str:
    """Each namespace in turn."""
    found: str = request.param
    return found


def _store(live: Containerd, namespace: str) -> ContainerdStore:
    return ContainerdStore.open(str(live.root), Options(namespace=namespace))


def _layer(store: ContainerdStore, key: str) -> StoredLayer | BareLayer:
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
        taken[key] = store.content_size(BareLayer(placed.place)) or 0
    told = {row[0]: f"{row[1]} {row[2]}" for row in usage if wanted[row[0]][1] != "view"}  # not counted
    assert told == {key: f"{size / 1024:.1f} KiB" for key, size in taken.items() if key in told}
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
    assert {item.id: item.config.image_ref for item in store.containers() if item.config} == wanted
    assert set(wanted) == ({"web", "alone"} if namespace == "default" else set())


@pytest.mark.parametrize("image", [BASE, UPPER])
def test_images_are_as_ctr_mounts_them(live: Containerd, tmp_path: Path, namespace: str, image: str) -> None:
    """The tree of an image, unpacked as layers or as whole trees or not at all, is what containerd mounts."""
    if (namespace, image) == ("default", BASE):
        return  # it was removed there
    store = _store(live, namespace)
    found = tree_snapshot(store.tree(store.image(image)))
    with live.mounted(image, tmp_path / "mnt", namespace=namespace) as place:
        lines = diff_snapshots(snapshot(place), found)
    assert [line for line in lines if not _is_of_unpacking(line, whole=namespace == "native")] == []
    assert store.damage == []


def _is_of_unpacking(line: str, *, whole: bool) -> bool:
    """What each unpacking makes anew: the times of the root and of a directory whose tar has none.

    Of a whole tree, which is copied for each layer, the times of all directories; and it counts their links.
    """
    return line.startswith(("b'': mtime_ns", "b'tmp': mtime_ns")) or (
        whole and (": nlink: expected 1, " in line or ": mtime_ns: " in line)
    )


def test_a_whole_tree_is_its_directory(live: Containerd) -> None:
    """An image of the native snapshotter is one directory, to the last attribute."""
    store = _store(live, "whole")  # nobody mounts it, which would unpack it for overlayfs
    image = store.image(UPPER)
    (layer,) = store.stack(image)
    directory = store.place(layer).directory
    assert directory
    assert Path(directory).parent.parent.name == "io.containerd.snapshotter.v1.native"
    assert diff_snapshots(snapshot(Path(directory)), tree_snapshot(store.tree(image))) == []
    for command in (
        ["changes", UPPER],
        ["blame", "-R", "--hidden", UPPER],
        ["waste", UPPER],
        ["deleted", UPPER],
    ):
        found = layerfs(live.root, "--namespace", "whole", *command)
        assert found.code in (0, 1), (command, found.stderr)


@pytest.mark.parametrize("key", ["web", "alone", "left-active", "left-view"])
def test_snapshots_are_as_ctr_would_mount_them(live: Containerd, key: str) -> None:
    """A container, also one without its image, and what nobody needs: the kernel's mount of ctr's options."""
    (line,) = live.ctr("snapshots", "mounts", "/mnt", key).splitlines()
    options = dict(item.partition("=")[::2] for item in line.split()[-1].split(","))
    layers = [Path(path) for path in (options.get("upperdir"), *options["lowerdir"].split(":")) if path]
    store = _store(live, "default")
    found = store.container(key) if key in ("web", "alone") else store.layer(key)
    tree = store.tree(found) if key in ("web", "alone") else store.tree_below(found)  # type: ignore[arg-type]
    lines = diff_snapshots(kernel_snapshot(layers), tree_snapshot(tree))
    assert [line for line in lines if not _is_of_unpacking(line, whole=False)] == []
    assert store.damage == []


def test_a_container_that_wrote(live: Containerd) -> None:
    """What it changed is told, of a store that is in use."""
    found = layerfs(live.root, "--namespace", "default", "diff", "web")
    assert set(found.stdout.splitlines()) >= {"A /edited", "D /etc/motd", "C /opt/kept"}
    assert layerfs(live.root, "--namespace", "default", "cat", "web", "/opt/kept").stdout == "keptmore\n"
