"""`Registry`: a private docker-registry on the loopback interface, gone with the test."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Registry"]

_START_SECONDS = 30
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


class Registry:
    """A running registry as a context manager.

    Attributes:
        address: host and port, the beginning of references; engines trust it without TLS.
    """

    def __init__(self, directory: Path) -> None:
        """Keep everything in `directory`, which exists."""
        self._directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start and wait until it answers."""
        storage = {"filesystem": {"rootdirectory": str(self._directory / "storage")}}
        config = {"version": 0.1, "storage": storage, "http": {"addr": self.address}}
        settings = self._directory / "registry.yml"
        settings.write_text(json.dumps(config))
        command = ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", str(settings)]
        with (self._directory / "registry.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            log_text = (self._directory / "registry.log").read_text(errors="replace")
            assert self._process.poll() is None, f"docker-registry ended: {log_text}"
            assert time.monotonic() < end, f"docker-registry did not answer: {log_text}"
            time.sleep(0.05)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def manifest(self, repository: str, reference: str) -> dict[str, Any]:
        """The manifest of a tag or digest, as the registry has it."""
        path = f"/v2/{repository}/manifests/{reference}"
        return dict(json.loads(self._get(path, {"Accept": _MANIFEST})))

    def blob(self, repository: str, digest: str) -> bytes:
        """The bytes of a blob."""
        return self._get(f"/v2/{repository}/blobs/{digest}", {})

    def _get(self, path: str, headers: dict[str, str]) -> bytes:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
            assert response.status == http.HTTPStatus.OK, f"GET {path}: {response.status} {body[:200]!r}"
            return body
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            self._get("/v2/", {})
        except OSError:
            return False
        return True
