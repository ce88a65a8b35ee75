"""`layerfs history` beside a real Engine's `docker history`, on the same data root."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.formats.gotime import parse_time
from tests.support.command import layerfs
from tests.support.compare import both_answers

if TYPE_CHECKING:
    from tests.support.engine import Engine

pytestmark = [pytest.mark.dockerd, pytest.mark.usefixtures("_utc")]

ZERO_TIME = -62135596800
HOSTILE = "config/hostile:1"
"""Its history holds control bytes, which Docker passes on to the terminal and we do not."""

OPTIONS = [
    [],
    ["--quiet"],
    ["-q", "--no-trunc"],
    ["--no-trunc"],
    ["--human=false"],
    ["-H=false", "--no-trunc"],
    ["-H"],
    ["--format", "{{.ID}}|{{.CreatedSince}}|{{.CreatedAt}}|{{.CreatedBy}}|{{.Size}}|{{.Comment}}"],
    ["--human=false", "--format", "table {{.Size}}\t{{.CreatedSince}}\t{{.CreatedAt}}"],
    ["--format", "{{json .CreatedBy}}"],
]


def _images(engine: Engine) -> list[str]:
    return [str(item["Id"]) for item in engine.images()]


def _created(row: dict[str, Any]) -> int:
    nanoseconds = parse_time(row["created"]) if row["created"] else None
    return ZERO_TIME if nanoseconds is None else nanoseconds // 10**9


def test_fields_are_the_engine_s(engine: Engine) -> None:
    """Every row of every image, intermediate ones too, has the Engine's ID, time, text and size."""
    rows = 0
    for image in _images(engine):
        theirs = [
            (item["Id"], item["Created"], item["CreatedBy"], item["Comment"], item["Size"])
            for item in engine.history(image)
        ]
        found = layerfs(engine.root, "history", "--format", "json", image)
        assert (found.code, found.stderr) == (0, "")
        ours = [
            (row["image_id"] or "<missing>", _created(row), row["created_by"], row["comment"], row["size"])
            for row in found.json
        ]
        assert ours == theirs
        rows += len(ours)
    assert rows > len(_images(engine))


def test_layers_of_the_rows_are_the_engine_s(engine: Engine) -> None:
    """The diff IDs of the rows, oldest first, are those that the Engine inspects, as far as history goes."""
    for image in _images(engine):
        layers = engine.image(image)["RootFS"].get("Layers") or []
        rows = layerfs(engine.root, "history", "--format", "json", image).json
        made = [row["diff_id"] for row in reversed(rows) if not row["empty_layer"]]
        assert made == layers[: len(made)]
        assert all(
            row["diff_id"] is row["chain_id"] is row["cache_id"] is None for row in rows if row["empty_layer"]
        )


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_output_is_docker_s(engine: Engine, options: list[str]) -> None:
    """Every image's history is Docker's to the byte, but for control bytes."""
    names = [
        "demo",
        "buildkit",
        "committed:1",
        "lab/hundred",
        "zero/scratch:1",
        "zero/buildkit:1",
        "zero/null:1",
    ]
    names += ["config/no-history:1", "config/few-history:1", "config/no-created:1", "config/future:1"]
    for name in [*names, engine.image("demo")["Parent"]]:
        arguments = ["history", *options, name]
        theirs, ours = both_answers(engine, arguments, arguments)
        assert ours == theirs


def test_control_bytes_stay_in_json(engine: Engine) -> None:
    """A history that Docker lets loose on the terminal is shown escaped, and loses nothing in JSON."""
    theirs = engine.cli("history", "--no-trunc", HOSTILE)
    ours = layerfs(engine.root, "history", "--no-trunc", HOSTILE).stdout
    assert "\x1b" in theirs
    assert "\x1b" not in ours
    assert all(line.isprintable() for line in ours.splitlines())
    rows = [
        json.loads(line)
        for line in layerfs(engine.root, "history", "--format", "jsonl", HOSTILE).stdout.splitlines()
    ]
    assert [row["created_by"] for row in rows] == [item["CreatedBy"] for item in engine.history(HOSTILE)]
