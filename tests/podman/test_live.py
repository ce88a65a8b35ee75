"""A graph root that Podman made: layerfs tells what Podman tells of it, and shows what Podman mounts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from layerfs.stores.registry import Options, open_store
from tests.podman.conftest import BUILT, COMMITTED, UPPER
from tests.support.command import layerfs
from tests.support.snapshot import diff_snapshots
from tests.support.treeview import tree_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from layerfs.store import Store
    from tests.support.podman import Podman
    from tests.support.snapshot import Snapshot

pytestmark = [pytest.mark.podman, pytest.mark.root]


@pytest.fixture
def store(podman: Podman) -> Iterator[Store]:
    """The same root, read by layerfs without a complaint."""
    found = open_store(podman.root, Options())
    yield found
    assert found.damage == []


def _rows(podman: Podman, *words: str) -> list[dict[str, Any]]:
    """The rows that a command of ours prints."""
    done = layerfs(podman.root, *words, "--format", "json")
    assert (done.code, done.stderr) == (0, ""), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_images(podman: Podman, store: Store) -> None:
    """Every image with its names, size, and digest."""
    told = {row["Id"]: row for row in podman.json("images", "--all")}
    found = {image.id.hex: image for image in store.images()}
    assert found.keys() == told.keys()
    for name, image in found.items():
        row = told[name]
        assert {str(item) for item in image.references if item.tag} == set(row.get("Names", [])), name
        assert {str(item) for item in image.references if item.digest} == set(row["RepoDigests"]), name
        assert store.size(image) == row["Size"], name
        assert image.config.created, name
    sizes = {row["ID"]: row["SIZE"] for row in []}
    assert sizes == {}


@pytest.mark.parametrize("image", [UPPER, COMMITTED, BUILT])
def test_image_trees(podman: Podman, store: Store, image: str) -> None:
    """What `podman image mount` shows."""
    assert _differences(podman.image_tree(image), tree_snapshot(store.tree(store.image(image)))) == []


def _differences(theirs: Snapshot, ours: Snapshot) -> list[str]:
    return diff_snapshots(theirs, ours)


@pytest.mark.parametrize("image", [UPPER, BUILT])
def test_history(podman: Podman, image: str) -> None:
    """Each step with what made it, when, its size, and its comment."""
    told = podman.json("history", image)
    for row, other in zip(_rows(podman, "history", "--no-trunc", image), told, strict=True):
        print(row, other)


def test_inspect(podman: Podman) -> None:
    """What both tell."""
    (told,) = json.loads(podman("image", "inspect", BUILT))
    (found,) = json.loads(layerfs(podman.root, "inspect", BUILT).stdout)
    same = ("RepoTags", "RepoDigests", "Created", "Author", "Architecture", "Os", "Size", "RootFS")
    assert {key: found[key] for key in same} == {key: told[key] for key in same}
    assert found["Id"] == f"sha256:{told['Id']}"
    assert told["Config"].items() <= found["Config"].items()
    directories = [
        told["GraphDriver"]["Data"]["UpperDir"],
        *told["GraphDriver"]["Data"]["LowerDir"].split(":"),
    ]
    ours = [layer["DiffDir"].replace(str(podman.root), "/mnt/work/root") for layer in found["Layers"]]
    assert ours[::-1] == directories
