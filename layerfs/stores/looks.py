"""Simple checks of a directory that may be a store; no file is read, and no link in it is followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import DataRootUnreadable, NotADataRoot
from layerfs.hostdir import HostDir

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["is_filled", "is_there", "open_top"]


def open_top(path: str | Path) -> HostDir:
    """Open the path that the user gave as a store; raises `DataRootUnreadable`, `NotADataRoot`."""
    try:
        return HostDir.open(path)
    except PermissionError as error:
        raise DataRootUnreadable(str(path)) from error
    except OSError as error:
        raise NotADataRoot(f"{path}: {error.strerror}", hint="choose another with --root") from error


def is_there(directory: HostDir, path: str) -> bool:
    """Whether there is anything at a path; raises `DataRootUnreadable`."""
    try:
        directory.lstat(path)
    except PermissionError as error:
        raise DataRootUnreadable(directory.name_of(path)) from error
    except OSError:
        return False
    return True


def is_filled(directory: HostDir, path: str) -> bool:
    """Whether a path is a directory that is not empty."""
    try:
        with directory.subdir(path) as inner:
            return bool(inner.names())
    except OSError:
        return False
