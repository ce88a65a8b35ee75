"""Mounts and processes that tests leave behind: found by the directory they live in; used by conftest.

Every test session works below one directory, `<temp>/layerfs-test-<pid>`, so what a killed session
left can be told from what another one is using.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

__all__ = ["clean", "find", "remove", "session_directory", "sweep_dead_sessions"]

PREFIX = "layerfs-test-"
FAREWELL = 10  # seconds a process may take to end


def session_directory() -> Path:
    """The directory of this process's test session; short, as unix sockets live in it."""
    return Path(tempfile.gettempdir(), f"{PREFIX}{os.getpid()}")


def find(directory: Path) -> list[str]:
    """Every mount below `directory` and every process that was given a path below it, described."""
    processes = [f"process {pid}: {' '.join(words)[:200]}" for pid, words in _processes(directory).items()]
    return processes + [f"mount: {place}" for place in _mounts(directory)]


def clean(directory: Path) -> None:
    """End those processes and undo those mounts."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        patience = time.monotonic() + FAREWELL
        for pid in _processes(directory):
            _kill(pid, number)
        while _processes(directory) and time.monotonic() < patience:
            time.sleep(0.05)
    for place in reversed(_mounts(directory)):
        subprocess.run(["umount", "--lazy", place], check=False)


def sweep_dead_sessions() -> None:
    """Clear away what sessions left that were killed, or kept for a look after a failure."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = directory.name.removeprefix(PREFIX)
        if not pid.isdigit() or Path("/proc", pid).exists() or not _is_ours(directory):
            continue
        clean(directory)
        if not _mounts(directory):
            remove(directory)


def _is_ours(directory: Path) -> bool:
    try:
        return directory.stat().st_uid == os.geteuid()
    except FileNotFoundError:  # another session that swept at the same time
        return False


def remove(directory: Path) -> None:
    """Remove a directory however deep it is, at which `shutil` gives up with a RecursionError."""
    subprocess.run(["rm", "-rf", "--", directory], check=False, stderr=subprocess.DEVNULL)


def _mounts(directory: Path) -> list[str]:
    """Mount points below `directory`, in the order they were mounted."""
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    places = [_unescape(line.split(" ")[4]) for line in lines]
    return [place for place in places if _is_below(place, directory)]


def _processes(directory: Path) -> dict[int, list[str]]:
    """Processes, other than this one, with an argument that names a place below `directory`."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        pid = int(process.name)
        try:
            words = os.fsdecode((process / "cmdline").read_bytes()).split("\0")
        except OSError:
            continue
        if pid != os.getpid() and any(f"{directory}/" in word for word in words):
            found[pid] = words
    return found


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _is_below(place: str, directory: Path) -> bool:
    return place == str(directory) or place.startswith(f"{directory}/")


def _unescape(field: str) -> str:
    """Undo the octal escapes of mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
