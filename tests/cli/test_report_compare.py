"""`layerfs report --compare`: what changed is told, nothing else is, and no earlier twin is believed."""

from __future__ import annotations

import copy as copying
import json
import os
import shutil
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import fastjsonschema
import pytest

from layerfs_cli.report import readback
from layerfs_cli.report.compare import Side, compared
from layerfs_cli.report.page import page
from layerfs_cli.report.shape import first_fault
from tests.support.command import layerfs
from tests.support.fixture import private_copy
from tests.support.injections import INJECTIONS
from tests.support.storekinds import STORE_KINDS, each_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.support.command import Result
    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.root

FINE, CHANGED, MISUSE = 0, 1, 2
KINDS = ("names", "images", "containers", "layers", "findings", "records")


@cache
def _validate() -> Any:
    text = files("layerfs_cli.report").joinpath("report.schema.json").read_text()
    return fastjsonschema.compile(json.loads(text))


def _report(root: Path | str, out: Path, *words: str) -> tuple[Result, Any]:
    done = layerfs(root, "report", *words, "-o", str(out))
    assert out.exists(), done.stderr
    twin = json.loads(out.with_suffix(".json").read_bytes())
    _validate()(twin)
    return done, twin


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A store of each kind."""
    return {kind.name: kind.make(tmp_path_factory.mktemp("compare")) for kind in STORE_KINDS}


@pytest.fixture(scope="module")
def earlier(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The twin of all of the recorded root."""
    path = tmp_path_factory.mktemp("earlier") / "old.json"
    assert layerfs(dataroot_path, "report", "--all", "-o", str(path)).code == FINE
    return path


@each_kind
def test_the_same_store_has_not_changed(roots: Mapping[str, Path], kind: StoreKind, tmp_path: Path) -> None:
    """Read twice, no kind of store has a difference, also if it lies elsewhere and one is reproducible."""
    root, names = roots[kind.name], (kind.image, kind.container)
    _report(root, tmp_path / "a.html", *names)
    (tmp_path / "moved").symlink_to(root)
    words = ("--compare", str(tmp_path / "a.json"), "--reproducible", *names)
    done, twin = _report(tmp_path / "moved", tmp_path / "b.html", *words)
    assert done.code == FINE
    assert [twin["compared"][key] for key in ("differences", *KINDS)] == [0, *[[]] * 6]
    assert "Nothing changed since the earlier report" in (tmp_path / "b.html").read_text()


class Altered(NamedTuple):
    """A root that was changed after the earlier report: where, which containers, and the later report."""

    root: Path
    gone: str
    other: str
    page: Path
    done: Result
    twin: Any


