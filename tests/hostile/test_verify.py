"""Tampering is found: every altered, missing, extra or re-attributed file by name, and nothing else."""

from __future__ import annotations

import base64
import gzip
import json
import os
import zlib
from typing import TYPE_CHECKING

import pytest

from layerfs.formats.checksum import crc64
from tests.support.command import layerfs
from tests.support.planting import PLANTS, image_only, placed_layers, unchanged_times

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command import Result

pytestmark = pytest.mark.root

CLEAN, FOUND = 0, 1
LEGITIMATE = {"sparse-member", "socket-kept", "whiteout-with-content"}


@pytest.fixture
def root(dataroot_path: Path, tmp_path: Path) -> Path:
    """A copy of the image `demo:1.0` that the test may damage."""
    return image_only(dataroot_path, tmp_path / "root", "demo:1.0")


def _named(result: Result, below: Path) -> set[tuple[str, str]]:
    """The code and the path below a directory of everything that was found."""
    return {(found["code"], found["path"][len(str(below)) :].lstrip("/")) for found in result.json}


@pytest.mark.parametrize("name", PLANTS)
def test_tampering_is_named(dataroot_path: Path, tmp_path: Path, name: str) -> None:
    """What was done to a layer is found and named, and nothing besides."""
    plant = PLANTS[name]
    root = image_only(dataroot_path, tmp_path / "root", plant.image)
    layer = placed_layers(root, plant.image)[plant.layer - 1]
    plant.tamper(layer.diff)
    result = layerfs(root, "verify", "--format", "json", f"{plant.image}@{plant.layer}")
    assert _named(result, layer.diff) == plant.named
    assert {found["subject"] for found in result.json} == {f"layer {layer.chain_id}"}
    assert result.code == (CLEAN if name == "root-mode" else FOUND)


def test_intact_root_has_no_error(dataroot_path: Path) -> None:
    """The recorded root, of every kind of layer an Engine makes, gives no error, and notes what cannot be."""
    result = layerfs(dataroot_path, "verify", "--all", "--format", "json")
    assert {found["code"] for found in result.json} == LEGITIMATE
    assert {found["severity"] for found in result.json} == {"note"}
    assert result.code == CLEAN
    assert layerfs(dataroot_path, "verify", "--all", "--strict").code == FOUND


def _tamper(root: Path) -> set[tuple[str, str]]:
    """Every kind of tampering at once, but one for each layer; the codes and paths that name them."""
    wanted: set[tuple[str, str]] = set()
    for plant in PLANTS.values():
        layer = placed_layers(root, plant.image)[plant.layer - 1]
        if not any(path.startswith(str(layer.diff) + "/") for _, path in wanted):
            plant.tamper(layer.diff)
            wanted |= {(code, str(layer.diff / path)) for code, path in plant.named}
    return wanted


def _of_all(root: Path, *options: str) -> set[tuple[str, str]]:
    """The codes and paths of what is wrong in a root, without what is legitimate."""
    result = layerfs(root, "verify", "--all", *options, "--format", "json")
    return {(found["code"], found["path"]) for found in result.json if found["code"] not in LEGITIMATE}


def test_all_at_once(copy: Path) -> None:
    """Every kind of tampering at once: each is named where it was done, by several processes as by one."""
    wanted = _tamper(copy)
    for jobs in ("1", "3"):
        assert _of_all(copy, "--jobs", jobs) == wanted


def test_names_outside_of_the_layer(copy: Path, tmp_path: Path) -> None:
    """In a copy made of hard links every entry has a further name elsewhere: it is compared all the same."""
    place = tmp_path / "names"
    place.mkdir()
    entries = (os.path.join(top, name) for top, _, names in os.walk(copy / "overlay2") for name in names)
    for number, path in enumerate(entries):
        os.link(path, place / str(number), follow_symlinks=False)
    assert not _of_all(copy)
    wanted = _tamper(copy)
    assert _of_all(copy) == wanted


# -- records -----------------------------------------------------------------------------------------


