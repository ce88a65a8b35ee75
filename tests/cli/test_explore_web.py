"""`layerfs explore --web`: who is answered, what a tab gets, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest
from rich.color import Color

from layerfs_cli.explore.app import Explorer
from layerfs_cli.explore.keys import KEYS
from layerfs_cli.explore.theme import PALETTE, STYLES
from layerfs_cli.web.files import POLICY, files
from layerfs_cli.web.front import serve
from layerfs_cli.web.guard import Guard, Refused
from layerfs_cli.web.session import Size, environment, packet_of
from tests.support.browser import browsing
from tests.support.browsing import Browser, browse
from tests.support.command import layerfs
from tests.support.processes import is_readable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

LAYERFS = Path(sys.executable).with_name("layerfs")
FIRST_LINE = b"bin"


class Server(NamedTuple):
    """A running `explore --web`."""

    process: subprocess.Popen[str]
    port: int
    secret: str
    said: str

    @property
    def address(self) -> str:
        """That of the page."""
        return f"http://127.0.0.1:{self.port}/{self.secret}/"

    @property
    def children(self) -> list[str]:
        """The processes that it has started."""
        number = self.process.pid
        return Path(f"/proc/{number}/task/{number}/children").read_text().split()

    def ask(self, target: str, *headers: str, method: str = "GET", at: str = "127.0.0.1") -> tuple[int, str]:
        """The status of the answer to a request that is sent as it is, its headers and its text."""
        with socket.create_connection((at, self.port), timeout=20) as to:
            lines = [f"{method} {target} HTTP/1.1", *headers, "", ""]
            to.sendall("\r\n".join(lines).encode())
            answer = http.client.HTTPResponse(to, method=method)
            answer.begin()
            text = str(answer.headers) + (
                "" if answer.status == 101 else answer.read().decode(errors="replace")
            )
        return answer.status, text


@contextmanager
def serving(root: Path, cwd: Path) -> Iterator[Server]:
    """The command, run in a directory that also has modules of somebody else, and a variable of theirs."""
    (cwd / "textual.py").write_text("raise SystemExit('a module of the current directory')")
    (cwd / "layerfs").mkdir(exist_ok=True)
    (cwd / "layerfs/__init__.py").write_text("raise SystemExit('a module of the current directory')")
    environ = {**os.environ, "SOMEBODYS": "word", "TEXTUAL": "debug"}
    with subprocess.Popen(
        [LAYERFS, "--root", root, "explore", "--web", "demo"],
        cwd=cwd,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            address, said = process.stdout.readline(), process.stdout.readline()
            found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([0-9a-f]{32})/\n", address)
            assert found, address
            yield Server(process, int(found[1]), found[2], said)
        finally:
            process.terminate()


@asynccontextmanager
async def tab(address: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The socket of a page, opened as a browser does."""
    origin = address[: address.index("/", 8)]
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{address}socket?width=100&height=30", origin=origin) as opened,
    ):
        yield opened


async def seen(opened: aiohttp.ClientWebSocketResponse, text: bytes) -> bytes:
    """All that is drawn until a text is."""
    drawn = b""
    while text not in drawn:
        drawn += await opened.receive_bytes(timeout=60)
    return drawn


def started_with(process: str) -> tuple[list[str], set[str]]:
    """The words of a process, and the names of its environment."""
    top = Path("/proc", process)
    words, values = (top.joinpath(name).read_text().split("\0")[:-1] for name in ("cmdline", "environ"))
    return words, {value.partition("=")[0] for value in values}


