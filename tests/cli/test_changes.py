"""`layerfs changes`: each layer's counts against the directories of the layers and the kernel's mounts."""

from __future__ import annotations

import functools
import os
import shutil
import stat
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from layerfs import DataRoot
from tests.support.changes import changed_paths, refused
from tests.support.command import configs, layer_files, layerfs
from tests.support.kernel import check_trusted_xattrs, kernel_snapshot, private_dir, refusals
from tests.support.layerspec import materialise
from tests.support.mounts import stacked_by_docker
from tests.support.rootbuilder import RootBuilder
from tests.support.stacks import redirect_stacks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.layerspec import LayerSpec
    from tests.support.rootbuilder import BuiltLayer
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


def _counted(diff: Path) -> tuple[int, int]:
    """Bytes below `diff/` as Docker counts them, each inode once and none of directories; those of links."""
    inodes = {}
    for directory, names, files in os.walk(diff):
        for name in (*names, *files):
            found = os.lstat(os.path.join(directory, name))
            if not stat.S_ISDIR(found.st_mode):
                inodes[found.st_ino] = found
    links = [found.st_size for found in inodes.values() if stat.S_ISLNK(found.st_mode)]
    return sum(found.st_size for found in inodes.values()), sum(links)


def _check_sums(row: dict[str, Any]) -> None:
    """Every byte is in one column, and the columns add up."""
    assert row["bytes"] == sum(row[f"bytes_{kind}"] for kind in ("added", "modified", "metadata", "type"))
    assert row["size"] == row["bytes"] + row["bytes_identical"]


def test_columns_add_up_to_the_layers_size(dataroot_path: Path) -> None:
    """Of every layer of the recorded root: the size that the engine noted, and what is on disk.

    For a layer that BuildKit made the engine notes the contents of files alone, without links.
    """
    buildkit = set()
    for image in configs(dataroot_path):
        for row in layerfs(dataroot_path, "changes", "--format", "json", image).json:
            _check_sums(row)
            noted = dataroot_path / "image/overlay2/layerdb" / row["chain_id"].replace(":", "/") / "size"
            size, links = _counted(dataroot_path / "overlay2" / row["cache_id"] / "diff")
            assert row["size"] == size, (image, row["layer"])
            if int(noted.read_text()) != size:
                assert int(noted.read_text()) == size - links
                buildkit.add(row["chain_id"])
    assert len(buildkit) == 1


@pytest.mark.kernel
@settings(max_examples=10)
@given(redirect_stacks(max_layers=4))
def test_columns_add_up_on_generated_stacks(stack: list[LayerSpec]) -> None:
    """The same for any layers, with opaque directories, redirects and metacopies."""
    with private_dir() as work:
        check_trusted_xattrs(work)
        builder = RootBuilder(work / "root")
        built: list[BuiltLayer] = []
        for spec in reversed(stack):
            built.append(builder.layer(built[-1] if built else None, functools.partial(materialise, spec)))
        builder.image(built[-1], "generated:1")
        found = layerfs(builder.finish(), "changes", "--format", "json", "generated:1")
        if found.code == 0:  # a redirect that leads nowhere leaves a directory that nobody can look into
            for row, layer in zip(found.json, built, strict=True):
                _check_sums(row)
                assert row["size"] == _counted(layer.diff)[0]
        assert found.code in (0, 1)


def test_identical_copies_have_a_column(tmp_path: Path) -> None:
    """What a layer has again without any change is no change, and counted apart; hard links once."""

    def base(diff: Path) -> None:
        for name, size in (("same", 1000), ("linked", 300), ("changed", 70), ("touched", 5)):
            (diff / name).write_bytes(b"x" * size)
            os.utime(diff / name, (10, 10))
        os.utime(diff, (10, 10))

    def again(diff: Path) -> None:
        base(diff)
        os.link(diff / "linked", diff / "new-name")  # so its bytes are those of something added
        os.link(diff / "same", diff / "zz")
        (diff / "zz").unlink()
        (diff / "changed").write_bytes(b"y" * 71)
        os.utime(diff / "touched", (11, 11))
        os.utime(diff, (10, 10))

    builder = RootBuilder(tmp_path / "root")
    below = builder.layer(None, base)
    builder.image(builder.layer(below, again), "copies:1")
    root = builder.finish()
    row = _rows(root, "copies:1")[1]
    sizes = {kind: row[f"bytes_{kind}"] for kind in (*KINDS, "identical")}
    assert sizes == {
        "added": 300, "modified": 71, "metadata": 5, "type": 0, "deleted": 0, "identical": 1000,
    }  # fmt: skip
    assert (row["identical"], row["size"]) == (2, 1376)
    words = layerfs(root, "changes", "copies:1", "--format", "{{.Bytes}} + {{.Identical}} = {{.Size}}").stdout
    assert words.splitlines()[1] == "376B + 1kB = 1.38kB"


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
    """The table tells the counts, and the command as `layers` does, shortened to 36 characters."""
    rows = _rows(dataroot_path, "demo")
    lines = layerfs(dataroot_path, "changes", "demo").stdout.splitlines()
    assert lines[0].split() == [
        "LAYER",
        *(kind.upper() for kind in KINDS),
        "BYTES",
        "IDENTICAL",
        "CREATED",
        "BY",
    ]
    assert [line.split()[:6] for line in lines[1:]] == [
        [str(row[key]) for key in ("layer", *KINDS)] for row in rows
    ]
    steps = layerfs(dataroot_path, "layers", "demo", "--format", "{{.CreatedBy}}").stdout.splitlines()
    short = [step if len(step) <= 36 else f"{step[:35]}…" for step in steps]
    assert all(line.endswith(step) for line, step in zip(lines[1:], short, strict=True))


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
        (["changed", "--type", "image"], 3),
        (["changed", "--layer", "9"], 3),
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


def test_a_missing_layer_is_damage(copy: Path) -> None:
    """Where a layer's directory is gone the command says which, instead of counting wrongly."""
    root = copy
    opened = DataRoot.open(root)
    cache_id = opened.chain(opened.image("demo"))[2].cache_id
    shutil.rmtree(root / "overlay2" / cache_id)
    found = layerfs(root, "changes", "demo")
    assert (found.code, found.stdout) == (5, "")
    assert cache_id in found.stderr
