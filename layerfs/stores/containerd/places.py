"""Where a containerd root lies: at the path itself, in or beside a Docker data root, or below a system's top.

Sources: containerd `docs/ops.md`; moby `daemon/command/daemon.go` (initContainerd, which is before the data
root of a remapped engine is chosen); the documentation of k3s, RKE2, k0s, MicroK8s and nerdctl.
"""

from __future__ import annotations

import errno
import logging
import os
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import DataRootUnreadable, NoStoreHere, NotADataRoot
from layerfs.hostdir import HostDir
from layerfs.stores.containerd.spaces import filled, has_dockers, namespaces_of
from layerfs.stores.looks import is_filled, is_there, open_top
from layerfs.stores.places import HOME_PLACES, PASSWD, PASSWD_LIMIT, PLACES, homes, owner_of_part

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["META_DB", "Opened", "is_containerd", "open_containerd"]

META_DB = "io.containerd.metadata.v1.bolt/meta.db"
"""Where the names of images are in a containerd root."""

_MARKS = ("io.containerd.metadata.v1.bolt", "io.containerd.snapshotter.v1.overlayfs/metadata.db")
"""A directory with one of these is a containerd root; one is enough, as the other may be lost."""

_SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
_INSIDE_DOCKER = "containerd/daemon"
_DOCKER = "var/lib/docker"
_BESIDE = "containerd"
_REMAPPED = re.compile(r"\d+\.\d+")
_ENGINES = ("docker", "containerd", "k3s", "rke2", "k0s", "microk8s")

_log = logging.getLogger(__name__)


class Opened(NamedTuple):
    """A containerd root, open.

    Attributes:
        directory: the root itself.
        docker: the data root of the Docker Engine that has its images in it; None if there is none.
        namespace: the namespace of that engine.
        owner: the name of the engine that it belongs to.
    """

    directory: HostDir
    docker: HostDir | None = None
    namespace: str = "moby"
    owner: str = "containerd"


def is_containerd(path: str) -> bool:
    """Whether `open_containerd` opens `path`."""
    try:
        return bool(_every(path))
    except (NotADataRoot, DataRootUnreadable):
        return False


def _is_root(directory: HostDir) -> bool:
    """Whether a directory is a containerd root, by what lies in it."""
    return any(is_there(directory, mark) for mark in _MARKS)


def _is_docker(directory: HostDir) -> bool:
    """Whether a directory is a Docker data root, by what lies in it."""
    return is_there(directory, "containers") and (
        is_there(directory, "buildkit") or is_there(directory, "volumes") or is_there(directory, "engine-id")
    )


def open_containerd(path: str, *, tell: bool = False) -> Opened:
    """Open a containerd root, or that of a Docker data root or of a whole system; no link is followed.

    If several have images or containers, the likeliest is opened; with `tell` the others are logged.

    Raises:
        NoStoreHere: there is none.
        NotADataRoot, DataRootUnreadable: the directory cannot be opened.
    """
    found = _every(path)
    if not found:
        raise NoStoreHere(
            f"{path}: no containerd root: there is no {META_DB} in it",
            hint="give /var/lib/containerd, or a copy of it, or a Docker data root",
        )
    if len(found) > 1:  # an empty one, as of a service that nobody uses, does not count
        found = [item for item in found if filled(namespaces_of(item.directory, META_DB))] or found[:1]
    chosen, *others = found
    if _log.isEnabledFor(logging.INFO):
        _log.info("%s: the containerd root of %s is read", chosen.directory.display, _users(chosen))
    if others and tell:
        listed = ", ".join(f"{item.directory.display} ({_users(item)})" for item in others)
        _log.warning(
            "%s is read (%s); there are other containerd roots: %s (--root chooses)",
            *(chosen.directory.display, _users(chosen), listed),
        )
    return chosen


def _users(opened: Opened) -> str:
    """The engines that have images or containers in a root, as far as the place and the namespaces tell."""
    spaces = filled(namespaces_of(opened.directory, META_DB))
    return ", ".join(dict.fromkeys(owner_of_part(name, opened.owner) for name in spaces)) or opened.owner


def _every(path: str) -> list[Opened]:
    """The containerd roots that a directory may stand for, each once, the likeliest first."""
    top = open_top(path)
    found: dict[tuple[int, int], Opened] = {}
    for opened in _candidates(top, path):
        status = opened.directory.lstat()
        found.setdefault((status.st_dev, status.st_ino), opened)
    return list(found.values())


def _candidates(top: HostDir, path: str) -> Iterator[Opened]:
    """The root that `top` is, which the user called `path`; else those in, beside or below it."""
    if _is_root(top):
        yield _alone(top, path)
    elif _is_docker(top):
        yield from _of_docker(top, _up(path), posixpath.basename(posixpath.abspath(path)))
    else:
        yield from _remapped(top)
        yield from _below(top)


