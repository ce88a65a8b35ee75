"""Links of the evidence: read, never followed by the kernel, and what they name is beneath the same top."""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["MOST_LINKS", "led_on"]

MOST_LINKS = 8
"""How many links one after the other are read."""


def led_on(top: HostDir, path: str) -> str | None:
    """A path below `top` with its first link replaced by what that names; None where it has none.

    A target that begins with a slash, or goes up too far, is one below `top`.
    """
    names = [name for name in path.split("/") if name]
    for end in range(1, len(names) + 1):
        place = "/".join(names[:end])
        try:
            if not stat.S_ISLNK(top.lstat(place).st_mode):
                continue
            target = os.fsdecode(top.readlink(place))
        except OSError:
            return None
        whole = posixpath.join("/", *names[: end - 1], target, *names[end:])
        return posixpath.normpath(whole).lstrip("/")
    return None
