"""The standard streams of this process: open, in UTF-8, and with their names in errors.

Names on disk are bytes, and they must be printed as these bytes in every locale, as GNU tools do. Inside,
text is UTF-8 with `surrogateescape`, which loses nothing, so arguments must be read in the same way. Python
decides that when it starts, so `prepare` may start this program again. On a terminal with another character
set, characters that it does not have are escaped, because UTF-8 bytes of a harmless name could be control
bytes there.
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
"""How /dev/null is opened for closed streams: writing to standard output fails, writing messages does not."""


def prepare() -> None:
    """Prepare the streams; called first, only by the entry point of the process."""
    _open_closed()
    _restart_in_utf8()
    sys.stdout = _text(_Output(1, "w", closefd=False))
    sys.stderr = _text(_Messages(2, "w", closefd=False))


class _Output(io.FileIO):
    """Standard output, with its name in errors."""

    def write(self, data: ReadableBuffer, /) -> int:
        """As `FileIO`."""
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None


class _Messages(io.FileIO):
    """Standard error; errors of writing are ignored, as they cannot be reported."""

    def write(self, data: ReadableBuffer, /) -> int:
        """As `FileIO`, but never an error."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _text(raw: io.FileIO) -> io.TextIOWrapper:
    """The text stream over a descriptor, flushed after each line on a terminal, and for messages always."""
    encoding, errors = ("utf-8", "surrogateescape") if not raw.isatty() else (_charset(), "backslashreplace")
    at_once = raw.isatty() or isinstance(raw, _Messages)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors=errors, newline="", line_buffering=at_once
    )


def _open_closed() -> None:
    """Open /dev/null for closed streams; otherwise the next file opened would get their descriptor."""
    for fd, flags in enumerate(_FOR_UNUSED):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, flags)  # open(2) takes the lowest free number, which is this one
            os.set_inheritable(opened, True)


def _restart_in_utf8() -> None:
    """Start this program again in Python's UTF-8 mode, if the locale has another character set."""
    if sys.flags.utf8_mode or sys.getfilesystemencoding() == "utf-8" or not sys.executable:
        return
    program, *words = _command_line()
    os.execv(sys.executable, [program, b"-X", b"utf8", *words])  # noqa: S606 - ourselves


def _command_line() -> list[bytes]:
    """The arguments of this process as bytes, as decoding may have lost some."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            return file.read().split(b"\0")[:-1]
    except OSError:
        return [os.fsencode(word) for word in sys.orig_argv]


def _charset() -> str:
    """The character set of the terminal; UTF-8 for the C locale, as in Python."""
    import codecs
    import locale

    try:
        found = codecs.lookup(locale.getencoding()).name
    except LookupError:
        return "utf-8"
    return "utf-8" if found == "ascii" else found
