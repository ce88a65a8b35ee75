"""`layerfs system df` beside the Engine's own `docker system df`, as a summary and as lists."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs
from tests.support.engine import engine_on_copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.engine import Engine

pytestmark = [pytest.mark.dockerd, pytest.mark.usefixtures("_utc")]


@pytest.fixture(scope="module")
def busy(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine with a running container and with volumes that are in use, unused, empty, linked."""
    with engine_on_copy(dataroot_path, tmp_path_factory.mktemp("busy")) as engine:
        for name in ("unused", "empty"):
            engine.cli("volume", "create", name)
        content = engine.root / "volumes/unused/_data"
        (content / "deep").mkdir()
        (content / "deep/file").write_bytes(b"x" * 12_345)
        os.link(content / "deep/file", content / "again")
        (content / "link").symlink_to("deep/file")
        engine.cli(
            *("run", "--detach", "--network", "none", "--name", "up", "--volume", "inuse:/v", "--volume"),
            *("/anonymous", "demo:1.0", "/bin/fx", "sleep", "1000"),
        )
        yield engine
        engine.cli("rm", "--force", "up")


def _ours(engine: Engine, *arguments: str) -> str:
    found = layerfs(engine.root, "system", "df", *arguments)
    assert (found.code, found.stderr) == (0, "")
    return found.stdout


def _lists(text: str) -> dict[str, list[list[str]]]:
    """The rows of each list under its headline, sorted; a row is its cells, and ages count as one word."""
    lists: dict[str, list[list[str]]] = {}
    for block in re.split(r"\n(?=\w[^\n]* usage:)", text):
        title, _, table = block.partition("\n\n")
        header, *lines = table.rstrip().split("\n")
        starts = [match.start() for match in re.finditer(r"\S+(?: \S+)*", header)]
        spans = list(zip(starts, [*starts[1:], None], strict=True))
        rows = [[_ageless(line[start:end].strip()) for start, end in spans] for line in lines]
        lists[title] = [header.split(), *sorted(rows)]
    return lists


def _ageless(cell: str) -> str:
    """The clock goes on between two commands."""
    return re.sub(r"^(Less than a second|About an? \w+|\d+ \w+)( ago)?$", "AGE", cell)


@pytest.mark.parametrize("which", ["engine", "busy"])
def test_summary_is_the_engines(request: pytest.FixtureRequest, which: str) -> None:
    """The whole output is byte for byte the client's."""
    engine: Engine = request.getfixturevalue(which)
    assert _ours(engine) == engine.cli("system", "df")


@pytest.mark.parametrize("which", ["engine", "busy"])
def test_lists_are_the_engines(request: pytest.FixtureRequest, which: str) -> None:
    """Headlines, columns and cells of `-v`; but whether a container still runs is not known here."""
    engine: Engine = request.getfixturevalue(which)
    ours, theirs = _lists(_ours(engine, "-v")), _lists(engine.cli("system", "df", "-v"))
    for lists in (ours, theirs):
        for row in lists["Containers space usage:"][1:]:
            row[6] = re.sub(r"^(Up|Last seen running \(started) .*|(?<=\) ).*", "", row[6])
    assert ours == theirs
    assert len(ours["Local Volumes space usage:"]) > 1
    assert len(next(rows for title, rows in ours.items() if title.startswith("Build cache"))) > 1


def test_template_is_rendered_as_the_client_does(engine: Engine) -> None:
    """Docker's placeholders, one line a kind."""
    form = "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}"
    assert _ours(engine, "--format", form).strip() == engine.cli("system", "df", "--format", form).strip()


def test_json_has_the_engines_numbers(engine: Engine) -> None:
    """Sizes are bytes, as in the API's answer."""
    theirs = engine.disk_usage()
    found = layerfs(engine.root, "system", "df", "-v", "--format", "json").json
    cache = {item["id"]: (item["size"], item["shared"], item["usage_count"]) for item in found["build_cache"]}
    assert cache == {
        item["ID"]: (item["Size"], item["Shared"], item["UsageCount"]) for item in theirs["BuildCache"]
    }
    volumes = {item["name"]: (item["links"], item["size"]) for item in found["volumes"]}
    assert volumes == {
        item["Name"]: (item["UsageData"]["RefCount"], item["UsageData"]["Size"]) for item in theirs["Volumes"]
    }
    written = {item["id"]: item["size_rw"] for item in found["containers"]}
    assert written == {item["Id"]: item.get("SizeRw", 0) for item in theirs["Containers"]}
