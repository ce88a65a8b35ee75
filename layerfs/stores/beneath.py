"""Symbolic links of evidence: they are read, not followed by the kernel, and lead only below the same top."""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerfs.hostdir import HostDir

__all__ = ["MOST_LINKS", "led_on"]

MOST_LINKS = 8
"""The most links that are read one after the other."""


def led_on(top: HostDir, path: str) -> str | None:
    """A path below `top` with its first link replaced by its target; None if there is no link in it.

    A target that begins with a slash, or goes up too far, is taken as below `top`.
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
