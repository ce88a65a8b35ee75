"""`layerfs doctor` on graph roots: sound ones give nothing, every damage and leftover is found and named."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.stores.containers_storage.checks.remedies import REMEDIES
from tests.cli.test_graphroot_verify import IMAGES, mended
from tests.support.command import layerfs
from tests.support.doctoring import doctor
from tests.support.graphroots import GraphRootFiles
from tests.support.records import DAMAGES, damaged, graphroot_records
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = pytest.mark.root

UPPER = "docker.io/library/multi:1"
GONE = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> GraphRootFiles:
    """A root of Podman 4.3."""
    return GraphRootFiles(unpack_sample("podman-4.3-rootful", tmp_path_factory.mktemp("doctor")))


@pytest.mark.parametrize("name", IMAGES)
def test_sound_roots_have_no_finding(name: str, tmp_path: Path) -> None:
    """Nothing is found in real roots, with --verify too."""
    root = unpack_sample(name, tmp_path)
    assert doctor(root, "--verify") == []
    assert doctor(root, "--quick") == []


def test_several_stores_have_no_finding(tmp_path: Path) -> None:
    """Roots that belong together are sound together; alone, what the others have is missing."""
    top = unpack_sample("podman-5.8-imagestore", tmp_path)
    for words in (["graphroot", "imagestore"], ["imagestore", "graphroot"],
                  ["graphroot-additional", "imagestore", "graphroot"]):  # fmt: skip
        more = [word for name in words[1:] for word in ("--additional-store", str(top / name))]
        done = layerfs(top / words[0], *more, "doctor", "--format", "json")
        assert (done.code, done.json) == (0, []), words
    codes = {row["code"] for row in doctor(top / "graphroot-additional")}
    assert {"layer-missing", "parent-missing"} <= codes
    for name, code in ("graphroot", "tar-split-orphaned"), ("imagestore", "tar-split-missing"):
        advice = {row["suggestion"] for row in doctor(top / name) if row["code"] == code}
        assert len(advice) == 1, name
        assert "--additional-store" in advice.pop(), "nothing is to be removed before"


# -- damage --------------------------------------------------------------------------------------


def _stack(store: GraphRootFiles) -> list[str]:
    return store.stack(store.image(UPPER)["layer"])


def _layer(change: Callable[[dict[str, Any]], object]) -> Callable[[GraphRootFiles], None]:
    def act(store: GraphRootFiles) -> None:
        own = _stack(store)[0]
        store.edit(store.layers_file, lambda rows: [change(row) for row in rows if row["id"] == own])

    return act


def _without(file: str, which: Callable[[GraphRootFiles], str]) -> Callable[[GraphRootFiles], None]:
    """Take a record out of a file of records."""

    def act(store: GraphRootFiles) -> None:
        own = which(store)
        path: Path = getattr(store, file)
        store.edit(path, lambda rows: rows.remove(next(row for row in rows if row["id"] == own)))

    return act


def _twice(rows: list[dict[str, Any]]) -> None:
    rows[1]["names"] = [*(rows[1].get("names") or []), *rows[0]["names"]]


DAMAGE: Mapping[str, tuple[Callable[[GraphRootFiles], object], set[str]]] = {
    "images.json cut": (lambda store: os.truncate(store.images_file, 100), {"images-malformed"}),
    "images.json empty": (lambda store: os.truncate(store.images_file, 0), {"images-malformed"}),
    "no images.json": (lambda store: store.images_file.unlink(), {"images-missing"}),
    "layers.json cut": (lambda store: os.truncate(store.layers_file, 100), {"layers-malformed"}),
    "no layers.json": (lambda store: store.layers_file.unlink(), {"layers-missing"}),
    "containers.json cut": (
        lambda store: os.truncate(store.containers_file, 9),
        {"containers-malformed"},
    ),
    "no record of a layer": (
        _without("layers_file", lambda store: _stack(store)[1]), {"layer-unrecorded"}
    ),
    "no record of an image": (
        _without("images_file", lambda store: store.image(UPPER)["id"]),
        {"image-documents-orphaned", "container-image-missing"},
    ),
    "no record of a container": (
        _without("containers_file", lambda store: store.container("changed")["id"]), {"container-missing"}
    ),
    "no directory of a layer": (
        lambda store: shutil.rmtree(store.directory(_stack(store)[1])), {"directory-missing"}
    ),
    "no files of a layer": (
        lambda store: shutil.rmtree(store.directory(_stack(store)[1]) / "diff"), {"directory-missing"}
    ),
    "never finished": (_layer(lambda row: row.update(flags={"incomplete": True})), {"layer-incomplete"}),
    "below itself": (
        _layer(lambda row: row.update(parent=row["id"])), {"layer-wrong"}
    ),
    "size": (_layer(lambda row: row.update({"diff-size": 7})), {"size-wrong"}),
    "tar-split cut": (
        lambda store: os.truncate(store.tar_split(_stack(store)[0]), 60), {"tar-split-malformed"}
    ),
    "tar-split empty": (
        lambda store: os.truncate(store.tar_split(_stack(store)[0]), 0), {"tar-split-malformed"}
    ),
    "no database": (lambda store: (store.path / "libpod/bolt_state.db").unlink(), {"database-missing"}),
    "database cut": (
        lambda store: os.truncate(store.path / "libpod/bolt_state.db", 100), {"database-malformed"}
    ),
    "a second record": (
        lambda store: store.edit(store.images_file, lambda rows: rows.append(rows[0])),
        {"image-record-malformed"},
    ),
    "a name twice": (lambda store: store.edit(store.images_file, _twice), {"image-name-twice"}),
    "no image of a container": (
        lambda store: store.edit(store.containers_file, lambda rows: rows[0].update(image="0" * 64)),
        set(),
    ),
}  # fmt: skip
"""What is done, and the codes of all that is found; the image of a container is libpod's word first."""


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found(store: GraphRootFiles, name: str) -> None:
    """Each damage has its finding, which says what Podman would do, and nothing else is found."""
    change, codes = DAMAGE[name]
    with mended(store):
        change(store)
        rows = doctor(store.path)
    assert {row["code"] for row in rows} == codes, rows
    assert all(row["suggestion"] for row in rows)


