"""Logs that an engine keeps outside of its store, at paths of its own host that it wrote down.

Such a path is never followed as it is: it is looked for beneath the file system of that host, where this
is given.

Sources: Kubernetes kubelet `kuberuntime/helpers.go` (BuildContainerLogsDirectory, `/var/log/pods`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.containerlog import ContainerLog
from layerfs.errors import LogElsewhere, MissingFile
from layerfs.stores.logfiles import log_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.errors import CorruptStore
    from layerfs.formats.logrecords import LogForm
    from layerfs.hostdir import HostDir
    from layerfs.model import Container

__all__ = ["host_log"]


def host_log(
    host: HostDir | None,
    container: Container,
    recorded: str,
    form: LogForm,
    report: Callable[[CorruptStore], None],
) -> ContainerLog:
    """The log of a container at the path `recorded`, beneath `host`; see `capabilities.Logging`."""
    if host is None:
        raise LogElsewhere(
            f"container {container.name}: its log is {recorded} of its host, which is not in the store",
            hint="give the top of that host's file system, or of a copy of it, with --host-root",
        )
    path = recorded.strip("/")
    if not path or "\0" in path or ".." in path.split("/"):
        raise LogElsewhere(f"container {container.name}: {recorded!r} is no path of a log")
    parts = log_parts(host, path)
    if not parts and container.config and container.config.state.started_ns:
        report(MissingFile(host.name_of(path), f"the log of container {container.name} is missing"))
    return ContainerLog(form, parts)
