"""Trees that are open together share the layers that their images share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layerfs.errors import MissingFile
from layerfs.stores.docker.dataroot import DataRoot

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root


def test_trees_share_layers(dataroot_path: Path) -> None:
    """`demo` is the base of other images: each of its layers is one object, which has what is open of it."""
    root = DataRoot.open(dataroot_path, metadata="disk")
    image = root.image("demo:1.0")
    trees = [root.tree(image), root.tree(image, up_to=2)]
    own, below = ({layer.label: layer.stored for layer in tree.layers} for tree in trees)  # type: ignore[attr-defined]
    assert len(below) == 2
    assert all(own[label] is stored for label, stored in below.items())


def test_a_removed_layer_is_no_longer_shared(copy: Path) -> None:
    """While a tree is open whose layer was removed, the next one is told that it is missing."""
    root = DataRoot.open(copy, metadata="disk")
    image = root.image("demo:1.0")
    tree = root.tree(image)
    tree.children(tree.root)
    top = root.chain(image)[-1].cache_id
    (copy / "overlay2" / top / "diff").rename(copy / "overlay2" / top / "gone")
    with pytest.raises(MissingFile, match="diff"):
        root.tree(image)