@pytest.fixture(scope="module")
def altered(earlier: Path, dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Altered:
    """The recorded root with changes, and what a comparison says of it."""
    top = tmp_path_factory.mktemp("altered")
    private_copy(dataroot_path, top / "root")
    gone, other = _change(top / "root")
    done, twin = _report(top / "root", top / "now.html", "--compare", str(earlier))
    return Altered(top / "root", gone, other, top / "now.html", done, twin)


def _change(root: Path) -> tuple[str, str]:
    """Move a name, remove a container, write into another; the IDs of both containers."""
    names = root / "image/overlay2/repositories.json"
    known = json.loads(names.read_bytes())
    known["Repositories"]["demo"]["demo:latest"] = known["Repositories"]["buildkit"]["buildkit:latest"]
    known["Repositories"]["extra"] = {"extra:1": known["Repositories"]["demo"]["demo:latest"]}
    names.write_text(json.dumps(known))
    listed = {row["name"]: row["id"] for row in _containers(root)}
    gone, other = listed["crashed"], listed["changed"]
    shutil.rmtree(root / "containers" / gone)
    mounts = root / "image/overlay2/layerdb/mounts"
    shutil.rmtree(mounts / gone)
    (root / "overlay2" / (mounts / other / "mount-id").read_text() / "diff/brandnew").write_text("new\n")
    return gone, other


def _containers(root: Path) -> Any:
    return layerfs(root, "containers", "--no-trunc", "--format", "json").json


def test_what_was_changed_is_told(earlier: Path, altered: Altered, tmp_path: Path) -> None:
    """A moved name, a removed container and a new file are told, of a root and of a twin."""
    assert altered.done.code == CHANGED
    part, gone, other = altered.twin["compared"], altered.gone, altered.other
    assert {(row["change"], row["name"]) for row in part["names"]} == {
        ("moved", "demo:latest"), ("new", "extra:1"),
    }  # fmt: skip
    assert part["images"] == []
    told = {(row["change"], row["id"]): row["what"] for row in part["containers"]}
    assert told.keys() == {("gone", gone), ("changed", other)}
    assert "its own files" in told["changed", other]
    paths = [(row["of"], path) for row in part["layers"] for path in row["paths"]]
    assert [(owner, path["path"], path["then"], path["now"], path["size"]) for owner, path in paths] == [
        (other, "/brandnew", None, "added", 4)
    ]
    records = {row["path"]: row["change"] for row in part["records"]}
    assert records["image/overlay2/repositories.json"] == "changed"
    assert records[f"containers/{gone}/config.v2.json"] == "gone"
    assert {row["change"] for row in part["findings"]} == {"new", "mended"}
    assert part["differences"] == sum(len(part[key]) for key in KINDS)
    assert part["not_compared"] == ["verify"]
    words = ("--compare", str(earlier), str(altered.page.with_suffix(".json")))
    done, again = _report("/none", tmp_path / "two.html", *words)
    assert done.code == CHANGED
    assert again["compared"]["now"]["file"] == "now.json"
    assert {key: again["compared"][key] for key in KINDS} == {key: part[key] for key in KINDS}


def test_what_is_not_reported_is_not_gone(earlier: Path, dataroot_path: Path, tmp_path: Path) -> None:
    """A report of one image says nothing of the others."""
    done, twin = _report(dataroot_path, tmp_path / "now.html", "--compare", str(earlier), "demo")
    part = twin["compared"]
    assert (done.code, part["differences"], part["complete"]) == (FINE, 0, False)
    assert {row["change"] for key in KINDS for row in part[key]} == {"only then"}
    back = compared(Side(twin), Side(json.loads(earlier.read_bytes())))
    assert {row["change"] for key in KINDS for row in back[key]} == {"only now"}


def test_what_cannot_be_read_now_is_not_gone(altered: Altered, tmp_path: Path) -> None:
    """Where a container's record is damaged its layers are there, and cannot be read."""
    mount = altered.root / "image/overlay2/layerdb/mounts" / altered.other
    layer = altered.root / "overlay2" / (mount / "mount-id").read_text()
    words = ("--compare", str(altered.page.with_suffix(".json")), "changed")
    layer.rename(tmp_path / "away")
    part = _report(altered.root, tmp_path / "now.html", *words)[1]["compared"]
    (tmp_path / "away").rename(layer)
    assert ("changed", altered.other, ["it cannot be read"]) in [
        (row["change"], row["id"], row["what"]) for row in part["containers"]
    ]
    assert all(row["of"] != altered.other or row["chain_id"] for row in part["layers"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no JSON"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"schema": "layerfs.report/1", "x": NaN}', "NaN is no number"),
        (b'{"schema": "\xff"}', "not in UTF-8"),
        (b'{"schema": ' + b"9" * 5000 + b"}", "is no JSON"),
        (b"[]", "JSON of another kind"),
        (b'{"schema": ["layerfs.report/1"]}', "JSON of another kind"),
        (b'{"schema": "layerfs.report/2"}', "another version: layerfs.report/2"),
        (b'{"schema": "layerfs.report/\\u001b[31m"}', "\\x1b[31m"),
        (b'{"schema": "layerfs.report/1"}', "the document has no root"),
        (b" " * 1001, "MiB"),
    ],
)
def test_what_is_no_twin_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str
) -> None:
    """With a reason, and nothing is written."""
    if len(content) == 1001:
        monkeypatch.setattr(readback, "MOST", 1000)
    (tmp_path / "old.json").write_bytes(content)
    done = layerfs(
        "/none", "report", "--compare", str(tmp_path / "old.json"), "--all", "-o", str(tmp_path / "x.html")
    )
    assert done.code == MISUSE
    assert reason in done.stderr
    assert "\x1b" not in done.stderr
    assert os.listdir(tmp_path) == ["old.json"]


