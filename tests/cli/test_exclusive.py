"""Flags that exclude each other are refused together: none is passed over without a word."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import click
import pytest

from layerfs_cli.main import COMMANDS, load
from tests.support.command import layerfs, run_bytes

if TYPE_CHECKING:
    from pathlib import Path

WORDS = {
    "images": (),
    "history": ("demo",),
    "dockerfile": ("demo",),
    "explain": ("demo",),
    "layers": ("demo",),
    "chain-id": ("demo",),
    "inspect": ("changed",),
    "containers": (),
    "du": (),
    "tree": ("demo",),
    "stat": ("demo", "/etc"),
    "hashes": ("demo",),
    "diff": ("demo@3", "demo"),
    "blame": ("demo", "/"),
    "find": ("demo",),
    "waste": ("demo",),
    "verify": ("--format", "jsonl", "demo"),
    "timeline": ("demo",),
}
"""Arguments with which most flags change what a command prints."""

NO_ANSWER = {
    "cat", "changes", "deleted", "whois", "stores", "cache", "completion",  # a flag at most
    "doctor", "mount", "umount", "mount-helper", "export", "cp",  # see `REFUSED`, and their own tests
    "explore", "report",
    "grep", "ls",  # beside grep(1) and ls(1) in their own tests
    "logs",  # beside docker logs in its own
}  # fmt: skip

ALONE = {
    ("images", "--quiet"): "as Docker: IDs alone, whatever else is shown",
    ("history", "--quiet"): "as Docker",
    ("layers", "--quiet"): "as of images",
    ("containers", "--quiet"): "as Docker",
    ("verify", "--quick"): "the records only; the others are about files",
    ("waste", "--no-trunc"): "these tables have nothing to cut",
    ("find", "--all"): "the word is a pattern then, and nothing is called so",
    ("timeline", "--bodyfile"): "has nothing to cut",
}
"""Flags beside which another may have no effect, and why."""

REFUSED = (
    "blame -d --recursive demo",
    "blame -d --hidden demo",
    "hashes --md5 --sha1 demo",
    "hashes --sha512 --md5 demo",
    "cache --no-cache --cache-dir /none",
    "--no-cache cache --cache-dir /none",
    "--cache-dir /none ls --no-cache demo",
    "hashes --zero --format json demo",
    "mount-helper --install --remove",
    "mount-helper --remove --install",
    "diff --docker --hash demo@1 demo",
    "diff --docker --ignore mtime demo@1 demo",
    "doctor --quick --verify",
    "export --all demo",
    "export --format rootfs --salvage demo",
    "export --format rootfs --all-tags demo",
    "export --format layer --all-tags demo@1",
    "export --layer 2 demo@1",
    "find --ls --print0 demo",
    "ls --up-to 2 --layer 1 demo",
    "dockerfile -o /none/x --format json demo",
    "dockerfile --force demo",
    "timeline --all demo",
    "verify --all demo",
    "report --all demo",
    "waste --layers --paths demo",
)


def _flags(command: str) -> list[str]:
    options = (option for option in load(command).params if isinstance(option, click.Option))
    return [option.opts[-1] for option in options if option.is_flag and not option.hidden]


def test_no_command_is_left_out() -> None:
    """Each is asked, or known not to be."""
    assert WORDS.keys() | NO_ANSWER == COMMANDS.keys()


@pytest.mark.parametrize("command", WORDS)
def test_no_flag_is_passed_over(shallow_path: Path, command: str) -> None:
    """Of two flags that each change the answer, both count, or they are refused."""

    def answer(*flags: str) -> tuple[int, bytes]:
        return run_bytes(shallow_path, command, *flags, *WORDS[command])[:2]

    plain = answer()
    alone = {flag: answer(flag) for flag in _flags(command)}
    changing = [flag for flag, found in alone.items() if found != plain and found[0] != 2]
    for pair in combinations(changing, 2):
        if not any((command, flag) in ALONE for flag in pair):
            assert answer(*pair) not in [alone[flag] for flag in pair], pair


@pytest.mark.parametrize("line", REFUSED)
def test_flags_that_exclude_each_other(dataroot_path: Path, line: str) -> None:
    """A usage error that names one of them, and nothing else is done."""
    done = layerfs(dataroot_path, *line.split())
    assert (done.code, done.stdout) == (2, "")
    [said] = [text for text in done.stderr.splitlines() if text.startswith("Error: ")]
    assert any(word.removeprefix("-") in said for word in line.split() if word.startswith("--"))
