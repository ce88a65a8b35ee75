"""`layerfs explore` driven as its user does: keys and clicks in, lines of the screen out."""

from __future__ import annotations

import asyncio
import functools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from textual.events import MouseScrollDown, MouseScrollUp

from layerfs.stores.registry import Options, open_store
from layerfs_cli.explore.app import Explorer
from layerfs_cli.explore.explaining import explained
from layerfs_cli.explore.opening import open_stack
from layerfs_cli.main import cli

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from textual.pilot import Pilot

    from layerfs_cli.explore.keys import KeyMap
    from layerfs_cli.explore.opening import Stack
    from layerfs_cli.explore.place import Place
    from layerfs_cli.explore.watching import Watch

__all__ = ["Browser", "browse"]


class Browser:
    """One browser, and who sits before it."""

    def __init__(self, app: Explorer, pilot: Pilot[None]) -> None:
        """Drive `app`."""
        self.app = app
        self._pilot = pilot

    @property
    def place(self) -> Place:
        """The screen that is seen."""
        from layerfs_cli.explore.place import Place

        screen = self.app.screen
        assert isinstance(screen, Place)
        return screen

    async def settled(self) -> None:
        """Wait until all that was asked for is shown."""
        await self._pilot.pause()
        while self.app.reader.pending:
            await asyncio.sleep(0.005)
            await self._pilot.pause()
        await self._pilot.pause()

    async def press(self, *keys: str) -> None:
        """Press keys, each when the one before has done its work."""
        for key in keys:
            await self._pilot.press(key)
            await self.settled()

    async def press_only(self, key: str) -> None:
        """Press a key, and do not wait for what it asks for."""
        await self._pilot.press(key)

    async def pause(self) -> None:
        """Let the screen be drawn."""
        await self._pilot.pause(0.01)

    async def type(self, text: str) -> None:
        """Type a text, then Enter."""
        await self._pilot.press(*text, "enter")
        await self.settled()

    async def click(self, x: int, y: int, times: int = 1) -> None:
        """Click somewhere."""
        await self._pilot.click(offset=(x, y), times=times)
        await self.settled()

    async def scroll(self, x: int, y: int, *, up: bool = False) -> None:
        """Turn the wheel somewhere by one notch."""
        turned = MouseScrollUp if up else MouseScrollDown
        await self._pilot._post_mouse_events([turned], offset=(x, y))
        await self.settled()

    async def resize(self, width: int, height: int) -> None:
        """Make the terminal another size."""
        await self._pilot.resize_terminal(width, height)
        await self.settled()

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        strips = self.app.screen._compositor.render_strips()
        return [strip.text.rstrip() for strip in strips]

    @property
    def text(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines)

    def styles(self, text: str) -> list[object]:
        """The styles in which a text is on the screen."""
        strips = self.app.screen._compositor.render_strips()
        return [segment.style for strip in strips for segment in strip if text in segment.text]


def browse(
    root: Path | str,
    name: str | Stack | None,
    script: Callable[[Browser], Awaitable[None]],
    size: tuple[int, int] = (80, 24),
    *,
    watch: Watch | None = None,
    keymap: KeyMap | None = None,
) -> None:
    """Open a root, or something in it, and do what `script` does."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Browser]:
        store = open_store(str(root), Options())
        stack = open_stack(store, name) if isinstance(name, str) else name
        app = Explorer(
            store,
            stack,
            ["--root", str(root)],
            lambda: open_store(str(root), Options()),
            functools.partial(explained, cli.make_context("layerfs", ["--root", str(root), "images"])),
            watch,
            keymap,
        )
        async with app.run_test(size=size) as pilot:
            browser = Browser(app, pilot)
            await browser.settled()
            yield browser

    async def run() -> None:
        async with opened() as browser:
            await script(browser)

    asyncio.run(run())
