"""Layers of a composefs store beside what the kernel shows of them: EROFS, and overlayfs over the pool."""

from __future__ import annotations

import json
import stat
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs.stores.registry import open_store
from layerfs.tree.union import UnionTree
from tests.support.fuseoverlayfs import without_link_counts
from tests.support.kernel import private_dir
from tests.support.samples import unpack_sample
from tests.support.snapshot import diff_snapshots, snapshot
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.store import Store
    from tests.support.snapshot import Snapshot

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.root,
    pytest.mark.skipif(
        "erofs" not in Path("/proc/filesystems").read_text(), reason="this kernel has no EROFS at hand"
    ),
]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded store; not to be changed."""
    return unpack_sample("podman-5.8-composefs", tmp_path_factory.mktemp("composefs") / "store")


@contextmanager
def _mounted(layer: Path) -> Iterator[Path]:
    """A layer as composefs mounts it: the EROFS image, whose files lead into the pool."""
    with private_dir() as work, ExitStack() as held:
        for name in ("erofs", "merged"):
            (work / name).mkdir()
        blob = layer / "composefs-data/composefs.blob"
        subprocess.run(["mount", "-t", "erofs", "-o", "ro,loop", blob, work / "erofs"], check=True)
        held.callback(_unmount, work / "erofs")
        options = f"ro,metacopy=on,redirect_dir=on,lowerdir={work}/erofs::{layer}/diff"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, work / "merged"], check=True)
        held.callback(_unmount, work / "merged")
        yield work / "merged"


def _unmount(place: Path) -> None:
    subprocess.run(["umount", place], check=True)


def _without_markers(entries: Snapshot) -> Snapshot:
    """Without whiteouts, which are files there; all other names are shown."""
    return {
        path: entry for path, entry in entries.items() if not path.rpartition(b"/")[2].startswith(b".wh.")
    }


def _layers(store: Store) -> list[tuple[str, UnionTree]]:
    (image,) = store.images()
    return [(str(layer.cache_id), UnionTree([store.source(layer)])) for layer in store.chain(image)]


def test_each_layer_is_what_its_erofs_image_shows(sample: Path) -> None:
    """Names, attributes, contents and hard links; of directories EROFS counts links in another way."""
    for cache_id, tree in _layers(open_store(sample)):
        with _mounted(sample / "overlay" / cache_id) as merged:
            wanted = without_link_counts(_without_markers(snapshot(merged)))
        assert len(wanted) > 3
        assert diff_snapshots(wanted, without_link_counts(tree_snapshot(tree))) == []


def test_the_image_is_that_of_a_store_without_composefs(
    sample: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whiteouts delete, as where the same image is kept as trees; that the engine differs is told once."""
    other = unpack_sample("podman-5.8-zstd-chunked", tmp_path / "other")
    found, wanted = (_tree_of(place) for place in (sample, other))
    apart = found.keys() ^ wanted.keys()  # that store was filled by who cannot make devices
    assert apart == {b"dev/null", b"usr/share/fifo"} <= found.keys()
    for path, entry in wanted.items():
        shown = found[path]
        assert stat.S_IFMT(shown.mode) == stat.S_IFMT(entry.mode)
        assert (shown.content, shown.target, shown.uid, shown.gid) == (
            entry.content, entry.target, entry.uid, entry.gid
        )  # fmt: skip
    assert b"root/password.txt" not in found
    told = [record.getMessage() for record in caplog.records if "composefs" in record.getMessage()]
    assert len(told) == 1


def _tree_of(place: Path) -> Snapshot:
    store = open_store(place)
    (image,) = store.images()
    return tree_snapshot(store.tree(image))


def test_a_container_stands_on_its_image(sample: Path) -> None:
    """The layer of a container is a tree of the kernel's form, on layers that are pools."""
    store = open_store(sample)
    (container,) = store.containers()
    found = tree_snapshot(store.tree(container))
    records = json.loads((sample / "overlay-containers/containers.json").read_bytes())
    own = sample / "overlay" / records[0]["layer"] / "diff"
    for path, entry in snapshot(own).items():
        if path and stat.S_ISREG(entry.mode):
            assert found[path].content == entry.content
    assert b"etc/passwd" in found
