"""Colours: those of GNU ls for entries, on a terminal only, and never in what programs read."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    MountedByKernel = Callable[[str], AbstractContextManager[Path]]

SGR = re.compile(r"\x1b\[[0-9;]*m")
COMMANDS = (
    "ls demo",
    "ls -l demo",
    "ls -C demo",
    "tree demo",
    "diff demo",
    "diff -p demo@3 demo",
    "diff changed",
    "doctor",
)
LS_COLORS = (
    "",
    "di=01;33:ln=00:or=40;31;01:ex=00;32:*.txt=36:*.hidden=35:pi=:su=07",
    "*=01;36:di=07:*.d/=31:*.TXT=33:fi=04",
    "di=\x1b]0;x:ex=red:*.txt=1;;2x",
)


@pytest.fixture(params=LS_COLORS)
def ls_colors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a user may have in LS_COLORS."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LS_COLORS", request.param)
    return str(request.param)


@pytest.mark.kernel
@pytest.mark.parametrize("ls_colors", LS_COLORS[:3], indirect=True)  # ls prints also what is no colour
@pytest.mark.usefixtures("ls_colors")
@pytest.mark.parametrize("image", ["demo:latest", "lab/types:1", "lab/attributes:1"])
def test_names_have_the_colors_of_ls(
    dataroot_path: Path, mounted_by_kernel: MountedByKernel, image: str
) -> None:
    """In lines and in columns each name has the colour that GNU ls gives it in the kernel's mount."""
    with mounted_by_kernel(image) as merged:
        for options in ("-1A", "-C"):
            command = ["ls", "-b", "--tabsize=0", "--color=always", options]
            environment = {**os.environ, "LC_ALL": "C.UTF-8"}
            theirs = subprocess.run(command, cwd=merged, env=environment, capture_output=True, check=True)
            ours = layerfs(dataroot_path, "ls", "--color=always", options, image)
            assert _effective(ours.stdout) == _effective(theirs.stdout.decode())


def _effective(text: str) -> str:
    """Without what puts nothing on the screen: the resets that ls repeats.

    And of links that lead out of the mount for ls, not whether they lead nowhere.
    """
    return re.sub(r"\x1b\[(0*m|K)|\x1b\[40;31;01m(?=link-(absolute|up))", "", text)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("ls_colors")
def test_colors_change_no_text(dataroot_path: Path, command: str) -> None:
    """Without its colours the text is what it is without colours; and some are there."""
    plain = layerfs(dataroot_path, *command.split(" "))
    colored = layerfs(dataroot_path, *command.split(" "), "--color=always")
    assert "\x1b[" in colored.stdout
    assert SGR.sub("", colored.stdout) == plain.stdout
    assert "\x1b" not in plain.stdout + SGR.sub("", colored.stdout)


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "github", "{{json .}}"])
@pytest.mark.parametrize("command", ["ls demo", "tree demo", "diff demo", "doctor"])
def test_formats_have_no_colors(dataroot_path: Path, command: str, form: str) -> None:
    """What programs read has none, even where they were asked for."""
    shown = layerfs(dataroot_path, *command.split(" "), "--color=always", "--format", form)
    assert "\x1b" not in shown.stdout


@pytest.mark.parametrize(
    ("environment", "options", "colored"),
    [
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({"NO_COLOR": ""}, [], True),
        ({"TERM": "dumb"}, [], False),
        ({"NO_COLOR": "1", "TERM": "dumb"}, ["--color=always"], True),
        ({}, ["--color", "never"], False),
    ],
)
def test_a_terminal_has_colors(
    dataroot_path: Path, environment: dict[str, str], options: list[str], *, colored: bool
) -> None:
    """A terminal is shown colours, unless the user or the terminal wants none."""
    shown = "".join(_on_terminal({"TERM": "xterm", **environment}, ["ls", *options, "demo"], dataroot_path))
    assert "motd" not in shown
    assert bool(SGR.search(shown)) == colored


def _on_terminal(environment: dict[str, str], words: list[str], root: Path) -> Iterator[str]:
    """What a command writes to a terminal."""
    master, slave = pty.openpty()
    program = [sys.executable, "-c", "from layerfs_cli.main import main; main()", "--root", str(root)]
    with os.fdopen(slave, "wb") as terminal, os.fdopen(master, "rb", buffering=0) as seen:
        subprocess.run(
            [*program, *words], stdout=terminal, env={"PATH": os.environ["PATH"], **environment}, check=True
        )
        yield seen.read(1 << 16).decode()
