"""`layerfs report` of damaged stores: what can be read is told, and what cannot is named."""

from __future__ import annotations

import json
import shutil
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import fastjsonschema
import pytest

from layerfs_cli.report.page import page
from tests.support.command import layerfs
from tests.support.records import DAMAGES, damaged
from tests.support.storekinds import STORE_KINDS, each_kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.root

FINE, DAMAGED, NO_STORE, CORRUPT = 0, 1, 4, 5


@cache
def _validate() -> Any:
    text = files("layerfs_cli.report").joinpath("report.schema.json").read_text()
    return fastjsonschema.compile(json.loads(text))


def _report(root: Path, out: Path, *words: str) -> tuple[int, str, Any]:
    """The exit code, the messages and the twin, of which a page was made too; None if nothing was written."""
    (out / "r.json").unlink(missing_ok=True)
    done = layerfs(root, "report", *words, "-o", str(out / "r.json"))
    assert "bug in layerfs" not in done.stderr
    if not (out / "r.json").exists():
        return done.code, done.stderr, None
    twin = json.loads((out / "r.json").read_bytes())
    _validate()(twin)
    assert "".join(page(twin, None)).endswith("</html>\n")
    return done.code, done.stderr, twin


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A store of each kind, put in order after each damage."""
    return {kind.name: kind.make(tmp_path_factory.mktemp("report")) for kind in STORE_KINDS}


def _alone(image: dict[str, Any], intact: dict[str, Any]) -> dict[str, Any]:
    """An image without the changes of layers that it has from the damaged one, which are told but once."""
    told = ("changes", "changes_in")
    layers = [
        {key: value for key, value in layer.items() if key not in told} if right["changes_in"] else layer
        for layer, right in zip(image["layers"], intact["layers"], strict=True)
    ]
    return {**image, "layers": layers}


@each_kind
@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_damage_is_told_in_the_report(
    roots: Mapping[str, Path], kind: StoreKind, damage: str, tmp_path: Path
) -> None:
    """Whichever record is damaged: the other images are whole, and what was said of damage is in the twin."""
    root = roots[kind.name]
    words = (kind.tagged, kind.odd)
    before = _report(root, tmp_path, *words)[2]
    for name, record in kind.records(root, kind.tagged, 2).items():
        with damaged([record], DAMAGES[damage]):
            code, said, twin = _report(root, tmp_path, *words)
            if twin is None:
                assert code in (CORRUPT, NO_STORE), (name, said)
                assert said.strip(), name
                continue
            assert code in (FINE, DAMAGED), (name, said)
            assert (code == DAMAGED) == bool(twin["problems"]), (name, said)
            other = next(image for image in twin["images"] if kind.odd in image["references"])
            same = next(image for image in before["images"] if kind.odd in image["references"])
            assert _alone(other, same) == _alone(same, same), name


@pytest.mark.parametrize("part", ["overlay2", "image/overlay2/layerdb/sha256", "containers"])
def test_half_a_root_gives_a_report(copy: Path, tmp_path: Path, part: str) -> None:
    """Where a whole part of a root is lost, the rest is told."""
    shutil.rmtree(copy / part)
    code, said, twin = _report(copy, tmp_path, "--all", "--verify")
    if twin is None:
        assert code in (CORRUPT, NO_STORE)
        assert said.strip()
        return
    assert code in (FINE, DAMAGED), said
    assert len(twin["images"]) > 10


def test_empty_store_gives_an_empty_report(tmp_path: Path) -> None:
    """A store without images and containers has a page that says so."""
    (tmp_path / "root/image/overlay2/imagedb/content/sha256").mkdir(parents=True)
    (tmp_path / "root/image/overlay2/layerdb/sha256").mkdir(parents=True)
    (tmp_path / "root/image/overlay2/repositories.json").write_text('{"Repositories":{}}')
    (tmp_path / "root/overlay2/l").mkdir(parents=True)
    code, said, twin = _report(tmp_path / "root", tmp_path, "--all", "--verify")
    assert code == FINE, said
    assert twin["images"] == twin["containers"] == []
    assert "Images: none." in "".join(page(twin, None))
