"""The manual pages: one a command, rendered by man(1), in the wheel, and where `pip install` puts them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from layerfs_cli.main import COMMANDS, Behind, cli, load
from layerfs_cli.manpages import EXIT_STATUS, manual_pages

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = manual_pages("9.8.7")


def _rendered(page: Path) -> str:
    """What man(1) shows of a page on a wide terminal; anything troff has to say against it fails."""
    done = subprocess.run(
        ["man", "--warnings=w", "--no-hyphenation", "--no-justification", "-l", str(page)],
        env={
            **os.environ,
            "MANWIDTH": "200",
            "LC_ALL": "C.UTF-8",
            "MANROFFOPT": "",
            "MAN_KEEP_FORMATTING": "",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def _options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not (isinstance(parameter, Behind) or parameter.hidden):
            yield from parameter.opts


def test_every_command_has_a_page() -> None:
    """One a command, one for what has two words of Docker's, and one for the whole."""
    assert set(PAGES) == {"layerfs.1", "layerfs-system-df.1", *(f"layerfs-{name}.1" for name in COMMANDS)}


def test_pages_are_plain_ascii() -> None:
    """So that every troff reads them, whatever the locale."""
    for name, text in PAGES.items():
        assert text.isascii(), name
        assert all(char.isprintable() or char == "\n" for char in text), name


@pytest.mark.man
@pytest.mark.parametrize("name", COMMANDS)
def test_page_tells_what_help_tells(tmp_path: Path, name: str) -> None:
    """Name, first line, every option that the help has, and the lines of the examples as they are."""
    page = tmp_path / f"layerfs-{name}.1"
    page.write_text(PAGES[page.name])
    shown, command = _rendered(page), load(name)
    words = " ".join(shown.split())
    assert f"layerfs-{name} - {COMMANDS[name]}" in words
    assert f"layerfs {name} [OPTIONS]" in words
    assert "layerfs 9.8.7" in words
    for option in _options(command):
        assert option in shown
    examples = (command.help or "").partition("Examples:\n")[2]
    for line in filter(None, map(str.strip, examples.split("\n"))):
        assert line in shown


@pytest.mark.man
def test_main_page_leads_to_the_others(tmp_path: Path) -> None:
    """Every command, every global option, every exit code."""
    page = tmp_path / "layerfs.1"
    page.write_text(PAGES[page.name])
    words = " ".join(_rendered(page).split())
    for name, about in COMMANDS.items():
        assert f"layerfs-{name}(1) {about.replace('`', '')}" in words
    for option in _options(cli):
        assert option in words
    for code, about in EXIT_STATUS.items():
        assert f"{code} {about}" in words


def test_exit_codes_are_those_of_the_readme() -> None:
    """The same codes in the README's table as in the page."""
    table = (ROOT / "README.md").read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in table.split("\n") if line.startswith("|")][2:]
    assert [int(code) for cell in cells for code in cell.split(",")] == list(EXIT_STATUS)


@pytest.mark.man
def test_wheel_installs_the_pages(tmp_path: Path) -> None:
    """A wheel built offline with the locked tools holds every page, and man(1) finds them once installed."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("layerfs", "cli"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", tmp_path, tree], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {
        name.rpartition("/")[2] for name in zipfile.ZipFile(wheel).namelist() if "/share/man/man1/" in name
    }
    assert held == set(PAGES)
    prefix = tmp_path / "installed"
    subprocess.run(
        [*pip, "install", *offline, "--prefix", prefix, "--ignore-installed", wheel],
        check=True,
        capture_output=True,
    )
    for page in ("layerfs", "layerfs-system-df"):
        found = subprocess.run(
            ["man", "-M", prefix / "share/man", "-w", page], capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == str(prefix / f"share/man/man1/{page}.1")
