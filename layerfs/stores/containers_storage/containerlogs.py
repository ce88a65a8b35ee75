"""Where the logs of a graph root's containers are: Podman's in their directories, CRI-O's on its host.

Sources: podman `libpod/container_internal.go`, `libpod/container_config.go` (LogPath, LogDriver),
`libpod/define/config.go`; cri-o `internal/factory/container/container.go` (LogPath).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.containerlog import ContainerLog
from layerfs.errors import LogElsewhere, MissingFile
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import text
from layerfs.formats.k8slog import K8S_FILE, PODMAN
from layerfs.stores.hostlogs import host_log
from layerfs.stores.logfiles import log_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.errors import CorruptStore
    from layerfs.formats.libpod import LibpodContainer
    from layerfs.hostdir import HostDir
    from layerfs.model import Container

__all__ = ["crio_log", "podman_log"]

_ELSEWHERE = {
    "journald": "in the journal of its host (journald), which is not in the store",
    "none": "not kept: its log driver is none",
    "passthrough": "not kept: its output went to who started it (passthrough)",
    "passthrough-tty": "not kept: its output went to a terminal (passthrough-tty)",
}


def podman_log(
    root: HostDir,
    directory: str,
    container: Container,
    noted: LibpodContainer | None,
    host: HostDir | None,
    report: Callable[[CorruptStore], None],
) -> ContainerLog:
    """The log of a container of Podman; see `capabilities.Logging`.

    Args:
        root: the graph root.
        directory: the container's own directory in it.
        container: whose.
        noted: its record in libpod; None where that is lost.
        host: see there.
        report: is told of damage.
    """
    own = f"{directory}/userdata/ctr.log"
    if parts := log_parts(root, own):
        return ContainerLog(PODMAN, parts)
    if (driver := _driver(noted)) in _ELSEWHERE:
        raise LogElsewhere(f"container {container.name}: its log is {_ELSEWHERE[driver]}")
    if noted and noted.log_path and not noted.log_path.endswith(f"/{own}"):
        return host_log(host, container, noted.log_path, PODMAN, report)
    if container.config and container.config.state.started_ns:
        report(MissingFile(root.name_of(own), f"the log of container {container.name} is missing"))
    return ContainerLog(PODMAN, ())


def crio_log(
    container: Container, host: HostDir | None, report: Callable[[CorruptStore], None]
) -> ContainerLog:
    """The log of a container of CRI-O, or of none for what Buildah works in; see `capabilities.Logging`."""
    path = container.config.log_path if container.config else ""
    if not path:
        raise LogElsewhere(f"container {container.name}: nothing tells of a log of it")
    return host_log(host, container, path, K8S_FILE, report)


def _driver(noted: LibpodContainer | None) -> str:
    """The log driver; empty where that is not known."""
    try:
        return text(noted.config, "logDriver") if noted else ""
    except FormatError:
        return ""
