"""`layerfs blame`: its rows against the views of a stack up to every layer."""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from layerfs import DataRoot
from layerfs.analysis.store.blameall import blame_all
from layerfs.analysis.tree.blame import Digests
from tests.support.blaming import histories
from tests.support.command import layerfs
from tests.support.images import image_of
from tests.support.layerspec import WHITEOUT, Dir, File, LayerSpec, Meta, Symlink
from tests.support.mounts import stacked_by_docker
from tests.support.rootbuilder import RootBuilder, many_images

if TYPE_CHECKING:
    from pathlib import Path

    from layerfs.model import Layer
    from tests.support.blaming import Happened

pytestmark = pytest.mark.root

IMAGES = (
    "demo",
    "lab/whiteouts:1",
    "lab/opaque:1",
    "lab/types:1",
    "lab/links:1",
    "lab/xattrs:1",
    "lab/hundred",
)
CONTAINERS = ("changed", "links")


def _layers(root: Path, name: str) -> list[Path]:
    opened = DataRoot.open(root)
    if name in CONTAINERS:
        mount = opened.container(name).mount
        assert mount
        return stacked_by_docker(root, mount.mount_id)
    return stacked_by_docker(root, opened.chain(opened.image(name))[-1].cache_id)


def _expected(item: Happened) -> dict[str, Any]:
    found: dict[str, Any] = {
        "layer": item.layer,
        "action": item.action,
        "changes": set(item.changes),
        "visible": item.visible,
        "size": None,
        "mode": None,
        "sha256": None,
        "target": None,
    }
    if item.hidden:
        found |= {"how": item.hidden.how, "hidden_at": os.fsdecode(item.hidden.at)}
    if item.seen:
        entry = item.seen.entry
        found["mode"] = f"{stat.S_IMODE(entry.mode):04o}"
        found["sha256"] = entry.content
        found["target"] = None if entry.target is None else os.fsdecode(entry.target)
        found["size"] = entry.size
    return found


def _assert_row(row: dict[str, Any], item: Happened) -> None:
    expected = _expected(item)
    if row["type"] == "directory":
        del expected["size"]
    told = {key: row[key] for key in expected} | {"changes": set(row["changes"])}
    assert told == expected


@pytest.mark.parametrize("name", [*IMAGES, *CONTAINERS])
def test_entries_tell_the_layer_of_what_is_seen(dataroot_path: Path, name: str) -> None:
    """Of all entries below the root, each row is the last thing that happened to a path."""
    expected = histories(_layers(dataroot_path, name))
    del expected[b"/"]
    for options in ((), ("--hidden",)):
        rows = layerfs(dataroot_path, "blame", "-R", *options, "--format", "json", name).json
        wanted = {path: items[-1] for path, items in expected.items() if options or items[-1].visible}
        assert [os.fsencode(row["path"]) for row in rows] == sorted(wanted, key=lambda path: path.split(b"/"))
        for row in rows:
            _assert_row(row, wanted[os.fsencode(row["path"])])


@pytest.mark.parametrize("name", ["demo", "changed", "lab/types:1"])
def test_history_of_each_path(dataroot_path: Path, name: str) -> None:
    """Of one path, every step is told, oldest first, and what the tree shows is marked."""
    for path, items in histories(_layers(dataroot_path, name)).items():
        rows = layerfs(dataroot_path, "blame", "-d", "--format", "json", name, os.fsdecode(path)).json
        assert len(rows) == len(items)
        for row, item in zip(rows, items, strict=True):
            assert os.fsencode(row["path"]) == path
            _assert_row(row, item)


STEPS = (
    LayerSpec(Dir({b"etc": Dir({b"f": File(b"one"), b"keep": File()})})),
    LayerSpec(Dir({b"etc": Dir({b"f": File(b"one", meta=Meta(0o600))})})),
    LayerSpec(Dir({b"etc": Dir({b"f": File(b"two", meta=Meta(0o600))})})),
    LayerSpec(Dir({b"etc": Dir({b"f": Symlink(b"keep")})})),
    LayerSpec(Dir({b"etc": Dir({b"f": WHITEOUT})})),
    LayerSpec(Dir({b"etc": Dir({b"f": File(b"one")})})),
    LayerSpec(Dir({b"etc": Dir({b"f": File(b"one")})})),
    LayerSpec(Dir({b"etc": WHITEOUT})),
)
ACTIONS = ["added", "metadata", "changed", "type changed", "hidden", "revealed", "copied", "hidden"]


