"""Completion: what a shell is told, and what bash then types."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

LAYERFS = str(Path(sys.executable).with_name("layerfs"))


def _offered(root: Path, line: str, **environment: str) -> list[str]:
    """What the command offers bash for a line with the cursor at its end."""
    done = subprocess.run(
        [LAYERFS],
        env={
            **os.environ,
            "LAYERFS_ROOT": str(root),
            "_LAYERFS_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [line for line in done.stdout.split("\n") if line]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("layerfs um", ["plain,umount"]),
        ("layerfs stat --der", ["plain,--dereference"]),
        ("layerfs cat base", ["plain,base:1"]),
        ("layerfs cat base:", ["plain,1"]),
        ("layerfs cat localhost:5000/team/t", ["plain,5000/team/tagged:2"]),
        ("layerfs cat demo:latest /etc/mo", ["plain,/etc/motd"]),
        ("layerfs ls demo:latest /et", ["plain,/etc/"]),
        ("layerfs stat demo:latest /etc/motd /et", ["plain,/etc/"]),
        ("layerfs stat --type container chang", ["plain,changed"]),
        ("layerfs mount demo:latest /m", ["dir,/m"]),
        ("layerfs cat no-such-image /", []),
        ("layerfs cat demo:latest /none/x", []),
        (r"layerfs ls lab/names:1 /\ spa", [r"plain,/\ spaces\ /"]),
    ],
)
def test_offers_what_fits(dataroot_path: Path, line: str, offered: list[str]) -> None:
    """Commands, options, references, containers and paths are offered, from where bash goes on typing."""
    found = _offered(dataroot_path, line)
    assert set(offered) <= set(found) if offered else found == []


def test_reference_is_whole_where_colons_do_not_break(dataroot_path: Path) -> None:
    """With colons taken out of COMP_WORDBREAKS bash replaces the whole word, and gets it whole."""
    assert _offered(dataroot_path, "layerfs cat base:", COMP_WORDBREAKS=" \t\n") == ["plain,base:1"]


def test_root_given_on_the_line_counts(dataroot_path: Path, tmp_path: Path) -> None:
    """The data root is the one the line names."""
    assert _offered(tmp_path, f"layerfs --root={dataroot_path} cat base") == ["plain,base:1"]
    assert _offered(tmp_path, f"layerfs cat --root {dataroot_path} base") == ["plain,base:1"]
    assert _offered(tmp_path, "layerfs cat base") == []


def test_earlier_layers_complete_their_own_paths(dataroot_path: Path) -> None:
    """Paths are those of the tree that --up-to chooses."""
    assert _offered(dataroot_path, "layerfs cat --up-to 2 lab/whiteouts:1 /gone-f") == ["plain,/gone-file"]
    assert _offered(dataroot_path, "layerfs cat lab/whiteouts:1 /gone-f") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_printed(shell: str) -> None:
    """Each shell's script defines a completion of `layerfs`."""
    done = subprocess.run([LAYERFS, "completion", shell], capture_output=True, text=True, check=True)
    assert "_LAYERFS_COMPLETE" in done.stdout
    assert f"{shell}_complete" in done.stdout


def _read_until(terminal: int, wanted: bytes) -> bytes:
    """What the terminal shows up to `wanted`; pytest's own limit ends a wait in vain."""
    shown = b""
    while wanted not in shown:
        shown += os.read(terminal, 1024)
    return shown


def test_bash_types_it(dataroot_path: Path) -> None:
    """In a real bash, TAB completes a tag behind its colon and then a path, slash by slash."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(LAYERFS_ROOT=str(dataroot_path), PS1="ready> ", TERM="dumb", HISTFILE="/dev/null")
        os.environ["PATH"] = f"{Path(LAYERFS).parent}:{os.environ['PATH']}"
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])  # noqa: S606 - the child of the terminal
    try:
        _read_until(terminal, b"ready> ")
        os.write(terminal, b"source <(layerfs completion bash); echo so''urced\n")
        _read_until(terminal, b"\r\nsourced")
        os.write(terminal, b"layerfs cat demo:la\t")
        _read_until(terminal, b"cat demo:latest ")
        os.write(terminal, b"/et\tmot\t")
        assert b"/etc/motd " in _read_until(terminal, b"motd ")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