def _edit(name: str, change: Callable[[bytes], bytes | None]) -> Callable[[Path, Path], None]:
    """Change a file of the layer's record, or of its directory; None removes it."""

    def edit(record: Path, directory: Path) -> None:
        path = (record if (record / name).exists() else directory) / name
        content = change(path.read_bytes())
        path.unlink() if content is None else path.write_bytes(content)

    return edit


def _short_link(record: Path, directory: Path) -> None:
    del record
    (directory.parent / "l" / (directory / "link").read_text()).unlink()


RECORDS = {
    "diff": (_edit("diff", lambda text: text[:-1] + (b"0" if text[-1:] != b"0" else b"1")), "diff-wrong"),
    "parent": (
        _edit("parent", lambda text: text[:-1] + (b"0" if text[-1:] != b"0" else b"1")),
        "parent-wrong",
    ),
    "parent-removed": (_edit("parent", lambda _text: None), "parent-missing"),
    "size": (_edit("size", lambda text: b"%d" % (int(text) + 1)), "size-wrong"),
    "lower": (_edit("lower", lambda text: b":".join(reversed(text.split(b":")))), "lower-wrong"),
    "lower-removed": (_edit("lower", lambda _text: None), "lower-missing"),
    "link": (_edit("link", lambda _text: b"A" * 26), "short-link-missing"),
    "link-removed": (_edit("link", lambda _text: None), "link-missing"),
    "short-link": (_short_link, "short-link-missing"),
    "tar-split-removed": (_edit("tar-split.json.gz", lambda _text: None), "tar-split-missing"),
    "tar-split-cut": (_edit("tar-split.json.gz", lambda text: text[: len(text) // 2]), "tar-split-malformed"),
    "tar-split-empty": (_edit("tar-split.json.gz", lambda _text: b""), "tar-split-malformed"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_edited_records_are_named(root: Path, name: str) -> None:
    """An edited, cut or missing file of a layer's records is named, and the contents still verify."""
    edit, code = RECORDS[name]
    layer = placed_layers(root, "demo:1.0")[3]
    edit(layer.record, layer.directory)
    result = layerfs(root, "verify", "--format", "json", "demo:1.0@4")
    assert {found["code"] for found in result.json} - {code} <= {"parent-wrong", "lower-wrong"} - {code}
    assert code in {found["code"] for found in result.json}
    assert result.code == FOUND


def test_edited_config(root: Path) -> None:
    """A config that does not hash to its image ID is named, with both, by name and with --all."""
    image = layerfs(root, "images", "--no-trunc", "--format", "{{.ID}}", "demo:1.0").stdout.strip()
    path = root / "image/overlay2/imagedb/content/sha256" / image.removeprefix("sha256:")
    path.write_bytes(path.read_bytes() + b" ")
    for arguments in (("demo:1.0",), ("--all", "--quick")):
        result = layerfs(root, "verify", "--format", "json", *arguments)
        found = [item for item in result.json if item["code"] == "config-altered"]
        assert [(item["subject"], item["expected"]) for item in found] == [(f"image {image}", image)]
        assert result.code == FOUND


def test_swapped_layers(root: Path) -> None:
    """Two layers whose `cache-id`s were swapped: both records are wrong, and the files are proven."""
    first, second = placed_layers(root, "demo:1.0")[1:3]
    ids = [(layer.record / "cache-id").read_text() for layer in (first, second)]
    for layer, cache_id in zip((second, first), ids, strict=True):
        (layer.record / "cache-id").write_text(cache_id)
    result = layerfs(root, "verify", "--format", "json", "demo:1.0")
    named = {(found["code"], found["path"], found["expected"]) for found in result.json}
    assert named == {
        ("cache-id-wrong", str(layer.record / "cache-id"), cache_id)
        for layer, cache_id in zip((first, second), ids, strict=True)
    }
    assert result.code == FOUND


# -- tar-split ---------------------------------------------------------------------------------------


def _rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


def test_edited_header(root: Path) -> None:
    """A header that was edited to hide a chmod is found by the sha256, and the file fits it."""
    layer = placed_layers(root, "demo:1.0")[1]
    os.chmod(layer.diff / "etc/motd", 0o4755)

    def edit(text: bytes) -> bytes:
        return _edited_mode(text, b"etc/motd", 0o4755)

    _rewrite(layer.record / "tar-split.json.gz", edit)
    result = layerfs(root, "verify", "--format", "json", "demo:1.0@2")
    assert _named(result, layer.record) == {("tar-split-altered", "tar-split.json.gz")}


@pytest.mark.parametrize(
    ("edited", "named"), [("a/one", set()), ("a/two", set()), ("b/three", {("mode-altered", "diff/a/one")})]
)
def test_edited_header_of_a_hard_link(
    dataroot_path: Path, tmp_path: Path, edited: str, named: set[tuple[str, str]]
) -> None:
    """Of the headers of one inode the last counts, also where the file is what the first one says."""
    root = image_only(dataroot_path, tmp_path / "root", "lab/links:1")
    layer = placed_layers(root, "lab/links:1")[1]
    _rewrite(layer.record / "tar-split.json.gz", lambda text: _edited_mode(text, edited.encode(), 0o4755))
    found = layerfs(root, "verify", "--format", "json", "lab/links:1@2").json
    assert {(item["code"], item["path"]) for item in found} == {
        ("tar-split-altered", str(layer.record / "tar-split.json.gz")),
        *((code, str(layer.directory / path)) for code, path in named),
    }


def _edited_mode(text: bytes, name: bytes, mode: int) -> bytes:
    """tar-split lines in which the header before the content `name` has another mode."""
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if b'"name":"%s"' % name in line)
    entry = json.loads(lines[at - 1])
    raw = bytearray(base64.b64decode(entry["payload"]))
    block = memoryview(raw)[-512:]
    block[100:107] = b"%07o" % mode
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    entry["payload"] = base64.b64encode(raw).decode()
    lines[at - 1] = json.dumps(entry).encode()
    return b"\n".join(lines) + b"\n"


def test_edited_checksum(root: Path) -> None:
    """A checksum that does not fit a file that is intact is told from an altered file: the sha256 fits."""
    layer = placed_layers(root, "demo:1.0")[1]
    checksum = base64.b64encode(crc64((layer.diff / "etc/motd").read_bytes()).to_bytes(8))
    _rewrite(layer.record / "tar-split.json.gz", lambda text: text.replace(checksum, b"AAAAAAAAAAA="))
    result = layerfs(root, "verify", "--format", "json", "demo:1.0@2")
    assert _named(result, layer.diff) == {("checksum-altered", "etc/motd")}


def test_checksum_edited_with_the_file(root: Path) -> None:
    """A file and its checksum changed together: the file cannot be named, but the layer is found."""
    layer = placed_layers(root, "demo:1.0")[1]
    path = layer.diff / "etc/motd"
    before = path.read_bytes()
    with unchanged_times(layer.diff):
        path.write_bytes(before.swapcase())

    def edit(text: bytes) -> bytes:
        old, new = (base64.b64encode(crc64(content).to_bytes(8)) for content in (before, before.swapcase()))
        assert old in text
        return text.replace(old, new)

    _rewrite(layer.record / "tar-split.json.gz", edit)
    result = layerfs(root, "verify", "--format", "json", "demo:1.0@2")
    assert _named(result, layer.record) == {("tar-split-altered", "tar-split.json.gz")}


def test_unclosed_gzip(root: Path) -> None:
    """A gzip stream that early engines never closed still proves the content: a warning, no error."""
    layer = placed_layers(root, "demo:1.0")[1]
    path = layer.record / "tar-split.json.gz"
    packer = zlib.compressobj(wbits=31)
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))
    result = layerfs(root, "verify", "--format", "json", "demo:1.0@2")
    assert [(found["code"], found["severity"]) for found in result.json] == [
        ("tar-split-unclosed", "warning")
    ]
    assert result.code == CLEAN
