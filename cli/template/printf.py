"""How Go's `fmt` writes values: `%v`, and the verbs of `printf`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["go_struct", "go_text", "printf"]

_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d*))?(.)", re.DOTALL)
_QUOTED = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", "\\": "\\", '"': '"'}


def go_text(value: Any) -> str:
    """A value as %v writes it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if (text := getattr(value, "go_text", None)) is not None:
        return str(text)
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    return str(value)


def printf(form: str, *values: Any) -> str:
    """Go's Sprintf, with its error texts such as `%!d(string=x)`."""
    rest = list(values)

    def replace(match: re.Match[str]) -> str:
        verb = match[4]
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        return _format(verb, rest.pop(0), match[1], match[2], match[3])

    text = _VERB.sub(replace, form)
    if rest:
        text += f"%!(EXTRA {', '.join(f'{_kind(value)}={go_text(value)}' for value in rest)})"
    return text


def _format(verb: str, value: Any, flags: str, width: str, precision: str | None) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if verb in "dxXob" and type(value) is int:
        text = format(value, ("+" if "+" in flags else "") + verb)
    elif verb in "eEfFgG" and isinstance(value, float):
        text = format(
            value, f"{'+' if '+' in flags else ''}.{precision or (0 if precision == '' else 6)}{verb}"
        )
    elif verb in "xX" and isinstance(value, str):
        text = value.encode("utf-8", "surrogateescape").hex()
        text = text.upper() if verb == "X" else text
    elif verb == "q" and isinstance(value, list):
        text = "[" + " ".join(_format("q", item, "", "", None) for item in value) + "]"
    elif verb == "q" and isinstance(value, str):
        text = _quote(value)
    elif verb == "v" or (verb == "s" and not number and not isinstance(value, bool) and value is not None):
        text = go_struct(value, named="+" in flags)
        text = text[: int(precision or 0)] if precision is not None and isinstance(value, str) else text
    elif verb == "t" and isinstance(value, bool):
        text = go_text(value)
    else:
        return f"%!{verb}({_kind(value)}{'' if value is None else '=' + go_text(value)})"
    if "-" in flags:
        return text.ljust(int(width or 0))
    return text.zfill(int(width or 0)) if "0" in flags and number else text.rjust(int(width or 0))


def go_struct(value: Any, *, named: bool = False) -> str:
    """As `go_text`; a pointer to a struct begins with `&`; `named` adds the names of fields, as %+v."""
    words = getattr(value, "words", None)
    text = words(named=named) if words else None
    return go_text(value) if text is None else ("&" if value.is_pointer else "") + str(text)


def _kind(value: Any) -> str:
    """The name of a value's type in Go, as far as it is known here."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, float):
        return "float64"
    if isinstance(value, int):
        return "int"
    if isinstance(value, list):
        return "[]string" if all(isinstance(item, str) for item in value) else "[]interface {}"
    return "string" if isinstance(value, str) else "map[string]interface {}"


def _quote(text: str) -> str:
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(char: str) -> str:
    if char in _QUOTED:
        return "\\" + _QUOTED[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80 or 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
