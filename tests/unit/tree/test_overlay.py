"""A layer that is a directory: what was removed with it is no absent name."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING

import pytest

from layerfs.errors import UnreadableEntry
from layerfs.formats.whiteouts import TRUSTED
from layerfs.hostdir import HostDir
from layerfs.pool import Pool, PooledDir
from layerfs.tree import overlay
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from pathlib import Path


def _held(path: Path) -> HostDir:
    return HostDir.open(path)


def _pooled(path: Path) -> HostDir:
    """One that is closed whenever another is opened."""
    return PooledDir(Pool(0), str(path), None, lambda below: HostDir.open(path / below.decode()))


@pytest.mark.parametrize("opened", [_held, _pooled])
def test_names_of_a_removed_layer_are_no_absent_ones(
    opened: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it is there, a name is absent, or that of a lower layer; after that it is an error."""
    assert callable(opened)
    monkeypatch.setattr(overlay, "_SURE", 0)
    for path in ("upper/d/e", "lower/d"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "lower/d/f").touch()
    layers = [OverlayLayer(RawLayer(opened(tmp_path / name)), TRUSTED) for name in ("upper", "lower")]
    tree = UnionTree(layers)
    directory = tree.resolve(b"/d")
    for name, there in (b"f", True), (b"g", False):
        assert (tree.look_up(directory, name) is not None) == there
    shutil.rmtree(tmp_path / "upper")
    for name in (b"f", b"g"):
        with pytest.raises(UnreadableEntry, match="the layer's directory was removed"):
            tree.look_up(directory, name)
    with pytest.raises(OSError, match="removed") as raised:
        layers[0].entry(b"x")
    assert raised.value.errno == errno.EIO
