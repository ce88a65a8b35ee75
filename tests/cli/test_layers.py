"""`layerfs layers`, compared with the files of the data root, read without layerfs."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import configs, layer_files, layerfs

if TYPE_CHECKING:
    from pathlib import Path

LAYERDB = "image/overlay2/layerdb/sha256"


def _rows(root: Path, *arguments: str) -> list[dict[str, Any]]:
    found = layerfs(root, "layers", *arguments, "--format", "json")
    assert (found.code, found.stderr) == (0, "")
    return list(found.json)


def _diff_ids(config: dict[str, Any]) -> list[str]:
    return list(config["rootfs"].get("diff_ids") or [])


def test_layers_of_each_image_are_those_on_disk(dataroot_path: Path) -> None:
    """Every fact of every row is what the files of layerdb and overlay2 say."""
    stored = layer_files(dataroot_path)
    for image, config in configs(dataroot_path).items():
        rows = _rows(dataroot_path, image)
        assert [row["diff_id"] for row in rows] == _diff_ids(config)
        assert [row["index"] for row in rows] == list(range(1, len(rows) + 1))
        assert [row["parent"] for row in rows] == [None, *(row["chain_id"] for row in rows)][: len(rows)]
        made = [
            entry.get("created_by", "")
            for entry in config.get("history") or []
            if not entry.get("empty_layer")
        ]
        assert [row["created_by"] for row in rows] == (made + [None] * len(rows))[: len(rows)]
        for row in rows:
            _assert_on_disk(dataroot_path, row, stored[row["chain_id"]])
            assert image in row["images"]


def _assert_on_disk(root: Path, row: dict[str, Any], files: dict[str, str]) -> None:
    directory = root / "overlay2" / files["cache-id"]
    assert (row["diff_id"], row["parent"]) == (files["diff"], files.get("parent"))
    assert (row["cache_id"], row["size"]) == (files["cache-id"], int(files["size"]))
    assert (row["directory"], row["link"]) == (str(directory), (directory / "link").read_text())
    assert str((root / "overlay2/l" / row["link"]).readlink()) == f"../{files['cache-id']}/diff"


def test_all_layers_parents_first(dataroot_path: Path) -> None:
    """Without an image every layer of layerdb comes once, after its parent, numbered by its depth."""
    stored = layer_files(dataroot_path)
    depth: dict[str | None, int] = {None: 0}
    for row in _rows(dataroot_path):
        assert row["parent"] == stored[row["chain_id"]].get("parent")
        assert row["index"] == depth[row["parent"]] + 1
        depth[row["chain_id"]] = row["index"]
    assert depth.keys() == {None, *stored}


def test_users_of_each_layer(dataroot_path: Path) -> None:
    """`images` and `containers` are those whose chains have the layer, also where no image is left."""
    stored = layer_files(dataroot_path)
    by_chain = {row["chain_id"]: row for row in _rows(dataroot_path)}
    images: dict[str, set[str]] = {chain: set() for chain in stored}
    for image in configs(dataroot_path):
        for row in _rows(dataroot_path, image):
            images[row["chain_id"]].add(image)
    containers: dict[str, set[str]] = {chain: set() for chain in stored}
    for mount in (dataroot_path / "image/overlay2/layerdb/mounts").iterdir():
        at = (mount / "parent").read_text() if (mount / "parent").exists() else None
        while at:
            containers[at].add(mount.name)
            at = stored[at].get("parent")
    assert {chain: set(row["images"]) for chain, row in by_chain.items()} == images
    assert {chain: set(row["containers"]) for chain, row in by_chain.items()} == containers
    assert any(containers[chain] and not images[chain] for chain in stored)


def test_quiet_prints_chain_ids(dataroot_path: Path) -> None:
    """-q prints one chain ID a line, short or in full."""
    chain = [row["chain_id"] for row in _rows(dataroot_path, "demo:latest")]
    assert layerfs(dataroot_path, "layers", "-q", "--no-trunc", "demo:latest").stdout.split() == chain
    short = layerfs(dataroot_path, "layers", "-q", "demo:latest").stdout.split()
    assert short == [item.removeprefix("sha256:")[:12] for item in chain]


def test_table_has_a_line_for_each_layer(dataroot_path: Path) -> None:
    """The table shows a header, and for each layer the beginnings of its IDs."""
    header, *lines = layerfs(dataroot_path, "layers", "demo:latest").stdout.splitlines()
    assert header.split("  ")[0] == "INDEX"
    rows = _rows(dataroot_path, "demo:latest")
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert line.split()[:4] == [
            str(row["index"]),
            row["diff_id"].removeprefix("sha256:")[:12],
            row["chain_id"].removeprefix("sha256:")[:12],
            row["cache_id"][:12],
        ]


def test_hostile_history_cannot_speak_to_the_terminal(dataroot_path: Path) -> None:
    """Control characters of a history entry come out escaped."""
    out = layerfs(dataroot_path, "layers", "--no-trunc", "config/hostile:1").stdout
    assert "title" in out
    assert all(character.isprintable() or character == "\n" for character in out)


def test_missing_layer_leaves_the_rest(copy: Path) -> None:
    """A lost layer record: its size alone is null, all else is known from others; exit 1."""
    whole = _rows(copy, "demo:latest")
    lost = whole[2]["chain_id"]
    shutil.rmtree(copy / LAYERDB / lost.removeprefix("sha256:"))
    found = layerfs(copy, "layers", "demo:latest", "--format", "json")
    assert found.code == 1
    assert f"{LAYERDB}/{lost.removeprefix('sha256:')}" in found.stderr
    assert found.json == [*whole[:2], whole[2] | {"size": None}, *whole[3:]]
    assert " N/A " in layerfs(copy, "layers", "demo:latest").stdout.splitlines()[3]


@pytest.mark.parametrize(
    ("file", "content"), [("size", "8\n"), ("diff", "nonsense"), ("cache-id", "../../etc")]
)
def test_damaged_layer_file_is_named(copy: Path, file: str, content: str) -> None:
    """A damaged file of a layer is named, and the answer is the same, as it stands elsewhere too."""
    whole = _rows(copy, "demo:latest")
    chain = whole[1]["chain_id"]
    (copy / LAYERDB / chain.removeprefix("sha256:") / file).write_text(content)
    found = layerfs(copy, "layers", "demo:latest", "--format", "json")
    assert found.code == 1
    assert f"{chain.removeprefix('sha256:')}/{file}" in found.stderr
    assert found.json == whole


def test_chain_that_runs_in_a_circle_ends(copy: Path) -> None:
    """Layers that name each other as parents are reported, and listed as the hashes have them."""
    whole = layerfs(copy, "layers", "--format", "json").json
    first, second = (row["chain_id"] for row in _rows(copy, "demo:latest")[1:3])
    (copy / LAYERDB / first.removeprefix("sha256:") / "parent").write_text(second)
    found = layerfs(copy, "layers", "--format", "json")
    assert found.code == 1
    assert f"{first.removeprefix('sha256:')}/parent: not the layer below" in found.stderr
    assert found.json == whole


@pytest.mark.parametrize("part", ["link", ""])
def test_missing_directory_or_link(copy: Path, part: str) -> None:
    """A layer without its `link` is listed as ever, one without its directory with null there; exit 1."""
    row = _rows(copy, "demo:latest")[1]
    target = copy / "overlay2" / row["cache_id"] / part
    target.unlink() if part else shutil.rmtree(target)
    found = layerfs(copy, "layers", "demo:latest", "--format", "json")
    assert found.code == 1
    assert row["cache_id"] in found.stderr
    assert found.json[1] == (row if part else row | {"link": None, "directory": None})


def test_jsonl_and_csv_have_the_same_rows(dataroot_path: Path) -> None:
    """Every machine format has the rows of json."""
    rows = _rows(dataroot_path, "demo:latest")
    lines = layerfs(dataroot_path, "layers", "demo:latest", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert (
        len(layerfs(dataroot_path, "layers", "demo:latest", "--format", "csv").stdout.splitlines())
        == len(rows) + 1
    )
