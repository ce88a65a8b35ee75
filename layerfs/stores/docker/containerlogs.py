"""Where a Docker Engine keeps what its containers wrote: in the directory of each, by its log driver.

What drivers send elsewhere is kept too, in the form of `local`, since Docker 20.10 (`cache-disabled` aside).

Sources: moby `daemon/logs.go`, `container/container.go` (StartLogger), `daemon/logger/local/local.go`,
`daemon/logger/loggerutils/cache/local_cache.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerfs.containerlog import ContainerLog
from layerfs.errors import LogElsewhere, MissingFile
from layerfs.formats.errors import FormatError
from layerfs.formats.jsonfilelog import JSON_FILE
from layerfs.formats.jsontext import mapping, text
from layerfs.formats.locallog import LOCAL
from layerfs.stores.logfiles import log_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.errors import CorruptStore
    from layerfs.formats.jsontext import Json
    from layerfs.formats.logrecords import LogForm
    from layerfs.hostdir import HostDir
    from layerfs.model import Container

__all__ = ["docker_log"]

_JSON_FILE, _LOCAL, _NONE = "json-file", "local", "none"


class _File(NamedTuple):
    """A place of a log in a container's directory."""

    path: str
    form: LogForm


_FILES = {_JSON_FILE: _File("{0}-json.log", JSON_FILE), _LOCAL: _File("local-logs/container.log", LOCAL)}
_CACHED = _File("container-cached.log", LOCAL)


def docker_log(
    root: HostDir,
    container: Container,
    host_config: Callable[[], Json | None],
    report: Callable[[CorruptStore], None],
) -> ContainerLog:
    """The log of a container of the data root `root`; see `capabilities.Logging`.

    Its files are asked first, as they are there or not, and then its host config, which may be lost.
    """
    folder = f"containers/{container.id}"
    for file in (*_FILES.values(), _CACHED):
        if parts := log_parts(root, f"{folder}/{file.path.format(container.id)}"):
            return ContainerLog(file.form, parts)
    driver = _driver(host_config())
    if driver == _NONE:
        raise LogElsewhere(f"container {container.name}: its log driver is none: nothing of it is kept")
    if container.config is None or not container.config.state.started_ns:
        return ContainerLog(JSON_FILE, ())
    if driver and driver not in _FILES:
        raise LogElsewhere(
            f"container {container.name}: its log driver is {driver}, which sends what it writes "
            "elsewhere, and there is no copy in the data root"
        )
    file = _FILES[driver or _JSON_FILE]
    name = root.name_of(f"{folder}/{file.path.format(container.id)}")
    report(MissingFile(name, f"the log of container {container.name} is missing"))
    return ContainerLog(file.form, ())


def _driver(host_config: Json | None) -> str:
    """The log driver; empty where that is not known."""
    try:
        return text(mapping(host_config or {}, "LogConfig"), "Type")
    except FormatError:
        return ""
