"""What `layerfs doctor` says could be done, carried out for a real containerd: all is well then.

Each defect is in an image of its own, so that one containerd tells of many. Those after which containerd
could not remove what is left of the snapshots are mended with the directory of their snapshotter.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Layer
from layerfs.stores.containerd.checks.remedies import remedy_of
from tests.support.command import layerfs
from tests.support.containerd import running
from tests.support.containerdroots import ContainerdRoot
from tests.support.layouts import Layout, as_tar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.support.boltfiles import Tree
    from tests.support.containerd import Containerd

    Damage = Callable[[ContainerdRoot, str], object]

pytestmark = [pytest.mark.containerd, pytest.mark.kernel, pytest.mark.root]


# -- defects -----------------------------------------------------------------------------------------


def _blob(which: str, damage: Callable[[Path], object]) -> Damage:
    """Damage a blob of the image: `manifest`, `config`, or a layer's by its number."""
    return lambda root, name: damage(root.blob(root.digest_of(name, which)))


def _directory(damage: Callable[[Path], object]) -> Damage:
    """Damage the directory of its second layer."""
    return lambda root, name: damage(root.directory(root.layers(name)[1]))


def _record(number: int, change: Callable[[Tree, bytes], object]) -> Damage:
    """Change the snapshotter's record of a layer, which is second of the arguments of `change`."""

    def do(root: ContainerdRoot, name: str) -> None:
        key = root.name(root.layers(name)[number - 1])
        root.edit_snapshots(lambda tree: change(tree[b"snapshots"], key))

    return do


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


def _replaced(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"")


def _altered(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"linux", b"linuy"))


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def _wrong_parent(tree: Tree, key: bytes) -> None:
    tree[key][b"parent"] = b"default/1/none"


def _label(root: ContainerdRoot, name: str) -> None:
    digest = root.digest_of(name, "2").encode()

    def change(space: Tree) -> None:
        space[b"content"][b"blob"][digest][b"labels"][b"containerd.io/uncompressed"] = b"sha256:" + b"0" * 64

    root.edit_meta(change)


def _discarded(root: ContainerdRoot, name: str) -> None:
    digest = root.digest_of(name, "2")
    root.edit_meta(lambda space: space[b"content"][b"blob"].pop(digest.encode()))
    root.blob(digest).unlink()


def _unpackless(root: ContainerdRoot, name: str) -> None:
    """Neither the blob nor the snapshots."""
    for key in reversed(root.layers(name)):
        shutil.rmtree(root.directory(key))
    keys = [root.name(key) for key in root.layers(name)]

    def change(tree: Tree) -> None:
        for key in keys:
            del tree[b"snapshots"][key]
        links = tree[b"parents"]
        for link in [link for link, value in links.items() if value in keys]:
            del links[link]

    root.edit_snapshots(change)
    chain = root.layers(name)
    root.edit_meta(lambda space: [space[b"snapshots"][b"overlayfs"].pop(key.encode()) for key in chain])
    root.blob(root.digest_of(name, "2")).unlink()


AGAIN: dict[str, tuple[str, Damage]] = {
    "nomanifest": ("image-missing", _blob("manifest", lambda path: path.unlink())),
    "noconfig": ("image-missing", _blob("config", lambda path: path.unlink())),
    "otherconfig": ("image-altered", _blob("config", _altered)),
    "garbage": ("image-altered", _blob("manifest", _garbage)),
    "longer": ("size-differs", _blob("config", _longer)),
    "noblob": ("blob-missing", _blob("2", lambda path: path.unlink())),
    "nolayer": ("layer-missing", _unpackless),
    "altered": ("layer-altered", _blob("2", _garbage)),
    "discarded": ("blob-discarded", _discarded),
    "label": ("uncompressed-wrong", _label),
    "active": ("snapshot-uncommitted", _record(2, lambda tree, key: tree[key].update({b"kind": b"\2"}))),
    "nofiles": ("directory-missing", _directory(shutil.rmtree)),
    "file": ("directory-malformed", _directory(_replaced)),
}
"""By image its defect: it is removed, and imported again."""

ANEW: dict[str, tuple[str, Damage]] = {
    "norecord": ("snapshot-unrecorded", _record(2, lambda tree, key: tree.pop(key))),
    "nobase": ("snapshot-unrecorded", _record(1, lambda tree, key: tree.pop(key))),
    "parent": ("parent-wrong", _record(2, _wrong_parent)),
    "nodatabase": ("database-missing", lambda root, _: (root.snapshotter / "metadata.db").unlink()),
}
"""Likewise, with the directory of the snapshotter moved away first."""


def _archive(images: Iterable[str]) -> bytes:
    """An archive of images, with three layers each that no other has."""
    layout = Layout()
    for image in images:
        files = ("base", "upper", "top")
        layers = [Layer().dir("etc").file(f"etc/{name}", image.encode()).done() for name in files]
        layout.name(layout.image(layers), _name(image))
    return as_tar(layout.done())


def _name(image: str) -> str:
    return f"docker.io/library/{image}:1"


def _codes(root: Path) -> set[str]:
    """What is found."""
    return {row["code"] for row in layerfs(root, "doctor", "--verify", "--format", "json").json}


@pytest.mark.parametrize("defects", [AGAIN, ANEW], ids=["again", "anew"])
def test_images_come_back(tmp_path: Path, defects: dict[str, tuple[str, Damage]]) -> None:
    """Every defect is found; after its remedy nothing is, and each image is mounted with its own files."""
    archive = tmp_path / "images.tar"
    archive.write_bytes(_archive(defects))
    with running(tmp_path) as engine:
        engine.ctr("images", "import", str(archive))
    root = ContainerdRoot(engine.root, ".", "default")
    for image, (code, damage) in defects.items():
        damage(root, _name(image))
        assert code in _codes(root.path), image
        words = "with its directory moved away" if defects is ANEW else "remove every image that needs it"
        assert words in remedy_of(code).suggestion, code
    if defects is ANEW:
        root.snapshotter.rename(tmp_path / "away")
    with running(tmp_path) as engine:
        for image in defects:
            engine.ctr("images", "rm", "--sync", _name(image))
        assert _codes(root.path) == set()
        engine.ctr("images", "import", str(archive))
        assert _codes(root.path) == set()
        for image in defects:
            _is_mounted(engine, image, tmp_path / "mnt")


def _is_mounted(engine: Containerd, image: str, place: Path) -> None:
    with engine.mounted(_name(image), place):
        found = {path.name: path.read_text() for path in (place / "etc").iterdir()}
    assert found == dict.fromkeys(("base", "upper", "top"), image)
