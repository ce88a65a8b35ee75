"""One browser tab's `layerfs explore`: a process of its own, and the packets it exchanges with the page.

A packet is a letter (D: what a terminal would carry, M: JSON about it), four bytes of length, big-endian,
and so many bytes. The process begins with the line `__GANGLION__`. The page sends JSON: a list of a word and
a value.

Source: textual 8.2, drivers/web_driver.py; textual-serve 1.1, app_service.py and server.py.
"""

from __future__ import annotations

import asyncio
import json
import os
from asyncio.subprocess import PIPE
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Self

__all__ = ["DRIVER", "Session", "Size", "environment", "packet_of"]

DRIVER = "layerfs_cli.explore.webdriver:Driver"
"""The value of TEXTUAL_DRIVER of such a process."""

_BEGIN = b"__GANGLION__\n"
_PATIENCE = 3.0
"""Seconds that the process has to end when it is asked to."""

_KEPT = {
    *("HOME", "LD_LIBRARY_PATH", "NO_COLOR", "PATH", "PYTHONHOME", "PYTHONPATH", "TMPDIR", "TZ"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
}
_LONGEST = 1 << 16
_LARGEST = 1000
"""Columns and rows at most."""


class Size(NamedTuple):
    """Columns and rows of a terminal."""

    width: int = 80
    height: int = 24

    @classmethod
    def of(cls, width: object, height: object) -> Size:
        """What a page asks for, within limits; the usual size for what is no number."""
        asked = []
        for value, usual in zip((width, height), cls(), strict=True):
            text = str(value)
            number = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else usual
            asked.append(min(max(number, 1), _LARGEST))
        return cls(*asked)


def environment(environ: Mapping[str, str], size: Size) -> dict[str, str]:
    """The environment of such a process: what ours found files by, and what makes it speak packets.

    A browser shows every letter, so its locale is UTF-8.
    """
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith("LAYERFS_")}
    return kept | {
        "LC_ALL": "C.UTF-8",
        "TEXTUAL_DRIVER": DRIVER,
        "TEXTUAL_COLOR_SYSTEM": "truecolor",
        "COLUMNS": str(size.width),
        "ROWS": str(size.height),
    }


def _packet(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload


def _meta(**values: object) -> bytes:
    return _packet(b"M", json.dumps(values).encode())


def packet_of(text: str) -> bytes | None:
    """The packet for a message of the page; None for what means nothing."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match message:
        case ["stdin", str(typed)]:
            return _packet(b"D", typed.encode(errors="replace"))
        case ["resize", {"width": int(width), "height": int(height)}]:
            size = Size.of(width, height)
            return _meta(type="resize", width=size.width, height=size.height)
        case ["blur" | "focus" as word]:
            return _meta(type=word)
        case _:
            return None


class Session:
    """A running process; `async with` ends it."""

    def __init__(self, command: Sequence[str], size: Size) -> None:
        """Of `command`, which is started by its words, and by no shell."""
        self._command, self._size = command, size
        self._process: Process

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            env=environment(os.environ, self._size),
            start_new_session=True,  # Ctrl-C of the terminal is ours, and we end it
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.send(_meta(type="quit"))
        assert self._process.stdin  # noqa: S101 - as it was started
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                while await self._out.read(_LONGEST):  # it may be writing
                    pass
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def send(self, packet: bytes) -> None:
        """Send a packet to it; nothing if it has ended."""
        assert self._process.stdin  # noqa: S101 - as it was started
        with suppress(ConnectionError, RuntimeError):
            self._process.stdin.write(packet)
            await self._process.stdin.drain()

    async def show(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Give all that it draws to `write`, until it ends."""
        out = self._out
        with suppress(asyncio.IncompleteReadError):
            while await out.readuntil(b"\n") != _BEGIN:
                pass
            while True:
                head = await out.readexactly(5)
                payload = await out.readexactly(int.from_bytes(head[1:], "big"))
                if head[:1] == b"D":
                    await write(payload)

    @property
    def _out(self) -> asyncio.StreamReader:
        assert self._process.stdout  # noqa: S101 - as it was started
        return self._process.stdout
