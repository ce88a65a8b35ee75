"""Engines whose users are not the host's: `RemappedEngine` (userns-remap) and `RootlessEngine`.

Both are an `Engine` in every other way, and end as it does.

Source: Docker's documentation "Isolate containers with a user namespace", "Rootless mode"; subuid(5).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support import userns
from tests.support.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Range", "RemappedEngine", "RootlessEngine"]

_WORK, _ROOT = "/mnt/work", "/mnt/root"

_USERS = """\
for name in passwd group subuid subgid; do touch /etc/$name; cp /etc/$name "$0/$name"; done
echo "dockremap:x:$1:$1::/:/bin/false" >> "$0/passwd"
echo "dockremap:x:$1:" >> "$0/group"
echo "dockremap:$1:65536" | tee "$0/subuid" > "$0/subgid"
for name in passwd group subuid subgid; do mount --bind "$0/$name" /etc/$name; done
shift
exec "$@"
"""
"""Gives the Engine's user its range of IDs, in this mount namespace only."""

_PLACES = """\
mount -t tmpfs -o mode=755 places /mnt && mkdir /mnt/work /mnt/root
mount --bind "$0" /mnt/work && mount --bind "$1" /mnt/root
chown "$2" /mnt/work /mnt/root
shift 2
exec "$@"
"""
"""Reaches the directories of a test, which are closed to other users, by another way."""

_MACHINE = 'mount -t tmpfs run /run && mkdir -p /etc/docker && mount -t tmpfs etc /etc/docker; exec "$@"'


class Range(NamedTuple):
    """IDs of a user namespace: `length` of them, from `inside` on, are those from `outside` on."""

    inside: int
    outside: int
    length: int


class _MovedEngine(Engine):
    """An Engine that reaches the directories of a test by a way that is open to other users."""

    owner = 0

    def _settings(self, daemon: str) -> dict[str, Any]:
        settings = super()._settings(daemon)
        moved = {
            key: value.replace(str(self._work), _WORK)
            for key, value in settings.items()
            if isinstance(value, str)
        }
        return settings | moved | {"data-root": _ROOT, "hosts": [f"unix://{_WORK}/docker.sock"]}

    def _command(self, daemon: list[str]) -> list[str]:
        moved = [word.replace(str(self._work), _WORK) for word in daemon]
        places = [str(self._work), str(self.root.absolute()), f"{self.owner}:{self.owner}"]
        return ["sh", "-ec", _PLACES, *places, *self._inside(moved)]

    def _inside(self, daemon: list[str]) -> list[str]:
        """What to run where the places are."""
        raise NotImplementedError


class RemappedEngine(_MovedEngine):
    """An Engine with `userns-remap`: its data root is `root/<base>.<base>`."""

    def __init__(self, data_root: Path, base: int = 231072) -> None:
        """As `Engine`; `base` is root's ID outside."""
        super().__init__(data_root)
        self._base = base

    @property
    def images_root(self) -> Path:
        """The data root proper, as `docker info` names it."""
        return self.root / f"{self._base}.{self._base}"

    def _settings(self, daemon: str) -> dict[str, Any]:
        return super()._settings(daemon) | {"userns-remap": "dockremap"}

    def _inside(self, daemon: list[str]) -> list[str]:
        (self._work / "etc").mkdir()
        return ["sh", "-ec", _USERS, f"{_WORK}/etc", str(self._base), *daemon]


class RootlessEngine(_MovedEngine):
    """An Engine that an ordinary user runs in a user namespace, where it is root."""

    def __init__(self, data_root: Path, ranges: Sequence[Range]) -> None:
        """As `Engine`; `ranges` are the namespace's users and groups, root first."""
        super().__init__(data_root)
        self._ranges = ranges
        self.owner = ranges[0].outside

    @property
    def images_root(self) -> Path:
        """The data root."""
        return self.root

    def _settings(self, daemon: str) -> dict[str, Any]:
        settings = super()._settings(daemon) | {"ip6tables": False}
        del settings["cgroup-parent"]
        return settings

    def _inside(self, daemon: list[str]) -> list[str]:
        mapped = ";".join(" ".join(map(str, item)) for item in self._ranges)
        home = [f"HOME={_WORK}", f"XDG_RUNTIME_DIR={_WORK}"]
        machine = ["env", *home, "sh", "-ec", _MACHINE, "sh", *daemon]
        return [sys.executable, os.path.abspath(userns.__file__), mapped, mapped, *machine]
