"""Columns about where layers lie: an archive has none of them, a layer that is not unpacked is its blob."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.layouts import Layout, as_directory, layer_of
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from pathlib import Path

ALONE = "contentonly:1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of which one image was only downloaded."""
    return unpack_sample("containerd-1.6-store", tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("command", [["layers"], ["layers", "--digests"], ["history", "--layers"], ["waste"]])
def test_an_archive_has_no_columns_of_directories(tmp_path: Path, command: list[str]) -> None:
    """Nothing in it has a cache ID or a link: no column is empty in every row, but one of repositories."""
    layout = Layout()
    steps = [{"created_by": "RUN one"}, {"created_by": "RUN two"}]
    layers = [layer_of({"etc/motd": b"1"}), layer_of({"etc/motd": b"2"})]
    layout.name(layout.image(layers, history=steps), "docker.io/library/multi:1")
    top = as_directory(layout.done(), tmp_path / "layout")
    head, *rows = layerfs(top, *command, "multi:1").stdout.splitlines()
    table = [head, *rows] if command != ["waste"] else rows[1:]
    for word in ("CACHE ID", "LINK", "SNAPSHOT", "KEY"):
        assert word not in "\n".join(table)
    assert "DIFF ID" in table[0]
    found = layerfs(top, "layers", "--format", "json", "multi:1").json
    assert {row["cache_id"] for row in found} == {None}


@pytest.mark.root
def test_a_layer_that_is_not_unpacked_is_its_blob(store: Path) -> None:
    """`du --layers` and `du --what-if` name the blob where there is no snapshot; data have both sizes."""
    space = ("--namespace", "default")
    (layer,) = layerfs(store, *space, "layers", "--format", "json", ALONE).json
    digest = layer["distribution"][0]["digest"]
    blob = next(store.rglob(digest.removeprefix("sha256:")))
    assert (layer["size"], layer["blob_size"]) == (0, blob.stat().st_size)
    rows = layerfs(store, *space, "du", "--format", "json").json["layers"]
    (row,) = (row for row in rows if row["chain_id"] == layer["chain_id"])
    assert (row["blob"], row["size"], row["blob_size"]) == (digest, 0, blob.stat().st_size)
    assert all(row["blob"] and row["blob_size"] for row in rows)
    shown = f"blob {digest.removeprefix('sha256:')[:12]}"
    assert shown in layerfs(store, *space, "du", "--layers").stdout
    assert shown in layerfs(store, *space, "du", "--what-if", ALONE).stdout
    freed = layerfs(store, *space, "du", "--what-if", "--format", "json", ALONE).json
    assert [item["blob"] for item in freed["layers"]] == [digest]
