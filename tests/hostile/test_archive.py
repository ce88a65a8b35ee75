"""The original tar of a layer, rebuilt: sha256 tells whether it is the one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from layerfs import DataRoot
from layerfs.errors import CorruptStore
from layerfs.formats.tarsplit import Member

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.model import Layer
    from layerfs.stores.layerarchive import Fault

pytestmark = pytest.mark.root


@pytest.fixture
def private_root(copy: Path) -> Path:
    """A copy of the recorded root that the test may damage."""
    return copy


CANNOT_BE_REBUILT = ("sparse", ".wh.sparse-not")
"""Members of the recorded root of which the disk cannot have what the archive had."""


def _rebuilt(root: DataRoot, layer: Layer) -> tuple[str, list[Fault]]:
    digest = hashlib.sha256()
    faults = list(root.archive(layer).rebuild(digest.update))
    return "sha256:" + digest.hexdigest(), faults


def _has(root: DataRoot, layer: Layer, names: tuple[str, ...]) -> bool:
    return any(
        isinstance(member, Member) and member.content.name.decode("latin-1") in names
        for member in root.archive(layer).members()
    )


def test_every_layer_is_rebuilt(dataroot_path: Path) -> None:
    """Every layer of the recorded root hashes to its diff ID, but those that cannot."""
    root = DataRoot.open(dataroot_path)
    rebuilt = 0
    for layer in root.layers():
        digest, faults = _rebuilt(root, layer)
        if _has(root, layer, CANNOT_BE_REBUILT):
            assert digest != layer.diff_id
        else:
            assert (digest, faults) == (layer.diff_id, [])
            rebuilt += 1
    assert rebuilt > 40


@pytest.mark.parametrize("what", ["content", "size", "missing", "type"])
def test_an_altered_file_is_named(private_root: Path, what: str) -> None:
    """A file that was changed, cut, removed or replaced is named, and the others are not."""
    root = DataRoot.open(private_root)
    layer = root.chain(root.image("demo"))[1]
    path = private_root / "overlay2" / layer.cache_id / "diff/etc/motd"
    content = path.read_bytes()
    path.unlink()
    if what == "content":
        path.write_bytes(content.swapcase())
    elif what == "size":
        path.write_bytes(content[:-1])
    elif what == "type":
        path.mkdir()
    digest, faults = _rebuilt(root, layer)
    assert digest != layer.diff_id
    assert [(fault.path, fault.what) for fault in faults] == [(b"etc/motd", what)]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "absent", "garbage", "directory"])
def test_damaged_tar_split(private_root: Path, damage: str) -> None:
    """Damaged tar-split data are a `CorruptStore` that names the file, whatever the damage."""
    root = DataRoot.open(private_root)
    layer = root.chain(root.image("demo"))[1]
    path = private_root / "image/overlay2/layerdb/sha256" / layer.chain_id.hex / "tar-split.json.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        path.write_bytes(content)
    elif damage == "garbage":
        path.write_bytes(b"\x1f\x8b garbage")
    elif damage == "directory":
        path.mkdir()
    with pytest.raises(CorruptStore, match=r"tar-split\.json\.gz"):
        _rebuilt(root, layer)
