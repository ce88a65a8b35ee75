"""The recorded stores of other engines in `fixtures/containerd`, unpacked for a test; root gets them all."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["linked", "unpack_sample"]

_STORES = Path(__file__).parents[2] / "fixtures/containerd"
_TAR = ("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--warning=no-timestamp", "-xJf")


def unpack_sample(name: str, dest: Path) -> Path:
    """Unpack `fixtures/containerd/<name>.tar.xz` below `dest`; the one directory that is in it."""
    dest.mkdir(parents=True, exist_ok=True)
    subprocess.run([*_TAR, str(_STORES / f"{name}.tar.xz"), "-C", str(dest)], check=True)
    (found,) = dest.iterdir()
    return found


def linked(source: Path, dest: Path) -> Path:
    """A copy whose files are the same files: replace one, never write into it."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-al", str(source), str(dest)], check=True)
    return dest
