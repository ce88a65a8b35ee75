"""The log of a container: the files in which its engine keeps what it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.formats.logrecords import LogForm

__all__ = ["ContainerLog", "LogPart"]


class LogPart(NamedTuple):
    """A file of a log; the engine begins a new one when it has a certain size.

    Attributes:
        name: its path, for messages.
        open: gives a descriptor of it, always of the same file; raises `CorruptStore`, or `HostExhausted`.
    """

    name: str
    open: Callable[[], int]


class ContainerLog(NamedTuple):
    """The log of a container.

    Attributes:
        form: how its files are written.
        parts: its files, the oldest first; none where it wrote nothing.
    """

    form: LogForm
    parts: tuple[LogPart, ...]
