"""Messages on standard error: warnings and errors, each in one escaped line."""

from __future__ import annotations

import errno
import logging
import sys
from typing import TYPE_CHECKING, Self

import click

from .escape import printable
from .progress import clear_bar

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LogToStderr", "printable", "say", "say_error", "way_out"]

SAID_ALREADY = "cannot go on without what is named above"

_MORE_ROOM = "free some space there, or write to another place"
_WAYS_OUT = {
    errno.EACCES: "run as root, or as the owner",
    errno.EBADF: "it is closed: open it, as with > FILE",
    errno.EDQUOT: _MORE_ROOM,
    errno.EFBIG: "write to a file system that takes larger files, or raise `ulimit -f`",
    errno.EIO: "the disk fails: what the kernel says of it, `dmesg` shows",
    errno.ELOOP: "links lead in a circle there: choose another place",
    errno.EMFILE: "raise the limit of open files, as with `ulimit -n 4096`",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENFILE: "the host has too many files open: end some programs",
    errno.ENOENT: "is the path right? each directory of it must exist",
    errno.ENOSPC: _MORE_ROOM,
    errno.ENOTDIR: "is the path right? all but its last name must be directories",
    errno.EPERM: "run as root, or as the owner",
    errno.EROFS: "write to a place that is not mounted read-only",
}
"""Hints for errors of the host, by their numbers."""


def say(severity: str, message: str) -> None:
    """Write `layerfs: severity: message` to standard error as one line."""
    clear_bar(sys.stderr)
    click.echo(f"layerfs: {severity}: {printable(message)}", err=True)


def say_error(error: Exception) -> None:
    """Write an error in one line, and its hint, if there is one, in another.

    An error that the engine's log has shown already is not repeated.
    """
    from layerfs.errors import reason

    message = reason(error)
    log = _log()
    say("error", SAID_ALREADY if log and message in log.said else message)
    if hint := way_out(error):
        say("hint", hint)


def _log() -> LogToStderr | None:
    """The handler that shows the engine's log for the running command."""
    context = click.get_current_context(silent=True)
    log = context.find_root().obj if context else None
    return log if isinstance(log, LogToStderr) else None


def way_out(error: Exception) -> str | None:
    """The hint of an error, if there is one; errors about a store bring their own."""
    if isinstance(error, OSError) and not hasattr(error, "hint") and error.errno is not None:
        return _WAYS_OUT.get(error.errno)
    hint: str | None = getattr(error, "hint", None)
    return hint


class LogToStderr(logging.Handler):
    """Shows the engine's log while it is entered, every distinct line once.

    Attributes:
        damage: whether a record had `extra={"damage": True}`: the store is damaged, so the output may be
            incomplete.
        said: the lines that were shown.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        """Show warnings and worse; with `verbose` everything."""
        super().__init__(logging.DEBUG if verbose else logging.WARNING)
        self.damage = False
        self.said: set[str] = set()
        self._logger = logging.getLogger("layerfs")
        self._level_before = self._logger.level

    def show_all(self) -> None:
        """Show everything from now on."""
        self.setLevel(logging.DEBUG)
        self._logger.setLevel(logging.DEBUG)

    def __enter__(self) -> Self:
        """Start to listen to the logger `layerfs`."""
        self._level_before = self._logger.level
        self._logger.setLevel(self.level)
        self._logger.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the logger as it was."""
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level_before)

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record, unless the same line was shown before."""
        self.damage = self.damage or bool(getattr(record, "damage", False))
        message = record.getMessage()
        if message not in self.said:
            self.said.add(message)
            say(record.levelname.lower(), message)
