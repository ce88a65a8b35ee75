"""Whether anyone but root can change what a program is made of: its files, and all directories above.

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
    """The first of these files and directories, or of all below and above them, that others can change.

    Returns it with the reason, in words; None where only root can. Symbolic links are followed, step by step.
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
    """What is wrong with each component of `path`, and of the links in it, from the root down."""
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
        except FileNotFoundError:  # fine, unless somebody else can make it
            if above.st_mode & _BY_OTHERS:
                yield f"{here}: anyone can make it"
            return
        # above what is asked for, a sticky bit will do: what is root's can then not be replaced
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
    """Why others than root can change one entry; access lists count, as the group bits are their mask."""
    if stat.S_ISLNK(status.st_mode):  # can only be replaced, which takes its directory
        return None
    if status.st_uid != 0:
        return f"{path}: belongs to user {status.st_uid}"
    if not status.st_mode & _BY_OTHERS or (sticky and status.st_mode & stat.S_ISVTX):
        return None
    return f"{path}: writable for others (mode {stat.S_IMODE(status.st_mode):04o})"
