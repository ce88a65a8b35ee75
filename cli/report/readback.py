"""A twin that was written before, read back. It may come from anywhere, so nothing in it is believed.

It is read whole, as it is JSON; `MOST` bounds that. Its shape is checked before anything looks at it.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import Any, NamedTuple

from ..escape import printable
from ..units import ellipsis
from .compare import Side
from .shape import first_fault
from .twin import SCHEMA

__all__ = ["MOST", "BadTwin", "ReadBack", "read_back"]

MOST = 256 << 20
"""Bytes of a twin; one of 1,000 images has 15 million."""

_FAMILY = "layerfs.report/"


class BadTwin(Exception):
    """A file is not the twin of a report; the text says why."""


class ReadBack(NamedTuple):
    """A twin of a file.

    Attributes:
        twin: as the schema says.
        file: its name without directories.
        size: bytes of the file.
        sha256: of the file.
        place: `(st_dev, st_ino)` of the file.
    """

    twin: dict[str, Any]
    file: str
    size: int
    sha256: str
    place: tuple[int, int]

    @property
    def side(self) -> Side:
        """The same, to be compared."""
        return Side(self.twin, self.file, self.size, self.sha256)


def read_back(path: str) -> ReadBack:
    """The twin in a file.

    Raises:
        BadTwin: it is none, or one of another version. OSError: it cannot be read.
    """
    content, place = _content(path)
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise BadTwin(f"is no JSON: {_words(error)}") from error
    if not isinstance(value, dict) or not str(value.get("schema")).startswith(_FAMILY):
        raise BadTwin("is no twin of a layerfs report: it is JSON of another kind")
    if value["schema"] != SCHEMA:
        version = ellipsis(printable(str(value["schema"])), 60)
        raise BadTwin(f"is a twin of another version: {version}, and this layerfs reads {SCHEMA}")
    fault = first_fault(value)
    if fault is not None:
        raise BadTwin(f"is no twin as layerfs writes it: {ellipsis(printable(fault), 200)}")
    return ReadBack(value, os.path.basename(path), len(content), hashlib.sha256(content).hexdigest(), place)


def _content(path: str) -> tuple[bytes, tuple[int, int]]:
    """All of a regular file, and its device and inode; nothing waits for the other end of a pipe."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise BadTwin("is no regular file")
        with open(fd, "rb", closefd=False) as file:
            content = file.read(MOST + 1) if found.st_size <= MOST else b""
    finally:
        os.close(fd)
    if found.st_size > MOST or len(content) > MOST:
        raise BadTwin(f"has more than {MOST >> 20} MiB: that is no twin")
    return content, (found.st_dev, found.st_ino)


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _words(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not in UTF-8"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
