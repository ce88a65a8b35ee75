"""Layers, as a real Engine knows them: its diff IDs, directories and history against `layerfs layers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs

if TYPE_CHECKING:
    from tests.support.engine import Engine

pytestmark = pytest.mark.dockerd


def _rows(engine: Engine, name: str) -> list[dict[str, Any]]:
    found = layerfs(engine.root, "layers", name, "--format", "json")
    assert (found.code, found.stderr) == (0, "")
    return list(found.json)


def test_layers_of_every_image_are_the_engines(engine: Engine) -> None:
    """Diff IDs, directories (base first) and the sum of sizes are those the Engine inspects."""
    for image in engine.images():
        theirs, ours = engine.image(image["Id"]), _rows(engine, image["Id"])
        data = theirs["GraphDriver"]["Data"] or {"UpperDir": ""}
        stack = [data["UpperDir"], *filter(None, data.get("LowerDir", "").split(":"))] if ours else []
        assert [row["diff_id"] for row in ours] == theirs["RootFS"].get("Layers", [])
        assert [f"{row['directory']}/diff" for row in reversed(ours)] == stack
        assert sum(row["size"] for row in ours) == theirs["Size"]


def test_layers_and_makers_pair_as_in_the_engines_history(engine: Engine) -> None:
    """The size and command of each layer that changed something are a row of `docker history`, in order."""
    for image in engine.images():
        history = [
            (row["CreatedBy"], row["Size"]) for row in reversed(engine.history(image["Id"])) if row["Size"]
        ]
        ours = [(row["created_by"], row["size"]) for row in _rows(engine, image["Id"]) if row["size"]]
        assert [row for row in ours if row[0] is not None] == history


def test_users_are_the_engines(engine: Engine) -> None:
    """The images of a layer are those in whose diff IDs the Engine has it at that place."""
    prefixes = {
        image["Id"]: engine.image(image["Id"])["RootFS"].get("Layers", []) for image in engine.images()
    }
    for row in _rows(engine, "demo:latest"):
        below = [item["diff_id"] for item in _rows(engine, "demo:latest")][: row["index"]]
        users = {image for image, diff_ids in prefixes.items() if diff_ids[: row["index"]] == below}
        assert set(row["images"]) == users


def test_layers_of_every_container_are_the_engines(engine: Engine) -> None:
    """Directories, base first, are those the Engine inspects, and the last one's size is `docker ps -s`'s."""
    for listed in engine.containers():
        container = engine.container(listed["Id"])
        data = container["GraphDriver"]["Data"]
        found = layerfs(engine.root, "layers", listed["Id"], "--format", "json")
        assert found.code == 0
        stack = [data["UpperDir"], *data["LowerDir"].split(":")]
        assert [f"{row['directory']}/diff" for row in reversed(found.json)] == stack
        assert found.json[-1]["size"] == container["SizeRw"]
        assert f"{container['Name'].strip('/')} is a container" in found.stderr
