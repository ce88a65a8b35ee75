"""Running `layerfs` as an ordinary user, in a process of its own.

The files of layerfs may be closed to others, so all of it is loaded before. That takes ten times as long as
most commands, so it is done once: one process has loaded everything, and begins another for each command.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BECOME_NOBODY", "NOBODY", "layerfs_as_nobody", "layerfs_in_a_process"]

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

_BEGIN_EACH = f"""{BECOME_NOBODY}
import json, resource, sys
from layerfs_cli.main import run

def begin(asked, *streams):
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), *streams)):
        os.dup2(stream, number)
    os.closerange(3, 256)
    os.chdir(asked["directory"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (asked["descriptors"], asked["descriptors"]))
    if asked["as_nobody"]:
        become_nobody()
    return run(asked["arguments"])

answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    written = [os.memfd_create(name) for name in ("stdout", "stderr")]
    child = os.fork()
    if child == 0:
        sys.exit(begin(json.loads(line), *written))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = [os.pread(stream, os.fstat(stream).st_size, 0).decode("utf-8", "replace") for stream in written]
    for stream in written:
        os.close(stream)
    print(json.dumps([code, *said]), file=answers, flush=True)
"""
"""Begins a process for each line of its standard input, waits for it, and tells what it did."""


def layerfs_as_nobody(
    *arguments: str, directory: Path | None = None, descriptors: int = 1024
) -> subprocess.CompletedProcess[str]:
    """Run `layerfs ARGUMENTS…` in a process of its own, as a user who is not root."""
    return _done(arguments, directory, descriptors, as_nobody=True)


def layerfs_in_a_process(*arguments: str, descriptors: int) -> subprocess.CompletedProcess[str]:
    """Run `layerfs ARGUMENTS…` in a process that may have so many descriptors, once it is loaded."""
    return _done(arguments, None, descriptors, as_nobody=False)


def _done(
    arguments: tuple[str, ...], directory: Path | None, descriptors: int, *, as_nobody: bool
) -> subprocess.CompletedProcess[str]:
    asked = {
        "arguments": arguments,
        "directory": str(directory or os.getcwd()),
        "descriptors": descriptors,
        "as_nobody": as_nobody,
    }
    loaded = _loaded()
    assert loaded.stdin
    assert loaded.stdout
    print(json.dumps(asked), file=loaded.stdin, flush=True)
    return subprocess.CompletedProcess(arguments, *json.loads(loaded.stdout.readline()))


@functools.cache
def _loaded() -> subprocess.Popen[str]:
    """The process that has loaded everything; it ends when its input does, so with this one at the latest."""
    command = [sys.executable, "-c", _BEGIN_EACH]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PATH": os.defpath}
    )
    atexit.register(process.communicate)
    return process
