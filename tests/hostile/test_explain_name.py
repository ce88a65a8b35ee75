"""`layerfs explain NAME` of hostile and damaged stores: it leads nowhere else, and tells the damage."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.pasting import Explained, explained, pasted
from tests.support.records import DAMAGES, damaged
from tests.support.storekinds import STORE_KINDS, each_kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.kernel

MARK = "what stands on the analyst's own disk"
SHELL_TEXTS = ("$(touch planted)", "../../etc", "* \x1b[31m\na")
STEPS = {"cache-id": "CACHE ID", "link": "LINK", "l": "LINK", "lower": "LOWER"}
"""The steps that lead to what each record tells."""


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A store of each kind; tests put back what they change."""
    return {kind.name: kind.make(tmp_path_factory.mktemp(kind.name)) for kind in STORE_KINDS}


def _places(root: Path, name: str) -> list[Path]:
    """Every path that a walk reads, and every directory on the way to it."""
    found = explained(root, name).document
    top = found["directory"]
    ends = [step["place"] for step in found["steps"] if step["place"]]
    ends += [os.path.join(place, "..", "lower") for place in ends if place.endswith("/diff")]
    places = {os.path.normpath(os.path.join(top, end)) for end in ends}
    ways = {place[:at] for place in places for at, char in enumerate(place) if char == "/" and at > len(top)}
    return sorted(type(root)(place) for place in places | ways if os.path.lexists(place))


@each_kind
@pytest.mark.parametrize("which", ["image", "container"])
def test_links_lead_no_command_astray(
    roots: Mapping[str, Path], kind: StoreKind, which: str, tmp_path: Path
) -> None:
    """Of whatever is a link to elsewhere no command is printed: the script works when the elsewhere is gone.

    The elsewhere is what the store has there, so that nothing but the link tells it.
    """
    root, name = roots[kind.name], kind.names[which]
    outside = tmp_path / "outside"
    tried = 0
    others = set(_places(root, kind.image)) if which == "container" else set()
    for place in (place for place in _places(root, name) if place not in others):
        place.rename(outside)
        try:
            place.symlink_to(outside)
            found = explained(root, name)
            outside.rename(tmp_path / "away")
            assert (place, pasted(found)) == (place, found.values)
        finally:
            (tmp_path / "away").rename(outside)
            place.unlink()
            outside.rename(place)
        tried += 1
    assert tried > 1


@pytest.mark.parametrize("target", ["/etc", "../../../../../../etc", "../x/../../..", "."])
def test_short_links_lead_to_their_directory_alone(copy: Path, target: str) -> None:
    """A link in l/ that leads elsewhere is in no command: the mount has the directory itself."""
    for link in (copy / "overlay2/l").iterdir():
        link.unlink()
        link.symlink_to(target)
    for name in ("demo", "changed", "base:1"):
        found = explained(copy, name)
        assert pasted(found) == found.values
        assert all("/l/" not in part for part in found.document["mount"]["lowerdir"])
        assert "leads to" in found.problems["LINK"]
    many = explained(copy, "lab/hundred")
    assert (pasted(many), many.document["mount"]) == (many.values, None)
    assert "There is no mount line" in many.text


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("cache-id", "demo"),
        ("link", "demo"),
        ("lower", "demo"),
        ("mount-id", "changed"),
        ("init-id", "changed"),
        ("parent", "changed"),
    ],
)
def test_texts_of_records_are_no_shell(copy: Path, file: str, name: str) -> None:
    """Whatever stands in a file of one line, nothing of it is run, printed or followed."""
    (copy / "etc").mkdir()
    (copy / "etc" / MARK).touch()
    paths = [*(copy / "image").rglob(file), *(copy / "overlay2").glob(f"*/{file}")]
    assert paths
    for text in SHELL_TEXTS:
        for path in paths:
            path.write_text(text)
        found = explained(copy, name)
        output = pasted(found)
        assert (text, output) == (text, found.values)
        assert MARK not in "".join(output)
    assert not list(copy.rglob("planted"))


@each_kind
def test_damage_is_told_and_the_walk_goes_on(roots: Mapping[str, Path], kind: StoreKind) -> None:
    """Of every record in every state the script works, and mounts the same tree, or it is said why not.

    A script that works without the record does not read it, and so is pasted once.
    """
    root = roots[kind.name]
    number = explained(root, kind.tagged).document["layers"] - 1
    right = explained(root, f"{kind.tagged}@{number}")
    for name, record in kind.records(root, kind.tagged, number).items():
        without = ""
        for damage, befalls in DAMAGES.items():
            with damaged([record], befalls):
                found = explained(root, f"{kind.tagged}@{number}")
                if found.script != without:
                    assert (name, damage, pasted(found)) == (name, damage, found.values)
                without = found.script if damage == "missing" else without
                _is_told(found, right, name, damage)


def _is_told(found: Explained, right: Explained, name: str, damage: str) -> None:
    """The walk ends with words, or it says what is wrong and ends where the intact one does."""
    if not (found.code in (0, 1) and found.document["mount"]):
        assert (name, damage, bool(found.stderr or found.document.get("note"))) == (name, damage, True)
        return
    told = found.code == 1 or any(step["ok"] is None for step in found.document["steps"])
    assert (name, damage, told or _values(found) == _values(right)) == (name, damage, True)
    if (name, damage) != ("snapshot", "another's"):  # which is told, and no other record knows
        assert (name, damage, _values(found)[-1]) == (name, damage, _values(right)[-1])
    if name in STEPS:
        _says_what_was_expected(found, right, STEPS[name])


def _values(found: Explained) -> list[list[str]]:
    return [step["values"] for step in found.document["steps"]]


def _says_what_was_expected(found: Explained, right: Explained, end: str) -> None:
    step, intact = (
        next(step for step in item.document["steps"] if step["to"] == end) for item in (found, right)
    )
    assert (step["ok"], bool(step["problem"])) == (False, True)
    assert step["expected"] == intact["values"][: len(step["expected"])]
    assert "   ! " in found.text


def test_altered_config_ends_the_walk(copy: Path) -> None:
    """Of a config that does not hash to its name both digests are shown, and nothing that it says."""
    found = explained(copy, "demo")
    image = found.document["image"].removeprefix("sha256:")
    path = copy / "image/overlay2/imagedb/content/sha256" / image
    path.write_bytes(path.read_bytes() + b" ")
    found = explained(copy, "demo")
    assert found.code == 5
    last = found.document["steps"][-1]
    assert (last["to"], last["expected"], last["ok"]) == ("CONFIG", [image], False)
    assert pasted(found) == found.values


def test_missing_files_of_layers_end_the_walk(copy: Path) -> None:
    """Without overlay2/ there is no directory to lead to: the exit code is that of other commands."""
    shutil.rmtree(copy / "overlay2")
    found = explained(copy, "demo")
    assert found.code == 4
    assert found.document["mount"] is None
    assert pasted(found) == found.values
