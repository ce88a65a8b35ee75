"""`Engine`: a private Docker Engine on a data root of the test's own, with its API and its client.

It runs in a mount and PID namespace of its own that dies with this process, so however a test
ends, daemon, containerd, containers and mounts end too. It writes to the data root it is given:
hand it a copy (`engine_on_copy`).
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.capabilities import docker_command, dockerd_command, in_own_namespaces
from tests.support.leftovers import session_directory
from tests.support.processes import children_of, is_readable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CGROUP", "Engine", "EngineError", "copy_root", "engine_on_copy", "remove_cgroups"]

_START_SECONDS = 60
_STOP_SECONDS = 20
_PUT_AWAY = b"Daemon shutdown complete"
"""What dockerd logs once its data root is in order; then it waits a second for its containerd to end."""

CGROUP = "layerfs-test"
"""The control group of what is started here."""

# first in the namespace: hands SIGTERM on, waits for the daemon, and reaps its orphans
_FIRST_PROCESS = """\
"$@" &
daemon=$!
trap 'kill -TERM $daemon' TERM
until wait $daemon; code=$?; ! kill -0 $daemon 2>/dev/null; do :; done
exit $code
"""


class EngineError(Exception):
    """The Engine did not start, or refused; the message holds what it said."""


class Engine:
    """A running Engine as a context manager.

    Attributes:
        root: its data root.
        socket: where it listens.
    """

    def __init__(self, data_root: Path) -> None:
        """Start on `data_root`, an existing data root or a directory to be made, when entered."""
        self.root = data_root
        place = session_directory()
        place.mkdir(mode=0o700, exist_ok=True)
        self._work = Path(tempfile.mkdtemp(prefix="e-", dir=place))  # short: a socket lies in it
        self.socket = self._work / "docker.sock"
        self._log = self._work / "dockerd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start and wait until the Engine answers."""
        self.root.mkdir(exist_ok=True)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop the Engine and everything it started."""
        self.stop()

    # -- asking --------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """The JSON that `GET /<path>` answers."""
        status, body = self._request("GET", path)
        if status != http.HTTPStatus.OK:
            raise self._error(f"GET /{path}: {status} {body.decode(errors='replace')}")
        return json.loads(body)

    def images(self, *, everything: bool = True) -> list[dict[str, Any]]:
        """`docker images`, with intermediate images unless `everything` is False."""
        return list(self.get(f"images/json?all={int(everything)}&digests=1"))

    def image(self, name: str) -> dict[str, Any]:
        """`docker image inspect`."""
        return dict(self.get(f"images/{name}/json"))

    def history(self, name: str) -> list[dict[str, Any]]:
        """`docker history`."""
        return list(self.get(f"images/{name}/history"))

    def containers(self) -> list[dict[str, Any]]:
        """`docker ps --all --size`."""
        return list(self.get("containers/json?all=1&size=1"))

    def container(self, name: str) -> dict[str, Any]:
        """`docker container inspect --size`."""
        return dict(self.get(f"containers/{name}/json?size=1"))

    def changes(self, name: str) -> list[dict[str, Any]]:
        """`docker diff`; the API says null where nothing changed."""
        return list(self.get(f"containers/{name}/changes") or [])

    def disk_usage(self) -> dict[str, Any]:
        """`docker system df --verbose`."""
        return dict(self.get("system/df"))

    # -- the client ----------------------------------------------------------------------------

    def cli(self, *arguments: str | os.PathLike[str], stdin: bytes = b"") -> str:
        """Run the docker client; its standard output, as it came."""
        return self.cli_bytes(*arguments, stdin=stdin).decode()

    def cli_bytes(
        self, *arguments: str | os.PathLike[str], stdin: bytes = b"", buildkit: bool = False
    ) -> bytes:
        """Run the docker client; its standard output, which may be an archive."""
        command = [docker_command() or "docker", *(os.fspath(argument) for argument in arguments)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        environment = kept | {
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(self._work / "config"),
            "DOCKER_BUILDKIT": str(int(buildkit)),
            "DOCKER_CLI_HINTS": "false",
            "TZ": "UTC",
        }
        done = subprocess.run(command, input=stdin, capture_output=True, check=False, env=environment)
        if done.returncode:
            raise self._error(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.decode()}")
        return done.stdout

    def import_tar(self, archive: bytes, *names: str) -> str:
        """`docker import` a layer's tar as an image; its ID."""
        return self.cli("import", "-", *names, stdin=archive).strip()

    def load(self, archive: Path) -> str:
        """`docker load` an archive of images; what the client said."""
        return self.cli("load", "--input", archive)

    def build(self, context: Path, *options: str, buildkit: bool = False) -> str:
        """Build with the classic builder, or BuildKit, and no network; the image ID."""
        begin = ("build", "--quiet", "--network", "none")
        return self.cli_bytes(*begin, *options, context, buildkit=buildkit).decode().strip()

    # -- starting and stopping -----------------------------------------------------------------

    def log(self) -> str:
        """The end of what the daemon logged."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""

    def _start(self) -> None:
        daemon = dockerd_command()
        if daemon is None:
            raise EngineError("dockerd is not installed (package docker.io)")
        settings = self._work / "daemon.json"
        settings.write_text(json.dumps(self._settings(daemon)))
        first = ["sh", "-c", _FIRST_PROCESS, "sh"]
        command = in_own_namespaces(*first, *self._command([daemon, "--config-file", str(settings)]))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise self._error(f"dockerd ended with {self._process.returncode}")
            if time.monotonic() > end:
                raise self._error(f"dockerd did not answer in {_START_SECONDS} s")
            time.sleep(0.05)

    def _command(self, daemon: list[str]) -> list[str]:
        """What to run; others run the daemon among users of its own."""
        return daemon

    def _settings(self, daemon: str) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "data-root": str(self.root.absolute()),
            "exec-root": str(self._work / "exec"),
            "pidfile": str(self._work / "docker.pid"),
            "hosts": [f"unix://{self.socket}"],
            "iptables": False,
            "bridge": "none",
            "storage-driver": "overlay2",
            "cgroup-parent": f"/{CGROUP}",
            "features": {"containerd-snapshotter": False},
        }
        version = subprocess.run([daemon, "--version"], capture_output=True, text=True, check=True).stdout
        if " version 20." in version:
            settings["deprecated-key-path"] = str(self._work / "key.json")  # else below /etc/docker
        return settings

    def _answers(self) -> bool:
        try:
            return self._request("GET", "_ping")[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def stop(self) -> None:
        """Stop as the host's shutdown would: politely, then at once; harmless when repeated."""
        if self._process is not None:
            for child in children_of(self._process.pid):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM)
            end = time.monotonic() + _STOP_SECONDS
            while not self._has_put_away() and time.monotonic() < end:
                time.sleep(0.02)
        self.kill()

    def _has_put_away(self) -> bool:
        assert self._process
        return self._process.poll() is not None or _PUT_AWAY in self._log.read_bytes()

    def kill(self) -> None:
        """End everything as a power failure would, leaving the data root as it is at this moment."""
        if self._process is not None:
            with ExitStack() as stack:
                first = [stack.enter_context(_watched(child)) for child in children_of(self._process.pid)]
                self._process.kill()  # its child, first in the namespace, gets SIGKILL, so do all others
                self._process.wait()
                for process in first:
                    is_readable(process)  # it ends when all others have
        self._clean()

    def _clean(self) -> None:
        self._process = None
        remove_cgroups()
        shutil.rmtree(self._work, ignore_errors=True)

    def _error(self, message: str) -> EngineError:
        return EngineError(f"{message}\n--- dockerd's log ---\n{self.log()}")

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        connection = _UnixConnection(self.socket)
        try:
            connection.request(method, f"/{path}", headers={"Host": "docker"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def copy_root(source: Path, target: Path) -> Path:
    """Copy a data root with owners, devices, hard links, holes and all attributes; returns `target`."""
    command = ["cp", "--archive", "--one-file-system", "--no-target-directory"]
    subprocess.run([*command, source, target], check=True)
    return target


@contextmanager
def engine_on_copy(source: Path, directory: Path) -> Iterator[Engine]:
    """An Engine on a copy of the data root `source`, made as `directory/root`."""
    with Engine(copy_root(source, directory / "root")) as engine:
        yield engine


@contextmanager
def _watched(pid: int) -> Iterator[int]:
    """A descriptor that is readable once the process has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def remove_cgroups() -> None:
    """Remove the empty groups that containers leave behind; another test's are busy and stay."""
    for top in Path("/sys/fs/cgroup").glob(f"**/{CGROUP}"):
        for directory in (*top.glob("*/"), top):
            with suppress(OSError):
                directory.rmdir()
