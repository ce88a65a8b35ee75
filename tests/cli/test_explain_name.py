"""`layerfs explain NAME`: what it prints is pasted into a shell, and gives the values that stand below."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from layerfs.stores.registry import open_store
from tests.support.command import layerfs
from tests.support.kernel import refusals
from tests.support.pasting import explained, pasted, pasted_and_mounted
from tests.support.snapshot import diff_snapshots, snapshot, without_ghosts
from tests.support.storekinds import STORE_KINDS
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.kernel

NAMES = {
    "overlay2": ("lab/hundred", "lab/names:1", "zero/scratch:1", "orphan", "zero"),
    "containerd": ("zstd:1", "contentonly:1", "classic:1", "running"),
    "containers-storage": ("built:1", "localhost/second:name", "arch:1", "zstd:1", "idle"),
}
"""Names besides those of the kind: of every depth, form and name in the recorded stores."""


@pytest.fixture(scope="module", params=STORE_KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> StoreKind:
    """Each kind of store."""
    found: StoreKind = request.param
    return found


@pytest.fixture(scope="module")
def root(kind: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this kind; the scripts may change access times in it."""
    return kind.make(tmp_path_factory.mktemp("explained"))


def _ids(root: Path, kind: StoreKind) -> list[str]:
    """Names of the image by its ID in full, and by the beginning of it, and of a layer by its own."""
    image = layerfs(root, "inspect", kind.image).json[0]
    layer = layerfs(root, "layers", kind.image, "--format", "json").json[0]
    digits = image["Id"].removeprefix("sha256:")
    return [image["Id"], digits[:5], digits[:20], layer["chain_id"], layer["cache_id"]]


def test_script_prints_the_values(root: Path, kind: StoreKind) -> None:
    """Whatever is explained, the lines are one script for sh, which prints the values to the letter."""
    for name in (*kind.names.values(), *NAMES[kind.name], *_ids(root, kind)):
        found = explained(root, name)
        assert (name, found.code, found.problems) == (name, 0, {})
        assert (name, pasted(found)) == (name, found.values)
        assert found.values


def test_no_trunc_shows_every_value(root: Path, kind: StoreKind) -> None:
    """With --no-trunc the script is the same, and each value stands in a line of its own, whole."""
    for name in (kind.image, kind.container):
        found, full = explained(root, name), explained(root, "--no-trunc", name)
        assert full.script == found.script
        for value in found.values:
            assert f"   = {value}\n" in full.text
        assert "…" not in full.text
        assert "…" in found.text


def test_every_layer_is_walked(root: Path, kind: StoreKind) -> None:
    """With -v each layer has its steps, in a script that works; without, the uppermost has them."""
    found = explained(root, "-v", kind.image)
    assert pasted(found) == found.values
    depth = found.document["layers"]
    assert {step["layer"] for step in found.document["steps"]} - {None} == set(range(1, depth + 1))
    assert depth > 2
    short = explained(root, kind.image)
    assert {step["layer"] for step in short.document["steps"]} - {None} == {depth}


def test_mount_shows_the_tree(root: Path, kind: StoreKind) -> None:
    """The kernel shows by the printed line what layerfs mounts: of images, of one layer, of a container."""
    store = open_store(str(root))
    for name in (kind.image, f"{kind.tagged}@2", "base:1", kind.container):
        subject, _, number = name.partition("@")
        tree = store.tree(store.find(subject), up_to=int(number) if number else None)
        with pasted_and_mounted(explained(root, name)) as mounted:
            shown = without_ghosts(snapshot(mounted))
        different = diff_snapshots(refusals(shown), refusals(tree_snapshot(tree)))
        if kind.name == "containers-storage" and name == "base:1":  # over the engine's empty directory
            different = [line for line in different if not line.startswith("b'': nlink: expected 1,")]
        assert (name, different) == (name, [])


def test_steps_lead_to_what_is_known(root: Path, kind: StoreKind) -> None:
    """The chain of steps ends in the IDs and directories that other commands and the disk have."""
    found = explained(root, kind.image)
    image = layerfs(root, "inspect", kind.image).json[0]
    steps = {step["to"]: step["values"] for step in found.document["steps"]}
    assert steps["DIFF IDS"] == image["RootFS"]["Layers"]
    chain = image["RootFS"]["Layers"][0]
    for diff_id in image["RootFS"]["Layers"][1:]:
        chain = f"sha256:{hashlib.sha256(f'{chain} {diff_id}'.encode()).hexdigest()}"
    if kind.name == "containers-storage":  # which has no chain IDs
        layers = [row["cache_id"] for row in layerfs(root, "layers", kind.image, "--format", "json").json]
        assert sorted(layers) == sorted(steps["LAYER IDS"])
        assert steps["LAYER IDS"] == steps["STACK"][::-1]
    else:
        assert steps["CHAIN IDS"][-1] == chain
    directory = found.document["directory"]
    for place in (step["place"] for step in found.document["steps"] if step["place"]):
        assert os.path.lexists(os.path.join(directory, place))
    for lower in found.document["mount"]["lowerdir"]:
        assert os.path.isdir(os.path.join(directory, lower))


def test_image_without_the_number_of_a_layer_is_refused(root: Path, kind: StoreKind) -> None:
    """A layer that is not there is an error of the name, as elsewhere."""
    found = layerfs(root, "explain", f"{kind.tagged}@99")
    assert found.code == 3
    assert "has no layer 99" in found.stderr


def test_upperdir_is_a_comment(root: Path, kind: StoreKind) -> None:
    """What is printed of a container mounts read-only; where the engine writes is told in a comment."""
    script = explained(root, kind.container).script
    assert all(line.startswith("#") for line in script.splitlines() if "upperdir" in line)
    assert "upperdir" in script
    assert re.search(r"^O=ro,nosuid,nodev,lowerdir=", script, re.MULTILINE)


@pytest.mark.parametrize("name", ["$(touch x)", 'it\'s "quoted"', "a\nb\n", "\x1b[31m %s\\n", "ünï", "-n *"])
def test_names_of_containers_have_no_power(root: Path, kind: StoreKind, name: str) -> None:
    """A container may be called anything: the script holds no part of it that a shell would run."""
    own = layerfs(root, "inspect", kind.container).json[0]["Id"]
    path, change = _record_of_name(root, kind, own)
    before = path.read_bytes()
    try:
        path.write_text(json.dumps(change(json.loads(before), name)))
        for words in ([own], [name]):
            found = explained(root, "--", *words)
            assert (words, found.code, pasted(found)) == (words, 0, found.values)
        if kind.name == "overlay2":
            assert found.values[0] == json.dumps(f"/{name}")
        assert not (root / "x").exists()
    finally:
        path.write_bytes(before)


def _record_of_name(root: Path, kind: StoreKind, own: str) -> tuple[Path, Callable[[Any, str], Any]]:
    """The file that has the name of a container, and what makes its document one with another name."""
    if kind.name != "containers-storage":
        return root / "containers" / own / "config.v2.json", lambda found, name: found | {"Name": f"/{name}"}

    def renamed(records: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
        return [record | {"names": [name]} if record["id"] == own else record for record in records]

    return root / "overlay-containers/containers.json", renamed
