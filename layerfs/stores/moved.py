"""Finds stores outside of the usual places, by the configuration of engines in a copy of a system."""

from __future__ import annotations

import logging
import posixpath
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import reason
from layerfs.formats.engineconfig import (
    CONFIG_LIMIT,
    containerd_root,
    docker_root,
    kubernetes_root,
    podman_rootless_root,
    podman_roots,
)
from layerfs.formats.errors import FormatError
from layerfs.stores.beneath import MOST_LINKS, led_on
from layerfs.stores.places import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.formats.engineconfig import Person
    from layerfs.hostdir import HostDir

__all__ = ["MovedStore", "moved"]

_log = logging.getLogger(__name__)


class _Config(NamedTuple):
    """A configuration file: its path below the top, its engine, and a parser for the path or paths in it."""

    path: str
    owner: str
    roots: Callable[[bytes], str | Sequence[str] | None]


_CONFIGS = (
    _Config("etc/docker/daemon.json", "docker", docker_root),
    _Config("etc/containerd/config.toml", "containerd", containerd_root),
    _Config("etc/rancher/k3s/config.yaml", "k3s", kubernetes_root),
    _Config("etc/rancher/rke2/config.yaml", "rke2", kubernetes_root),
    _Config("etc/containers/storage.conf", "podman", podman_roots),
    _Config("etc/buildkit/buildkitd.toml", "buildkit", containerd_root),
)
_HOME_CONFIGS = (
    _Config(".config/docker/daemon.json", "docker", docker_root),
    _Config(".config/containerd/config.toml", "containerd", containerd_root),
    _Config(".config/containers/storage.conf", "podman", podman_roots),
    _Config(".config/buildkit/buildkitd.toml", "buildkit", containerd_root),
)
_OF_EACH_USER = _Config("etc/containers/storage.conf", "podman", podman_roots)
"""A file of the system that says where the store of each user is."""

_USUAL = {place.path for place in PLACES}


class MovedStore(NamedTuple):
    """A store that was moved.

    Attributes:
        path: its path below the top of the system.
        owner: the engine.
        named_by: the configuration file that names the path, below the top; empty for one that has it of
            every user, also of those without a store.
    """

    path: str
    owner: str
    named_by: str


def moved(system: HostDir, person: Person | None = None) -> Iterator[MovedStore]:
    """The stores that configuration files name: those of a user, or those of the system.

    A configuration file that cannot be parsed is reported as damage.
    """
    home = person.home if person else ""
    for config in (*_HOME_CONFIGS, _OF_EACH_USER) if person else _CONFIGS:
        is_of_each = person is not None and config is _OF_EACH_USER
        name = config.path if is_of_each else posixpath.join(home, config.path)
        try:
            found = _roots(config, _read(system, name), person)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, FormatError) as error:
            if not is_of_each:  # else it was told already
                _tell(system.name_of(name), error)
            continue
        for root in (found,) if isinstance(found, str) else found or ():
            path = posixpath.normpath(root).lstrip("/")
            if path and (home or path not in _USUAL):
                yield MovedStore(path, config.owner, "" if is_of_each else name)


def _roots(config: _Config, content: bytes, person: Person | None) -> str | Sequence[str] | None:
    if person and config is _OF_EACH_USER:
        return podman_rootless_root(content, person)
    return podman_roots(content, person) if config.roots is podman_roots else config.roots(content)


def _read(system: HostDir, name: str) -> bytes:
    """A file of a system; links are followed beneath the top of the system."""
    for _ in range(MOST_LINKS):
        try:
            return system.read(name, CONFIG_LIMIT)
        except OSError:
            further = led_on(system, name)
            if further is None:
                raise
            name = further
    return system.read(name, CONFIG_LIMIT)


def _tell(name: str, error: OSError | FormatError) -> None:
    """Report a configuration file that cannot be read or parsed."""
    what = reason(error) if isinstance(error, OSError) else f"{name}: {error} ({error.found})"
    _log.warning("%s: where it puts the engine's store is not known", what, extra={"damage": True})
