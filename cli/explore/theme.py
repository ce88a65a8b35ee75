"""How things look: styles by name, in the terminal's own sixteen colours, which its user chose.

No colour tells anything alone: every mark is a letter first, and what is selected is in reverse video.
"""

from __future__ import annotations

from rich.style import Style

__all__ = ["CURSOR", "CURSOR_ELSEWHERE", "MARK_WORDS", "STYLES"]

MARK_WORDS = {
    "A": "added",
    "M": "content changed",
    "m": "attributes changed",
    "T": "type changed",
    "D": "deleted",
    "R": "renamed here",
    "~": "hidden version",
    "!": "cannot be read",
}
"""The marks of entries, and what each means."""

STYLES = {
    "": Style(),
    "bold": Style(bold=True),
    "dim": Style(dim=True),
    "bar": Style(reverse=True),
    "bar-key": Style(reverse=True, bold=True),
    "head": Style(bold=True, underline=True),
    "tab": Style(),
    "tab-on": Style(bold=True, reverse=True),
    "error": Style(bold=True),
    "A": Style(color="cyan"),
    "M": Style(color="yellow"),
    "m": Style(color="yellow"),
    "T": Style(color="yellow", bold=True),
    "D": Style(color="magenta", strike=True),
    "R": Style(color="cyan", bold=True),
    "~": Style(dim=True, strike=True),
    "!": Style(bold=True),
    "directory": Style(bold=True),
    "hit": Style(bold=True, underline=True),
    "marked": Style(bold=True),
}
"""Every style by its name; the marks are names too."""

CURSOR = Style(reverse=True)
CURSOR_ELSEWHERE = Style(bold=True, underline=True)
