"""docs/forensics.md: every console session of it runs, and says something where the page shows an answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.fuse]

PAGE = Path(__file__).parents[2] / "docs/forensics.md"
TOOLS = ("yara", "clamscan", "mactime")
"""What a section may need: a marker of the same name says so."""


class Step(NamedTuple):
    """A command of the page, whether an answer stands below it, and whether that has an error."""

    command: str
    answered: bool
    complains: bool


def _sections() -> dict[str, list[Step]]:
    """The commands by heading."""
    found: dict[str, list[Step]] = {}
    for section in PAGE.read_text().split("\n## ")[1:]:
        steps = [
            step
            for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL)
            for step in _steps(block)
        ]
        if steps:
            found[section.partition("\n")[0]] = steps
    return found


def _steps(block: str) -> Iterator[Step]:
    for piece in block.removeprefix("$ ").split("\n$ "):
        command, _, answer = piece.partition("\n")
        yield Step(command, bool(answer.strip()), "error" in answer)


def _parameters() -> Iterator[object]:
    for heading, steps in _sections().items():
        words = {word for step in steps for word in step.command.split()}
        marks = [getattr(pytest.mark, tool) for tool in TOOLS if tool in words]
        yield pytest.param(steps, id=heading, marks=marks)


@pytest.mark.parametrize("steps", list(_parameters()))
def test_session_runs(dataroot_path: Path, tmp_path: Path, steps: list[Step]) -> None:
    """Each command of a section ends well, and answers, or complains, where the page has that below it."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LAYERFS_ROOT": str(dataroot_path),
    }
    try:
        for step in steps:
            command = ["bash", "-euo", "pipefail", "-c", step.command]
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert step.complains or not done.returncode, (step.command, done.stderr)
            assert step.complains == ("error" in done.stderr), (step.command, done.stderr)
            assert done.stdout or not step.answered, step.command
    finally:
        subprocess.run(["umount", "--lazy", "--quiet", tmp_path / "mnt"], check=False)


def test_every_command_of_this_page_is_there() -> None:
    """The page has a section for each tool, and uses each command that serves them."""
    commands = " ".join(step.command for steps in _sections().values() for step in steps)
    for word in (*TOOLS, "sigtool", "sha256sum"):
        assert f"{word} " in commands
    for verb in ("mount", "umount", "find", "cp", "hashes", "timeline", "deleted"):
        assert f"layerfs {verb} " in commands
