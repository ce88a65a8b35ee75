"""Checks whether users other than root can change files of a program, or directories above them.

Sources: path_resolution(7), inode(7) (the sticky bit).
"""

from __future__ import annotations

import os
import stat
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["changeable"]

_MOST_LINKS = 40
_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def changeable(tops: Iterable[str]) -> str | None:
    """The first of these files and directories, or of those below and above them, that others can change.

    Returned with the reason, in words; None if only root can. Symbolic links are followed, step by step.
    """
    pending, seen = list(tops), set()
    while pending:
        top = os.path.abspath(pending.pop())
        if top in seen:
            continue
        seen.add(top)
        if problem := next(_on_the_way(top), None):
            return problem
        for place, directories, files in os.walk(os.path.realpath(top)):
            for name in (*directories, *files):
                path = os.path.join(place, name)
                status = os.lstat(path)
                if problem := _problem(path, status):
                    return problem
                if stat.S_ISLNK(status.st_mode):
                    pending.append(path)
    return None


def _on_the_way(path: str) -> Iterator[str]:
    """The problem of each component of `path`, and of links in it, from the root down."""
    pending, at, links = list(reversed(PurePath(path).parts[1:])), "/", 0
    if problem := _problem("/", os.lstat("/")):
        yield problem
    while pending:
        name, above = pending.pop(), os.lstat(at)
        if name == "..":
            at = os.path.dirname(at)
            continue
        here = os.path.join(at, name)
        try:
            status = os.lstat(here)
        except FileNotFoundError:  # missing, which is no problem unless somebody else can make it
            if above.st_mode & _BY_OTHERS:
                yield f"{here}: anyone can make it"
            return
        # in directories above, a sticky bit is enough: root's entries in them cannot be replaced
        if problem := _problem(here, status, sticky=bool(pending)):
            yield problem
        if stat.S_ISLNK(status.st_mode):
            if status.st_uid != 0 and above.st_mode & _BY_OTHERS:
                yield f"{here}: belongs to user {status.st_uid}, who can replace it"
            links += 1
            if links > _MOST_LINKS:
                yield f"{path}: too many symbolic links"
                return
            target = PurePath(os.readlink(here))
            pending.extend(reversed([part for part in target.parts if part != "/"]))
            at = "/" if target.is_absolute() else at
        else:
            at = here


def _problem(path: str, status: os.stat_result, *, sticky: bool = False) -> str | None:
    """Why others than root can change one entry; the group bits include access lists, as their mask."""
    if stat.S_ISLNK(status.st_mode):  # it can only be replaced, for which its directory counts
        return None
    if status.st_uid != 0:
        return f"{path}: belongs to user {status.st_uid}"
    if not status.st_mode & _BY_OTHERS or (sticky and status.st_mode & stat.S_ISVTX):
        return None
    return f"{path}: writable for others (mode {stat.S_IMODE(status.st_mode):04o})"
