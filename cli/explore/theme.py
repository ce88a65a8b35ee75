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
    "A": Style(),
    "M": Style(),
    "m": Style(),
    "T": Style(),
    "D": Style(strike=True),
    "R": Style(),
    "~": Style(dim=True, strike=True),
    "!": Style(bold=True),
    "sign-": Style(),
    "sign-A": Style(color="black", bgcolor="cyan"),
    "sign-M": Style(color="black", bgcolor="yellow"),
    "sign-m": Style(color="black", bgcolor="yellow"),
    "sign-T": Style(color="black", bgcolor="yellow"),
    "sign-D": Style(color="bright_white", bgcolor="magenta", bold=True),
    "sign-R": Style(color="black", bgcolor="cyan"),
    "sign-~": Style(dim=True),
    "sign-!": Style(bold=True, reverse=True),
    "directory": Style(bold=True),
    "hit": Style(bold=True, underline=True),
    "marked": Style(bold=True),
}
"""Every style by its name. A mark is the style of a name with it, and `sign-` before it that of the letter.

Letters have the colour behind them, and names have none: so both are read on dark and on light.
"""

CURSOR = Style(reverse=True)
CURSOR_ELSEWHERE = Style(bold=True, underline=True)
