"""Damaged roots: each defect is named with its file, the exit code says so, and the rest goes on."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hostile.demo import Demo

pytestmark = pytest.mark.root

DAMAGED, CORRUPT = 1, 5


class Defect(NamedTuple):
    """A defect of one file.

    Attributes:
        path: the file that is damaged, of the image `demo`.
        damage: what is done to it.
        listing: the exit code of `images`.
        tree: the exit code of `ls demo /`.
        named: the end of the path that a message must contain, where it is not the damaged file's.
    """

    path: Callable[[Demo], Path]
    damage: Callable[[Path], None]
    listing: int
    tree: int
    named: str | None = None


def _write(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def _append(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(path.read_bytes() + content)

    return damage


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _remove_if_there(path: Path) -> None:
    path.unlink(missing_ok=True)


def _fifo(path: Path) -> None:
    _remove(path)
    os.mkfifo(path)


def _device(path: Path) -> None:
    _remove(path)
    os.mknod(path, 0o020666, os.makedev(1, 5))  # /dev/zero: reading it would never end


def _link(target: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        _remove(path)
        path.symlink_to(target)

    return damage


def _empty_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _huge(path: Path) -> None:
    os.truncate(path, 100 << 20)


def _layer(name: str) -> Callable[[Demo], Path]:
    return lambda demo: demo.layer(4) / name


def _directory(name: str) -> Callable[[Demo], Path]:
    return lambda demo: demo.directory(4) / name


def _top(name: str) -> Callable[[Demo], Path]:
    return lambda demo: demo.directory(6) / name


def _config(demo: Demo) -> Path:
    return demo.config


def _short_link(demo: Demo) -> Path:
    return demo.root / "overlay2/l" / (demo.directory(4) / "link").read_text()


OTHER = b"sha256:" + b"0" * 64

DEFECTS = {
    "diff missing": Defect(_layer("diff"), _remove, 0, DAMAGED),
    "diff malformed": Defect(_layer("diff"), _write(b"sha256:../../etc"), 0, DAMAGED),
    "diff wrong": Defect(_layer("diff"), _write(OTHER), 0, DAMAGED),
    "diff with a newline": Defect(_layer("diff"), _append(b"\n"), 0, 0),
    "size missing": Defect(_layer("size"), _remove, DAMAGED, DAMAGED),
    "size with a newline": Defect(_layer("size"), _append(b"\n"), DAMAGED, DAMAGED),
    "size huge": Defect(_layer("size"), _write(b"9" * 40), DAMAGED, DAMAGED),
    "cache-id missing": Defect(_layer("cache-id"), _remove, 0, DAMAGED),
    "cache-id empty": Defect(_layer("cache-id"), _write(b" \n"), 0, DAMAGED),
    "cache-id escaping": Defect(_layer("cache-id"), _write(b"../../../etc"), 0, DAMAGED),
    "cache-id absolute": Defect(_layer("cache-id"), _write(b"/etc"), 0, DAMAGED),
    "cache-id l": Defect(_layer("cache-id"), _write(b"l"), 0, DAMAGED),
    "cache-id with a newline": Defect(_layer("cache-id"), _append(b"\n"), 0, 0),
    "cache-id of nothing": Defect(_layer("cache-id"), _write(b"0" * 64), 0, DAMAGED),
    "parent missing": Defect(_layer("parent"), _remove, 0, DAMAGED),
    "parent wrong": Defect(_layer("parent"), _write(OTHER), 0, DAMAGED),
    "parent malformed": Defect(_layer("parent"), _write(b"\0\0"), 0, DAMAGED),
    "chain directory missing": Defect(_layer(""), _remove, DAMAGED, DAMAGED),
    "chain directory a link": Defect(_layer(""), _link("/etc"), DAMAGED, DAMAGED),
    "diff file a link": Defect(_layer("diff"), _link("/etc/hostname"), 0, DAMAGED),
    "size a fifo": Defect(_layer("size"), _fifo, DAMAGED, DAMAGED),
    "cache-id a device": Defect(_layer("cache-id"), _device, 0, DAMAGED),
    "cache-id oversized": Defect(_layer("cache-id"), _huge, 0, DAMAGED),
    "tar-split missing": Defect(_layer("tar-split.json.gz"), _remove, 0, 0),
    "tar-split truncated": Defect(_layer("tar-split.json.gz"), _write(b"\x1f\x8b"), 0, 0),
    "layer directory missing": Defect(_directory(""), _remove, 0, CORRUPT, "/diff"),
    "diff directory missing": Defect(_directory("diff"), _remove, 0, CORRUPT),
    "diff directory a link": Defect(_directory("diff"), _link("/etc"), 0, CORRUPT),
    "diff directory a fifo": Defect(_directory("diff"), _fifo, 0, CORRUPT),
    "layer directory a link": Defect(_directory(""), _link("/"), 0, CORRUPT, "/diff"),
    "link missing": Defect(_directory("link"), _remove, 0, DAMAGED),
    "link garbage": Defect(_directory("link"), _write(b"../../../../etc/passwd"), 0, DAMAGED),
    "link a fifo": Defect(_directory("link"), _fifo, 0, DAMAGED),
    "link a link": Defect(_directory("link"), _link("/etc/passwd"), 0, DAMAGED),
    "short link missing": Defect(_short_link, _remove, 0, DAMAGED),
    "short link leading elsewhere": Defect(_short_link, _link("/etc"), 0, DAMAGED),
    "short link a directory": Defect(_short_link, _empty_directory, 0, DAMAGED),
    "lower missing": Defect(_top("lower"), _remove, 0, DAMAGED),
    "lower garbage": Defect(_top("lower"), _write(b"l/../../../etc:/"), 0, DAMAGED),
    "lower shortened": Defect(_top("lower"), _write(b"l/AAAAAAAAAAAAAAAAAAAAAAAAAA"), 0, DAMAGED),
    "lower a link": Defect(_top("lower"), _link("/etc/passwd"), 0, DAMAGED),
    "lower a device": Defect(_top("lower"), _device, 0, DAMAGED),
    "committed missing": Defect(_directory("committed"), _remove_if_there, 0, 0),
    "config altered": Defect(_config, _append(b"\n"), DAMAGED, CORRUPT),
    "config truncated": Defect(_config, lambda path: os.truncate(path, 100), DAMAGED, CORRUPT),
    "config empty": Defect(_config, _write(b""), DAMAGED, CORRUPT),
    "config oversized": Defect(_config, _huge, DAMAGED, CORRUPT),
    "config a link": Defect(_config, _link("/etc/passwd"), DAMAGED, CORRUPT),
    "config a fifo": Defect(_config, _fifo, DAMAGED, CORRUPT),
    "config a device": Defect(_config, _device, DAMAGED, CORRUPT),
    "config a directory": Defect(_config, _empty_directory, DAMAGED, CORRUPT),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_defect_is_named_and_the_rest_goes_on(demo: Demo, defect: Defect) -> None:
    """A listing and a tree name the damaged file and exit as documented; other images are untouched."""
    demo_id = "sha256:" + demo.image_hex
    before = {row["id"]: row for row in layerfs(demo.root, "images", "-a", "--format", "json").json}
    other_tree = layerfs(demo.root, "ls", "-R", "lab/whiteouts:1")
    assert other_tree.code == 0
    path = defect.path(demo)
    defect.damage(path)
    named = defect.named or str(path).rstrip("/")

    listing = layerfs(demo.root, "images", "-a", "--format", "json")
    assert (listing.code, "bug in layerfs" in listing.stderr) == (defect.listing, False)
    if defect.listing:
        assert named in listing.stderr
    after = {row["id"]: row for row in listing.json}
    assert set(before) - set(after) <= {demo_id}
    assert all(after[name]["size"] in (before[name]["size"], None) for name in after)

    tree = layerfs(demo.root, "ls", demo_id.removeprefix("sha256:"), "/")
    assert (tree.code, "bug in layerfs" in tree.stderr) == (defect.tree, False)
    if defect.tree:
        assert named in tree.stderr
    if defect.tree != CORRUPT:
        assert "etc" in tree.stdout.split()
    assert layerfs(demo.root, "ls", "-R", "lab/whiteouts:1") == other_tree


ROOT_FILES = {
    "repositories.json truncated": (b'{"Repositories": {"demo', True),
    "repositories.json an array": (b"[]", True),
    "repositories.json with wrong types": (b'{"Repositories": {"a": 1, "b": {"b:1": []}}}', True),
    "repositories.json deeply nested": (b'{"Repositories":' + b'{"a":' * 100_000, True),
    "repositories.json with a byte order mark": (b'\xef\xbb\xbf{"Repositories": {}}', True),
    "repositories.json not UTF-8": (b'{"Repositories": {"\xff": {}}}', True),
    "repositories.json with escaping IDs": (
        b'{"Repositories": {"demo": {"demo:1": "sha256:../../../../etc/passwd", "demo:2": "/etc"}}}',
        False,
    ),
    "repositories.json with names that are none": (
        b'{"Repositories": {"UPPER": {"UPPER:1": "sha256:%s"}, "x": {"": "", "a\\u001b[31m": ""}}}'
        % (b"0" * 64),
        False,
    ),
    "repositories.json empty": (b"", True),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("content", "is_damage"), ROOT_FILES.values(), ids=ROOT_FILES)
def test_damaged_names_leave_the_images(demo: Demo, content: bytes, is_damage: bool) -> None:  # noqa: FBT001
    """Without usable names every image is still there under its ID, and the file is named."""
    path = demo.root / "image/overlay2/repositories.json"
    before = {row["id"] for row in layerfs(demo.root, "images", "-a", "--format", "json").json}
    image = demo.image_hex
    path.write_bytes(content)
    found = layerfs(demo.root, "images", "-a", "--format", "json")
    assert found.code == (DAMAGED if is_damage else 0)
    assert (str(path) in found.stderr) == is_damage
    assert {row["id"] for row in found.json} == before
    assert layerfs(demo.root, "ls", image).stdout == layerfs(demo.root, "ls", image[:20]).stdout != ""


def test_missing_names_are_no_damage(demo: Demo) -> None:
    """A store without repositories.json is a store without names."""
    (demo.root / "image/overlay2/repositories.json").unlink()
    found = layerfs(demo.root, "images", "-a")
    assert (found.code, found.stderr) == (0, "")
    assert "<none>" in found.stdout


def test_leftovers_are_no_layers_images_or_containers(demo: Demo) -> None:
    """What an interrupted engine leaves behind changes no answer."""
    commands = (["images", "-a"], ["layers"], ["containers"], ["du"])
    before = [layerfs(demo.root, *command, "--format", "json") for command in commands]
    store = demo.root / "image/overlay2"
    layer = demo.layer(1)
    shutil.copytree(layer, layer.with_name(f"{layer.name}-{'0' * 64}-removing"))
    (store / "layerdb/tmp/write-set-123").mkdir(parents=True)
    (store / ".tmp-repositories.json99").write_bytes(b"{")
    (store / "imagedb/content/sha256/.tmp-x").write_bytes(b"{")
    (store / "imagedb/content/sha256/README").write_bytes(b"")
    (demo.root / "overlay2/backingFsBlockDev").touch()
    (demo.root / "containers/not-an-id").mkdir()
    assert [layerfs(demo.root, *command, "--format", "json") for command in commands] == before


CONTAINER_FILES = {
    "mount-id escaping": ("image/overlay2/layerdb/mounts/{}/mount-id", b"../../../../etc"),
    "init-id escaping": ("image/overlay2/layerdb/mounts/{}/init-id", b"/etc"),
    "parent malformed": ("image/overlay2/layerdb/mounts/{}/parent", b"sha256:.."),
    "config truncated": ("containers/{}/config.v2.json", b'{"ID": "'),
    "config of another": ("containers/{}/config.v2.json", b'{"ID": "%s"}' % (b"1" * 64)),
    "config with wrong types": ("containers/{}/config.v2.json", b'{"ID": "%s", "State": []}'),
}


@pytest.mark.parametrize(("path", "content"), CONTAINER_FILES.values(), ids=CONTAINER_FILES)
def test_damaged_container_is_named_and_the_others_listed(demo: Demo, path: str, content: bytes) -> None:
    """A container with a damaged file is named on standard error; the listing goes on."""
    before = {row["id"] for row in layerfs(demo.root, "containers", "--format", "json").json}
    victim = min(before)
    damaged = demo.root / path.format(victim)
    damaged.write_bytes(content % victim.encode() if content.endswith(b"[]}") else content)
    found = layerfs(demo.root, "containers", "--format", "json")
    assert (found.code, str(damaged) in found.stderr) == (DAMAGED, True)
    assert before - {victim} <= {row["id"] for row in found.json}
