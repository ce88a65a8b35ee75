"""Makes the steps of a walk: every kind of store tells its own, and this keeps what is the same for all.

A command is printed only after what it reads was read here, by the same path and without following a link.
So nobody is led onto his own disk by a line that he pastes, and no line prints what could not be checked.
"""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING, TypeVar

from layerfs.errors import CorruptStore, DataRootUnreadable, reason
from layerfs.formats.shelltext import assigned, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerfs.hostdir import HostDir
    from layerfs.steps import Step

__all__ = [
    "LONGEST_OPTION",
    "MOUNT_AT",
    "Walker",
    "computed_chain",
    "fails",
    "mounted",
    "names_listed",
    "plain_word",
    "said",
]

LONGEST_OPTION = 4000
"""Bytes of a mount's `lowerdir`: all its options must fit in a page of 4096 bytes."""

MOUNT_AT = "/mnt"
"""Where the printed command mounts."""

_MOST_NAMES = 24
"""Names of a directory that are listed; more are counted."""

_SMALL = 64 << 10

_LINE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9:./_-]*")
"""What `echo $X` prints as it is."""

_Found = TypeVar("_Found")


class Walker:
    """The steps so far, and what the variables of the shell hold then.

    Attributes:
        directory: where the commands are pasted; all paths are relative to it.
        steps: those that were made.
    """

    def __init__(self, directory: HostDir) -> None:
        """Begin with a shell that stands in `directory`."""
        self.directory = directory
        self.steps: list[Step] = []
        self._held: dict[str, str] = {}

    def add(
        self,
        step: Step,
        needs: Mapping[str, str] | None = None,
        sets: Mapping[str, str] | None = None,
    ) -> None:
        """Add a step.

        Args:
            step: with a command that uses variables.
            needs: the values that these must have; what the script so far does not give them is written
                before the command.
            sets: the values that variables have behind it.
        """
        if step.command:
            before = [line for name, value in (needs or {}).items() for line in self._given(name, value)]
            step = step._replace(command=(*before, *step.command))
            self._held.update(sets or {})
        self.steps.append(step)

    def held(self, name: str) -> str:
        """What a variable has so far; empty if nothing."""
        return self._held.get(name, "")

    def _given(self, name: str, value: str) -> list[str]:
        if self._held.get(name) == value:
            return []
        self._held[name] = value
        return assigned(name, value)

    # -- what is on disk -----------------------------------------------------------------------

    def text(self, path: str) -> str:
        """What `$(cat path)` is of a small file; raises `CorruptStore` unless it is one plain word."""
        return plain_word(self.read(path, _SMALL).rstrip(b"\n"), path)

    def read(self, path: str, limit: int) -> bytes:
        """All of a regular file; no link is followed. Raises `CorruptStore`."""
        return fails(path, lambda: self.directory.read(path, limit))

    def names(self, path: str) -> list[bytes]:
        """What is in a directory; no link is followed. Raises `CorruptStore`."""

        def found() -> list[bytes]:
            with self.directory.subdir(path) as directory:
                return directory.names()

        return fails(path, found)

    def listing(self, path: str, written: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The command that lists a directory, or counts what is in it, and what it prints.

        `written` is the path as the script writes it. Raises `CorruptStore`.
        """
        return names_listed(self.names(path), written)


def plain_word(content: bytes, path: str) -> str:
    """The text of a file that is one word, as a shell prints it; raises `CorruptStore` for others."""
    if not _LINE.fullmatch(content):
        shown = ascii(content[:80].decode("utf-8", "replace"))
        raise CorruptStore(path, "malformed", expected="one line of plain text", found=shown)
    return content.decode("ascii")


def names_listed(names: Sequence[bytes], written: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """As `Walker.listing`, of names that are known."""
    if len(names) > _MOST_NAMES:
        return (f"LC_ALL=C ls -Ab {written} | grep -c ''",), (str(len(names)),)
    return (f"LC_ALL=C ls -Ab {written}",), tuple(map(listed, sorted(names)))


def mounted(step: Step, names: Sequence[bytes] | None) -> Step:
    """A step that mounts, which then lists the top of the tree; `names` is what is there, if known."""
    if names is None:
        return step
    command, values = names_listed(names, MOUNT_AT)
    return step._replace(command=(*step.command, *command), values=values)


def fails(path: str, read: Callable[[], _Found]) -> _Found:
    """What `read` gives; its `OSError` as a `CorruptStore` of the file at `path`."""
    try:
        return read()
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise DataRootUnreadable(path) from error
        words = error.strerror or reason(error)
        if error.errno == errno.ENOENT:
            words = "the file is missing"
        elif error.errno == errno.ELOOP:
            words = "a symbolic link is in its way: not followed"
        raise CorruptStore(path, words) from error


def computed_chain(*listing: str) -> Sequence[str]:
    """The lines of a loop that prints the chain IDs of the diff IDs that a command, in lines, prints."""
    *before, last = listing
    lines = [*before, f"{last}); do"]
    return (
        f"C=; for D in $({lines[0]}",
        *lines[1:],
        "  [ -z \"$C\" ] || D=$(printf '%s %s' $C $D | sha256sum | cut -c-64)",
        "  C=sha256:${D#*:}; echo $C",
        "done",
    )


def said(error: CorruptStore) -> str:
    """What is wrong, without the file's name."""
    return error.problem + (f": {error.found}" if error.found else "")
