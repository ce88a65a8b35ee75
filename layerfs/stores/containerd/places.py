"""Where a containerd root lies: it alone, inside a Docker data root or beside it, or below an evidence tree.

Sources: containerd `docs/ops.md`; moby `daemon/command/daemon.go` (initContainerd); the documentation of k3s,
RKE2, k0s and MicroK8s.
"""

from __future__ import annotations

import errno
import posixpath
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import DataRootUnreadable, NoStoreHere, NotADataRoot
from layerfs.hostdir import HostDir
from layerfs.stores.places import PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["META_DB", "Opened", "is_containerd", "is_docker", "open_containerd"]

META_DB = "io.containerd.metadata.v1.bolt/meta.db"
"""What makes a directory a containerd root."""

_INSIDE_DOCKER = "containerd/daemon"
_DOCKER = "var/lib/docker"
_BESIDE = "../containerd"
_ENGINES = ("docker", "containerd", "k3s", "rke2", "k0s", "microk8s")


class Opened(NamedTuple):
    """A containerd root, open.

    Attributes:
        directory: the root itself.
        docker: the data root of the Docker Engine that uses it; None where it is not known to be one's.
    """

    directory: HostDir
    docker: HostDir | None


def is_containerd(path: str) -> bool:
    """Whether `open_containerd` opens `path`."""
    try:
        open_containerd(path)
    except (NotADataRoot, DataRootUnreadable):
        return False
    return True


def is_docker(directory: HostDir) -> bool:
    """Whether a directory is a Docker data root, by what lies in it."""
    return _is_there(directory, "containers") and (
        _is_there(directory, "buildkit")
        or _is_there(directory, "volumes")
        or _is_there(directory, "engine-id")
    )


def open_containerd(path: str) -> Opened:
    """Open a containerd root, or the one of a Docker data root or an evidence tree; no link is followed.

    Raises:
        NoStoreHere: there is none.
        NotADataRoot, DataRootUnreadable: the directory cannot be opened.
    """
    try:
        top = HostDir.open(path)
    except PermissionError as error:
        raise DataRootUnreadable(path) from error
    except OSError as error:
        raise NotADataRoot(f"{path}: {error.strerror}", hint="choose another with --root") from error
    found = next(_in(top, path), None)
    if found is None:
        raise NoStoreHere(
            f"{path}: no containerd root: there is no {META_DB} in it",
            hint="give /var/lib/containerd, or a copy of it, or a Docker data root",
        )
    return found


def _in(top: HostDir, path: str) -> Iterator[Opened]:
    """The containerd roots that a directory may stand for, the likeliest first."""
    if _is_there(top, META_DB):
        yield Opened(top, _docker_above(path))
    if docker := _subdir(top, _INSIDE_DOCKER):
        yield from _checked(docker, top if is_docker(top) else None)
    if is_docker(top) and (beside := _opened(posixpath.join(path, _BESIDE))):
        yield from _checked(beside, top)
    docker = _subdir(top, _DOCKER)
    if docker and (own := _subdir(docker, _INSIDE_DOCKER)):
        yield from _checked(own, docker)
    for place, owner in PLACES:
        if owner in _ENGINES and (found := _subdir(top, place)):
            yield from _checked(found, docker if owner == "containerd" else None)


def _checked(directory: HostDir, docker: HostDir | None) -> Iterator[Opened]:
    if _is_there(directory, META_DB):
        yield Opened(directory, docker)


def _docker_above(path: str) -> HostDir | None:
    """The Docker data root whose `containerd/daemon` is at `path`."""
    whole = posixpath.abspath(path)
    if not whole.endswith("/" + _INSIDE_DOCKER):
        return None
    above = _opened(whole.removesuffix("/" + _INSIDE_DOCKER))
    return above if above and is_docker(above) else None


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


def _is_there(directory: HostDir, path: str) -> bool:
    try:
        directory.lstat(path)
    except PermissionError as error:
        raise DataRootUnreadable(directory.name_of(path)) from error
    except OSError:
        return False
    return True
