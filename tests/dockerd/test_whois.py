"""Directories, as a real Engine inspects them, against what `layerfs whois` says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs

if TYPE_CHECKING:
    from tests.support.engine import Engine

pytestmark = pytest.mark.dockerd


def _answers(engine: Engine, *things: str) -> dict[str, dict[str, Any]]:
    done = layerfs(engine.root, "whois", *things, "--format", "json")
    assert (done.code, done.stderr) == (0, "")
    return {answer["thing"]: answer for answer in done.json}


def _stack(data: dict[str, str] | None) -> list[str]:
    """The directories of an inspected stack, base first; none for an image of no layers."""
    given = [data["UpperDir"], *data.get("LowerDir", "").split(":")] if data else []
    return [directory for directory in reversed(given) if directory]


def test_directories_of_every_image_lead_back_to_it(engine: Engine) -> None:
    """Of each directory the Engine names for an image, the number, diff ID and users are the Engine's."""
    inspected = {image["Id"]: engine.image(image["Id"]) for image in engine.images()}
    stacks = {image: _stack(found["GraphDriver"]["Data"]) for image, found in inspected.items()}
    users: dict[str, set[str]] = {}
    for image, stack in stacks.items():
        for directory in stack:
            users.setdefault(directory, set()).add(image)
    answers = _answers(engine, *users)
    for image, stack in stacks.items():
        diff_ids = inspected[image]["RootFS"].get("Layers", [])
        for number, (directory, diff_id) in enumerate(zip(stack, diff_ids, strict=True), 1):
            answer = answers[directory]
            assert (answer["kind"], answer["number"], answer["diff_id"]) == ("layer", number, diff_id)
            assert {item["id"] for item in answer["images"]} == users[directory]
            names = {name for item in answer["images"] if item["id"] == image for name in item["names"]}
            assert names == {*inspected[image]["RepoTags"], *inspected[image]["RepoDigests"]}


def test_directories_of_every_container_lead_back_to_it(engine: Engine) -> None:
    """Of each directory the Engine names for a container the answer is that container, or its image."""
    for listed in engine.containers():
        container = engine.container(listed["Id"])
        data = container["GraphDriver"]["Data"]
        answers = _answers(engine, *_stack(data), data["WorkDir"], data["MergedDir"])
        for answer in answers.values():
            assert container["Id"] in {item["id"] for item in answer["containers"]}
        own = answers[data["UpperDir"]]
        assert (own["kind"], own["size"]) == ("read-write layer", container["SizeRw"])
        assert [name for item in own["containers"] for name in item["names"]] == [
            container["Name"].strip("/")
        ]
