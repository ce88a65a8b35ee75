"""Running `layerfs` as an ordinary user."""

from __future__ import annotations

import os
import subprocess
import sys

__all__ = ["BECOME_NOBODY", "NOBODY", "layerfs_as_nobody"]

NOBODY = 65534

BECOME_NOBODY = f"""
import concurrent.futures.process, importlib, multiprocessing.popen_fork, os, pkgutil
import layerfs, layerfs_cli
for package in (layerfs, layerfs_cli):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
def become_nobody():
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
"""
"""Python that loads all of layerfs, as its files may be closed to others, and defines `become_nobody()`."""

_RUN = f"""{BECOME_NOBODY}
import sys
from layerfs_cli.main import run
become_nobody()
sys.exit(run(sys.argv[1:]))
"""


def layerfs_as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `layerfs ARGUMENTS…` in a process of its own, as a user who is not root."""
    command = [sys.executable, "-c", _RUN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.defpath})
