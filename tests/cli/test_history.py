"""`layerfs history` where no Engine can be asked: the layers of the rows, and damage."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.ids import chain_ids
from tests.support.command import add_image, configs, layer_files, layerfs

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [
    *("image_id", "created", "created_by", "comment", "size", "empty_layer"),
    *("diff_id", "chain_id", "cache_id"),
]
DRIVER = "image/overlay2"


def _rows(root: Path, image: str) -> list[dict[str, Any]]:
    found = layerfs(root, "history", "--format", "json", image)
    assert (found.code, found.stderr) == (0, "")
    return list(found.json)


def _id_of(root: Path, name: str) -> str:
    return layerfs(root, "images", "-q", "--no-trunc", name).stdout.split()[0]


def test_layers_of_the_rows_are_those_on_disk(dataroot_path: Path) -> None:
    """Each row that made a layer names it by the diff ID, chain ID, cache ID and size on disk."""
    stored = layer_files(dataroot_path)
    for image, config in configs(dataroot_path).items():
        rows = _rows(dataroot_path, image)
        assert all(list(row) == KEYS for row in rows)
        made = [row for row in reversed(rows) if not row["empty_layer"]]
        diff_ids = config["rootfs"].get("diff_ids") or []
        assert [row["diff_id"] for row in made] == diff_ids[: len(made)]
        for row in made:
            files = stored[row["chain_id"]]
            assert row["diff_id"] == files["diff"]
            assert row["cache_id"] == files["cache-id"]
            assert row["size"] == int(files["size"])


def test_layers_option_numbers_the_layers(dataroot_path: Path) -> None:
    """--layers adds the number, diff ID and cache ID of the layer each row made, and nothing else changes."""
    plain = layerfs(dataroot_path, "history", "--no-trunc", "demo").stdout.splitlines()
    found = layerfs(dataroot_path, "history", "--no-trunc", "--layers", "demo")
    lines = found.stdout.splitlines()
    assert (found.code, len(lines)) == (0, len(plain))
    rows = _rows(dataroot_path, "demo")
    numbers = [
        line[len("sha256:") + 64 :].split()[0]
        for line, row in zip(lines[1:], rows, strict=True)
        if row["diff_id"]
    ]
    assert numbers == [str(number) for number in range(len(numbers), 0, -1)]
    for line, row in zip(lines[1:], rows, strict=True):
        assert row["diff_id"] is None or (row["diff_id"] in line and row["cache_id"] in line)


def test_number_is_the_one_that_mount_takes(dataroot_path: Path) -> None:
    """{{.Layer}} of a row is the number by which other commands show that layer."""
    text = layerfs(
        dataroot_path, "history", "--no-trunc", "--format", "{{.Layer}} {{.DiffID}}", "demo"
    ).stdout
    found = dict(line.split() for line in text.splitlines() if line.strip())
    diff_ids = configs(dataroot_path)[_id_of(dataroot_path, "demo")]["rootfs"]["diff_ids"]
    assert found == {str(number): diff_id for number, diff_id in enumerate(diff_ids, 1)}


def test_missing_layer_leaves_its_size_unknown(copy: Path) -> None:
    """A row whose layer's record is gone keeps its IDs, without a size; the record is named."""
    before = _rows(copy, "demo")
    victim = next(row for row in before if row["diff_id"])
    shutil.rmtree(copy / DRIVER / "layerdb/sha256" / victim["chain_id"].removeprefix("sha256:"))
    found = layerfs(copy, "history", "--format", "json", "demo")
    assert found.code == 1
    assert victim["chain_id"].removeprefix("sha256:") in found.stderr
    assert found.json == [row | {"size": None} if row == victim else row for row in before]
    assert " N/A " in layerfs(copy, "history", "demo").stdout


def test_more_steps_than_layers_are_told(copy: Path) -> None:
    """An image with more steps than layers, which no engine takes, is told with a warning on its file."""
    layers = configs(copy)[_id_of(copy, "base:1")]["rootfs"]["diff_ids"]
    history = [{"created_by": "one"}, {"created_by": "none", "empty_layer": True}, {"created_by": "two"}]
    image = add_image(copy, {"rootfs": {"type": "layers", "diff_ids": layers}, "history": history})
    found = layerfs(copy, "history", "--format", "json", image)
    assert found.code == 1
    assert image.removeprefix("sha256:") in found.stderr
    assert [row["created_by"] for row in found.json] == ["two", "none", "one"]
    assert [row["chain_id"] for row in found.json] == [None, None, chain_ids(layers)[0]]
    assert [row["size"] for row in found.json] == [None, 0, 4098]


@pytest.mark.parametrize("note", ["sha256:" + "0" * 64, "../../etc/passwd", "", "sha256:\x1b[2J"])
def test_parent_that_is_no_image_ends_the_ancestry(copy: Path, note: str) -> None:
    """IDs go down as far as the noted parents are there; a note that names none is no damage."""
    whole = _rows(copy, "demo")
    path = copy / DRIVER / "imagedb/metadata/sha256" / whole[2]["image_id"].removeprefix("sha256:") / "parent"
    path.write_text(note)
    cut = _rows(copy, "demo")
    assert [row["image_id"] for row in cut] == [row["image_id"] for row in whole[:3]] + [None] * (
        len(whole) - 3
    )


def test_parents_in_a_circle_end(copy: Path) -> None:
    """A parent note that leads in a circle gives as many rows as the history has."""
    whole = _rows(copy, "demo")
    path = copy / DRIVER / "imagedb/metadata/sha256" / whole[1]["image_id"].removeprefix("sha256:") / "parent"
    path.write_text(whole[0]["image_id"])
    first, second = whole[0]["image_id"], whole[1]["image_id"]
    assert [row["image_id"] for row in _rows(copy, "demo")] == ([first, second] * len(whole))[: len(whole)]


def test_human_takes_go_s_booleans(dataroot_path: Path) -> None:
    """--human=false, -H=0 and --no-human are one, as are -H, --human=true and nothing."""

    def text(*options: str) -> str:
        return layerfs(dataroot_path, "history", *options, "config/offset:1").stdout

    assert text("--human=false") == text("-H=0") == text("--no-human") != text()
    assert text("-H") == text("--human=true") == text("-H=T") == text()
    assert layerfs(dataroot_path, "history", "--human=perhaps", "demo").code == 2


def test_unknown_image_is_not_found(dataroot_path: Path) -> None:
    """An image that is not there is a failed look-up."""
    found = layerfs(dataroot_path, "history", "no/such")
    assert (found.code, found.stdout) == (3, "")
