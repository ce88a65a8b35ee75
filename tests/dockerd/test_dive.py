"""The score beside dive's, on archives that a real Engine saved: where they agree, and why where not.

`docs/waste.md` explains the differences and has these very figures.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fixtures.archives import Archive, Image, Layer
from tests.support.capabilities import dive_command
from tests.support.command import layerfs
from tests.support.engine import Engine
from tests.support.source import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.dockerd, pytest.mark.dive]


class Score(NamedTuple):
    """What a tool says of an image."""

    stored: int
    wasted: int
    efficiency: float


def _file(size: int, fill: bytes = b"x") -> bytes:
    return fill * size


IMAGES: dict[str, list[Layer]] = {
    "agree": [
        Layer().file("deleted", _file(1000)).file("rewritten", _file(500)).file("kept", _file(250)),
        Layer().whiteout("deleted").file("rewritten", _file(500, b"y")),
        Layer().file("added", _file(100)),
    ],
    "chmod": [
        Layer().file("tool", _file(1000), 0o644).file("kept", _file(1000)),
        Layer().file("tool", _file(1000), 0o755),
    ],
    "grown": [
        Layer().file("log", _file(100)).file("kept", _file(1000)),
        Layer().file("log", _file(900)),
    ],
    "replaced": [
        Layer().file("f", _file(1000)).file("kept", _file(1000)),
        Layer().file("f", _file(10)),
        Layer().file("f", _file(5000)),
        Layer().file("f", _file(300)),
    ],
    "opaque": [
        Layer().dir("cache").file("cache/a", _file(4000)).file("kept", _file(1000)),
        Layer().opaque("cache").file("cache/b", _file(10)),
    ],
    "directory": [
        Layer().dir("cache").file("cache/a", _file(4000)).file("kept", _file(1000)),
        Layer().whiteout("cache"),
    ],
    "links": [
        Layer().file("a", _file(4000)).link("b", "a").file("kept", _file(1000)),
        Layer().whiteout("a"),
    ],
    "symlink": [
        Layer().symlink("link", "x" * 500).file("kept", _file(1000)),
        Layer().whiteout("link"),
    ],
}


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Score, Score]]:
    """Ours and dive's for each of the images, as an Engine loaded and saved it."""
    place = tmp_path_factory.mktemp("dive")
    images = [
        Image([f"{name}:1"], [layer.done() for layer in layers], "2024-01-01T00:00:00Z")
        for name, layers in IMAGES.items()
    ]
    (place / "load.tar").write_bytes(Archive(images).done())
    with Engine(place / "root") as engine:
        engine.load(place / "load.tar")
        for name in IMAGES:
            (place / f"{name}.tar").write_bytes(engine.cli_bytes("save", f"{name}:1"))
        ours = {name: _ours(engine.root, name) for name in IMAGES}
    return {name: (ours[name], _dive(place / f"{name}.tar")) for name in IMAGES}


def _ours(root: Path, name: str) -> Score:
    found = layerfs(root, "waste", "--format", "json", f"{name}:1").json
    return Score(found["stored"], found["wasted"], found["efficiency"])


def _dive(archive: Path) -> Score:
    program = dive_command()
    assert program is not None
    report = archive.with_suffix(".json")
    command = [program, f"docker-archive://{archive}", "--json", str(report)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    found = json.loads(report.read_text())["image"]
    return Score(found["sizeBytes"], found["inefficientBytes"], found["efficiencyScore"])


AGREE = ("agree", "chmod")


@pytest.mark.parametrize("name", AGREE)
def test_scores_agree_where_dive_sees_all(scores: dict[str, tuple[Score, Score]], name: str) -> None:
    """Deleted files and versions of one size, without opaque directories and the like, give one score."""
    ours, theirs = scores[name]
    assert ours.stored == theirs.stored
    assert ours.efficiency == pytest.approx(theirs.efficiency, abs=1e-12)
    assert 0 < ours.efficiency < 1


def _members(layer: Layer) -> Iterator[tuple[str, int, bool]]:
    """What lies in a layer: name, size as the archive has it, and whether it is a directory."""
    with tarfile.open(fileobj=io.BytesIO(layer.done())) as archive:
        yield from ((member.name, member.size, member.isdir()) for member in archive)


def _by_dives_rule(layers: list[Layer]) -> Score:
    """Dive's figures by the rule that the document gives: smallest over all versions, path by path."""
    versions: defaultdict[str, list[int]] = defaultdict(list)
    below: dict[str, int] = {}
    for layer in layers:
        for name, size, is_directory in _members(layer):
            head, _, tail = name.rpartition("/")
            if tail == ".wh..wh..opq" or is_directory:
                continue
            if tail.startswith(".wh."):
                gone = f"{head}/{tail[4:]}".lstrip("/")
                versions[gone].append(
                    sum(size for path, size in below.items() if path.startswith(f"{gone}/"))
                )
                continue
            versions[name].append(size)
            below[name] = size
    total = sum(map(sum, versions.values()))
    stored = sum(size for layer in layers for _, size, _ in _members(layer))
    several = sum(sum(sizes) for sizes in versions.values() if len(sizes) > 1)
    return Score(stored, several, sum(map(min, versions.values())) / total)


@pytest.mark.parametrize("name", IMAGES)
def test_dive_counts_as_the_document_says(scores: dict[str, tuple[Score, Score]], name: str) -> None:
    """Dive's figures follow from the rule we ascribe to it, and so do the differences to ours."""
    _, theirs = scores[name]
    expected = _by_dives_rule(IMAGES[name])
    assert theirs[:2] == expected[:2]
    assert theirs.efficiency == pytest.approx(expected.efficiency, abs=1e-12)


@pytest.mark.parametrize("name", [name for name in IMAGES if name not in AGREE])
def test_scores_differ_where_the_document_says(scores: dict[str, tuple[Score, Score]], name: str) -> None:
    """Each image that the document has for a difference does make one."""
    ours, theirs = scores[name]
    assert abs(ours.efficiency - theirs.efficiency) > 0.01


def test_document_has_these_figures(scores: dict[str, tuple[Score, Score]]) -> None:
    """The table of docs/waste.md has the figures that both tools give here, and no others."""
    text = (REPOSITORY / "docs/waste.md").read_text()
    rows = re.findall(
        r"^\| `(\w+)` \|.*?\| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \|",
        text,
        re.MULTILINE,
    )
    shown = {name: tuple(cell.replace(",", "") for cell in cells) for name, *cells in rows}
    expected = {
        name: tuple(
            f"{value:.4f}" if isinstance(value, float) else str(value)
            for score in both
            for value in (score.stored, score.wasted, float(score.efficiency))
        )
        for name, both in scores.items()
    }
    assert shown == expected


def test_document_names_this_dive() -> None:
    """The document names the version of dive that it was compared with."""
    program = dive_command()
    assert program is not None
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    assert said in (REPOSITORY / "docs/waste.md").read_text()
