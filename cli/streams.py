"""The standard streams of this process: open, in UTF-8, and telling their names when they fail.

Names on disk are bytes, and what is printed of them must be these bytes whatever the locale says, as GNU
tools have it. Inside, text is UTF-8 with `surrogateescape`, which loses nothing; so arguments must be read
that way too. Python decides that before it runs a line, hence `prepare` may start this process again.
A terminal of another character set is shown what that set has, the rest escaped: to it, the bytes of a
harmless name in UTF-8 can be control bytes.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["prepare"]

_FOR_UNUSED = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)
"""How /dev/null takes the place of a closed stream: output that is lost is an error, a message is not."""


def prepare() -> None:
    """Make the streams ready; to be called first, by the process's entry point alone."""
    _open_closed()
    _restart_in_utf8()
    sys.stdout = _text(_Output(1, "w", closefd=False))
    sys.stderr = _text(_Messages(2, "w", closefd=False))


class _Output(io.FileIO):
    """Standard output, whose errors say that it is."""

    def write(self, data: ReadableBuffer, /) -> int:
        """As `FileIO`."""
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None


class _Messages(io.FileIO):
    """Standard error; its own errors are ignored, as they cannot be reported."""

    def write(self, data: ReadableBuffer, /) -> int:
        """As `FileIO`, but never an error."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _text(raw: io.FileIO) -> io.TextIOWrapper:
    """The text stream over a descriptor; a terminal sees each line at once, and messages come at once."""
    encoding, errors = ("utf-8", "surrogateescape") if not raw.isatty() else (_charset(), "backslashreplace")
    at_once = raw.isatty() or isinstance(raw, _Messages)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors=errors, newline="", line_buffering=at_once
    )


def _open_closed() -> None:
    """Open /dev/null in place of closed streams, or the next file that is opened would be taken for one."""
    for fd, flags in enumerate(_FOR_UNUSED):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, flags)  # the lowest free number: this one
            os.set_inheritable(opened, True)


def _restart_in_utf8() -> None:
    """Start this program again in Python's UTF-8 mode, where the locale has another character set."""
    if sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8" or not sys.executable:
        return
    program, *words = _command_line()
    os.execv(sys.executable, [program, b"-X", b"utf8", *words])  # noqa: S606 - ourselves


def _command_line() -> list[bytes]:
    """The words of this process as they were typed: decoding may have lost some of them."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return file.read().split(b"\0")[:-1]
    except OSError:
        return [os.fsencode(word) for word in sys.orig_argv]


def _charset() -> str:
    """The character set of the terminal; for the one of the C locale UTF-8, as Python takes it."""
    import codecs
    import locale

    try:
        found = codecs.lookup(locale.getencoding()).name
    except LookupError:
        return "utf-8"
    return "utf-8" if found == "ascii" else found
