"""docs/learn.md: every line of the lab is typed in, as root and as a user, and answers as printed there."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.capabilities import in_own_namespaces
from tests.support.installs import copy_modules, python_for_all
from tests.support.nobody import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.fuse, pytest.mark.kernel]

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/learn.md"
END = "\x1e"
"""What is printed behind the answer of each line of the page."""

AS_NOBODY = f"--reuid={NOBODY} --regid={NOBODY} --clear-groups"

AGES = re.compile(r"\b(?:\d+|an?|About an?) (?:second|minute|hour|day|week|month|year)s? ago\b")
"""How old the recorded images are changes with the day."""


class Line(NamedTuple):
    """What is typed, after which prompt, and what the page says is answered."""

    prompt: str
    command: str
    answer: tuple[str, ...]


def _lines() -> Iterator[Line]:
    """All lines of the page's console blocks in order."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE):
        for piece in re.findall(r"^[$#] .*\n(?:> .*\n)*(?:(?![$#] ).*\n)*", block, re.MULTILINE):
            rows = piece.splitlines()
            typed = [rows[0], *(row for row in rows[1:] if row.startswith("> "))]
            yield Line(rows[0][0], "\n".join(row[2:] for row in typed), tuple(rows[len(typed) :]))


LINES = tuple(_lines())


def test_page_has_lines_for_all() -> None:
    """The lab is there: lines for everybody, lines for root, and answers."""
    assert {line.prompt for line in LINES} == {"$", "#"}
    assert sum(bool(line.answer) for line in LINES) > len(LINES) // 2


def test_as_root(tmp_path: Path) -> None:
    """Root types all lines."""
    program = f'#!/bin/sh\nexec {sys.executable} -m layerfs "$@"\n'
    _check(tmp_path, LINES, program, "exec sh")


def test_as_user(tmp_path: Path) -> None:
    """Everybody else types the lines that begin with `$`."""
    packages, python = tmp_path / "packages", python_for_all()
    packages.mkdir()
    copy_modules(packages)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.getuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o011)
    program = f'#!/bin/sh\nPYTHONPATH={packages} exec {python} -m layerfs "$@"\n'
    os.mknod(tmp_path / "fuse", stat.S_IFCHR | 0o666, os.stat("/dev/fuse").st_rdev)
    (tmp_path / "fuse").chmod(0o666)  # as on most hosts, and not on all
    become = f"mount --bind {tmp_path}/fuse /dev/fuse && exec setpriv {AS_NOBODY} sh"
    _check(tmp_path, tuple(line for line in LINES if line.prompt == "$"), program, become)


def _check(place: Path, lines: tuple[Line, ...], program: str, become: str) -> None:
    """Unpack the recorded root below `place` as the one who types, type the lines, and compare each answer.

    Args:
        place: a directory of the test.
        lines: what is typed.
        program: of `layerfs`.
        become: ends in a shell that reads the lines; where it mounts, nobody else sees.
    """
    (place / "bin").mkdir()
    (place / "bin/layerfs").write_text(program)
    (place / "bin/layerfs").chmod(0o755)
    (place / "work").mkdir()
    (place / "work").chmod(0o777)
    shutil.copytree(PROJECT / "fixtures", place / "fixtures", ignore=shutil.ignore_patterns("containerd"))
    environment = {
        "PATH": f"{place}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": f"{place}/work",
        "LC_ALL": "C.UTF-8",
    }
    script = f"/usr/bin/python3 {place}/fixtures/unpack.py . 2>/dev/null; printf '{END}'\n"
    script += "".join(f"{line.command}\nprintf '{END}'\n" for line in lines)
    done = subprocess.run(
        in_own_namespaces("sh", "-c", become), input=script, cwd=place / "work", env=environment,
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert "error" not in done.stderr.lower(), done.stderr
    answers = done.stdout.split(END)[1:-1]
    assert len(answers) == len(lines), done.stdout
    for line, answer in zip(lines, answers, strict=True):
        expected = "\n".join(line.answer)
        assert _pattern(line.answer).fullmatch(answer.rstrip("\n")), (
            f"{line.command}:\n{answer}\nnot\n{expected}"
        )


def _pattern(answer: tuple[str, ...]) -> re.Pattern[str]:
    """The page's answer: `…` stands for any text of a line, alone in a line for any lines."""
    rows = []
    for row in answer:
        known = re.escape(AGES.sub("…", row.rstrip())).replace(re.escape("…"), "…")
        rows.append(r"(?:.*\n)*" if row == "…" else known.replace("…", ".*?") + r" *\n")
    whole = "".join(rows)
    return re.compile(whole.removesuffix(r"\n") if rows and answer[-1] != "…" else f"{whole}.*")
