"""`COPIES`: the recorded data root as careless tools copy it, and what each of them leaves of it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.fixture import private_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["COPIES", "Copy"]

NOBODY = 65534
_AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


@dataclass(frozen=True, slots=True)
class Copy:
    """A way to copy.

    Attributes:
        make: copies the first directory to the second, which does not exist.
        keeps: `times`, `owners`, `sockets`: what no archive of the recording tells, or not exactly.
    """

    make: Callable[[Path, Path], None]
    keeps: frozenset[str] = frozenset()


def _run(*command: str | Path, fails: bool = False) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert fails or done.returncode == 0, done.stderr


def _as_nobody(*command: str) -> Callable[[Path, Path], None]:
    """Run by an ordinary user, who was given a copy that he can read."""

    def make(source: Path, target: Path) -> None:
        readable = private_copy(source, target.parent / "readable")
        _run("chmod", "-R", "a+rX", readable)
        for place in (target.parent, *target.parents):
            if place.stat().st_mode & 0o001 == 0:
                place.chmod(place.stat().st_mode | 0o001)
        target.mkdir()
        os.chown(target, NOBODY, NOBODY)
        # what it may not make it complains of and leaves out
        _run(*_AS_NOBODY, *command, f"{readable}/.", str(target), fails=True)
        shutil.rmtree(readable)

    return make


def _as_root(*command: str) -> Callable[[Path, Path], None]:
    return lambda source, target: _run(*command, f"{source}/.", target)


def _tar(source: Path, target: Path) -> None:
    """Owners, modes, times, devices and links; no extended attributes, no sockets."""
    target.mkdir()
    pipe = 'tar -c --format=posix --directory="$0" . | tar -x --preserve-permissions --directory="$1"'
    _run("sh", "-c", pipe, source, target)


def _contents(source: Path, target: Path) -> None:
    """As an object store has it: files with content under their names, nothing else."""
    for place, _, names in os.walk(os.fsencode(source)):
        for name in names:
            path = os.path.join(place, name)
            found = os.lstat(path)
            if stat.S_ISREG(found.st_mode) and found.st_size:
                copy = os.path.join(os.fsencode(target), os.path.relpath(path, os.fsencode(source)))
                os.makedirs(os.path.dirname(copy), exist_ok=True)
                shutil.copyfile(path, copy)
    # the engine's own short links would be missed; what they are for is tested elsewhere
    for link in (source / "overlay2/l").iterdir():
        (target / "overlay2/l").mkdir(exist_ok=True)
        (target / "overlay2/l" / link.name).symlink_to(os.readlink(link))
    for layer in (source / "overlay2").glob("*/diff"):
        (target / layer.relative_to(source)).mkdir(parents=True, exist_ok=True)


COPIES = {
    "cp -r by an ordinary user": Copy(_as_nobody("cp", "-r"), frozenset({"sockets"})),
    "rsync -rl by an ordinary user": Copy(_as_nobody("rsync", "-rl")),
    "cp -r by root": Copy(_as_root("cp", "-r"), frozenset({"sockets", "owners"})),
    "cp -r --preserve=mode by root": Copy(
        _as_root("cp", "-r", "--preserve=mode"), frozenset({"sockets", "owners"})
    ),
    "tar without attributes": Copy(_tar, frozenset({"times"})),
    "an object store": Copy(_contents),
}
