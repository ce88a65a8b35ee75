"""Layers of a graph root: parents, chain IDs, and what is told of those without a record."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from layerfs.errors import BrokenChain, CorruptStore, MissingFile
from layerfs.ids import CacheID
from layerfs.stores.registry import Options, open_store
from tests.support.graphrootbuilder import GraphRootBuilder
from tests.support.graphroots import GraphRootFiles
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from layerfs.stores.containers_storage.store import GraphRoot
    from layerfs.tree.union import UnionTree

SAMPLES = (
    "podman-4.3-rootful",
    "podman-4.3-rootless-native",
    "podman-5.8-zstd-chunked",
    "podman-5.8-composefs",
)


def _opened(path: Path) -> GraphRoot:
    found = open_store(path, Options(userns="none"))
    assert found.kind == "containers-storage"
    return found  # type: ignore[return-value]


def _with_file(name: str) -> Callable[[Path], None]:
    def fill(tree: Path) -> None:
        (tree / name).touch()

    return fill


def _top(tree: UnionTree) -> list[bytes]:
    """The names in the root of a tree."""
    return sorted(tree.children(tree.root))


@pytest.fixture
def built(tmp_path: Path) -> GraphRootBuilder:
    """An image `x` of three layers, and a container `web` on it; not yet written."""
    builder = GraphRootBuilder(tmp_path / "root")
    top = None
    for number in range(3):
        top = builder.layer(top, bytes(1024) + bytes([number]), _with_file(f"f{number}"))
    image = builder.image(["localhost/x:latest"], top)
    builder.container("web", image, top)
    return builder


@pytest.mark.root
@pytest.mark.parametrize("sample", SAMPLES)
def test_chain_ids_are_those_of_the_configs(sample: str, tmp_path: Path) -> None:
    """Of each image each chain ID that its config makes is that of a layer, on which its record stands."""
    store = _opened(unpack_sample(sample, tmp_path))
    images = store.images()
    assert images
    for image in images:
        chain = store.chain(image)
        assert [layer.chain_id for layer in chain] == list(image.chain)
        assert chain[-1].cache_id == store.own_image(image).top
    assert store.damage == []


def _lower(record: dict[str, Any], _: list[dict[str, Any]]) -> None:
    record["parent"] = record["id"]


def _circle(record: dict[str, Any], records: list[dict[str, Any]]) -> None:
    records[0]["parent"] = record["id"]


def _missing(record: dict[str, Any], _: list[dict[str, Any]]) -> None:
    record["parent"] = "f" * 64


@pytest.mark.parametrize("harm", [_lower, _circle, _missing])
def test_a_chain_that_leads_nowhere(
    built: GraphRootBuilder, harm: Callable[[dict[str, Any], list[dict[str, Any]]], None]
) -> None:
    """A circle and a missing layer are errors that name the layer; the walk ends."""
    harm(built.layers[2], built.layers)
    store = _opened(built.finish())
    with pytest.raises((BrokenChain, MissingFile)) as told:
        store.tree(store.image("x"))
    assert built.layers[2]["parent"] in str(told.value) or built.layers[2]["id"] in str(told.value)
    with pytest.raises(CorruptStore):
        store.tree(store.container("web"))


def test_what_stands_above_damage_denies_nothing_below(built: GraphRootBuilder) -> None:
    """The lowest layers of an image are there, also where the record of one above them is not."""
    _missing(built.layers[2], built.layers)
    store = _opened(built.finish())
    assert _top(store.tree(store.image("x"), up_to=2)) == [b"f0", b"f1"]


def test_more_layers_than_can_be_stacked(tmp_path: Path) -> None:
    """They are refused by a sentence, and not by recursion."""
    builder = GraphRootBuilder(tmp_path / "root")
    ids = [f"{number:064x}" for number in range(30_000)]
    builder.layers = [{"id": own, "parent": below} for own, below in zip(ids[1:], ids, strict=False)]
    builder.layers.insert(0, {"id": ids[0], "diff-digest": f"sha256:{ids[1]}", "diff-size": 1})
    store = _opened(builder.finish())
    with pytest.raises(BrokenChain, match="at most 500"):
        store.storage.walk(CacheID(ids[-1]))
    assert len(store.layers()) == 1


@pytest.mark.parametrize("content", [b"", b"[", b"{}", None])
def test_records_of_layers_are_lost(built: GraphRootBuilder, content: bytes | None) -> None:
    """Image and container are shown as before: by the formula of IDs, and by `lower`."""
    root = built.finish()
    before = _opened(root)
    file = GraphRootFiles(root).layers_file
    file.unlink() if content is None else file.write_bytes(content)
    after = _opened(root)
    for name in ("x", "web"):
        shown = [_top(store.tree(store.find(name))) for store in (before, after)]
        assert shown == [[b"f0", b"f1", b"f2"]] * 2
    assert [layer.chain_id for layer in after.layers()] == [layer.chain_id for layer in before.layers()]
    assert sum("layers.json" in str(problem) for problem in after.damage) == 1


def test_one_record_is_lost(built: GraphRootBuilder) -> None:
    """Its directory is used, and that is told."""
    lost = built.layers.pop(1)["id"]
    store = _opened(built.finish())
    assert _top(store.tree(store.image("x"))) == [b"f0", b"f1", b"f2"]
    assert [lost in str(problem) for problem in store.damage] == [True]
    shutil.rmtree(store.directory.display + f"/overlay/{lost}")
    again = _opened(built.path)
    with pytest.raises(MissingFile, match="--additional-store"):
        again.tree(again.image("x"))


@pytest.mark.parametrize("content", [b"[", None])
def test_records_of_images_are_lost(built: GraphRootBuilder, content: bytes | None) -> None:
    """Images are found by their configs, with their layers."""
    image = built.images[0]["id"]
    root = built.finish()
    file = GraphRootFiles(root).images_file
    file.unlink() if content is None else file.write_bytes(content)
    store = _opened(root)
    assert [found.hex for found in store.image_ids()] == [image]
    assert _top(store.tree(store.image(image))) == [b"f0", b"f1", b"f2"]
    assert store.damage


def test_an_altered_document(built: GraphRootBuilder) -> None:
    """A config that does not hash to its key is not read."""
    root = built.finish()
    files = GraphRootFiles(root)
    image = built.images[0]["id"]
    config = files.big_data(image, f"sha256:{image}")
    config.write_bytes(config.read_bytes() + b" ")
    # also where the record was altered with it
    files.edit(files.images_file, lambda records: records[0]["big-data-digests"].clear())
    store = _opened(root)
    with pytest.raises(CorruptStore, match="altered"):
        store.image("x")


def test_an_image_whose_id_is_not_its_configs(built: GraphRootBuilder) -> None:
    """The config is the one that the manifest names."""
    root = built.finish()
    own, other = built.images[0]["id"], "c" * 64
    (root / "overlay-images" / own).rename(root / "overlay-images" / other)
    files = GraphRootFiles(root)
    files.edit(files.images_file, lambda records: records[0].update(id=other))
    store = _opened(root)
    assert store.image("x").id.hex == other
    assert _top(store.tree(store.image("x"))) == [b"f0", b"f1", b"f2"]


def test_a_list_of_images_is_no_image(built: GraphRootBuilder) -> None:
    """`podman manifest create` makes a record without a config."""
    built.images.append({"id": "d" * 64, "names": ["localhost/list:1"], "big-data-names": ["manifest"]})
    store = _opened(built.finish())
    assert len(store.images()) == 1
    assert store.damage == []


def test_links_and_lower_are_compared_and_not_followed(built: GraphRootBuilder) -> None:
    """Whatever they say, the tree is that of the records; each difference is told."""
    root = built.finish()
    top = built.layers[2]["id"]
    directory = root / "overlay" / top
    link = (directory / "link").read_text()
    (root / "overlay/l" / link).unlink()
    (root / "overlay/l" / link).symlink_to("/etc")
    (directory / "lower").write_text("")
    store = _opened(root)
    assert _top(store.tree(store.image("x"))) == [b"f0", b"f1", b"f2"]
    told = " ".join(map(str, store.damage))
    assert f"l/{link}" in told
    assert f"{top}/lower" in told


def test_an_unfinished_layer_is_named(built: GraphRootBuilder) -> None:
    """The engine would remove it."""
    built.layers[2]["flags"] = {"incomplete": True}
    store = _opened(built.finish())
    store.tree(store.image("x"))
    assert "never finished" in str(store.damage[0])


def test_a_copy_of_a_layer_for_other_users(built: GraphRootBuilder) -> None:
    """It has the chain ID of the first, and its own place; what is asked for by its ID is it."""
    copy = "e" * 64
    shutil.copytree(
        built.path / "overlay" / built.layers[2]["id"], built.path / "overlay" / copy, symlinks=True
    )
    (built.path / "overlay" / copy / "diff/only-here").touch()
    built.layers.append({**built.layers[2], "id": copy})
    built.images[0]["mapped-layers"] = [copy]
    store = _opened(built.finish())
    assert store.chain_of_twin(copy) == store.image("x").chain[-1]
    assert b"only-here" in _top(store.tree(store.layer(copy)))
    assert b"only-here" not in _top(store.tree(store.image("x")))
    assert copy in store.pinned().places


def test_documents_of_hostile_records(built: GraphRootBuilder) -> None:
    """Keys that would lead elsewhere lead nowhere."""
    record = built.images[0]
    record["big-data-names"] += ["..", "../../../etc/passwd", ""]
    record["big-data-sizes"]["../../../etc/passwd"] = "x"
    store = _opened(built.finish())
    assert store.image("x").id.hex == record["id"]
    assert store.size(store.image("x")) is None
    json.dumps([str(problem) for problem in store.damage])
