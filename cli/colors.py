"""Colours on a terminal: entries as in ls(1), changes as in git, severities of findings.

Only the default format is coloured, and only on a terminal, unless `--color=always` is given. Text is escaped
before, so the colours are the only control bytes.

Sources: GNU coreutils `src/ls.c` (`color_indicator`, `get_color_indicator`), dircolors(5); https://no-color.org.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .options import choice, noted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .rows.entries import Entry

__all__ = ["CHANGES", "DIFF", "HEADING", "SEVERITIES", "EntryColors", "color_option", "colored", "paint"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_SGR = re.compile(r"[0-9;]*")
_DEFAULTS = {
    "di": "01;34", "ln": "01;36", "pi": "33", "so": "01;35", "bd": "01;33", "cd": "01;33", "ex": "01;32",
    "su": "37;41", "sg": "30;43", "st": "37;44", "ow": "34;42", "tw": "30;42",
}  # fmt: skip
"""The colours that ls(1) uses without LS_COLORS."""
_KINDS = {
    stat.S_IFLNK: "ln",
    stat.S_IFIFO: "pi",
    stat.S_IFSOCK: "so",
    stat.S_IFBLK: "bd",
    stat.S_IFCHR: "cd",
}

CHANGES: Mapping[str, str] = {"added": "32", "deleted": "31", "type": "35"}
"""The colours of kinds of changes; other kinds are yellow."""
SEVERITIES: Mapping[str, str] = {"error": "01;31", "warning": "33", "note": "36"}
HEADING = "01"
DIFF: Mapping[str, str] = {"+++": HEADING, "---": HEADING, "@": "36", "+": "32", "-": "31"}
"""The colours of lines of a unified diff, by their beginning, the longest first."""


def color_option(function: _Function) -> _Function:
    """Add `--color`, which is no parameter of the function: `colored` gives its value."""
    return click.option(
        "--color",
        type=click.Choice(("auto", "always", "never")),
        **noted("color"),
        help="When to use colours; auto: on a terminal, unless NO_COLOR is set. LS_COLORS is used.",
    )(function)


def colored() -> bool:
    """Whether standard output gets colours."""
    context = click.get_current_context(silent=True)
    chosen = choice(context, "color", "auto") if context else "auto"
    if chosen != "auto":
        return bool(chosen == "always")
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def paint(text: str, color: str) -> str:
    """`text` in a colour; unchanged if `color` is empty."""
    return f"\x1b[{color}m{text}\x1b[0m" if color and text else text


class EntryColors:
    """The colour of each entry, by the user's LS_COLORS."""

    def __init__(self) -> None:
        """Read LS_COLORS; invalid entries are ignored."""
        self._kinds = dict(_DEFAULTS)
        self._endings: dict[bytes, str] = {}
        for item in os.environ.get("LS_COLORS", "").split(":"):
            key, equals, color = item.partition("=")
            if not equals or not _SGR.fullmatch(color):
                continue
            if key.startswith("*"):
                self._endings[os.fsencode(key[1:]).lower()] = color
            else:
                self._kinds[key] = "" if color.strip("0") == "" else color

    def paint(self, entry: Entry, text: str) -> str:
        """`text`, which shows the name of `entry`, in its colour."""
        return paint(text, self._of(entry))

    def _of(self, entry: Entry) -> str:
        mode = entry.node.stat.mode
        kind = stat.S_IFMT(mode)
        if kind == stat.S_IFREG:
            return self._of_file(entry, mode)
        if kind == stat.S_IFDIR:
            key = "tw" if mode & stat.S_ISVTX and mode & 0o002 else "ow" if mode & 0o002 else "di"
            return self._kinds.get("st" if key == "di" and mode & stat.S_ISVTX else key, "")
        if kind == stat.S_IFLNK and self._kinds.get("or") and _is_orphan(entry):
            return self._kinds["or"]
        return self._kinds.get(_KINDS.get(kind, ""), "")

    def _of_file(self, entry: Entry, mode: int) -> str:
        for key, bits in (("su", stat.S_ISUID), ("sg", stat.S_ISGID), ("ex", 0o111)):
            if mode & bits and self._kinds.get(key):
                return self._kinds[key]
        name = entry.node.name.lower()
        fitting = [ending for ending in self._endings if name.endswith(ending)]
        return self._endings[max(fitting, key=len)] if fitting else self._kinds.get("fi", "")


def _is_orphan(entry: Entry) -> bool:
    """Whether a symbolic link leads nowhere in its tree."""
    from layerfs.errors import TreeError

    try:
        entry.subject.tree.resolve(entry.node.path)
    except TreeError:
        return True
    return False
