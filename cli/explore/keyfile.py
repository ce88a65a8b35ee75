"""Keys of one's own: a file in TOML that says which keys an action has, instead of those of the table.

    [keys]
    copy_out = ["ctrl+x"]
    down = ["down", "j", "ctrl+n"]

Knows no Textual.
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any

from layerfs.errors import reason

from . import keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BadKeyFile", "key_file", "keys_of_user"]

FIXED = ("quit", "suspend")
"""Actions whose keys are also taken while something is typed: they are not given away."""

_NAMES = {"ctrl+": "Ctrl+", "pageup": "PgUp", "pagedown": "PgDn", "escape": "Esc"}


class BadKeyFile(ValueError):
    """The file says what cannot be; the message says where."""


def key_file(environ: Mapping[str, str]) -> str:
    """Where the file of the user is."""
    base = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(base, "layerfs", "explore.toml")


def keys_of_user(path: str) -> Sequence[keys.Key]:
    """The table with the keys of a file; the table itself where there is no file.

    Raises:
        BadKeyFile: it is not read, or says what cannot be.
    """
    try:
        with open(path, "rb") as file:
            said = tomllib.load(file)
    except FileNotFoundError:
        return keys.KEYS
    except OSError as error:
        raise BadKeyFile(reason(error)) from None
    except ValueError as error:
        raise BadKeyFile(f"{path}: {error}") from None
    chosen = said.pop("keys", {})
    if said or not isinstance(chosen, dict):
        raise BadKeyFile(f"{path}: only a table [keys] is known")
    try:
        return _changed(chosen)
    except BadKeyFile as error:
        raise BadKeyFile(f"{path}: {error}") from None


def _changed(chosen: Mapping[str, Any]) -> Sequence[keys.Key]:
    rows = {row.action: row for row in keys.KEYS}
    for action, pressed in chosen.items():
        row = rows.get(action)
        if row is None or action in FIXED:
            others = ", ".join(name for name in rows if name not in FIXED)
            raise BadKeyFile(f"{action}: no action that can be given keys; those are {others}")
        if not isinstance(pressed, list) or not pressed or not all(map(_is_key, pressed)):
            raise BadKeyFile(f'{action}: write a list of keys, as ["ctrl+x", "X"]')
        rows[action] = row._replace(keys=tuple(pressed), shown=" ".join(map(_shown, pressed)))
    for pane in keys.PANES:
        seen: dict[str, str] = {}
        for row in rows.values():
            for key in row.keys if pane in row.panes else ():
                if key in seen:
                    both = f"{seen[key]} and {row.action}"
                    raise BadKeyFile(f"{key} is a key of both {both} in the pane {pane}")
                seen[key] = row.action
    return tuple(rows.values())


def _is_key(key: object) -> bool:
    return isinstance(key, str) and key.isprintable() and key.strip() == key != ""


def _shown(key: str) -> str:
    """A key as people write it."""
    if len(key) == 1:
        return key
    begin, _, last = key.rpartition("+")
    name = _NAMES.get(last, last.capitalize() if len(last) > 1 else last.upper())
    return f"{begin.replace('ctrl', 'Ctrl').replace('shift', 'Shift')}+{name}" if begin else name