def _alone(top: HostDir, path: str) -> Opened:
    """A containerd root, with the Docker data root above it if it is `containerd/daemon` in one."""
    whole = posixpath.abspath(path)
    above = (
        _opened(whole.removesuffix("/" + _INSIDE_DOCKER) or "/")
        if whole.endswith("/" + _INSIDE_DOCKER)
        else None
    )
    for docker in (above, *(_subroots(above) if above else ())):
        if docker and _is_docker(docker) and _is_dockers(top, docker):
            return Opened(top, docker, _namespace(docker), "docker")
    return Opened(top)


def _of_docker(docker: HostDir, above: HostDir | None, name: str) -> Iterator[Opened]:
    """The roots that a Docker data root called `name` may use: inside it, or beside it in `above`."""
    is_remapped = _REMAPPED.fullmatch(name) is not None
    namespace = f"moby-{name}" if is_remapped else "moby"
    further = _up(above.display) if above and is_remapped else None
    places = [(docker, _INSIDE_DOCKER), (above, _BESIDE)]
    if is_remapped:  # the data root is a directory in the one that the engine was given
        places = [(docker, _INSIDE_DOCKER), (above, _INSIDE_DOCKER), (further, _BESIDE)]
    for base, place in places:
        found = _root_at(base, place) if base else None
        if found and _is_dockers(found, docker):
            yield Opened(found, docker, namespace, "docker")


def _remapped(top: HostDir) -> Iterator[Opened]:
    """The containerd root in the directory of a remapped engine; the data root is a directory in it too."""
    inside = _root_at(top, _INSIDE_DOCKER)
    if inside is None:
        return
    subroots = [item for item in _subroots(top) if _is_docker(item)]
    if len(subroots) > 1:
        listed = " ".join(item.display for item in subroots)
        raise NotADataRoot(
            f"{top.display}: a root with user namespace remapping; its data roots are {listed}",
            hint=f"choose one: --root {subroots[0].display}",
        )
    docker = subroots[0] if subroots else None
    yield Opened(inside, docker, _namespace(docker) if docker else "moby", "docker")


def _below(top: HostDir) -> Iterator[Opened]:
    """The usual places below the top of a system, and those in the homes of its users."""
    docker = _subdir(top, _DOCKER)
    if docker and _is_docker(docker):
        yield from _of_docker(docker, _subdir(top, posixpath.dirname(_DOCKER)), "docker")
    elif docker:
        yield from _remapped(docker)
    for place, owner in PLACES:
        if owner in _ENGINES and (found := _root_at(top, place)):
            yield Opened(found, owner=owner)
    for user, home in _homes(top):
        for place, owner in HOME_PLACES:
            if owner in _ENGINES and (found := _root_at(top, f"{home}/{place}")):
                yield Opened(found, owner=f"{user}, without root")


def _homes(top: HostDir) -> Iterator[tuple[str, str]]:
    try:
        passwd = top.read(PASSWD, PASSWD_LIMIT)
    except OSError:
        return
    yield from ((person.name, person.home) for person in homes(passwd))


def _is_dockers(directory: HostDir, docker: HostDir) -> bool:
    """Whether a data root has its images in a containerd root; else it has only running containers there."""
    if not is_there(docker, "image/overlay2"):
        return True
    known = namespaces_of(directory, META_DB)
    return has_dockers(known) if known else is_filled(directory, _SNAPSHOTS)


def _namespace(docker: HostDir) -> str:
    """The namespace of a data root's engine; with userns-remap the numbers of its users are in the name."""
    name = posixpath.basename(posixpath.abspath(docker.display))
    return f"moby-{name}" if _REMAPPED.fullmatch(name) else "moby"


def _subroots(top: HostDir) -> list[HostDir]:
    """The data roots of a remapped engine."""
    names = sorted(os.fsdecode(name) for name in top.names())
    found = (_subdir(top, name) for name in names if _REMAPPED.fullmatch(name))
    return [item for item in found if item]


def _root_at(directory: HostDir, path: str) -> HostDir | None:
    found = _subdir(directory, path)
    return found if found and _is_root(found) else None


def _up(path: str) -> HostDir | None:
    """The directory above one that the user named; links in it are not followed any more."""
    above = _opened(posixpath.join(path, ".."))
    plain = _opened(posixpath.normpath(posixpath.join(path, "..")))  # only if the path is no link
    if above and plain and posixpath.samestat(above.lstat(), plain.lstat()):
        return plain
    return above


def _opened(path: str) -> HostDir | None:
    try:
        return HostDir.open(path)
    except OSError:
        return None


def _subdir(directory: HostDir, path: str) -> HostDir | None:
    try:
        return directory.subdir(path)
    except OSError as error:
        if error.errno == errno.EACCES:
            raise DataRootUnreadable(directory.name_of(path)) from error
        return None
