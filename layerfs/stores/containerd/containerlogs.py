"""Where the logs of containerd's containers are: not in its root, but elsewhere on its host.

Sources: containerd `internal/cri/server/container_create.go` (LogPath); nerdctl `pkg/labels/labels.go`,
`pkg/logging/json_logger.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import LogElsewhere
from layerfs.formats.jsonfilelog import JSON_FILE
from layerfs.formats.k8slog import K8S_FILE
from layerfs.stores.hostlogs import host_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.containerlog import ContainerLog
    from layerfs.errors import CorruptStore
    from layerfs.hostdir import HostDir
    from layerfs.model import Container

__all__ = ["containerd_log"]

_NERDCTLS_DIRECTORY = "nerdctl/state-dir"


def containerd_log(
    container: Container, host: HostDir | None, report: Callable[[CorruptStore], None]
) -> ContainerLog:
    """The log of a container of Kubernetes, nerdctl or ctr; see `capabilities.Logging`."""
    config = container.config
    if config and config.log_path:
        return host_log(host, container, config.log_path, K8S_FILE, report)
    if config and (directory := config.labels.get(_NERDCTLS_DIRECTORY)):
        return host_log(host, container, f"{directory}/{container.id}-json.log", JSON_FILE, report)
    raise LogElsewhere(f"container {container.name}: containerd keeps no log of it")
