"""Mounts of damaged containerd stores: what is left is shown, what is lost is named, no mount stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerfs.stores.registry import Options, open_store
from tests.hostile.test_containerd_damage import CONTAINER, DAMAGES, IMAGE, altered, garbage, gone, half
from tests.support.command import layerfs
from tests.support.containerdroots import ContainerdRoot
from tests.support.kernel import kernel_snapshot
from tests.support.mounts import FUSE, mount_line, served
from tests.support.samples import unpack_sample
from tests.support.snapshot import diff_snapshots, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.snapshot import Snapshot

pytestmark = [pytest.mark.fuse, pytest.mark.kernel]

CORRUPT = 5
REFUSED: Mapping[str, tuple[str, ...]] = {
    "database gone": (CONTAINER,),
    "database half": (CONTAINER,),
    "no files of init": (CONTAINER,),
    "no files of container": (CONTAINER,),
    "no files and no blob": (IMAGE, CONTAINER),
    **{f"manifest {how.__name__}": (IMAGE,) for how in (gone, half)},
    **{f"config {how.__name__}": (IMAGE,) for how in (garbage, altered)},
}
"""By damage what cannot be shown then; everything else is shown whole."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A data root of Docker 29."""
    top = unpack_sample("docker29-containerd", tmp_path_factory.mktemp("damage"))
    return ContainerdRoot(top, "containerd/daemon", "moby")


@pytest.fixture(scope="module")
def right(root: ContainerdRoot) -> Mapping[str, Snapshot]:
    """The kernel's mount of the image and of the container, while all is intact."""
    keys = root.keys_below(root.container(CONTAINER))
    layers = [root.directory(key) / "fs" for key in keys]
    of_image = [layer for layer, key in zip(layers, keys, strict=True) if key.startswith("sha256:")]
    return {IMAGE: kernel_snapshot(of_image), CONTAINER: kernel_snapshot(layers)}


def _differences(right: Snapshot, top: Path, name: str, place: Path, driver: str) -> list[str]:
    """What a mount shows otherwise; but for times that no tar tells, where a layer is read from its blob."""
    store = open_store(top, Options())
    found = store.container(name) if name == CONTAINER else store.image(name)
    with served(store.tree(found), place, driver) as mounted:
        lines = diff_snapshots(right, snapshot(mounted))
    return [line for line in lines if not (": mtime_ns: " in line and line.endswith(", found 0"))]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_can_be_had_is_mounted(
    root: ContainerdRoot, right: Mapping[str, Snapshot], tmp_path: Path, damage: str
) -> None:
    """After every damage an image and a container are what the kernel showed, or are refused by name."""
    place = tmp_path / "mnt"
    with root.mended():
        DAMAGES[damage].do(root)
        for name in (IMAGE, CONTAINER):
            if name not in REFUSED.get(damage, ()):
                assert _differences(right[name], root.top, name, place, "native") == []
                continue
            place.mkdir()
            done = layerfs(root.top, "mount", name, str(place))
            assert (done.code, done.stdout) == (CORRUPT, ""), done
            assert DAMAGES[damage].told in done.stderr
            assert mount_line(place) is None
            place.rmdir()


@pytest.mark.parametrize("other", [driver for driver in FUSE if driver != "native"])
def test_other_drivers_show_the_same(
    root: ContainerdRoot, right: Mapping[str, Snapshot], tmp_path: Path, other: str
) -> None:
    """What is shown of a damaged store is the same by every driver: here a layer that only its blob has."""
    with root.mended():
        DAMAGES["no files of layer 1"].do(root)
        for name in (IMAGE, CONTAINER):
            assert _differences(right[name], root.top, name, tmp_path / "mnt", other) == []


# -- a store whose snapshots nobody can read --------------------------------------------------------------


class Erofs(ContainerdRoot):
    """A root whose images are unpacked by the erofs snapshotter."""

    @property
    def snapshotter(self) -> Path:
        """The directory of its snapshots."""
        return self.path / "io.containerd.snapshotter.v1.erofs"


@pytest.fixture(scope="module")
def erofs(tmp_path_factory: pytest.TempPathFactory) -> Erofs:
    """The recorded one."""
    return Erofs(unpack_sample("containerd-2.1-erofs", tmp_path_factory.mktemp("erofs")), ".", "default")


NAME = "docker.io/library/multi:1"


def _truncate(root: Erofs, content: bytes) -> None:
    for path in sorted(root.snapshotter.glob("snapshots/*/layer.erofs")):
        root.write(path, content)


def _no_blob(which: str, content: bytes | None = None) -> Callable[[Erofs], None]:
    def do(root: Erofs) -> None:
        path = root.blob(root.digest_of(NAME, which))
        root.remove(path) if content is None else root.write(path, content)

    return do


LOST: Mapping[str, tuple[Callable[[Erofs], object], str | None]] = {
    "layer.erofs is garbage": (lambda root: _truncate(root, b"\xff" * 4096), None),
    "layer.erofs is empty": (lambda root: _truncate(root, b""), None),
    "a snapshot's directory": (lambda root: root.remove(root.snapshotter / "snapshots/1"), None),
    "all snapshots": (lambda root: root.remove(root.snapshotter / "snapshots"), None),
    "metadata.db": (lambda root: root.remove(root.snapshotter / "metadata.db"), None),
    "metadata.db is garbage": (
        lambda root: root.write(root.snapshotter / "metadata.db", b"\xff" * 9000),
        None,
    ),
    "the snapshotter": (lambda root: root.remove(root.snapshotter), None),
    "a layer's blob": (_no_blob("2"), "cannot be read, and its blob is not in the content store"),
    "a layer's blob is garbage": (_no_blob("2", b"\xff" * 100), "/blobs/sha256/"),
    "the manifest": (_no_blob("manifest"), "the blob is not in the content store"),
    "the config": (_no_blob("config"), "the blob is not in the content store"),
}
"""By name what is done to it, and what is told if the image cannot be shown then."""


@pytest.mark.parametrize("lost", LOST)
def test_images_of_other_snapshotters_need_their_blobs_alone(erofs: Erofs, tmp_path: Path, lost: str) -> None:
    """Whatever became of the snapshots, the image is what it was; without a blob it is refused, by name."""
    damage, told = LOST[lost]
    store = open_store(erofs.top, Options())
    with served(store.tree(store.image("multi:1")), tmp_path / "mnt", "native") as mounted:
        intact = snapshot(mounted)
    assert len(intact) > 20
    with erofs.mended():
        damage(erofs)
        if told is None:
            assert _differences(intact, erofs.top, "multi:1", tmp_path / "mnt", "native") == []
        else:
            (tmp_path / "mnt").mkdir()
            done = layerfs(erofs.top, "mount", "multi:1", str(tmp_path / "mnt"))
            assert done.code == CORRUPT, done
            assert told in done.stderr
            assert mount_line(tmp_path / "mnt") is None
        report = layerfs(erofs.top, "doctor", "--verify", "--format", "json")
        assert "bug in layerfs" not in report.stderr
        errors = {row["code"] for row in report.json if row["severity"] == "error"}
        assert bool(errors) == (told is not None or lost.startswith(("metadata.db", "the snapshotter"))), (
            errors
        )
