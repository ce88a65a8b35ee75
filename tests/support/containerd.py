"""A real containerd of the test's own, and Debian's `ctr` to speak to it; it ends with the block."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.capabilities import in_own_namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["CONFIG", "Containerd", "running"]

CONFIG = """\
version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{0}/socket"
[ttrpc]
  address = "{0}/socket.ttrpc"
"""
# runc notes containers below /run/containerd by their names alone: these must be nobody else's
_START = """\
mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd && exec containerd --config "$1"
"""
_PATIENCE = 60  # seconds until it must answer


@dataclass(frozen=True, slots=True)
class Containerd:
    """A containerd that runs.

    Attributes:
        path: its directory; its root is `root` in it.
    """

    path: Path

    @property
    def root(self) -> Path:
        """What layerfs is to read."""
        return self.path / "root"

    def ctr(self, *arguments: str | Path, namespace: str = "default", check: bool = True) -> str:
        """What `ctr` prints."""
        words = ["ctr", "--address", self.path / "socket", "--namespace", namespace, *arguments]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, (words, done.stderr)
        return done.stdout

    def rows(self, *arguments: str, namespace: str = "default") -> list[list[str]]:
        """The table that `ctr` prints, without its header."""
        return [line.split() for line in self.ctr(*arguments, namespace=namespace).splitlines()[1:]]

    @contextmanager
    def mounted(self, image: str, place: Path, namespace: str = "default") -> Iterator[Path]:
        """An image as `ctr images mount` shows it, by overlayfs."""
        place.mkdir()
        self.ctr("images", "mount", image, place, namespace=namespace)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)
            self.ctr("snapshots", "rm", str(place), namespace=namespace)
            place.rmdir()


@contextmanager
def running(path: Path) -> Iterator[Containerd]:
    """Start one with its files below `path`, a directory of its own, maybe again; it is killed at the end."""
    (path / "config.toml").write_text(CONFIG.format(path))
    (path / "socket").unlink(missing_ok=True)  # of one that was killed
    command = in_own_namespaces("sh", "-c", _START, "containerd", str(path / "config.toml"))
    alive, held = os.pipe()  # what it starts holds this open as long as it runs
    with (
        (path / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, pass_fds=[held]) as engine,
        os.fdopen(alive, "rb") as ended,
    ):
        os.close(held)
        found = Containerd(path)
        try:
            _wait(found, engine)
            yield found
        finally:
            engine.kill()
            ended.read()


def _wait(found: Containerd, engine: subprocess.Popen[bytes]) -> None:
    """Until it answers."""
    end = time.monotonic() + _PATIENCE
    while not (found.path / "socket").exists() or not found.ctr("version", check=False).count("Version"):
        assert engine.poll() is None, (found.path / "log").read_text()
        assert time.monotonic() < end, "containerd does not answer"
        time.sleep(0.05)
