"""A real browser, headless and without a network: it opens a file, and tells all that the page makes it do.

The protocol is Chromium's own (https://chromedevtools.github.io/devtools-protocol/), over two pipes.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.capabilities import in_own_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Browser", "browsing", "program"]

_QUIET = (
    "Inspector.", "Target.", "Page.", "Runtime.executionContext", "Network.response", "Network.loading",
    "Network.data", "Network.policyUpdated", "Network.resourceChangedPriority",
)  # fmt: skip
"""Events that every page brings."""


def program() -> list[str]:
    """The browser's command line."""
    return [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-extensions",
        "--proxy-server=127.0.0.1:9", "--remote-debugging-pipe", "about:blank",
    ]  # fmt: skip


class Browser:
    """One tab of a running browser."""

    def __init__(self, commands: int, answers: int) -> None:
        """Speak through two descriptors."""
        self._commands, self._answers = commands, answers
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; its result. Events meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while (answer := self._next()).get("id") != self._number:
            self._events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, page: Path | str, *, width: int = 1280, height: int = 800, scripts: bool = True) -> None:
        """Open a file, or an address, in a window of this size, and wait until it is loaded."""
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self._events.clear()
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._events.append(self._next())

    def event(self, method: str) -> dict[str, Any]:
        """The parameters of the next event of this kind, which is taken; waits for it."""
        while True:
            for number, event in enumerate(self._events):
                if event.get("method") == method:
                    found: dict[str, Any] = self._events.pop(number)["params"]
                    return found
            self._events.append(self._next())

    def taken(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all events of this kind that have come so far."""
        self.tell("0")
        return [event["params"] for event in self._events if event.get("method") == method]

    def picture(self) -> bytes:
        """What the window shows, as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def press(self, key: str) -> None:
        """Press and release a key that types one letter."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=ord(key.upper()), **text
            )

    def tell(self, expression: str) -> Any:
        """The value of an expression in the page."""
        done = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(done["exceptionDetails"])
        return done["result"].get("value")

    def prefer(self, **features: str) -> None:
        """Set media features, as `prefers_color_scheme="dark"`."""
        chosen = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", features=chosen)

    def printed(self) -> bytes:
        """The page as a PDF."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def noticed(self, page: Path) -> list[str]:
        """What the page did besides being shown: requests, messages, dialogs, breaches of its policy."""
        self.tell("0")  # events so far have come
        found = []
        for event in self._events:
            method, parameters = event.get("method", ""), event.get("params", {})
            if method == "Network.requestWillBeSent":
                if parameters["request"]["url"].partition("#")[0] != page.as_uri():
                    found.append(f"request: {parameters['request']['url']}")
            elif method == "Page.javascriptDialogOpening" or not method.startswith(_QUIET):
                found.append(json.dumps(event)[:500])
        return found

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._answers, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser with a new profile; it ends with the block."""
    theirs_in, commands = os.pipe()
    answers, theirs_out = os.pipe()
    script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    words = [*program()[:-1], f"--user-data-dir={profile}", program()[-1]]
    running = subprocess.Popen(
        in_own_namespaces("bash", "-c", script, "bash", *words),
        pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(commands, answers)
    finally:
        # its processes end with the first of them, which is the first of a namespace
        os.write(commands, b'{"id":0,"method":"Browser.close"}\0')
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        os.close(commands)
        os.close(answers)
