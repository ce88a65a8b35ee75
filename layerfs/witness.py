"""Who reads evidence for a case file is told of each record that was read: its name and its bytes.

Nobody listens mostly, and then it costs a look at an empty list.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Told = Callable[[str, Iterator[bytes]], None]

__all__ = ["LISTENERS", "noted", "tell", "tell_of_file", "witnessed"]

LISTENERS: list[Told] = []
"""Who is told now."""

_CHUNK = 1 << 20


@contextmanager
def witnessed(told: Told) -> Iterator[None]:
    """A block in which `told` is called with the name of each record that is read, and its bytes."""
    LISTENERS.append(told)
    try:
        yield
    finally:
        LISTENERS.remove(told)


def noted(content: bytes, name_of: Callable[[bytes | str], str], path: bytes | str) -> bytes:
    """`content`, of which those who listen are told under the name of `path`."""
    if LISTENERS:
        tell(name_of(path), content)
    return content


def tell(name: str, content: bytes | memoryview) -> None:
    """Say that a record was read whole."""
    for told in LISTENERS:
        told(name, iter((bytes(content),)))


def tell_of_file(name: str, fd: int) -> None:
    """Say that a record is read through an open file, whose position stays."""
    for told in LISTENERS:
        told(name, _pieces(fd))


def _pieces(fd: int) -> Iterator[bytes]:
    at = 0
    while piece := os.pread(fd, _CHUNK, at):
        at += len(piece)
        yield piece
