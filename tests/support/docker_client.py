"""Asking the real docker client how it prints: it is given our data as an Engine's answers.

The client alone is the oracle here; what an Engine does is asked of `engine.Engine`.
"""

from __future__ import annotations

import http.server
import json
import socketserver
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest

from tests.support.capabilities import docker_command
from tests.support.leftovers import session_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Printed", "docker", "image"]


class Printed(NamedTuple):
    """What the client printed, and its exit code."""

    code: int
    stdout: str
    stderr: str


def docker(answers: Mapping[str, Any], *arguments: str, zone: str = "UTC") -> Printed:
    """Run the client where each path of the API gives the answer for it; skip without a client."""
    program = docker_command()
    if program is None:
        pytest.skip("docker is not installed (package docker.io)")
    place = session_directory()
    place.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="c-", dir=place) as home, _serving(f"{home}/s", answers):
        done = subprocess.run(
            [program, "--host", f"unix://{home}/s", *arguments],
            env={"HOME": home, "TZ": zone},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    return Printed(done.returncode, done.stdout, done.stderr)


def image(**facts: Any) -> dict[str, Any]:
    """An image of the answer to `/images/json`."""
    unknown = {"SharedSize": -1, "Containers": -1, "ParentId": "", "RepoDigests": None, "Labels": None}
    return {"Id": f"sha256:{'a' * 64}", "RepoTags": ["x:1"], "Created": 1, "Size": 1} | unknown | facts


@contextmanager
def _serving(socket: str, answers: Mapping[str, Any]) -> Iterator[None]:
    handler = type("_Answering", (_Handler,), {"answers": {"/_ping": "OK", **answers}})
    with socketserver.ThreadingUnixStreamServer(socket, handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    answers: ClassVar[Mapping[str, Any]]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        path = "/" + path.split("/", 2)[2] if path.startswith("/v1.") else path
        found = path in self.answers
        body = json.dumps(self.answers.get(path)).encode()
        self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
        self.send_header("API-Version", "1.41")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        pass
