"""No name of any kind has power: over a terminal, over a table or a bodyfile, or over the command itself."""

from __future__ import annotations

import csv
import functools
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from typing import TYPE_CHECKING

import pytest

from layerfs_cli.escape import printable
from layerfs_cli.main import COMMANDS
from tests.support.command import Result, layerfs
from tests.support.hostilecontainerd import hostile_node
from tests.support.hostility import EVIL, FORGED, HOSTILE_CONTAINER, hostile_archive, hostile_layout
from tests.support.mounts import mount_line
from tests.support.samples import unpack_sample
from tests.support.storekinds import STORE_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.root

TREES = ("changed", "evil:0", "{container}")
COMMAND_LINES: dict[str, list[str]] = {
    "images": ["-a --usage --digests", "-a --no-trunc", "--filter label={evil}"],
    "containers": ["--size --no-trunc", ""],
    "explore": ["", "evil:0"],
    "history": ["--layers --no-trunc evil:0", "evil:0"],
    "dockerfile": ["evil:0", "--full {container}"],
    "layers": ["", "evil:0"],
    "chain-id": ["--steps evil:0"],
    "inspect": [
        "evil:0 changed {container}",
        "-f {{.Config}}{{.Author}}{{range.Layers}}{{.}}{{end}} evil:0",
        "-f {{.Name}}{{.Args}}{{.Mounts}}{{.NetworkSettings}}{{.HostConfig}}{{printf`%s`.Path}} {container}",
    ],
    "logs": ["{container}", "-t --details --all", "{evil}"],
    "du": ["", "--layers", "--what-if evil:0"],
    "ls": [f"-laR --full-time {name}" for name in TREES],
    "tree": [f"-a {name}" for name in TREES],
    "stat": ["changed /etc/motd"],
    "cat": ["changed {evil}"],
    "cp": ["changed:/ {out}/cp"],
    "export": ["--all --salvage -o {out}/x.tar"],
    "hashes": ["changed"],
    "diff": ["--no-docker changed", "changed", "evil:0 changed", "--stat changed"],
    "changes": ["evil:0"],
    "blame": ["-R --hidden --no-trunc {container}", "--all /etc/motd", "evil:0 /etc/motd"],
    "deleted": ["--no-trunc {container}", "--no-trunc evil:0"],
    "find": ["changed", "--all -ls", "changed -ls"],
    "grep": ["--everything -n . changed", "--all --configs -c .", "-L nothing evil:0"],
    "waste": ["evil:0", "--all", "--duplicates evil:0"],
    "explain": [
        "{container} /etc/motd",
        "-v evil:0 /",
        "{container} {evil}",
        "--topic copy-up",
        "-v evil:0",
        "{container}",
    ],
    "whois": ["evil:0 {container} {evil}"],
    "verify": ["evil:0", "--all"],
    "doctor": ["--verify"],
    "report": ["--all -o -", "-o {out}/evil.html evil:0 {container}"],
    "timeline": ["changed evil:0", "--all --bodyfile"],
    "mount": ["evil:0 {evil}", "{evil} {out}"],
    "umount": ["{evil}"],
    "mount-helper": [""],
    "system": ["df -v", "df"],
    "cache": [""],
    "stores": [""],
    "completion": ["bash"],
}
FORMATS = {
    "json": set(COMMANDS),
    "csv": set(COMMANDS),
    "github": set(COMMANDS),
    **{form: {"images", "containers", "inspect"} for form in ("jsonl", "tsv", "html", "{{json .}}")},
}
"""By format the commands it is tried with: how rows become text is the same for all of them."""
RAW = (
    "find changed",
    "grep --everything -n . changed",
    "grep -L nothing evil:0",
    "grep --all --configs -c .",
    "hashes changed",
)
"""What prints names as find(1), grep(1) and sha256sum(1) do, where that is no terminal."""
NO_FORMAT = (
    "cat",
    "chain-id",
    "completion",
    "cp",
    "explore",
    "export",
    "mount",
    "mount-helper",
    "report",
    "system",
    "umount",
)


NODE = "Kubernetes"
ARCHIVES: dict[str, Callable[[Path], None]] = {
    "docker-archive": hostile_archive,
    "OCI layout": hostile_layout,
}
_KINDS = {kind.name: kind for kind in STORE_KINDS}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The hostile store of each kind, made once: every string of a recorded one, or of an archive."""

    @functools.cache
    def make(name: str) -> Path:
        path = tmp_path_factory.mktemp("hostile")
        if name in ARCHIVES:
            ARCHIVES[name](path / "archive.tar")
            return path / "archive.tar"
        if name == NODE:
            root = unpack_sample("containerd-2.1-cri", path)
            hostile_node(root)
            return root
        root = _KINDS[name].make(path)
        _KINDS[name].make_hostile(root)
        return root

    return make


@pytest.fixture(params=[*_KINDS, NODE, *ARCHIVES])
def store(request: pytest.FixtureRequest, made: Callable[[str], Path]) -> Path:
    """One of each kind: they are asked the same, but archives have no containers."""
    return made(request.param)


@pytest.fixture(params=_KINDS)
def hostile(request: pytest.FixtureRequest, made: Callable[[str], Path]) -> Path:
    """One of each kind with Docker's containers."""
    return made(request.param)


