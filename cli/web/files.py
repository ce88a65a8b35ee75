"""The files of the page, by an exact list of names: three of ours, three of the package textual-serve.

All are read when the server starts, so no request leads to a path of the host.
"""

from __future__ import annotations

import importlib.util
from importlib import resources
from typing import NamedTuple

__all__ = ["POLICY", "File", "files"]

_SCRIPT = "text/javascript; charset=utf-8"
_STYLE = "text/css; charset=utf-8"

_OURS = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", _STYLE),
    "page.js": ("page.js", _SCRIPT),
}
_THEIRS = {
    "textual.js": ("static/js/textual.js", _SCRIPT),
    "xterm.css": ("static/css/xterm.css", _STYLE),
    "mono.ttf": ("static/fonts/RobotoMono-VariableFont_wght.ttf", "font/ttf"),
}

_CONTENT = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",  # the terminal of textual-serve makes styles as it runs
    "font-src 'self'",
    "img-src data:",  # that there is no icon
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    # without allow-popups: a text of an image that looks like a link opens no window
    "sandbox allow-scripts allow-same-origin",
)
POLICY = {
    "Content-Security-Policy": "; ".join(_CONTENT),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "clipboard-read=(), camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
    "Server": "layerfs",
}
"""Headers of every answer, also of a refusal."""


class File(NamedTuple):
    """What one name answers with.

    Attributes:
        kind: its media type.
        data: its bytes.
    """

    kind: str
    data: bytes


def files() -> dict[str, File]:
    """Each file by the name that a request has for it; "" is the page.

    Raises:
        OSError: the package textual-serve lacks one.
    """
    found = {}
    ours = resources.files(__package__)
    for name, (path, kind) in _OURS.items():
        found[name] = File(kind, ours.joinpath(path).read_bytes())
    spec = importlib.util.find_spec("textual_serve")
    top = spec.submodule_search_locations[0] if spec and spec.submodule_search_locations else ""
    for name, (path, kind) in _THEIRS.items():
        with open(f"{top}/{path}", "rb") as file:
            found[name] = File(kind, file.read())
    return found
