"""Roots that lost records, beside the kernel's overlayfs over the same directories: whole trees."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fixtures.unpack import unpack
from layerfs import DataRoot
from tests.support.kernel import kernel_snapshot, refusals
from tests.support.planting import placed_layers
from tests.support.records import DAMAGES, damaged, overlay2_records
from tests.support.snapshot import diff_snapshots
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from layerfs.tree.union import UnionTree
    from tests.support.records import Record

pytestmark = [pytest.mark.root, pytest.mark.kernel]

IMAGE, CONTAINER, NUMBER = "demo:1.0", "changed", 4

NAMES = ("size", "diff", "cache-id", "parent", "link", "l", "lower", "tar-split.json.gz")
PAIRS = (("diff", "parent"), ("cache-id", "link"), ("cache-id", "lower"), ("l", "lower"), ("parent", "lower"))
LOST = [*(((name,), damage) for name in NAMES for damage in DAMAGES), *((pair, "missing") for pair in PAIRS)]


class Root(NamedTuple):
    """A root to be damaged, and its directories as they were found while it was sound, without layerfs.

    Attributes:
        place: the root.
        records: those of a layer in the middle of the image.
        image: the image's `diff/` directories, uppermost first.
        own: the container's own, which stand on these.
    """

    place: Path
    records: Mapping[str, Record]
    image: list[Path]
    own: list[Path]

    def check(self) -> None:
        """Compare the image, the image as of the layer below the damaged one, and the container."""
        root = DataRoot.open(self.place)
        image = root.image(IMAGE)
        below = len(self.image) - NUMBER + 1
        assert _differences(self.image, root.tree(image)) == []
        assert _differences(self.image[below:], root.tree(image, up_to=NUMBER - 1)) == []
        assert _differences([*self.own, *self.image], root.tree(root.container(CONTAINER))) == []


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The recorded root."""
    place = unpack(tmp_path_factory.mktemp("damaged"))
    (container,) = (
        path.parent.name
        for path in (place / "containers").glob("*/config.v2.json")
        if json.loads(path.read_bytes())["Name"] == f"/{CONTAINER}"
    )
    mount = place / "image/overlay2/layerdb/mounts" / container
    own = [place / "overlay2" / (mount / name).read_text() / "diff" for name in ("mount-id", "init-id")]
    image = [layer.diff for layer in reversed(placed_layers(place, IMAGE))]
    return Root(place, overlay2_records(place, IMAGE, NUMBER), image, own)


def _differences(layers: list[Path], tree: UnionTree) -> list[str]:
    expected = refusals(kernel_snapshot(layers, redirects=True))
    return diff_snapshots(expected, refusals(tree_snapshot(tree)))


@pytest.mark.parametrize(("names", "damage"), LOST)
def test_tree_is_the_kernels(root: Root, names: tuple[str, ...], damage: str) -> None:
    """Whatever record a layer lost, everything that stands on it is what the kernel makes of the files."""
    with damaged([root.records[name] for name in names], DAMAGES[damage]):
        root.check()


def test_container_is_the_kernels_without_image(root: Root, tmp_path: Path) -> None:
    """With all of `image/` gone a container is what the kernel makes of its directories."""
    (root.place / "image").rename(tmp_path / "away")
    try:
        damaged_root = DataRoot.open(root.place)
        tree = damaged_root.tree(damaged_root.container(CONTAINER))
        assert _differences([*root.own, *root.image], tree) == []
    finally:
        (tmp_path / "away").rename(root.place / "image")