def test_a_part_that_is_gone(store: GraphRootFiles) -> None:
    """Without the directory of images, or of layers, what was in it is not known: exit code 4."""
    for name in ("overlay-images", "overlay-layers", "overlay"):
        with mended(store):
            shutil.rmtree(store.path / name)
            done = layerfs(store.path, "doctor", "--format", "json")
        assert done.code == GONE
        assert ("store-missing", str(store.path / name)) in {(row["code"], row["path"]) for row in done.json}


LEFT: Mapping[str, tuple[str, str]] = {
    "overlay/staging/123/x": ("staging-left", "overlay/staging/123"),
    "overlay/tempdirs/t/x": ("temporary-left", "overlay/tempdirs/t"),
    "overlay-layers/tmp/x/x": ("temporary-left", "overlay-layers/tmp/x"),
    "overlay-images/.tmp-images.json5": ("temporary-left", "overlay-images/.tmp-images.json5"),
    f"overlay/{'a' * 64}/diff/x": ("directory-orphaned", f"overlay/{'a' * 64}"),
    f"overlay-layers/{'b' * 64}.tar-split.gz": (
        "tar-split-orphaned", f"overlay-layers/{'b' * 64}.tar-split.gz"
    ),
    f"overlay-layers/{'b' * 64}/x": ("layer-documents-orphaned", f"overlay-layers/{'b' * 64}"),
    f"overlay-images/{'b' * 64}/x": ("image-documents-orphaned", f"overlay-images/{'b' * 64}"),
    f"overlay-containers/{'c' * 64}/x": ("container-directory-orphaned", f"overlay-containers/{'c' * 64}"),
}  # fmt: skip


