"""Every key of the browser, in one table: what it does, where, and what the footer calls it.

The screens, the help, the footer and docs/explore.md are made from it. Knows no Textual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KEYS", "PANES", "Key", "KeyMap", "markdown"]

PANES = {
    "root": "lists of images, containers, layers, findings",
    "layers": "layers of an image",
    "tree": "tree",
    "text": "text of a file",
    "hex": "bytes of a file",
    "versions": "versions of a file",
    "blame": "blame of a file",
    "explain": "explanation of a file",
    "compare": "comparison",
    "waste": "waste",
    "pick": "choice of an image",
    "help": "help",
}
"""The panes that take keys, and what each shows."""

_LISTS = ("root", "layers", "tree", "versions", "compare", "waste", "pick", "help")
_FILE = ("text", "hex", "versions", "blame", "explain")
_CONTENTS = ("text", "hex")
_IMAGE = ("layers", "tree")


class Key(NamedTuple):
    """One row of the table.

    Attributes:
        keys: what is pressed; a letter as it is typed, else the name Textual has for the key.
        shown: how people write it.
        action: what the screen is asked to do.
        does: what that is, for people.
        panes: where it works.
        short: its words in the footer; empty if it is not shown there.
    """

    keys: tuple[str, ...]
    shown: str
    action: str
    does: str
    panes: tuple[str, ...] = tuple(PANES)
    short: str = ""


KEYS = (
    Key(("tab", "shift+tab"), "Tab", "next_pane", "go to the other pane", _IMAGE, "other pane"),
    Key(("enter",), "Enter", "open", "open it; in a comparison or the waste: show that file", _LISTS, "open"),
    Key(("right", "l"), "Right l", "unfold", "open a directory, or go into it", ("tree",)),
    Key(("left", "h"), "Left h", "fold", "close a directory, or go to the one above", ("tree",)),
    Key(("space",), "Space", "toggle", "open or close a directory", ("tree",)),
    Key(("z",), "z", "fold_all", "close all directories", ("tree",)),
    Key(("up", "k"), "Up k", "up", "one line up"),
    Key(("down", "j"), "Down j", "down", "one line down"),
    Key(("pageup", "u"), "PgUp u", "page_up", "one page up"),
    Key(("pagedown", "d"), "PgDn d", "page_down", "one page down"),
    Key(("home", "g"), "Home g", "first", "to the first line"),
    Key(("end", "G"), "End G", "last", "to the last line"),
    Key(("1",), "1", "tab_1", "first tab: images, or the text of a file", ("root", *_FILE)),
    Key(("2",), "2", "tab_2", "second tab: containers, or the bytes", ("root", *_FILE)),
    Key(("3",), "3", "tab_3", "third tab: layers, or the versions", ("root", *_FILE)),
    Key(("4",), "4", "tab_4", "fourth tab: findings, or the blame", ("root", *_FILE)),
    Key(("5",), "5", "tab_5", "fifth tab: why the file is there, or not", _FILE),
    Key(("]",), "]", "next_tab", "next tab", ("root", *_FILE), "next tab"),
    Key(("[",), "[", "previous_tab", "tab before", ("root", *_FILE)),
    Key(("t",), "t", "text", "text of the file", ("tree", *_FILE)),
    Key(("x",), "x", "hex", "bytes of the file", ("tree", *_FILE)),
    Key(("v",), "v", "versions", "versions of the file in all layers", ("tree", *_FILE), "versions"),
    Key(("B",), "B", "blame", "what each layer did to it", ("tree", *_FILE)),
    Key(("e",), "e", "explain", "why it is there, or not", ("tree", *_FILE), "explain"),
    Key(
        ("/", "ctrl+f"),
        "/ Ctrl+F",
        "filter",
        "show only what fits: part of a name, *.so, >1M, <10k, layer:4, is:deleted",
        ("tree",),
        "find",
    ),
    Key(
        ("/", "ctrl+f"),
        "/ Ctrl+F",
        "seek",
        "search a text, or bytes as hex:7f 45; a capital letter makes case count",
        _CONTENTS,
        "search",
    ),
    Key(("n",), "n", "seek_next", "the next place of what was searched", _CONTENTS, "next"),
    Key(("N",), "N", "seek_previous", "the place before", _CONTENTS),
    Key(("s", "ctrl+o"), "s Ctrl+O", "sort", "sort by name, size, entries, time", ("tree",), "sort"),
    Key(("S",), "S", "reverse", "reverse the order", ("tree",)),
    Key(("H",), "H", "hidden", "hidden versions on or off", ("tree",), "hidden"),
    Key(("b", "ctrl+b"), "b Ctrl+B", "attributes", "owners and times on or off", ("tree",)),
    Key(("ctrl+l",), "Ctrl+L", "marks_of_layer", "marks: what this layer did", _IMAGE),
    Key(("ctrl+a",), "Ctrl+A", "marks_since_base", "marks: what all layers above the base did", _IMAGE),
    Key(("a",), "a", "show_added", "added entries on or off", ("tree",)),
    Key(("r", "ctrl+r"), "r Ctrl+R", "show_removed", "removed entries on or off", ("tree",)),
    Key(("c",), "c", "show_changed", "changed entries on or off", ("tree",)),
    Key(("i", "ctrl+u"), "i Ctrl+U", "show_unchanged", "unchanged entries on or off", ("tree",)),
    Key(("+",), "+", "wider", "more room for the layers", _IMAGE),
    Key(("_",), "_", "narrower", "less room for the layers", _IMAGE),
    Key(("m",), "m", "mark", "mark or unmark, to copy it out", ("tree",), "mark"),
    Key(("M",), "M", "unmark", "unmark all", ("tree",)),
    Key(("ctrl+e",), "Ctrl+E", "copy_out", "copy what is marked to a new directory; asks first", ("tree",)),
    Key(("W",), "W", "waste", "bytes that are stored and never shown", _IMAGE, "waste"),
    Key(("=",), "=", "compare", "compare with another image", ("root", *_IMAGE), "compare"),
    Key(("y",), "y", "copy_path", "copy the path", ("tree", *_FILE)),
    Key(("Y",), "Y", "copy_command", "copy the layerfs command that prints the same", short="command"),
    Key(("f5",), "F5", "reload", "read the root anew", ("root", *_IMAGE)),
    Key(("escape", "backspace"), "Esc", "back", "end the search; go up, to where one came from"),
    Key(("?", "ctrl+p", "f1"), "? Ctrl+P", "help", "all keys here; Enter does one", short="all keys"),
    Key(("q",), "q", "back_or_quit", "go up; from the first screen: quit"),
    Key(("ctrl+c", "ctrl+q"), "Ctrl+C", "quit", "quit at once"),
    Key(("ctrl+z",), "Ctrl+Z", "suspend", "back to the shell; `fg` returns"),
)  # fmt: skip


class KeyMap:
    """Some rows, by the panes and the keys that they are asked by."""

    def __init__(self, rows: Sequence[Key] = KEYS) -> None:
        """Of `rows`; of the table as it is without them."""
        self._rows = rows

    def in_pane(self, pane: str) -> list[Key]:
        """The rows of a pane."""
        return [key for key in self._rows if pane in key.panes]

    def find(self, pane: str, pressed: str) -> Key | None:
        """The row of what was pressed in a pane; None for a key without a meaning there."""
        return next((key for key in self.in_pane(pane) if pressed in key.keys), None)

    def footer(self, pane: str) -> list[Key]:
        """What the footer of a pane shows: at most seven, and always the last one, the help."""
        shown = [key for key in self.in_pane(pane) if key.short]
        return [*shown[:-1][:6], *shown[-1:]]


def markdown() -> str:
    """The table as docs/explore.md has it."""
    rows = ["| Keys | Does | Where |", "|---|---|---|"]
    for key in KEYS:
        where = "everywhere" if len(key.panes) == len(PANES) else ", ".join(key.panes)
        rows.append(f"| `{key.shown}` | {key.does} | {where} |")
    return "\n".join(rows) + "\n"
