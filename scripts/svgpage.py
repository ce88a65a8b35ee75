"""Puts a screen that Textual drew as SVG on a page: without its frame, and with fonts of this host alone."""

from __future__ import annotations

import re
import sys
from pathlib import Path

FONT = re.compile(r"@font-face\s*{[^}]*}")
FRAME = re.compile(r'<g transform="translate\((?P<x>[0-9.]+), *(?P<y>[0-9.]+)\)" clip-path="[^"]*terminal')
CLIP = re.compile(
    r'<clipPath id="[^"]*clip-terminal">\s*<rect x="0" y="0" width="([0-9.]+)" height="([0-9.]+)"'
)


def main(svg: str, page: str) -> None:
    """Write the page; the part of the picture that is the terminal fills it."""
    drawn = FONT.sub("", Path(svg).read_text())
    frame, clip = FRAME.search(drawn), CLIP.search(drawn)
    if frame is None or clip is None:
        raise SystemExit("the picture is not as Rich draws it")
    box = f'viewBox="{frame["x"]} {frame["y"]} {clip[1]} {clip[2]}"'
    drawn = re.sub(r'viewBox="[^"]*"', box, drawn, count=1)
    style = "body{margin:0}svg{display:block;width:100vw}"
    Path(page).write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{drawn}")


if __name__ == "__main__":
    main(*sys.argv[1:])
