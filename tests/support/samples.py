"""The recorded stores of other engines in `fixtures/`, unpacked for a test; root gets all that is in them."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["linked", "unpack_sample"]

_FIXTURES = Path(__file__).parents[2] / "fixtures"
_PLACES = ("containerd", "containers")
_TAR = ("tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--warning=no-timestamp", "-xJf")


def unpack_sample(name: str, dest: Path) -> Path:
    """Unpack `fixtures/<place>/<name>.tar.xz` below `dest`, an empty directory; the one directory in it."""
    (packed,) = (found for place in _PLACES if (found := _FIXTURES / place / f"{name}.tar.xz").exists())
    dest.mkdir(parents=True, exist_ok=True)
    subprocess.run([*_TAR, str(packed), "-C", str(dest)], check=True)
    (found,) = dest.iterdir()
    return found


def linked(source: Path, dest: Path) -> Path:
    """A copy whose files are the same files: replace one, never write into it."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-al", str(source), str(dest)], check=True)
    return dest
