"""`layerfs report`: its twin beside its schema and other commands, its page, and where both go."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastjsonschema
import pytest

from layerfs_cli.report.page import page
from tests.support.command import layerfs, run_bytes
from tests.support.injections import injected_layout
from tests.support.processes import Running
from tests.support.storekinds import STORE_KINDS, each_kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.root

LAYERFS = str(Path(sys.executable).with_name("layerfs"))


@cache
def _validate() -> Any:
    text = files("layerfs_cli.report").joinpath("report.schema.json").read_text()
    return fastjsonschema.compile(json.loads(text))


def _twin(root: Path, out: Path, *words: str) -> Any:
    """The twin of a report that must succeed; it is as the schema says."""
    done = layerfs(root, "report", *words, "-o", str(out / "r.json"), "--force")
    assert done.code == 0, done.stderr
    twin = json.loads((out / "r.json").read_bytes())
    _validate()(twin)
    return twin


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A store of each kind."""
    return {kind.name: kind.make(tmp_path_factory.mktemp("report")) for kind in STORE_KINDS}


@each_kind
def test_twin_is_what_other_commands_say(roots: Mapping[str, Path], kind: StoreKind, tmp_path: Path) -> None:
    """Of each kind of store: images, layers, changes, hidden files and waste are those of the commands."""
    root = roots[kind.name]
    verify = ["--verify"] if kind.can(["--verify"]) else []
    twin = _twin(root, tmp_path, "--all", *verify)
    listed = {row["id"] for row in layerfs(root, "images", "--no-trunc", "--format", "json").json}
    assert {image["id"] for image in twin["images"]} == listed
    named = kind.names["image"]
    one = _twin(root, tmp_path, named)["images"][0]
    assert [layer["chain_id"] for layer in one["layers"]] == one["chain"]
    deleted = layerfs(root, "deleted", "--format", "json", named).json
    told = sorted((row["path"], row["layer"], row["size"]) for row in one["hidden"])
    assert told == sorted((row["path"], row["layer"], row["size"]) for row in deleted)
    changes = layerfs(root, "changes", "--layer", "2", "--format", "json", named).json
    kinds = [row["kind"] for row in one["layers"][1]["changes"]]
    assert len(kinds) == sum(one["layers"][1]["counts"].values()) == len(changes)
    bytes_shown = sum(row["shown"] + row["wasted"] for row in one["directories"])
    assert bytes_shown == one["waste"]["stored"]


@each_kind
def test_each_record_has_its_own_digest(roots: Mapping[str, Path], kind: StoreKind, tmp_path: Path) -> None:
    """The digest and size of each record that was read are those of the file; none is told twice."""
    root = roots[kind.name]
    evidence = _twin(root, tmp_path, "--all")["evidence"]
    rows = {row["path"]: row for row in evidence["metadata_files"]}
    assert len(rows) == len(evidence["metadata_files"]) == evidence["metadata_count"] > 5
    for path, row in rows.items():
        content = (root / path).read_bytes()
        if not path.endswith(".db"):  # of a database the pages that are in use
            assert (row["size"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest()), path


def test_records_of_an_archive_are_told(tmp_path: Path) -> None:
    """Documents in an archive have digests too, and the archive its size."""
    twin = _twin(injected_layout(tmp_path / "app"), tmp_path, "--all", "--verify")
    told = {row["path"]: row["sha256"] for row in twin["evidence"]["metadata_files"]}
    for name, digest in told.items():
        assert hashlib.sha256((tmp_path / "app" / name).read_bytes()).hexdigest() == digest
    assert "index.json" in told


def test_same_root_gives_the_same_report(dataroot_path: Path, tmp_path: Path) -> None:
    """With --reproducible a copy elsewhere gives the same bytes, and nothing names the place or the time."""
    texts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "root").symlink_to(dataroot_path)
        words = ["report", "demo", "changed", "--reproducible", "-o", str(tmp_path / name / "r.html")]
        assert layerfs(tmp_path / name / "root", *words).code == 0
        texts.append([(tmp_path / name / f"r.{end}").read_text() for end in ("html", "json")])
    assert texts[0] == texts[1]
    assert all(str(tmp_path) not in text for text in texts[0])
    assert "started" not in json.loads(texts[0][1])["evidence"]


MANY = (1, 15, 100, 400)


