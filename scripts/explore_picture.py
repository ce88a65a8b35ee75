"""Makes a picture of `layerfs explore`: explore_picture.py ROOT OUT.svg [NAME [KEY...]]."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from layerfs.stores.registry import Options, open_store
from layerfs_cli.explore.app import Explorer
from layerfs_cli.explore.opening import open_stack

__all__ = ["screenshot"]

KEYS = ("down", "tab", "j", "j", "j", "m", "j", "k")
"""To a deleted file of the recorded image; the directory that it was in is marked."""


def screenshot(
    root: str, name: str = "demo", keys: tuple[str, ...] = KEYS, size: tuple[int, int] = (100, 18)
) -> str:
    """The screen after some keys, as an SVG that asks for nothing outside of it."""

    async def shown() -> str:
        store = open_store(root, Options())
        app = Explorer(store, open_stack(store, name), (), lambda: store, lambda _stack, _path, _columns: ())
        async with app.run_test(size=size) as pilot:
            for key in (None, *keys):
                if key:
                    await pilot.press(key)
                await pilot.pause(0.1)
                while app.reader.pending:
                    await pilot.pause(0.05)
            return app.export_screenshot(title=f"layerfs explore {name}")

    picture = re.sub(r"@font-face\s*{[^}]*}", "", asyncio.run(shown()))
    return picture.replace("Fira Code", "DejaVu Sans Mono")


if __name__ == "__main__":
    _, place, target, *more = sys.argv
    Path(target).write_text(screenshot(place, *more[:1], *([tuple(more[1:])] if more[1:] else [])))
