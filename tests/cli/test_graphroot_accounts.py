"""What images and containers of a graph root take, and what removing them frees: by its records, and find."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs
from tests.support.graphrootbuilder import GraphRootBuilder
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

ROOTFUL, COMPOSEFS, CHUNKED = "podman-4.3-rootful", "podman-5.8-composefs", "podman-5.8-zstd-chunked"
IMAGE = "docker.io/library/multi:1"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Recorded roots; never written to."""
    place = tmp_path_factory.mktemp("samples")
    return {name: unpack_sample(name, place / name) for name in (ROOTFUL, COMPOSEFS, CHUNKED)}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`graphroot` with `imagestore`, and `graphroot-additional` with the same as an additional store."""
    return unpack_sample("podman-5.8-imagestore", tmp_path_factory.mktemp("several"))


def _records(root: Path, what: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((root / f"overlay-{what}/{what}.json").read_text())
    return found


def _bytes(path: Path) -> int:
    """Of all files below a directory, each inode once, as GNU find tells them."""
    command = ["find", str(path), "!", "-type", "d", "-printf", "%i %s\n"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return sum(int(size) for _, size in {tuple(line.split()) for line in done.stdout.splitlines()})


# -- as Podman 5.8 adds up -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [ROOTFUL, COMPOSEFS, CHUNKED])
def test_images(samples: dict[str, Path], name: str) -> None:
    """A row a name, and for what `images` hides; shared are layers that more than one image stands on."""
    root = samples[name]
    layers = {record["id"]: record for record in _records(root, "layers")}
    images = _records(root, "images")
    stacks = {image["id"]: _stack(layers, image["layer"]) for image in images}
    wanted = set()
    for image in images:
        used = {own: sum(own in stack for stack in stacks.values()) for own in stacks[image["id"]]}
        shared = sum(layers[own]["diff-size"] for own, count in used.items() if count > 1)
        unique = sum(layers[own]["diff-size"] for own, count in used.items() if count == 1)
        unique += sum(image["big-data-sizes"].values())
        wanted |= {
            (image["id"], called, shared + unique, shared, unique) for called in image.get("names") or [""]
        }
    document = layerfs(root, "system", "df", "-v", "--format", "json").json
    assert {
        (
            row["id"].removeprefix("sha256:"),
            f"{row['repository']}:{row['tag']}" if row["tag"] else "",
            row["size"],
            row["shared_size"],
            row["unique_size"],
        )
        for row in document["images"]
    } == wanted
    summary = {row["type"]: row for row in document["summary"]}
    assert summary.keys() == {"Images", "Containers", "Local Volumes"}
    assert summary["Images"]["total_count"] == len(wanted) == len(document["images"])
    whole = sum(layer.get("diff-size", 0) for layer in layers.values())
    assert summary["Images"]["size"] == whole + sum(
        size for image in images for size in image["big-data-sizes"].values()
    )
    for row in layerfs(root, "du", "--format", "json").json["images"]:
        own = row["id"].removeprefix("sha256:")
        sizes = (row["size"], row["shared_size"], row["unique_size"])
        assert sizes in {item[2:] for item in wanted if item[0] == own}


def _stack(layers: dict[str, dict[str, Any]], top: str) -> list[str]:
    found = []
    while top:
        found.append(top)
        top = layers[top].get("parent", "")
    return found


@pytest.mark.parametrize("name", [ROOTFUL, COMPOSEFS])
def test_containers(samples: dict[str, Path], name: str) -> None:
    """A container takes its layer's files, its config and its log; the whole of its image is below it."""
    root = samples[name]
    sizes = {row["id"]: row["size"] for row in layerfs(root, "images", "-a", "--format", "json").json}
    found = layerfs(root, "containers", "-a", "--size", "--format", "json").json
    records = {record["id"]: record for record in _records(root, "containers")}
    assert {row["id"] for row in found} == records.keys() != set()
    for row in found:
        record = records[row["id"]]
        own = _bytes(root / "overlay" / record["layer"] / "diff") + _bytes(
            root / "overlay-containers" / row["id"]
        )
        assert row["size_rw"] == own
        assert row["size_root_fs"] == own + sizes[f"sha256:{record['image']}"]


# -- what goes -------------------------------------------------------------------------------------


