"""layerfs installed for others than its developer, from what this process runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import fastcrc
import fuse
import pytest
import tabulate

import layerfs
import layerfs_cli

__all__ = ["copy_modules", "install_for_all", "python_for_all"]


def python_for_all() -> str:
    """An interpreter that ordinary users may run: ours may lie in root's home."""
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    for candidate in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", '"$0" -c "$1"']
        # setpriv's own exec would still have root's rights on the way to the interpreter
        done = subprocess.run([*command, candidate, check], cwd="/", capture_output=True, check=False)
        if done.returncode == 0:
            return candidate
    pytest.fail("no Python 3.11 that ordinary users may run: install the package python3")


def copy_modules(place: Path) -> None:
    """Copy layerfs and what it imports below `place`, readable for everybody."""
    for module in (layerfs, layerfs_cli, click, fastcrc, fuse, tabulate):
        found = Path(module.__file__ or "")
        if found.name == "__init__.py":
            shutil.copytree(found.parent, place / module.__name__)
        else:
            shutil.copy(found, place)


def install_for_all(place: Path, python: str) -> str:
    """Copy layerfs to where ordinary users may read; the command in `place`, which they see as /mnt."""
    (place / "site").mkdir()
    copy_modules(place / "site")
    script = place / "layerfs"
    script.write_text(
        f"#!{python}\nimport sys\nsys.path.insert(0, '/mnt/site')\n"
        "from layerfs_cli.main import main\nmain()\n"
    )
    script.chmod(0o755)
    return "/mnt/layerfs"
