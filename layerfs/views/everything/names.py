"""Names of things as names of directories, and back: percent-encoding, byte by byte.

`/` of a repository is a directory, so what is encoded here is one component. Letters, digits and `._+,=@-`
stay; a dot or a dash in front does not, so no name is hidden, an option, or `..`.
"""

from __future__ import annotations

import hashlib
import os
import re
from urllib.parse import unquote_to_bytes

__all__ = ["COLON", "as_bytes", "component", "original"]

COLON = "%3A"
"""A colon: what stands in front of a name whose own place is taken."""

_KEPT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+,=@-")
_NOT_FIRST = frozenset(b".-")
_MOST = 255  # bytes of a name (NAME_MAX)
_BEGINNING = 200
_DIGITS = 12
_AS_IT_IS = re.compile("[A-Za-z0-9_+,=@][A-Za-z0-9._+,=@-]*").fullmatch  # as most names
_CUT_ESCAPE = re.compile("%[0-9A-F]?$")


def as_bytes(name: str) -> bytes:
    """A name as a host writes it; half of a surrogate pair, which no host can write, as its three bytes."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        return name.encode(errors="surrogatepass")


def component(name: str) -> str:
    """The name of the directory of `name`, in ASCII; if it is too long or empty, cut and with a digest."""
    if len(name) <= _MOST and _AS_IT_IS(name):
        return name
    raw = as_bytes(name)
    encoded = "".join(
        chr(byte) if byte in _KEPT and (index or byte not in _NOT_FIRST) else f"%{byte:02X}"
        for index, byte in enumerate(raw)
    )
    if 0 < len(encoded) <= _MOST:
        return encoded
    digest = hashlib.sha256(raw).hexdigest()[:_DIGITS]
    return f"{_CUT_ESCAPE.sub('', encoded[:_BEGINNING])}%~{digest}"


def original(encoded: str) -> str | None:
    """The name that a directory's name means; None for one that was cut."""
    return None if "%~" in encoded else os.fsdecode(unquote_to_bytes(encoded))