def test_removing_a_container(samples: dict[str, Path]) -> None:
    """Its layer, and what is kept beside it."""
    root = samples[ROOTFUL]
    (record,) = (item for item in _records(root, "containers") if item["names"] == ["changed"])
    found = layerfs(root, "du", "--what-if", "changed", "--format", "json").json
    kept = root / "overlay-containers" / record["id"]
    assert {row["cache_id"]: row["size"] for row in found["directories"]} == {
        record["layer"]: _bytes(root / "overlay" / record["layer"] / "diff"),
        None: _bytes(kept),
    }
    assert found["freed_size"] == sum(row["size"] for row in found["directories"])
    assert "config and log of container changed" in layerfs(root, "du", "--what-if", "changed").stdout


@pytest.mark.parametrize(("root", "lends"), [("graphroot", False), ("graphroot-additional", True)])
def test_layers_of_another_store(several: Path, tmp_path: Path, root: str, *, lends: bool) -> None:
    """What an image store has goes with the image; what an additional store has is not this one's."""
    copy = tmp_path / root
    shutil.copytree(several / root, copy, symlinks=True)
    records = copy / "overlay-containers/containers.json"
    (gone,) = json.loads(records.read_text())
    records.write_text("[]")
    (copy / "db.sql").unlink()
    other = ("--additional-store", str(several / "imagestore"))
    document = layerfs(copy, *other, "du", "--format", "json").json
    layers = {row["cache_id"]: row["size"] for row in document["layers"]}
    assert {row["borrowed"] for row in document["layers"]} == {lends}
    assert {row["cache_id"] for row in document["orphans"]} == {gone["layer"]}
    freed = layerfs(copy, *other, "du", "--what-if", IMAGE, "--format", "json").json
    assert {row["cache_id"] for row in freed["kept" if lends else "layers"]} == layers.keys()
    documents = sum(part["size"] for part in freed["others"])
    assert freed["freed_size"] == documents + (0 if lends else sum(layers.values()))
    assert ("another store" in layerfs(copy, *other, "du", "--layers").stdout) == lends


def test_orphans_of_another_store(tmp_path: Path) -> None:
    """What only lies in an additional store may be needed there: it is no orphan of this one."""
    lender = GraphRootBuilder(tmp_path / "lender")
    lent = lender.layer(None, b"lent".ljust(1024))
    lender.own_layer("theirs", lent)
    lender.finish()
    root = GraphRootBuilder(tmp_path / "root")
    mine = root.own_layer("mine", None)
    root.finish()
    found = layerfs(root.path, "--additional-store", str(lender.path), "du", "--format", "json").json
    assert [row["cache_id"] for row in found["orphans"]] == [mine.id]


def test_copies_with_other_owners(tmp_path: Path) -> None:
    """A copy of a layer that an image has for containers with another map counts, and goes with the image."""
    builder = GraphRootBuilder(tmp_path / "root")
    layer = builder.layer(None, bytes(2048))
    image = builder.image(["localhost/mapped:1"], layer)
    copy = builder.own_layer("", None)
    builder.layers[-1] |= {"diff-digest": layer.diff_id, "diff-size": layer.size}
    builder.images[0]["mapped-layers"] = [copy.id]
    root = builder.finish()
    documents = sum(builder.images[0]["big-data-sizes"].values())
    (row,) = layerfs(root, "du", "--format", "json").json["images"]
    assert row["id"] == f"sha256:{image}"
    assert (row["size"], row["freed_size"]) == (2 * 2048 + documents,) * 2
    builder.container("mapped", image, copy)
    builder.finish()
    (row,) = layerfs(root, "du", "--format", "json").json["images"]
    assert row["freed_size"] <= 2048 + documents


def test_a_layer_without_a_tar(tmp_path: Path) -> None:
    """Of a layer that is known by its table of contents alone the bytes of its files are its size."""
    builder = GraphRootBuilder(tmp_path / "root")
    layer = builder.layer(None, bytes(1024), lambda tree: (tree / "file").write_bytes(bytes(4321)))
    builder.image(["localhost/chunked:1"], layer)
    builder.layers[0] |= {"diff-size": -1, "toc-digest": f"sha256:{'1' * 64}"}
    del builder.layers[0]["diff-digest"]
    root = builder.finish()
    (row,) = layerfs(root, "layers", "--format", "json").json
    assert row["size"] == 4321
    (image,) = layerfs(root, "images", "--format", "json").json
    assert image["size"] == 4321 + sum(builder.images[0]["big-data-sizes"].values())
