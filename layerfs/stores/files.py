"""Reading one small file of the data root, with errors that name it.

All readers of the data root use these functions, so a missing, oversized, or malformed file becomes the same
`CorruptStore` everywhere.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from layerfs.errors import CorruptStore, DataRootUnreadable, MalformedFile, MissingFile, reason
from layerfs.formats.errors import FormatError
from layerfs.hostdir import Refused, TooLarge
from layerfs.ids import InvalidID

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.hostdir import HostDir

__all__ = [
    "JSON_LIMIT",
    "NAME_LIMIT",
    "Problem",
    "explain",
    "identities",
    "if_there",
    "open_optional",
    "open_part",
    "parse_bytes",
    "parse_file",
    "parse_optional",
    "read_file",
    "read_optional",
]

JSON_LIMIT = 32 << 20
"""The most bytes of a JSON document: moby's limit for image configs is far below, so more is an attack."""

NAME_LIMIT = 64 << 10
"""The most bytes of a file with an ID, a number, or a list of short links."""

Problem: TypeAlias = CorruptStore
"""The errors of all readers: the file is damaged, or may not be read (`DataRootUnreadable`)."""

Value = TypeVar("Value")

_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def read_file(directory: HostDir, path: str, limit: int = NAME_LIMIT) -> bytes:
    """The bytes of a file that must exist; raises `MissingFile`, `MalformedFile`, `DataRootUnreadable`."""
    content = read_optional(directory, path, limit)
    if content is None:
        raise MissingFile(directory.name_of(path), "the file is missing")
    return content


def read_optional(directory: HostDir, path: str, limit: int = NAME_LIMIT) -> bytes | None:
    """The bytes of a file, or None if there is none."""
    return if_there(directory, path, lambda: directory.read(path, limit))


def if_there(directory: HostDir, path: str, read: Callable[[], Value]) -> Value | None:
    """The result of `read` for the file at `path`, or None if there is none; raises as `read_file`."""
    try:
        return read()
    except (Refused, TooLarge, IsADirectoryError) as error:
        found = (error.strerror or "").removeprefix("is ")
        raise MalformedFile(
            directory.name_of(path), "not readable", expected="a small file", found=found
        ) from error
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise explain(error, directory.name_of(path)) from error


def parse_file(
    directory: HostDir, path: str, parse: Callable[[bytes], Value], limit: int = NAME_LIMIT
) -> Value:
    """The parsed value of a file that must exist; raises as `read_file`."""
    return parse_bytes(read_file(directory, path, limit), directory, path, parse)


def parse_optional(
    directory: HostDir, path: str, parse: Callable[[bytes], Value], limit: int = NAME_LIMIT
) -> Value | None:
    """The parsed value of a file, or None if there is none; raises as `read_file`."""
    content = read_optional(directory, path, limit)
    return None if content is None else parse_bytes(content, directory, path, parse)


def parse_bytes(content: bytes, directory: HostDir, path: str, parse: Callable[[bytes], Value]) -> Value:
    """The parsed value of `content`, which was read from `path`; raises `MalformedFile`."""
    try:
        return parse(content)
    except FormatError as error:
        name = directory.name_of(path)
        raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error


def open_optional(directory: HostDir, path: str) -> HostDir | None:
    """A directory of the data root, or None if there is none."""
    try:
        return directory.subdir(path)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise explain(error, directory.name_of(path)) from error


def open_part(directory: HostDir, path: str, problems: list[Problem]) -> HostDir | None:
    """As `open_optional`, for an optional part of the store: errors are added to `problems`."""
    try:
        return open_optional(directory, path)
    except CorruptStore as error:
        problems.append(error.again())
        return None


def explain(error: OSError, name: str) -> MalformedFile | DataRootUnreadable:
    """The layerfs error for an `OSError` on a file of the data root."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return DataRootUnreadable(name)
    if error.errno == errno.ELOOP or isinstance(error, NotADirectoryError):
        return MalformedFile(name, "not a directory or file of the data root", found="a link or another type")
    return MalformedFile(name, error.strerror or reason(error))


def identities(directory: HostDir | None, make: Callable[[str], Value]) -> list[Value]:
    """The names in a directory that `make` accepts; other names are left out."""
    found: list[Value] = []
    for name in directory.names() if directory else ():
        try:
            found.append(make(os.fsdecode(name)))
        except InvalidID:
            continue
    return found
