"""A mount of what lies in a containerd store: unpacked images and containers, and images that are packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerfs.stores.registry import Options, open_store
from tests.support.containerdroots import ContainerdRoot
from tests.support.kernel import kernel_snapshot
from tests.support.mounts import served, shown
from tests.support.samples import unpack_sample
from tests.support.snapshot import diff_snapshots, snapshot
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.fuse, pytest.mark.kernel]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data root of a Docker 29."""
    return unpack_sample("docker29-containerd", tmp_path_factory.mktemp("containerd"))


@pytest.mark.parametrize("name", ["multi:1", "classic:1", "changed"])
def test_mounts_are_the_kernels(root: Path, tmp_path: Path, variant: str, name: str) -> None:
    """An image, one with more between its layers, and a container: the kernel's mount of their snapshots."""
    store = open_store(root, Options())
    files = ContainerdRoot(root, "containerd/daemon", "moby")
    found = store.container(name) if name == "changed" else store.image(name)
    top = files.container(name) if name == "changed" else str(store.chain(found)[-1].chain_id)  # type: ignore[arg-type]
    layers = [files.directory(key) / "fs" for key in files.keys_below(top)]
    with served(store.tree(found), tmp_path / "m", variant) as mounted:
        assert diff_snapshots(kernel_snapshot(layers), shown(mounted, variant, layers)) == []


def test_packed_images_are_mounted(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, variant: str
) -> None:
    """Where only blobs can be read, the mount shows what the tree of them has."""
    root = unpack_sample("containerd-2.1-erofs", tmp_path_factory.mktemp("erofs"))
    store = open_store(root, Options())
    tree = store.tree(store.image("multi:1"))
    with served(tree, tmp_path / "m", variant) as mounted:
        found = snapshot(mounted)
    assert diff_snapshots(tree_snapshot(store.tree(store.image("multi:1"))), found) == []
    assert len(found) > 20