def test_a_page_of_many_images_opens_at_once(dataroot_path: Path, tmp_path: Path) -> None:
    """However many images: at most 25,000 elements; each has a section, or is counted as one without."""
    twin = _twin(dataroot_path, tmp_path, "buildkit", "committed:1", "changed")
    images, containers = twin["images"], twin["containers"]
    shown = []
    for number in MANY:
        for key, owners in (("images", images), ("containers", containers)):
            twin[key] = [
                {**owner, "id": f"sha256:{copy:064x}{key}{at}"[: 64 + 14], "name": f"app:{copy}"}
                for copy in range(number)
                for at, owner in enumerate(owners)
            ]
        text = "".join(page(twin, None))
        assert text.count("</") < 25_000
        assert len(text) < 2_000_000
        sections = text.count('id="part-')
        assert text.count('href="#part-') >= sections
        left = sum(len(twin[key]) for key in ("images", "containers")) - sections
        assert (f"{left:,} more have no section" in text) == bool(left)
        shown.append(("Steps in full" in text, text.count('class="map"') > 0, left == 0))
    assert shown == [(True, True, True), (False, True, True), (False, False, False), (False, False, False)]


def test_page_and_twin_belong_together(dataroot_path: Path, tmp_path: Path) -> None:
    """The page tells the digest of the twin's file."""
    assert layerfs(dataroot_path, "report", "demo", "-o", str(tmp_path / "r.html")).code == 0
    digest = hashlib.sha256((tmp_path / "r.json").read_bytes()).hexdigest()
    assert digest in (tmp_path / "r.html").read_text()


def test_page_alone_and_twin_alone(
    dataroot_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-o -` is the page, on standard output alone; `-o FILE.json` the twin alone."""
    monkeypatch.chdir(tmp_path)
    done = run_bytes(dataroot_path, "report", "demo", "-o", "-")
    assert done.code == 0
    assert done.stdout.startswith(b"<!doctype html>")
    assert done.stdout.endswith(b"</html>\n")
    assert os.listdir(tmp_path) == []
    _twin(dataroot_path, tmp_path, "demo")
    assert os.listdir(tmp_path) == ["r.json"]


@pytest.mark.parametrize("name", ["r.html", "r.json"])
def test_nothing_is_replaced_unasked(dataroot_path: Path, tmp_path: Path, name: str) -> None:
    """Where one of the two files exists, neither is written; --force replaces both."""
    (tmp_path / name).write_text("mine")
    words = ("report", "demo", "-o", str(tmp_path / "r.html"))
    done = layerfs(dataroot_path, *words)
    assert done.code == 2
    assert f"{tmp_path / name}: is there already; --force replaces it" in done.stderr
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"
    assert layerfs(dataroot_path, *words, "--force").code == 0
    assert sorted(os.listdir(tmp_path)) == ["r.html", "r.json"]
    assert "mine" not in (tmp_path / name).read_text()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("demo", "-o", "r.pdf"), "ends neither in .html nor in .json"),
        (("demo", "-o", "{root}/r.html"), "lies in the data root"),
        (("demo", "-o", "{root}/containers/r.json"), "lies in the data root"),
        (("--all", "demo"), "give NAMEs, or --all, and not both"),
        ((), "give NAMEs, or --all"),
        (("{layout}", "demo"), "in several"),
    ],
)
def test_what_cannot_be_is_refused(
    dataroot_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], reason: str
) -> None:
    """Misuse is told as a sentence, and nothing is written."""
    layout = injected_layout(tmp_path / "app")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    filled = [word.replace("{root}", str(dataroot_path)).replace("{layout}", str(layout)) for word in words]
    done = layerfs(dataroot_path, "report", *filled)
    assert done.code == 2
    assert reason in done.stderr
    assert os.listdir(tmp_path / "here") == []


def test_interrupted_report_leaves_nothing(dataroot_path: Path, tmp_path: Path) -> None:
    """Ended by a signal at any time, it leaves both files or none."""
    command = [LAYERFS, "--root", str(dataroot_path), "report", "--all", "-o", str(tmp_path / "r.html")]
    for number in (signal.SIGINT, signal.SIGTERM):
        with Running(command) as running:
            running.send_signal(number)
            assert running.wait() != 0
        assert os.listdir(tmp_path) in ([], ["r.html", "r.json"])


def test_full_disk_leaves_nothing(dataroot_path: Path, tmp_path: Path) -> None:
    """What cannot be written whole is told, and nothing of it is left."""
    program = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    program += "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,) * 2); "
    program += "from layerfs_cli.main import main; main()"
    words = ["--root", str(dataroot_path), "report", "demo", "-o", str(tmp_path / "r.html")]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 74
    assert "too large" in done.stderr.lower(), done.stderr
    assert os.listdir(tmp_path) == []
