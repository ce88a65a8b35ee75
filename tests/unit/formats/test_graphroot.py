"""The records of a graph root: names of documents, IDs of layers, and records of any form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.formats.errors import FormatError
from layerfs.formats.graphroot import (
    big_data_file,
    big_data_key,
    layer_id,
    parse_images,
    parse_layers,
)
from tests.support.graphroots import GraphRootFiles
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from pathlib import Path

ID, OTHER = "a" * 64, "b" * 64


def _layers(records: object) -> tuple[dict[str, Any], list[FormatError]]:
    told: list[FormatError] = []
    return dict(parse_layers(json.dumps(records).encode(), told.append)), told


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("manifest", "manifest"),
        ("chunked.1", "chunked.1"),
        ("sha256:1", "=c2hhMjU2OjE="),
        ("Manifest", "=TWFuaWZlc3Q="),
        ("a/../../b", "=YS8uLi8uLi9i"),
        ("ü", "=w7w="),
    ],
)
def test_document_names(key: str, name: str) -> None:
    """Plain or as base64, which is undone: no key leads out of the image's directory."""
    assert big_data_file(key) == name
    assert big_data_key(name) == key


@pytest.mark.parametrize("key", ["", ".", ".."])
def test_keys_that_are_no_names(key: str) -> None:
    """The directory itself and the one above are no documents."""
    with pytest.raises(FormatError):
        big_data_file(key)


@pytest.mark.parametrize("name", ["..", "A", "=!", "=/w==", "a/b", ""])
def test_files_that_are_no_documents(name: str) -> None:
    """What no key makes is none."""
    assert big_data_key(name) is None


@pytest.mark.root
@pytest.mark.parametrize(
    "sample", ["podman-4.3-rootful", "podman-4.3-rootless-fuse", "podman-5.8-zstd-chunked"]
)
def test_ids_and_documents_of_real_stores(sample: str, tmp_path: Path) -> None:
    """Every layer with a diff ID has the ID of the formula, and every document is where its key says."""
    root = unpack_sample(sample, tmp_path)
    files = GraphRootFiles(root)
    layers, told = _layers(files.records(files.layers_file))
    assert not told
    found = [record for record in layers.values() if record.diff_id]
    assert found
    for record in found:
        assert layer_id(record.parent, diff=record.diff_id.hex) == record.id
    images = parse_images(files.images_file.read_bytes(), told.append)
    for image in images.values():
        for key, data in image.big_data.items():
            assert (root / "overlay-images" / image.id / big_data_file(key)).stat().st_size == data.size
    assert images
    assert not told


def test_a_layer_known_by_its_table_of_contents() -> None:
    """sha256sum of `0+@TOC=1`, and of a base `+@TOC=1`."""
    assert layer_id("0", toc="1") == "28aa62c1f7166bf244eb4ac82b33411e15141a6d1ad45dd9a1a2812adc735e7f"
    assert layer_id(None, toc="1") == "22848bcabac41b5211b57ec3d0450b3d8740bc81f53164f65c731a34d08b7eee"


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"id": 7},
        {"id": "../../etc"},
        {"id": OTHER, "parent": "../x"},
        {"id": OTHER, "names": [1]},
        {"id": OTHER, "names": "x"},
        {"id": OTHER, "diff-digest": "sha256:1"},
        {"id": OTHER, "diff-size": "1"},
        {"id": OTHER, "flags": []},
        {"id": OTHER, "created": "yesterday"},
        {"id": OTHER, "uidmap": [1]},
    ],
    ids=json.dumps,
)
def test_a_damaged_record_hides_no_other(record: dict[str, Any]) -> None:
    """It is told of by its ID, or its number, and left out."""
    found, told = _layers([record, {"id": ID}])
    assert list(found) == [ID]
    assert [error.part for error in told] == [OTHER if record.get("id") == OTHER else "[0]"]


def test_of_two_records_with_one_id_the_first_counts() -> None:
    """As in the engine; that is told."""
    found, told = _layers([{"id": ID, "names": ["first"]}, {"id": ID, "names": ["second"]}])
    assert found[ID].names == ("first",)
    assert [error.part for error in told] == [ID]


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"[{}", b"\xff", b'{"a":[]}', b"[" * 99_999])
def test_a_file_that_is_no_list_of_records(content: bytes) -> None:
    """It is refused as a whole."""
    for parse in (parse_layers, parse_images):
        with pytest.raises(FormatError):
            parse(content, lambda _: None)


def test_sizes_that_are_not_known() -> None:
    """Minus one, and any size without a digest, is none."""
    digest = f"sha256:{ID}"
    found, _ = _layers([{"id": ID, "diff-digest": digest, "diff-size": -1}, {"id": OTHER, "diff-size": 5}])
    assert [record.size for record in found.values()] == [None, None]
