"""A container whose records are lost, alone and in pairs: what others determine is shown, and no more."""

from __future__ import annotations

import itertools
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import layerfs
from tests.support.samples import linked, unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root

NAME = "changed"
ASKED = (("hashes", NAME), ("diff", NAME, "--docker"), ("cat", NAME, "/etc/motd"), ("ls", "-R", f"{NAME}:/"))
"""What must be told as of the intact root."""


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph root with all records."""
    return unpack_sample("podman-4.3-rootful", tmp_path_factory.mktemp("intact"))


@pytest.fixture(scope="module")
def wanted(intact: Path) -> list[str]:
    """What is told of it."""
    return [layerfs(intact, *words).stdout for words in ASKED]


def _without(root: Path, path: str, is_lost: Callable[[Any], bool]) -> None:
    """Take records out of a file, which is another one then."""
    records = json.loads((root / path).read_bytes())
    kept = [record for record in records if not is_lost(record)]
    assert len(kept) < len(records)
    (root / path).unlink()
    (root / path).write_text(json.dumps(kept))


def _own(root: Path, key: str) -> str:
    """A field of the container's record in the intact root."""
    records = json.loads((root / "overlay-containers/containers.json").read_bytes())
    found: str = next(record[key] for record in records if record["names"] == [NAME])
    return found


LOSSES: dict[str, Callable[[Path, Path], None]] = {
    "container": lambda root, _: _without(
        root, "overlay-containers/containers.json", lambda record: record["names"] == [NAME]
    ),
    "containers": lambda root, _: (root / "overlay-containers/containers.json").unlink(),
    "libpod": lambda root, _: shutil.rmtree(root / "libpod"),
    "layer": lambda root, intact: _without(
        root, "overlay-layers/layers.json", lambda record: record["id"] == _own(intact, "layer")
    ),
    "image": lambda root, intact: _without(
        root, "overlay-images/images.json", lambda record: record["id"] == _own(intact, "image")
    ),
    "link": lambda root, intact: (root / "overlay" / _own(intact, "layer") / "link").unlink(),
    "lower": lambda root, intact: (root / "overlay" / _own(intact, "layer") / "lower").unlink(),
}
"""Each removes one record of the container."""

NAMELESS = ({"container", "libpod"}, {"containers", "libpod"})
UNKNOWN = ({"container", "layer"}, {"containers", "layer"}, {"layer", "image", "lower"})
"""What cannot be lost together: then nothing tells its name, or its layer, or what this stands on."""

TOLD = {"container", "containers", "libpod", "layer"}
"""What a listing of containers needs."""


@pytest.mark.parametrize(
    "lost",
    [*itertools.combinations(LOSSES, 1), *itertools.combinations(LOSSES, 2), ("layer", "image", "lower")],
    ids="+".join,
)
def test_a_container_is_shown_by_what_is_left(
    tmp_path: Path, intact: Path, wanted: list[str], lost: tuple[str, ...]
) -> None:
    """The same trees, with a word about what is lost; or an error, and nothing that is wrong."""
    if set(lost) == {"container", "containers"}:
        return
    root = linked(intact, tmp_path / "root")
    for name in lost:
        LOSSES[name](root, intact)
    done = [layerfs(root, *words) for words in ASKED]
    if set(lost) in NAMELESS or set(lost) in UNKNOWN:
        assert {item.code for item in done} <= ({3} if set(lost) in NAMELESS else {5})
        assert [item.stdout for item in done] == [""] * len(ASKED)
    else:
        assert [item.stdout for item in done] == wanted
        assert all(item.code in (0, 1) for item in done)
    listed = layerfs(root, "containers", "--format", "json")
    assert (NAME in {row["name"] for row in listed.json}) == (set(lost) not in NAMELESS)
    # without the file there are no containers, as the engine sees it
    if set(lost) != {"containers", "libpod"} and not TOLD.isdisjoint(lost):
        assert (listed.code, bool(listed.stderr)) == (1, True)