def test_each_action_has_its_word(tmp_path: Path) -> None:
    """Every action is told by its word, with the layer's command and what differs."""
    root, layers = image_of(tmp_path, *STEPS)
    rows = layerfs(root, "blame", "--format", "json", "test:1", "/etc/f").json
    assert [row["action"] for row in rows] == ACTIONS
    assert [row["created_by"] for row in rows] == [f"step {number}" for number in range(1, 9)]
    assert [row["diff_id"] for row in rows] == [layer.diff_id for layer in layers]
    assert (rows[1]["changes"], rows[2]["changes"]) == (["mode"], ["content"])
    assert (rows[4]["hidden_at"], rows[7]["hidden_at"]) == ("/etc/f", "/etc")
    assert rows[0]["backing_path"] == str(layers[0].diff / "etc/f")
    assert not any(row["visible"] for row in rows)
    earlier = layerfs(root, "blame", "--format", "json", "test:1@7", "/etc/f").json
    assert [row["visible"] for row in earlier] == [False] * 6 + [True]
    table = layerfs(root, "blame", "test:1@7", "/etc/f").stdout.splitlines()
    assert [line.split()[0] for line in table] == ["LAYER", *"1234567"]
    assert [" * " in line for line in table] == [False] * 7 + [True]


def test_a_directory_made_anew_is_changed(tmp_path: Path) -> None:
    """An opaque directory over a directory is told as such: what it had is hidden."""
    opaque = Meta(xattrs={b"trusted.overlay.opaque": b"y"})
    root, _ = image_of(
        tmp_path, LayerSpec(Dir({b"d": Dir({b"f": File()})})), LayerSpec(Dir({b"d": Dir(meta=opaque)}))
    )
    rows = layerfs(root, "blame", "-d", "--format", "json", "test:1", "/d").json
    assert [(row["action"], row["how"]) for row in rows] == [("added", None), ("changed", "opaque")]
    assert layerfs(root, "blame", "test:1", "/d").stdout.count("\n") == 1
    hidden = layerfs(root, "blame", "--hidden", "--format", "json", "test:1", "/d").json
    assert [(row["path"], row["action"], row["hidden_at"]) for row in hidden] == [("/d/f", "hidden", "/d")]


def test_links_are_followed_where_no_layer_has_the_path(tmp_path: Path) -> None:
    """A path through a link is that of its target; one that a layer once had is taken as it is."""
    root, _ = image_of(
        tmp_path,
        LayerSpec(
            Dir({b"lib": Dir({b"old": File(b"old")}), b"usr": Dir({b"lib": Dir({b"new": File(b"new")})})})
        ),
        LayerSpec(Dir({b"lib": Symlink(b"usr/lib")})),
    )
    rows = layerfs(root, "blame", "--format", "json", "test:1", "/lib/new").json
    assert [(row["path"], row["action"], row["visible"]) for row in rows] == [("/usr/lib/new", "added", True)]
    rows = layerfs(root, "blame", "--format", "json", "test:1", "/lib/old").json
    assert [(row["path"], row["action"]) for row in rows] == [("/lib/old", "added"), ("/lib/old", "hidden")]
    assert rows[1]["how"] == "type changed"


@pytest.mark.parametrize("arguments", [["demo", "/none"], ["demo", "/etc/motd/x"], ["--all", "/none"]])
def test_a_path_nobody_had_is_not_found(dataroot_path: Path, arguments: list[str]) -> None:
    """A path that no layer ever had exits with 6 and a message, and without a row."""
    done = layerfs(dataroot_path, "blame", *arguments)
    assert (done.code, done.stdout) == (6, "")
    assert f"error: {arguments[-1].removesuffix('/x')}: " in done.stderr


def test_misuse_is_told(dataroot_path: Path) -> None:
    """--all with what belongs to one image, and a layer alone, are usage errors."""
    assert layerfs(dataroot_path, "blame", "--all", "demo", "/etc").code == 2
    assert layerfs(dataroot_path, "blame", "--all", "-R", "/etc").code == 2
    layer = layerfs(dataroot_path, "layers", "-q", "--no-trunc", "demo").stdout.split()[-1]
    assert layerfs(dataroot_path, "blame", layer, "/etc").code == 2


def test_an_unreadable_file_has_no_digest_and_a_message(dataroot_path: Path) -> None:
    """A metacopy without data is listed, without a sha256, named on standard error; the exit code is 6."""
    done = layerfs(dataroot_path, "blame", "-R", "--format", "json", "lab/metacopy:1")
    assert done.code == 1
    assert "/no-data" in done.stderr
    digests = {row["path"]: row["sha256"] for row in done.json}
    assert digests["/no-data"] is None
    assert digests["/data"]


# -- all images ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/etc/motd", "/root/password.txt", "/etc", "/counter", "/"])
def test_all_is_each_image_put_together(dataroot_path: Path, path: str) -> None:
    """Each event of each image is told once, by layer, with the images that have it and that show it."""
    root = DataRoot.open(dataroot_path)
    expected: dict[tuple[str, str], dict[str, Any]] = {}
    for image in root.images():
        done = layerfs(dataroot_path, "blame", "-d", "--format", "json", image.id, path)
        for row in json.loads(done.stdout or "[]"):
            shared = expected.setdefault(
                (row["chain_id"], row["path"]), row | {"images": [], "visible_in": []}
            )
            shared["images"].append(image.name)
            if row["visible"]:
                shared["visible_in"].append(image.name)
    rows = layerfs(dataroot_path, "blame", "--all", "-a", "--format", "json", path).json
    found = {(row["chain_id"], row["path"]): row for row in rows}
    assert len(found) == len(rows) > 1
    assert found.keys() == expected.keys()
    for key, row in found.items():
        wanted = expected[key]
        assert sorted(row["images"]) == sorted(wanted["images"])
        assert sorted(row["visible_in"]) == sorted(wanted["visible_in"])
        assert row["visible"] == bool(wanted["visible_in"])
        same = (
            "action",
            "changes",
            "how",
            "hidden_at",
            "layer",
            "sha256",
            "mode",
            "size",
            "target",
            "backing_path",
        )
        assert {name: row[name] for name in same} == {name: wanted[name] for name in same}