@pytest.fixture(scope="module")
def server(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all that is refused, and one session."""
    with serving(dataroot_path, tmp_path_factory.mktemp("cwd")) as found:
        yield found


# -- who is answered -------------------------------------------------------------------------------


def test_only_loopback(server: Server, dataroot_path: Path) -> None:
    """It listens at 127.0.0.1 and ::1, and nowhere else; what it says names the root, and who sees it."""
    listening = {
        line.split()[1].rpartition(":")[0]
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{server.port:04X}") and line.split()[3] == "0A"
    }
    assert "0100007F" in listening
    assert listening <= {"0100007F", "0" * 24 + "01000000"}
    with pytest.raises(OSError, match="refused"):
        server.ask("/", at="127.0.0.2")
    assert "Whoever has this address sees" in server.said
    assert str(dataroot_path) in server.said


def test_what_is_refused(server: Server) -> None:
    """Wrong secrets, other names of the host, other origins, other paths: no page, no socket, no process."""
    own = f"127.0.0.1:{server.port}"
    page, host = f"/{server.secret}/", f"Host: {own}"
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    upgrade += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    other = server.secret[:-1] + ("0" if server.secret[-1] != "0" else "1")
    hosts = ["evil.example", "127.0.0.1", "localhost:1", f"{own}.evil.example", ""]
    hosts += [f"{name}:{server.port}" for name in ("evil.example", "127.0.0.2", "10.0.0.1")]
    origins = ["http://evil.example", "null", f"https://{own}", f"http://localhost:{server.port}"]
    origins += ["http://127.0.0.1", f"http://{own}.evil.example", ""]
    guesses = ["", other, server.secret[:-1], server.secret + "0", server.secret.upper() + "A", "%00", "ä"]
    for name in ("", "socket", "textual.js"):
        for bad in hosts:
            assert server.ask(page + name, f"Host: {bad}", *upgrade)[0] in (400, 403), bad
        for bad in origins:
            assert server.ask(page + name, host, f"Origin: {bad}", *upgrade)[0] == 403, bad
        for bad in guesses:
            assert server.ask(f"/{bad}/{name}", host, f"Origin: http://{own}", *upgrade)[0] in (400, 404), bad
        assert server.ask(page + name, *upgrade)[0] in (400, 403)
        assert server.ask(page + name, host, "Host: evil.example", *upgrade)[0] in (400, 403)
        assert server.ask(f"http://evil.example{page}{name}", host, *upgrade)[0] in (403, 404)
    assert server.ask(page + "socket", host, *upgrade)[0] == 403
    assert server.ask(page + "socket", host, f"Origin: http://{own}")[0] == 400
    for method in ("POST", "HEAD", "PUT", "OPTIONS"):
        assert server.ask(page, host, method=method)[0] == 405
    paths = ["../", "static/", "static/../", "..%2f", "%2e%2e/guard.py", "front.py", "/etc/passwd", "./", "/"]
    paths += [
        "textual.js/",
        "textual.js/..",
        "page.css%00",
        "css/xterm.css",
        "download/x",
        "\\",
        "session.py",
    ]
    for path in paths:
        code, text = server.ask(page + path, host)
        assert (code, text.partition("\n\n")[2]) == (404, "nothing is here\n"), path
    assert server.ask(f"/{server.secret}", host)[0] == 404
    assert server.ask("/", host)[0] == 404
    assert not server.children


def test_what_is_served(server: Server) -> None:
    """The page and all that it refers to, for each name of this machine; nothing is from elsewhere."""
    hosts = [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "localhost")]
    if Path("/proc/net/if_inet6").exists():
        hosts.append(("::1", "[::1]"))
    texts = {}
    for at, name in hosts:
        for file in files():
            host = f"{name}:{server.port}"
            target = f"/{server.secret}/{file}"
            code, texts[file] = server.ask(target, f"Host: {host}", f"Origin: http://{host}", at=at)
            assert code == 200
            head = texts[file].partition("\n\n")[0]
            assert all(f"{header}: {value}" in head for header, value in POLICY.items())
    asked = re.findall(r"""(?:href|src)=["']([^"']+)|url\(["']?([^"')]+)""", texts[""] + texts["page.css"])
    names = {first or second for first, second in asked} - {"data:,"}
    assert names == set(files()) - {""}
    assert server.secret not in texts[""]
    assert "no-referrer" in texts[""]


def test_a_secret_is_long_and_new() -> None:
    """128 bits, another one each time; the guard takes no other, whatever text it is."""
    from layerfs_cli.web.guard import new_secret

    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(len(bytes.fromhex(secret)) == 16 for secret in secrets)
    guard, host = Guard(80, "5" * 32), ["127.0.0.1:80"]
    assert guard.admit("GET", f"/{'5' * 32}/socket?width=1", host, ["http://127.0.0.1:80"]) == "socket"
    for target in (
        "",
        "/",
        "//",
        "5" * 32,
        f"/{'5' * 32}",
        f"//{'5' * 32}/",
        f"/{'5' * 31}\udcff/",
        "/\ud800/",
        "*",
    ):
        with pytest.raises(Refused):
            guard.admit("GET", target, host, [])


# -- what a tab gets -------------------------------------------------------------------------------


def test_one_tab_at_a_time(server: Server, dataroot_path: Path) -> None:
    """A tab shows the tree; a second is told so; nonsense is no key; q ends the server, and its process."""

    async def script() -> None:
        async with tab(server.address) as first:
            await seen(first, FIRST_LINE)
            (child,) = server.children
            words, names = started_with(child)
            assert words[1:] == ["-P", "-m", "layerfs", "--root", str(dataroot_path), "explore", "--", "demo"]
            assert names >= {"TEXTUAL_DRIVER", "PATH"}
            assert not names & {"SOMEBODYS", "TEXTUAL", "TERM"}
            async with tab(server.address) as second:
                assert b"Another tab shows this root already" in await second.receive_bytes(timeout=60)
                assert (await second.receive(timeout=60)).type is aiohttp.WSMsgType.CLOSE
            assert server.children == [child]
            for nonsense in (
                "",
                "[",
                "[" * 60000,
                '["stdin"]',
                '["quit"]',
                '{"a": 1}',
                '["resize", {"width": "x"}]',
            ):
                await first.send_str(nonsense)
            await first.send_bytes(b"M\0\0\0\x02{}")
            await first.send_str(json.dumps(["resize", {"width": 60, "height": 20}]))
            await first.send_str(json.dumps(["stdin", "\t?"]))
            await seen(first, b"keys of the tree")
            await first.send_str(json.dumps(["stdin", "q\x03"]))
            while (await first.receive(timeout=60)).type is aiohttp.WSMsgType.BINARY:
                pass
            assert first.closed
        assert await asyncio.to_thread(server.process.wait, 30) == 0
        assert not os.path.exists(f"/proc/{child}")  # noqa: ASYNC240 - no disk

    asyncio.run(script())


def test_it_ends_with_its_tab_or_a_signal(dataroot_path: Path) -> None:
    """A tab that is loaded again finds the server; one that stays away does not, nor one after Ctrl-C."""
    command = [sys.executable, "-P", "-m", "layerfs", "--root", str(dataroot_path), "explore"]

    async def script() -> None:
        told: asyncio.Queue[str] = asyncio.Queue()
        running = asyncio.create_task(serve(command, told.put_nowait, grace=1.0))
        address = await told.get()
        for _ in range(2):
            async with tab(address) as opened:
                await opened.receive_bytes(timeout=60)
        assert not running.done()
        assert await running == 0
        for number, code in ((signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)):
            running = asyncio.create_task(serve(command, told.put_nowait))
            await told.get()
            os.kill(os.getpid(), number)
            assert await running == code

    asyncio.run(script())


@pytest.mark.root
@pytest.mark.chromium
def test_in_a_browser(dataroot_path: Path, tmp_path: Path) -> None:
    """A browser shows the tree, takes a key, asks nobody else, opens no window; killed, nothing stays."""
    (tmp_path / "cwd").mkdir()
    with serving(dataroot_path, tmp_path / "cwd") as server, browsing(tmp_path / "profile") as browser:

        def drawn(text: bytes) -> None:
            seen = b""
            while text not in seen:
                frame: dict[str, Any] = browser.event("Network.webSocketFrameReceived")["response"]
                seen += base64.b64decode(frame["payloadData"])

        browser.open(server.address, width=360, height=740)
        drawn(FIRST_LINE)
        before = browser.picture()
        browser.press("W")
        drawn(b"> waste")
        assert browser.picture() != before
        assert browser.tell("String(window.open('about:blank'))") == "null"
        asked = {event["request"]["url"] for event in browser.taken("Network.requestWillBeSent")}
        assert asked <= {server.address + name for name in files()}
        assert not browser.taken("Runtime.exceptionThrown")
        (child,) = server.children
        handle = os.pidfd_open(int(child))
        server.process.kill()
        server.process.wait(30)
        assert is_readable(handle, 60)  # it has ended
        os.close(handle)


# -- the parts -------------------------------------------------------------------------------------


def test_messages_of_a_page() -> None:
    """Keys and sizes become packets; a size has limits; all else is nothing."""
    assert packet_of('["stdin", "\\u00e9\\ud800"]') == b"D\0\0\0\x03\xc3\xa9?"
    packet = packet_of('["resize", {"width": 1000000, "height": -5}]')
    assert packet is not None
    assert json.loads(packet[5:]) == {"type": "resize", "width": 1000, "height": 24}
    assert int.from_bytes(packet[1:5], "big") == len(packet) - 5
    for text in ("", "null", "[]", '["meta", {}]', '["stdin", 1]', '["deliver_chunk_request", {"key": "x"}]'):
        assert packet_of(text) is None
    assert Size.of("x", "") == Size() == Size.of("9" * 9, "²")
    assert Size.of("0", []) == (1, 24)


def test_environment_of_a_tab() -> None:
    """What chooses files and stores is kept; what would change Textual or the screen is not."""
    kept = {"HOME": "/h", "LAYERFS_ROOT": "/r", "NO_COLOR": "1", "XDG_CONFIG_HOME": "/c"}
    lost = {
        "PYTHONSTARTUP": "x",
        "TEXTUAL_LOG": "x",
        "TERM": "linux",
        "LANG": "C",
        "TEXTUAL_DRIVER": "x",
        "LD_PRELOAD": "x",
    }
    found = environment(kept | lost, Size(7, 9))
    assert found.items() >= (kept | {"COLUMNS": "7", "ROWS": "9"}).items()
    assert not found.items() & lost.items()
    assert set(found) - set(kept) == {"LC_ALL", "TEXTUAL_DRIVER", "TEXTUAL_COLOR_SYSTEM", "COLUMNS", "ROWS"}


def test_letters_can_be_read_on_the_colours_of_a_page() -> None:
    """Letters on the page's own yellow and cyan have a contrast of 4.5 at least, as WCAG 2 computes it."""

    def luminance(name: str) -> float:
        parts = [int(PALETTE[name][1][at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    checked = 0
    for style in STYLES.values():
        if style.color and style.bgcolor and {style.color.name, style.bgcolor.name} <= set(PALETTE):
            dark, light = sorted((luminance(style.color.name), luminance(style.bgcolor.name)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5
            checked += 1
    assert checked
    for name, (number, _) in PALETTE.items():
        assert Color.parse(name).number == number


def test_keys_that_belong_to_a_web_browser() -> None:
    """Ctrl+W and Ctrl+T close and open tabs: they are keys of nothing here."""
    assert not {"ctrl+w", "ctrl+t", "ctrl+n"} & {pressed for key in KEYS for pressed in key.keys}


def test_nothing_is_copied_out(dataroot_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a page, no file of the host is written: it says what to use instead."""

    async def script(at: Browser) -> None:
        await at.press("tab", "m")
        monkeypatch.setattr(Explorer, "is_web", True)
        await at.press("ctrl+e")
        assert "not from a web browser: layerfs cp copies" in at.text

    browse(dataroot_path, "demo", script, (120, 24))


def test_what_keeps_it_from_starting(dataroot_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong name is told at once; so is what is not installed, with what installs it."""
    assert layerfs(dataroot_path, "explore", "--web", "no-such").code == 3
    for done in (
        layerfs("-", "explore", "--web"),
        layerfs(dataroot_path, "explore", "--web", "docker-archive:-"),
    ):
        assert (done.code, "cannot read standard input" in done.stderr) == (2, True)
    find = importlib.util.find_spec
    for name, said in (("aiohttp", "aiohttp"), ("textual_serve", "textual-serve"), ("textual", "Textual")):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda asked, *_, lost=name: None if asked == lost else find(asked)
        )
        done = layerfs(dataroot_path, "explore", "--web")
        assert done.code == 2
        assert f"{said}, not installed: pip install 'layerfs[web]'" in done.stderr