def _container(root: Path) -> str:
    """The container all of whose texts are hostile; an image in a store without containers."""
    return "evil:0" if root.is_file() else HOSTILE_CONTAINER


def _words(line: str, root: Path, out: Path) -> list[str]:
    evil = EVIL.replace("\0", "").replace("\ud800", "")
    places = {"{container}": _container(root), "{out}": str(out), "{evil}": evil}
    words = line.split(" ")
    for place, meant in places.items():
        words = [word.replace(place, meant) for word in words]
    return [word for word in words if word]


def _has_no_power(text: str) -> None:
    """Nothing but text that is plainly visible, in lines."""
    odd = {char for char in text if char != " " and unicodedata.category(char)[0] in "CZ"} - {"\n", "\t"}
    assert not odd, text[text.index(min(odd)) - 200 :][:400]
    assert not re.search(rf"^\W*{FORGED}", text, re.MULTILINE), text


def _is_sound(done: Result) -> None:
    """Whatever it found, it said so in words."""
    assert done.code != 70, done.stderr
    assert not re.search(r"""Traceback|\[Errno|\bb['"]|bug in layerfs""", done.stderr), done.stderr
    _has_no_power(done.stderr)


def test_every_command_is_run() -> None:
    """A command that is not run here would not be shown to be safe."""
    assert set(COMMANDS) <= set(COMMAND_LINES)


@pytest.mark.parametrize(
    "command",
    [f"{verb} {line}" for verb, lines in COMMAND_LINES.items() for line in lines if verb in COMMANDS],
)
def test_text_has_no_power(store: Path, tmp_path: Path, command: str) -> None:
    """What a command prints for people is visible text, and no line of it is forged."""
    done = layerfs(store, *_words(command, store, tmp_path))
    _is_sound(done)
    if command not in RAW:
        _has_no_power(done.stdout)
    if "--bodyfile" in command:
        assert {line.count("|") for line in done.stdout.splitlines()} == {10}


@pytest.mark.parametrize(
    ("verb", "form"),
    [
        (verb, form)
        for form, verbs in FORMATS.items()
        for verb in COMMAND_LINES
        if verb in verbs and verb not in NO_FORMAT
    ],
)
def test_no_format_has_power(store: Path, tmp_path: Path, verb: str, form: str) -> None:
    """In every format a row is a row, and JSON is JSON that tells the texts as they are."""
    words = [
        word for word in _words(COMMAND_LINES[verb][0], store, tmp_path) if word not in ("-ls", "--bodyfile")
    ]
    done = layerfs(store, verb, *words, "--format", form)
    _is_sound(done)
    if done.code == 2:
        assert form in done.stderr  # `inspect` has documents, and no rows
        return
    if done.code == 4 and not done.stdout:
        return  # the kind of store has no such thing
    _has_no_power(done.stdout)
    if form == "json":
        json.loads(done.stdout)
    elif form in ("jsonl", "{{json .}}"):
        for line in done.stdout.splitlines():
            json.loads(line)
    elif form in ("csv", "tsv"):
        rows = list(csv.reader(io.StringIO(done.stdout), delimiter="," if form == "csv" else "\t"))
        assert len(set(map(len, rows))) == 1
        assert len(rows) == len(done.stdout.splitlines())


@pytest.mark.fuse
def test_a_mount_has_no_power(hostile: Path, tmp_path: Path) -> None:
    """The attributes of a mount, and its line in the mount table, tell the history escaped."""
    program: list[str | Path] = [
        sys.executable,
        "-c",
        "from layerfs_cli.main import main; main()",
        "--root",
        hostile,
    ]
    (tmp_path / "mnt").mkdir()
    subprocess.run([*program, "mount", "--provenance", "evil:0", tmp_path / "mnt"], check=True)
    try:
        for path in (tmp_path / "mnt", tmp_path / "mnt/etc", tmp_path / "mnt/etc/motd"):
            command = os.getxattr(path, "user.layerfs.created_by").decode()
            assert printable(EVIL.replace("\ud800", "\ufffd")) == command
            _has_no_power(command)
        line = mount_line(tmp_path / "mnt")
        assert line
        _has_no_power(" ".join(line))
    finally:
        subprocess.run([*program, "umount", tmp_path / "mnt"], check=True)


def test_json_tells_the_texts_as_they_are(hostile: Path) -> None:
    """What is escaped for people is whole in JSON: as Go reads it, half a surrogate pair is U+FFFD."""
    text = EVIL.replace("\ud800", "\ufffd")
    image, container = layerfs(hostile, "inspect", "evil:0", _container(hostile)).json
    assert image["Author"] == container["Name"] == text
    assert image["Config"]["Labels"][text] == container["Config"]["Labels"][text]
    assert (
        json.loads(layerfs(hostile, "inspect", "-f", "{{json .Config}}", "evil:0").stdout) == image["Config"]
    )
    history = layerfs(hostile, "history", "--format", "json", "evil:0").json
    assert {row["created_by"] for row in history} - {""} == {text}  # some have no such key
