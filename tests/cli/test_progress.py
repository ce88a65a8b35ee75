"""Progress bars: on a terminal, and never in one line with an answer or a message."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LAYERFS = (sys.executable, "-c", "from layerfs_cli.main import main; main()")
DIGEST = "73fe04e5a7a16dbe16492a8773036db1646d87e22337b1c64aae0afab788b626"
BAR = re.compile(r"[A-Z][a-z ]+  \[[#-]{36}\]")
COMMANDS = (
    "blame demo /etc",
    "changes demo",
    "deleted demo --recover {tmp}/found",
    "doctor",
    f"find demo -deleted -sha256 {DIGEST}",
    f"find lab/metacopy:1 -sha256 {DIGEST}",
    f"find --all -sha256 {DIGEST}",
    "mount --driver kernel lab/metacopy:1 {tmp}",
    "timeline --md5 lab/metacopy:1",
    "verify lab/unsavable:1",
    "waste --duplicates demo",
)
"""Each shows a bar, and says or lists something; in some images there is damage to be named."""


WIDE = {**os.environ, "COLUMNS": "1000"}
"""A terminal on which no table has to leave anything out."""


@pytest.mark.root
@pytest.mark.parametrize("command", COMMANDS)
def test_a_bar_has_its_line_for_itself(dataroot_path: Path, tmp_path: Path, command: str) -> None:
    """What a terminal shows in a line is a bar or text, not both."""
    words = command.format(tmp=tmp_path).split(" ")
    master, slave = pty.openpty()
    with os.fdopen(slave, "wb") as terminal:
        running = subprocess.Popen(
            [*LAYERFS, "--root", str(dataroot_path), *words], stdout=terminal, stderr=terminal, env=WIDE
        )
    shown = b""
    while piece := _read(master):
        shown += piece
    os.close(master)
    assert running.wait() in (0, 1, 6, 7)
    assert BAR.search(shown.decode())
    # alone, and gone at the end: what is left is what no terminal gets, in some order
    piped = [*LAYERFS, "--root", str(dataroot_path), *command.format(tmp=tmp_path / "again").split(" ")]
    (tmp_path / "again").mkdir()
    done = subprocess.run(piped, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.stdout
    assert sorted(_screen(shown.decode())) == sorted(map(str.rstrip, _timeless(done.stdout).splitlines()))


def test_a_shared_line_would_be_seen() -> None:
    """The terminal above tells a cleared line from one that a bar and a message share."""
    assert _screen("Reading  10%\rReading  20%error: x\r\n") == ["Reading  20%error: x"]
    assert _screen("Reading  10%\r\x1b[Kerror: x\r\nReading  20%\r\n") == ["error: x", "Reading  20%"]
    assert _screen("Reading  10%\r\n\x1b[A\x1b[Kerror: x\r\n") == ["error: x"]


def _screen(shown: str) -> list[str]:
    """The lines of a terminal that is wide enough: carriage returns, and clearing, and one line up."""
    lines, at, column = [""], 0, 0
    for text, control in re.findall(r"([^\r\n\x1b]*)(\r|\n|\x1b\[[?0-9;]*[A-Za-z]|$)", _timeless(shown)):
        lines[at] = lines[at][:column].ljust(column) + text + lines[at][column + len(text) :]
        column += len(text)
        if control == "\r":
            column = 0
        elif control == "\n":
            at += 1
            lines += [""] if at == len(lines) else []
        elif control == "\x1b[A":
            at -= 1
        elif control == "\x1b[K":
            lines[at] = lines[at][:column]
    while lines and not lines[-1]:
        lines.pop()
    return [line.rstrip() for line in lines]


def _timeless(text: str) -> str:
    """Without how fast it was."""
    return re.sub(r"\([^()]*B/s\)", "(rate)", text)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:  # the other end is closed
        return b""
