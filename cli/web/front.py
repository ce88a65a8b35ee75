"""The server of the page: two sockets on loopback, the files, and one session at a time."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from aiohttp import WSMsgType, web

from .files import POLICY, files
from .guard import NOTHING, SOCKET, Guard, Refused, new_secret
from .session import Session, Size, packet_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["GRACE", "Front", "serve"]

GRACE = 10.0
"""Seconds without a tab after which the server ends."""

_RELOAD = 4.0
"""Seconds that a new tab waits for the one before: a page that is loaded again is both."""

_BEAT = 6.0
"""Seconds between two signs of life that a tab is asked for."""

_FAREWELL = 2.0
"""Seconds that a tab has to answer when it is closed."""

_LONGEST = 1 << 16
"""Bytes of a message of a page."""

_TAKEN = (
    b"\x1b[H\r\n  Another tab shows this root already, and there is one at a time."
    b"\r\n  Close it, then reload this one.\r\n"
)


class Front:
    """Serves sessions of one command.

    Attributes:
        ended: set when there is nothing more to serve.
    """

    def __init__(self, command: Sequence[str], port: int, secret: str, grace: float = GRACE) -> None:
        """Start `command` for a tab; paths begin with `secret`; end `grace` seconds after the last tab."""
        self._command, self._grace = command, grace
        self._guard = Guard(port, secret)
        self._files = files()
        self._one = asyncio.Lock()
        self._closing: asyncio.TimerHandle | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self.ended = asyncio.Event()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        headers = request.headers
        try:
            hosts, origins = headers.getall("Host", []), headers.getall("Origin", [])
            name = self._guard.admit(request.method, request.raw_path, hosts, origins)
            if name == SOCKET:
                return await self._tab(request)
        except Refused as refused:
            return _refusal(refused)
        if name not in self._files:
            return _refusal(Refused(404, NOTHING))
        kind, data = self._files[name]
        return web.Response(body=data, headers={**POLICY, "Content-Type": kind})

    async def close(self) -> None:
        """Leave every tab."""
        for tab in list(self._sockets):
            await tab.close()
        async with self._one:  # the session has ended when this is free
            pass

    async def _tab(self, request: web.BaseRequest) -> web.StreamResponse:
        tab = web.WebSocketResponse(heartbeat=_BEAT, max_msg_size=_LONGEST, compress=False, timeout=_FAREWELL)
        tab.headers.update(POLICY)
        if not tab.can_prepare(request):
            raise Refused(400, "this is the address of a socket")
        await tab.prepare(request)
        self._sockets.add(tab)
        try:
            async with asyncio.timeout(_RELOAD):
                await self._one.acquire()
        except TimeoutError:
            await tab.send_bytes(_TAKEN)
            await tab.close()
        else:
            await self._serve(tab, _size(request.raw_path))
        finally:
            self._sockets.discard(tab)
        return tab

    async def _serve(self, tab: web.WebSocketResponse, size: Size) -> None:
        """Serve the one tab, until it or its process ends."""
        if self._closing:
            self._closing.cancel()
        left = True
        if self.ended.is_set():
            self._one.release()
            return
        try:
            async with Session(self._command, size) as session:
                shown = asyncio.create_task(session.show(_writer(tab)))
                heard = asyncio.create_task(_hear(tab, session))
                await asyncio.wait({shown, heard}, return_when=asyncio.FIRST_COMPLETED)
                left = not shown.done()
                for task in (shown, heard):
                    task.cancel()
                await asyncio.gather(shown, heard, return_exceptions=True)
        finally:
            self._one.release()
            if left:
                self._closing = asyncio.get_running_loop().call_later(self._grace, self.ended.set)
            else:
                await tab.close()
                self.ended.set()


def _refusal(refused: Refused) -> web.Response:
    return web.Response(status=refused.status, text=f"{refused}\n", headers=POLICY)


def _size(target: str) -> Size:
    asked = parse_qs(target.partition("?")[2])
    return Size.of(*(asked.get(name, [""])[0] for name in Size._fields))


def _writer(tab: web.WebSocketResponse) -> Callable[[bytes], Awaitable[None]]:
    async def write(drawn: bytes) -> None:
        with suppress(ConnectionError):  # that it is closed, `_hear` finds out
            await tab.send_bytes(drawn)

    return write


async def _hear(tab: web.WebSocketResponse, session: Session) -> None:
    """Give all that the page says to the session, until the tab is closed."""
    async for message in tab:
        packet = packet_of(message.data) if message.type is WSMsgType.TEXT else None
        if packet:
            await session.send(packet)


def _loopback() -> list[socket.socket]:
    """Listening sockets of a free port: of 127.0.0.1, and of ::1 where this machine has that."""
    while True:
        four = socket.create_server(("127.0.0.1", 0))
        try:
            six = socket.create_server(("::1", four.getsockname()[1]), family=socket.AF_INET6)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return [four]
            four.close()
        else:
            return [four, six]


async def serve(command: Sequence[str], say: Callable[[str], None], grace: float = GRACE) -> int:
    """Serve `command` until its tab is closed, its user quits, or a signal comes; the exit code.

    Args:
        command: the words of the process that a tab shows.
        say: is told the address, once.
        grace: seconds without a tab after which it ends.

    Raises:
        OSError: the host refuses a socket.
    """
    secret = new_secret()
    sockets = _loopback()
    port = sockets[0].getsockname()[1]
    front = Front(command, port, secret, grace)
    code = 0

    def stop(number: int) -> None:
        nonlocal code
        code = 0 if number == signal.SIGINT else 128 + number
        front.ended.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    # whoever reaches the port may send nonsense: it is refused, and nothing of it comes to the terminal
    silent = logging.getLogger("aiohttp.layerfs")
    silent.setLevel(logging.CRITICAL + 1)
    server = web.Server(front.answer, access_log=None, logger=silent)
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    try:
        for listening in sockets:
            await web.SockSite(runner, listening).start()
        say(f"http://127.0.0.1:{port}/{secret}/")
        await front.ended.wait()
        await front.close()
    finally:
        await runner.cleanup()
    return code
