"""`layerfs changes`: each layer's counts against the directories of the layers and the kernel's mounts."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from tests.support.changes import changed_paths, refused
from tests.support.command import configs, layer_files, layerfs
from tests.support.fixture import private_copy
from tests.support.kernel import kernel_snapshot, refusals
from tests.support.mounts import stacked_by_docker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.snapshot import Entry

KINDS = ("added", "modified", "metadata", "type", "deleted")
IMAGES = (
    "demo",
    "lab/types:1",
    "lab/opaque:1",
    "lab/twice:1",
    "lab/links:1",
    "committed:1",
    "buildkit:latest",
)


def _rows(root: Path, *arguments: str) -> list[dict[str, Any]]:
    found = layerfs(root, "changes", "--format", "json", *arguments)
    assert (found.code, found.stderr) == (0, "")
    return list(found.json)


@pytest.mark.kernel
@pytest.mark.parametrize("image", IMAGES)
def test_counts_are_those_of_the_kernels_mounts(dataroot_path: Path, image: str) -> None:
    """Each layer's numbers are those of the differences of two mounts, with it and without it."""
    root = DataRoot.open(dataroot_path)
    mounts = [
        refusals(kernel_snapshot(stacked_by_docker(dataroot_path, layer.cache_id)))
        for layer in root.chain(root.image(image))
    ]
    rows = _rows(dataroot_path, image)
    assert len(rows) == len(mounts)
    assert rows[0]["added"] == len(mounts[0]) - 1
    for row, old, new in zip(rows[1:], mounts, mounts[1:], strict=False):
        assert refused(old, new) == []
        expected = changed_paths(old, new)
        counted = Counter(kind for kind, _ in expected.values())
        assert {kind: row[kind] for kind in KINDS} == {kind: counted[kind] for kind in KINDS}
        gone = [old[path[1:]] for path, (kind, _) in expected.items() if kind == "deleted"]
        if all(len(entry.links) < 2 for entry in gone):
            assert row["bytes_deleted"] == sum(_size(entry) for entry in gone)


def _size(entry: Entry) -> int:
    """What Docker counts of an entry: nothing of a directory, a link's target, a file's length."""
    if entry.target is not None:
        return len(entry.target)
    return entry.size or 0 if entry.content is not None else 0


def test_bytes_are_the_layers_size(dataroot_path: Path) -> None:
    """The bytes of a layer are those that the engine noted as its size."""
    for image in ("demo", "lab/links:1", "lab/types:1", "lab/hundred", "base:1"):
        for row in _rows(dataroot_path, image):
            noted = dataroot_path / "image/overlay2/layerdb" / row["chain_id"].replace(":", "/") / "size"
            assert row["bytes"] == int(noted.read_text()), (image, row["layer"])


def test_each_layer_has_its_names_and_its_step(dataroot_path: Path) -> None:
    """Rows are the layers of the config, base first, each with the history entry that made it."""
    stored = layer_files(dataroot_path)
    for image, config in configs(dataroot_path).items():
        diff_ids = config["rootfs"].get("diff_ids") or []
        steps = [step for step in config.get("history") or [] if not step.get("empty_layer")]
        found = layerfs(dataroot_path, "changes", "--format", "json", image)
        rows = found.json
        assert [row["layer"] for row in rows] == list(range(1, len(diff_ids) + 1))
        assert [row["diff_id"] for row in rows] == diff_ids
        made = [step.get("created_by", "") for step in steps]
        assert [row["created_by"] for row in rows] == (made + [None] * len(rows))[: len(rows)]
        for row in rows:
            assert row["cache_id"] == stored[row["chain_id"]]["cache-id"]


def test_table_has_a_line_a_layer(dataroot_path: Path) -> None:
    """The table tells the counts, and the command as `layers` shortens it."""
    rows = _rows(dataroot_path, "demo")
    lines = layerfs(dataroot_path, "changes", "demo").stdout.splitlines()
    assert lines[0].split() == ["LAYER", *(kind.upper() for kind in KINDS), "BYTES", "CREATED", "BY"]
    assert [line.split()[:6] for line in lines[1:]] == [
        [str(row[key]) for key in ("layer", *KINDS)] for row in rows
    ]
    steps = layerfs(dataroot_path, "layers", "demo", "--format", "{{.CreatedBy}}").stdout.splitlines()
    assert all(line.endswith(step) for line, step in zip(lines[1:], steps, strict=True))


@pytest.mark.parametrize("image", ["demo", "lab/whiteouts:1", "lab/names:1"])
def test_one_layer_is_listed_as_diff_does(dataroot_path: Path, image: str) -> None:
    """`--layer N` prints what `diff IMAGE@N-1 IMAGE@N` does in every format; its rows are those counted."""
    for row in _rows(dataroot_path, image):
        number = row["layer"]
        listed = _rows(dataroot_path, "--layer", str(number), image)
        counted = Counter(item["change"] for item in listed)
        assert {kind: row[kind] for kind in KINDS} == {kind: counted[kind] for kind in KINDS}
        if number == 1:
            continue
        sides = (f"{image}@{number - 1}", f"{image}@{number}")
        for form in ("table", "json", "csv", "{{.Change}} {{.Path}}"):
            found = layerfs(dataroot_path, "changes", "--layer", str(number), image, "--format", form)
            expected = layerfs(dataroot_path, "diff", *sides, "--format", form)
            assert (found.code, found.stdout) == (0, expected.stdout)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["no-such"], 3),
        (["demo", "--layer", "7"], 3),
        (["demo", "--layer", "0"], 2),
        (["changed"], 3),
        (["zero/scratch:1", "--layer", "1"], 3),
        ([], 2),
    ],
)
def test_misuse(dataroot_path: Path, arguments: list[str], code: int) -> None:
    """Images and layers that are not there are refused."""
    found = layerfs(dataroot_path, "changes", *arguments)
    assert (found.code, found.stdout) == (code, "")


def test_an_image_of_no_layers_has_no_rows(dataroot_path: Path) -> None:
    """Of an image without layers there is nothing to tell."""
    assert _rows(dataroot_path, "zero/scratch:1") == []


def test_a_missing_layer_is_damage(dataroot_path: Path, tmp_path: Path) -> None:
    """Where a layer's directory is gone the command says which, instead of counting wrongly."""
    root = private_copy(dataroot_path, tmp_path / "root")
    opened = DataRoot.open(root)
    cache_id = opened.chain(opened.image("demo"))[2].cache_id
    shutil.rmtree(root / "overlay2" / cache_id)
    found = layerfs(root, "changes", "demo")
    assert (found.code, found.stdout) == (5, "")
    assert cache_id in found.stderr