@pytest.mark.parametrize("path", ["/etc/motd", "/root/password.txt"])
def test_all_names_the_images_that_are_listed(dataroot_path: Path, path: str) -> None:
    """Without -a the same events, with those of their images that `images` lists."""
    listed = {row["id"] for row in layerfs(dataroot_path, "images", "--format", "json").json}
    names = {image.name for image in DataRoot.open(dataroot_path).images() if image.id in listed}
    every = layerfs(dataroot_path, "blame", "--all", "-a", "--format", "json", path).json
    rows = layerfs(dataroot_path, "blame", "--all", "--format", "json", path).json
    assert any(set(row["images"]) - names for row in every)
    for row in every:
        row["images"] = [name for name in row["images"] if name in names]
        row["visible_in"] = [name for name in row["visible_in"] if name in names]
        row["visible"] = bool(row["visible_in"])
    assert rows == every
    assert layerfs(dataroot_path, "blame", "-a", "demo", path).code == 2


def test_what_only_an_intermediate_image_has_is_told_too(tmp_path: Path) -> None:
    """An image that calls another its parent without its layers hides it from the list, and no event."""
    builder = RootBuilder(tmp_path / "root")
    other = builder.layer(None, lambda directory: (directory / "g").write_text("1"))
    hidden = builder.image(builder.layer(None, lambda directory: (directory / "f").write_text("1")))
    child = builder.image(other, "child:1")
    root = builder.finish()
    note = root / "image/overlay2/imagedb/metadata/sha256" / child.hex / "parent"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(hidden)
    assert hidden not in layerfs(root, "images", "-q", "--no-trunc").stdout
    (row,) = layerfs(root, "blame", "--all", "--format", "json", "/f").json
    assert (row["images"], row["visible_in"]) == ([hidden], [hidden])


class _CountingRoot(DataRoot):
    """A data root that counts what is asked of which layer."""

    asked: Counter[tuple[str, str, bytes]]
    opened: Counter[str]

    def source(self, layer: Any) -> Any:
        """A layer that counts."""
        self.opened[layer.chain_id] += 1
        return _Counting(super().source(layer), layer, self.asked)


class _Counting:
    def __init__(self, source: Any, layer: Layer, asked: Counter[tuple[str, str, bytes]]) -> None:
        self._source, self._layer, self._asked = source, layer, asked

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._source, name)
        if name in ("entry", "scan", "marks", "open"):

            def counted(path: bytes) -> Any:
                self._asked[self._layer.chain_id, name, path] += 1
                return found(path)

            return counted
        return found


def test_all_asks_each_layer_once(tmp_path: Path) -> None:
    """However many images share a layer, it is opened once, and asked once about each name on the way."""
    many_images(tmp_path / "root", 60)
    root = _CountingRoot.open(tmp_path / "root")
    root.asked, root.opened = Counter(), Counter()
    problems: list[Any] = []
    found = blame_all(root, b"/file-0", Digests(problems.append), problem=problems.append)
    assert [(item.event.step.layer, len(item.images), len(item.visible_in)) for item in found] == [
        (1, 60, 60)
    ]
    assert max(root.opened.values()) == 1
    assert len(root.opened) == len(root.layers())
    assert max(root.asked.values()) == 1
    assert not [key for key in root.asked if key[1] == "scan"]
    assert problems == []


def test_damaged_images_are_reported_and_the_others_told(tmp_path: Path) -> None:
    """An image whose layer is gone is named, and the rest is told, with exit code 1."""
    builder = RootBuilder(tmp_path / "root")
    base = builder.layer(None, lambda directory: (directory / "f").write_text("1"))
    upper = builder.layer(base, lambda directory: (directory / "f").write_text("22"))
    lost = builder.layer(base, lambda directory: (directory / "f").write_text("333"))
    builder.image(upper, "good:1")
    builder.image(lost, "bad:1")
    root = builder.finish()
    (lost.diff / "f").unlink()
    lost.diff.rmdir()
    done = layerfs(root, "blame", "--all", "--format", "json", "/f")
    assert done.code == 1
    assert lost.cache_id in done.stderr
    assert [(row["layer"], row["size"], row["images"]) for row in done.json] == [
        (1, 1, ["good:1"]),
        (2, 2, ["good:1"]),
    ]