def test_leftovers_are_notes(store: GraphRootFiles) -> None:
    """What is left over is named, with what it takes; locks are nothing."""
    with mended(store):
        for name in LEFT:
            path = store.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * 5000)
        (store.path / "overlay/l/ABCDEFGHIJKLMNOPQRSTUVWXYZ").symlink_to(f"../{'d' * 64}/diff")
        (store.path / "overlay-layers/layers.lock").write_bytes(b"")
        done = layerfs(store.path, "doctor", "--format", "json")
    rows = {(row["code"], row["path"].removeprefix(f"{store.path}/")): row for row in done.json}
    wanted = {*LEFT.values(), ("short-link-orphaned", "overlay/l/ABCDEFGHIJKLMNOPQRSTUVWXYZ")}
    assert (done.code, set(rows)) == (0, wanted)
    assert all(row["severity"] == "note" for row in rows.values())
    assert all(row["bytes"] >= 5000 for key, row in rows.items() if key[0] != "short-link-orphaned")


def test_a_layer_that_nothing_needs(store: GraphRootFiles) -> None:
    """Its record and its directory are there, and no image: an orphan, as long as every record is known."""
    with mended(store):
        own = store.image(UPPER)["layer"]
        store.edit(store.images_file, lambda rows: rows.__setitem__(slice(None), []))
        store.edit(store.containers_file, lambda rows: rows.__setitem__(slice(None), []))
        (store.path / "libpod/bolt_state.db").unlink()
        shutil.rmtree(store.path / "overlay-images")
        (store.path / "overlay-images").mkdir()
        store.images_file.write_text("[]")
        rows = doctor(store.path)
    assert f"directory {own}" in {row["subject"] for row in rows if row["code"] == "layer-orphaned"}


# -- every record, every damage ------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_record(store: GraphRootFiles, damage: str) -> None:
    """Whatever befalls a record is found by both, by its path, and nothing else is."""
    records = graphroot_records(store.path, "multi:1", 2)
    for name, record in records.items():
        with damaged([record], DAMAGES[damage]):
            for words in (["doctor"], ["verify", "--all", "--jobs", "1"]):
                done = layerfs(store.path, *words, "--format", "json")
                rows = done.json
                worse = {row["severity"] for row in rows} - {"note"}
                assert worse, (name, words)
                assert done.code == (1 if words[0] == "doctor" or "error" in worse else 0), (
                    name,
                    words,
                    rows,
                )
                if name in ALONE and words[0] in ALONE[name]:
                    errors = {row["path"].partition(": ")[0] for row in rows if row["severity"] != "note"}
                    assert errors <= _near(record.path), (name, damage, words, errors)


ALONE = {
    "link": ("doctor", "verify"), "lower": ("doctor", "verify"), "l": ("doctor", "verify"),
    "tar-split": ("doctor",), "directory": ("doctor",),
    "manifest": ("doctor", "verify"), "config": ("doctor", "verify"),
}  # fmt: skip
"""The records of which nothing else hangs, by the commands that say so."""


def _near(path: Path) -> set[str]:
    """A record, and the link to it."""
    return {str(path), *(str(item) for item in (path.parent.parent / "l").glob("*"))}


# -- the page ------------------------------------------------------------------------------------


def test_page_lists_every_code() -> None:
    """The table of docs/doctor-graph-roots.md has every code, with what is done about it, in its words."""
    page = (Path(__file__).parents[2] / "docs/doctor-graph-roots.md").read_text()
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `([a-z-]+)` \|.*$", page, re.MULTILINE)}
    assert rows.keys() == REMEDIES.keys()
    for code, remedy in REMEDIES.items():
        cells = [cell.strip() for cell in rows[code].strip("|").split("|")]
        assert cells[1:] == [remedy.group, remedy.at_start, remedy.later, remedy.suggestion], code


def test_json_is_complete(store: GraphRootFiles) -> None:
    """Who is affected is told by name of subject."""
    with mended(store):
        shutil.rmtree(store.directory(_stack(store)[1]) / "diff")
        (row,) = doctor(store.path)
    image = store.image(UPPER)["id"]
    assert f"image sha256:{image}" in row["affects"]
    assert f"container {store.container('changed')['id']}" in row["affects"]
    assert json.dumps(row)
