"""Finds entries of a layer's directory that have no header in its archive.

A directory without a header is implied if something below it has one: then the engine made it.

Source: moby `pkg/archive/archive.go` (createImpliedDirectories).
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.verify.helddirs import HeldDirs

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from layerfs.hostdir import HostDir

__all__ = ["Stray", "strays"]


class Stray(NamedTuple):
    """An entry without a header.

    Attributes:
        path: below `diff/`.
        found: its attributes; None if they, or a directory's entries, cannot be read.
        implied: whether it is a directory above an entry with a header.
        problem: why it cannot be read.
    """

    path: bytes
    found: os.stat_result | None
    implied: bool = False
    problem: OSError | None = None


@dataclass(slots=True)
class _Level:
    """A directory in which the walk is."""

    path: bytes
    has_header: bool
    entries: Iterator[tuple[bytes, int]]
    leads_to_header: bool = False


def strays(diff: HostDir, has_header: Callable[[bytes], bool]) -> Iterator[Stray]:
    """Walk `diff/`, and give each entry for which `has_header` is false, directories after their entries.

    An entry that vanishes meanwhile is left out. Not recursive, so hostile trees may be deep.
    """
    directories = HeldDirs(diff)
    levels = [_Level(b"", has_header=True, entries=iter(directories.at(b"").listing()))]
    while levels:
        level = levels[-1]
        for name, kind in level.entries:
            path = level.path + b"/" + name if level.path else name
            known = has_header(path)
            level.leads_to_header = level.leads_to_header or known
            if kind == stat.S_IFDIR:
                try:
                    levels.append(_Level(path, known, iter(directories.at(path).listing())))
                    break
                except OSError as error:
                    yield Stray(path, None, problem=error)
            elif not known:
                yield from _look(diff, path)
        else:
            levels.pop()
            if levels:
                levels[-1].leads_to_header |= level.leads_to_header
            if not level.has_header:
                yield from _look(diff, level.path, implied=level.leads_to_header)


def _look(diff: HostDir, path: bytes, *, implied: bool = False) -> Iterator[Stray]:
    try:
        yield Stray(path, diff.lstat(path), implied)
    except FileNotFoundError:
        return
    except OSError as error:
        yield Stray(path, None, problem=error)
