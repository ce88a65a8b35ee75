"""Tables of our own on a terminal of 80 columns."""

from __future__ import annotations

import io
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import redirect_stdout
from fcntl import ioctl
from typing import TYPE_CHECKING

import pytest

from layerfs_cli.main import run
from tests.support.command import layerfs
from tests.support.storekinds import STORE_KINDS, StoreKind

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

WORDS = (
    ("du", "--sort", "size"),
    ("du", "--layers"),
    ("du", "--what-if", "{image}"),
    ("blame", "{image}", "/etc/motd"),
    ("blame", "-R", "--hidden", "{image}"),
    ("blame", "--all", "/etc/motd"),
    ("layers", "{image}"),
    ("layers", "--digests", "{image}"),
    ("changes", "{image}"),
    ("waste", "--layers", "{image}"),
)


class Terminal(io.TextIOWrapper):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


def _on_terminal(root: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    seen = io.BytesIO()
    with redirect_stdout(Terminal(seen, encoding="utf-8", newline="")) as stream:
        assert run(["--root", str(root), *words]) == 0
        stream.flush()
    return seen.getvalue().decode()


@pytest.fixture(scope="module", params=STORE_KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> StoreKind:
    """Each kind of store."""
    found: StoreKind = request.param
    return found


@pytest.fixture(scope="module")
def root(kind: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded store of the kind."""
    return kind.make(tmp_path_factory.mktemp("narrow"))


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_fits_80_columns(
    kind: StoreKind, root: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line of the table wraps, and every row of it is there, beginning as it does in a pipe."""
    if not kind.can(words):
        return
    words = tuple(word.format(**kind.names) for word in words)
    piped = layerfs(root, *words).stdout.splitlines()
    shown = _on_terminal(root, words, monkeypatch, 80).splitlines()
    table = shown[: shown.index("")] if "" in shown else shown  # the paths of orphans are never cut
    assert max(map(len, table)) <= 80
    assert len(shown) == len(piped)
    assert [line.split()[0][:7] for line in table] == [line.split()[0][:7] for line in piped[: len(table)]]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_whole_where_there_is_room(
    kind: StoreKind, root: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a wide terminal, and with --no-trunc on any, it is what a pipe gets."""
    if not kind.can(words):
        return
    words = tuple(word.format(**kind.names) for word in words)
    assert _on_terminal(root, words, monkeypatch, 500) == layerfs(root, *words).stdout
    whole = (*words, "--no-trunc")
    assert _on_terminal(root, whole, monkeypatch, 80) == layerfs(root, *whole).stdout


def test_width_is_that_of_the_terminal(dataroot_path: Path) -> None:
    """A real terminal is asked for its width."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 90, 0, 0))
    program = [
        sys.executable,
        "-c",
        "from layerfs_cli.main import main; main()",
        "--root",
        str(dataroot_path),
    ]
    with os.fdopen(slave, "wb") as terminal, os.fdopen(master, "rb", buffering=0) as seen:
        subprocess.run(
            [*program, "blame", "demo", "/etc/motd"],
            stdout=terminal,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            check=True,
        )
        lines = seen.read(1 << 16).decode().splitlines()
    assert 80 < max(map(len, lines)) <= 90
