"""Running `layerfs` as an ordinary user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BECOME_NOBODY", "NOBODY", "all_as_nobody", "layerfs_as_nobody"]

NOBODY = 65534

BECOME_NOBODY = f"""
import concurrent.futures.process, importlib, multiprocessing.popen_fork, os, pkgutil
import decimal, difflib, fractions
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


_RUN_ALL = f"""{BECOME_NOBODY}
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from layerfs_cli.main import run
become_nobody()
done = []
for words in json.load(sys.stdin):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = run(words)
    err.flush()
    done.append((code, err.buffer.getvalue().decode("utf-8", "replace")))
json.dump(done, sys.stdout)
"""


def all_as_nobody(lines: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """Run several command lines in one process as a user who is not root: exit code and messages of each."""
    command = [sys.executable, "-c", _RUN_ALL]
    given = json.dumps(lines)
    done = subprocess.run(
        command, input=given, capture_output=True, text=True, check=True, env={"PATH": os.defpath}
    )
    return [(code, said) for code, said in json.loads(done.stdout)]


def layerfs_as_nobody(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `layerfs ARGUMENTS…` in a process of its own, as a user who is not root."""
    command = [sys.executable, "-c", _RUN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.defpath})