def test_no_other_file_is_waited_for_or_replaced(earlier: Path, dataroot_path: Path, tmp_path: Path) -> None:
    """A pipe without a writer is refused at once; what is compared is not replaced, with --force neither."""
    os.mkfifo(tmp_path / "pipe.json")
    words = ("report", "-o", str(tmp_path / "x.html"), "--compare")
    assert "is no regular file" in layerfs(dataroot_path, *words, str(tmp_path / "pipe.json")).stderr
    assert layerfs(dataroot_path, *words, str(tmp_path)).code == MISUSE
    assert layerfs(dataroot_path, *words, str(tmp_path / "none.json")).code == 74
    shutil.copy(earlier, tmp_path / "x.json")
    before = (tmp_path / "x.json").read_bytes()
    for more in ([], [str(earlier)]):
        done = layerfs(dataroot_path, *words, str(tmp_path / "x.json"), *more, "--force")
        assert done.code == MISUSE
        assert "nothing is written there" in done.stderr
    done = layerfs(dataroot_path, *words, str(earlier), str(tmp_path / "x.json"), "--verify")
    assert "two twins are compared" in done.stderr
    assert (tmp_path / "x.json").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["pipe.json", "x.json"]


VALUES: tuple[Any, ...] = (
    None, True, -1, 10**24, 10**25, float("inf"), "/\udcff\x00", "-99999-01-01T", "sha256:" + "0" * 64,
    "<script>" + INJECTIONS[0] + "x" * 30_000, [], {"": ""},
)  # fmt: skip
"""What may stand in a field of a document that somebody made."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each field of a document, those in it first; of a list only the first item."""
    items = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, item in items:
        yield from _places(item, (*path, key))
    if path:
        yield path


def _shortened(value: Any) -> Any:
    """A document in which each list has one item at most."""
    if isinstance(value, list):
        return [_shortened(item) for item in value[:1]]
    return {key: _shortened(item) for key, item in value.items()} if isinstance(value, dict) else value


def test_every_field_is_checked_or_shown(altered: Altered) -> None:
    """Whatever a field holds: the document is refused, as by another validator, or compared and shown."""
    twin = _shortened(altered.twin)
    assert first_fault(twin) is None
    assert all(twin["compared"][key] for key in ("names", "layers", "records"))
    twin["names"] = dict(list(twin["names"].items())[:1])
    places = list(_places(twin))
    for value in VALUES:
        changed = copying.deepcopy(twin)
        taken = [path for path in places if _set_if_valid(changed, path, value)]
        assert first_fault(changed) is None
        assert (not taken) == (value in (10**25, float("inf"))), value
        changed["compared"] = compared(Side(changed), Side(twin))
        changed["compared"] = compared(Side(twin), Side(changed))
        _validate()(changed)
        assert "".join(page(changed, None)).endswith("</html>\n"), value


def _set_if_valid(document: Any, path: Sequence[Any], value: Any) -> bool:
    """Put a value in its place, if the schema allows it there; it is asked of two validators."""
    *above, key = path
    holder = document
    for step in above:
        holder = holder[step]
    before = holder[key]
    holder[key] = value
    fault = first_fault(document)
    assert (fault is None) == _is_valid(document), (path, value, fault)
    if fault is not None:
        holder[key] = before
    return fault is None


def _is_valid(document: Any) -> bool:
    try:
        _validate()(document)
    except fastjsonschema.JsonSchemaException:
        return False
    return True
