"""A graph root that Podman made: layerfs tells what Podman tells of it, and shows what Podman mounts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from layerfs.stores.registry import Options, open_store
from tests.podman.conftest import BUILT, COMMITTED, UPPER
from tests.support.command import layerfs
from tests.support.fuseoverlayfs import without_link_counts
from tests.support.podman import FORMS, MAP
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
    found = open_store(podman.root, Options(userns=MAP if podman.form.rootless else "auto"))
    yield found
    assert found.damage == []


def _asked(podman: Podman, *words: str) -> Any:
    """The document that a command of ours prints."""
    done = layerfs(podman.root, *words)
    assert (done.code, done.stderr) == (0, ""), words
    return json.loads(done.stdout)


def test_images(podman: Podman, store: Store) -> None:
    """Every image with its names, those by digest too, and its size."""
    told = {row["Id"]: row for row in podman.json("images", "--all")}
    found = {image.id.hex: image for image in store.images()}
    assert found.keys() == told.keys()
    for name, image in found.items():
        row = told[name]
        assert {str(item) for item in image.references if item.tag} == set(row.get("Names", []))
        assert {str(item) for item in image.references if item.digest} == set(row["RepoDigests"])
        assert store.size(image) == row["Size"]


@pytest.mark.parametrize("image", [UPPER, COMMITTED, BUILT])
def test_image_trees(podman: Podman, store: Store, image: str) -> None:
    """What `podman image mount` shows."""
    found = tree_snapshot(store.tree(store.image(image)))
    assert _differences(podman, podman.image_tree(image), found) == []


@pytest.mark.parametrize("container", ["changed", "working"])
def test_container_trees(podman: Podman, store: Store, container: str) -> None:
    """What `podman mount` and `buildah mount` show."""
    found = tree_snapshot(store.tree(store.container(container)))
    assert _differences(podman, podman.container_tree(container), found) == []


def _differences(podman: Podman, theirs: Snapshot, ours: Snapshot) -> list[str]:
    """What differs but for counts of links, which neither fuse-overlayfs nor a whole tree has of a union."""
    if podman.form in (FORMS["fuse"], FORMS["vfs"]):
        return diff_snapshots(without_link_counts(theirs), without_link_counts(ours))
    return diff_snapshots(theirs, ours)


def test_history(podman: Podman) -> None:
    """Each step with what made it, when, its size, and its comment."""
    told = [(row["CreatedBy"], row["created"], row["size"], row.get("comment", ""))
            for row in podman.json("history", BUILT)]  # fmt: skip
    ours = _asked(podman, "history", BUILT, "--format", "json")
    assert [(row["created_by"], row["created"], row["size"], row["comment"]) for row in ours] == told


def test_inspect(podman: Podman) -> None:
    """What both tell of an image, and its layers' directories."""
    (told,) = json.loads(podman("image", "inspect", BUILT))
    (found,) = _asked(podman, "inspect", BUILT)
    same = ("RepoTags", "RepoDigests", "Created", "Author", "Architecture", "Os", "Size", "RootFS")
    assert {key: found[key] for key in same} == {key: told[key] for key in same}
    assert found["Id"] == f"sha256:{told['Id']}"
    assert told["Config"].items() <= found["Config"].items()
    if podman.form.driver == "overlay":
        data = told["GraphDriver"]["Data"]
        ours = [item["DiffDir"].replace(str(podman.root), "/mnt/work/root") for item in found["Layers"]]
        assert ours[::-1] == [data["UpperDir"], *data["LowerDir"].split(":")]


def test_containers(podman: Podman) -> None:
    """Every container with its image, Buildah's with what Buildah says it is on."""
    told = {row["Id"]: (row["Image"], *row["Names"]) for row in podman.json("ps", "--all")}
    for row in json.loads(podman.buildah("containers", "--json")):
        told.setdefault(row["id"], (row["imagename"], row["containername"]))
    ours = _asked(podman, "containers", "--all", "--format", "json")
    assert {row["id"]: (row["image"], row["name"]) for row in ours} == told
    assert len(told) == 3


def test_diff(podman: Podman) -> None:
    """What a container changed: by its layer where the kernel mounts it, else as Docker compares trees."""
    told = podman("diff", "changed").splitlines()
    done = layerfs(podman.root, "diff", "changed")
    assert (done.code, done.stderr) == (1, "")
    assert done.stdout.splitlines() == sorted(told, key=lambda line: line[2:].encode())
