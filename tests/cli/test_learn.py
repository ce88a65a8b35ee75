"""docs/learn.md: every line of the lab is typed into one shell, as root and as a user, and answers as printed there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import layerfs
import layerfs_cli
from tests.support.nobody import NOBODY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.root, pytest.mark.fuse, pytest.mark.kernel]

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs/learn.md"
END = "\x1e"
"""What is printed behind the answer of each line of the page."""

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
    program = f"#!/bin/sh\nexec {sys.executable} -m layerfs \"$@\"\n"
    _check(tmp_path, LINES, program, lambda: None)


def test_as_user(tmp_path: Path) -> None:
    """Everybody else types the lines that begin with `$`."""
    packages = tmp_path / "packages"
    _copy_packages(packages)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == os.getuid() and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o011)
    program = f"#!/bin/sh\nPYTHONPATH={packages} exec /usr/bin/python3 -m layerfs \"$@\"\n"
    _check(tmp_path, [line for line in LINES if line.prompt == "$"], program, _become_nobody)


def _check(place: Path, lines: list[Line] | tuple[Line, ...], program: str, become: Callable[[], None]) -> None:
    """Unpack the recorded root below `place` as the one who types, type the lines, and compare each answer."""
    (place / "bin").mkdir()
    (place / "bin/layerfs").write_text(program)
    (place / "bin/layerfs").chmod(0o755)
    work = place / "work"
    work.mkdir()
    work.chmod(0o777)
    shutil.copytree(PROJECT / "fixtures", place / "fixtures", ignore=shutil.ignore_patterns("containerd"))
    environment = {"PATH": f"{place}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(work), "LC_ALL": "C.UTF-8"}
    try:
        unpacked = ["/usr/bin/python3", str(place / "fixtures/unpack.py"), str(work)]
        subprocess.run(unpacked, preexec_fn=become, env=environment, check=True, capture_output=True)
        script = "".join(f"{line.command}\nprintf '{END}'\n" for line in lines)
        done = subprocess.run(
            ["sh"], input=script, cwd=work, env=environment, preexec_fn=become, text=True,
            capture_output=True, check=False,
        )  # fmt: skip
    finally:
        for name in ("m", "s"):
            subprocess.run(["umount", "--lazy", "--quiet", work / name], check=False, capture_output=True)
    assert "error" not in done.stderr.lower(), done.stderr
    answers = done.stdout.split(END)[:-1]
    assert len(answers) == len(lines), done.stdout
    for line, answer in zip(lines, answers, strict=True):
        assert _pattern(line.answer).fullmatch(answer.rstrip("\n")), (line.command, answer)


def _pattern(answer: tuple[str, ...]) -> re.Pattern[str]:
    """The page's answer: `…` stands for any text of a line, alone in a line for any lines."""
    rows = []
    for row in answer:
        known = re.escape(AGES.sub("…", row.rstrip())).replace(re.escape("…"), "…")
        rows.append(r"(?:.*\n)*" if row == "…" else known.replace("…", ".*?") + r" *\n")
    whole = "".join(rows)
    return re.compile(whole.removesuffix(r"\n") if rows and answer[-1] != "…" else f"{whole}.*")


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def _copy_packages(place: Path) -> None:
    """What layerfs needs to run, where everybody may read it."""
    import click
    import fuse
    import tabulate

    for package in (layerfs, layerfs_cli, click):
        shutil.copytree(Path(package.__path__[0]), place / package.__name__)
    for module in (fuse, tabulate):
        source = Path(module.__file__ or "")
        if source.name == "__init__.py":
            shutil.copytree(source.parent, place / source.parent.name)
        else:
            shutil.copy(source, place)
    for path in place.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
