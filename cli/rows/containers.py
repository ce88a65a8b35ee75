"""The rows of `layerfs containers`, which `layerfs system df` shows too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..table import Column, Table
from ..template.printf import printf
from ..units import ZERO_TIME_NS, age, clock, ellipsis, human_duration, human_size, rfc3339, short_id
from .ports import shown_ports

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.analysis.store.containers import ContainerSizes
    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.model import Container, Pod
    from layerfs.store import Store

__all__ = ["View", "container_table"]

UNKNOWN = "N/A"
COMMAND_WIDTH, MOUNT_WIDTH = 20, 15
_NANO = 10**9


class View:
    """The facts of a container in words, as Docker has them; what is not known is `N/A`."""

    def __init__(self, root: Store, *, full: bool) -> None:
        """Show containers of `root`, with long texts in full or cut."""
        self._root = root
        self._full = full
        self._now_ns = time.time_ns()
        self._sizes: dict[str, ContainerSizes] = {}

    def identity(self, row: Container) -> str:
        """The ID."""
        return row.id if self._full else short_id(row.id)

    def pod_identity(self, row: Container) -> str:
        """The ID of its pod's sandbox."""
        return "" if row.pod is None else row.pod.id if self._full else short_id(row.pod.id)

    def names(self, row: Container) -> str:
        """The name; nothing where it has none."""
        return row.config.name if row.config else ""

    def image(self, row: Container) -> str:
        """The image's name as the user gave it, or its ID if the name now means another image."""
        name = self.image_name(row)
        if name is None:
            return UNKNOWN
        assert row.config is not None  # noqa: S101 - it has a name of its image
        return name or "<no image>" if self._full else self._short_image(name, row.config.image_id)

    def _short_image(self, name: str, image_id: str) -> str:
        """A name of an image without its digest, or an ID cut short."""
        from layerfs.formats.errors import FormatError
        from layerfs.formats.reference import parse_reference

        if not name:
            return "<no image>"
        if short_id(name) == short_id(image_id):
            return short_id(image_id)
        try:
            reference = parse_reference(name)
        except FormatError:
            return name
        shown = reference.name if self._root.repositories.in_full else reference.familiar_name
        return shown + (f":{reference.tag}" if reference.tag else "")

    def image_name(self, row: Container) -> str | None:
        """The image's name, or None if it is not known."""
        from layerfs.analysis.store.containers import image_name

        return image_name(self._root, row.config) if row.config else None

    def command(self, row: Container) -> str:
        """The command, quoted as Go quotes."""
        if row.config is None or not row.config.command:
            return UNKNOWN
        path, *arguments = row.config.command
        words = [path, *(f"'{word}'" if " " in word else word for word in arguments)]
        text = " ".join(words)
        return printf("%q", text if self._full else ellipsis(text, COMMAND_WIDTH))

    def status(self, row: Container) -> str:
        """Its last recorded state, and when that was."""
        if row.config is None:
            return "Config missing"
        lacks = f" (layers in {row.elsewhere})" if row.elsewhere else " (layers missing)"
        return _status(row.config, self._now_ns) + ("" if row.own else lacks)

    def mounts(self, row: Container) -> str:
        """Names or sources of its volumes and binds."""
        mounts = row.config.mount_points if row.config else ()
        names = [mount.name or mount.source for mount in mounts]
        return ",".join(names if self._full else [ellipsis(name, MOUNT_WIDTH) for name in names])

    def size(self, row: Container) -> str:
        """What it wrote and, where there is an image below, what both take."""
        own, whole = self.sizes(row)
        if own is None:
            return UNKNOWN
        virtual = f" (virtual {UNKNOWN if whole is None else human_size(whole)})"
        has_below = row.top or self._root.account_rules.init_counts
        return human_size(own) + (virtual if has_below and whole != 0 else "")

    def sizes(self, row: Container) -> ContainerSizes:
        """Its sizes in bytes, read when first asked for: the whole layer must be walked."""
        from layerfs.analysis.store.containers import container_sizes

        if row.id not in self._sizes:
            self._sizes[row.id] = container_sizes(self._root, row)
        return self._sizes[row.id]


def _status(config: ContainerConfig, now_ns: int) -> str:
    """Docker's words where they are true without an engine."""
    from layerfs.analysis.store.containers import LIVE, recorded_state

    state, recorded = config.state, recorded_state(config)
    if recorded in LIVE:
        since = f" (started {_ago(state.started_ns, now_ns)})" if state.started_ns is not None else ""
        return f"Last seen {recorded}{since}"
    if recorded not in ("exited", "stopped"):
        return {"removing": "Removal In Progress"}.get(recorded, recorded.capitalize())
    if state.finished_ns is None:
        return ""
    return f"Exited ({state.exit_code}) {_ago(state.finished_ns, now_ns)}"


def _ago(then_ns: int, now_ns: int) -> str:
    return f"{human_duration((now_ns - then_ns) / _NANO)} ago"


_SHOWN = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_SHOWN_OF_PODS = ("ID", "Image", "RunningFor", "Status", "Names", "Attempt", "PodID", "Pod", "PodNamespace")
"""What `docker ps` shows, and what `crictl ps` does."""


def container_table(view: View, *, size: bool, pods: bool = False) -> Table[Container]:
    """All that is told of containers; with `size` also what they take, with `pods` those of Kubernetes."""
    columns: list[Column[Container]] = [
        Column("id", lambda row: row.id, "ID", "CONTAINER ID", view.identity),
        Column("name", _config(lambda config: config.name), "Names", "NAMES", view.names),
        Column("image", view.image_name, "Image", "IMAGE", view.image),
        Column("image_id", _config(lambda config: config.image_id)),
        Column("command", _config(lambda config: list(config.command)), "Command", "COMMAND", view.command),
        Column("created", _config(lambda config: rfc3339(config.created_ns)), "CreatedAt", "CREATED AT", _at),
        Column("", _config(lambda config: config.created_ns), "RunningFor", "CREATED", _since),
        Column("state", _state, "State", "STATE", lambda row: _state(row) or "unknown"),
        Column("recorded_state", _config(_recorded)),
        Column("recorded_running", _config(_recorded_running)),
        Column("", view.status, "Status", "STATUS"),
        Column("exit_code", _exited),
        Column("started", _config(lambda config: rfc3339(config.state.started_ns))),
        Column("finished", _config(lambda config: rfc3339(config.state.finished_ns))),
        Column("ports", _config(_ports), "Ports", "PORTS", _ports_text),
        Column("labels", _config(lambda config: config.labels), "Labels", "LABELS", _labels_text),
        Column("mounts", _config(_mounts), "Mounts", "MOUNTS", view.mounts),
        Column("", _local_volumes, "LocalVolumes", "LOCAL VOLUMES"),
        Column("", _config(lambda config: config.health), "HealthStatus", "HEALTH STATUS", listed=False),
        Column("", _config(lambda config: config.platform), "Platform", "PLATFORM", listed=False),
        Column("networks", _config(_networks), "Networks", "NETWORKS", _networks_text),
        Column(
            "size_rw", lambda row: view.sizes(row).read_write if size else None, "Size", "SIZE", view.size
        ),
        Column("size_root_fs", lambda row: view.sizes(row).root_fs if size else None),
        Column("pod", _pod(lambda pod: pod.name), "Pod", "POD", listed=False),
        Column("pod_namespace", _pod(lambda pod: pod.namespace), "PodNamespace", "NAMESPACE", listed=False),
        Column("pod_id", _pod(lambda pod: pod.id), "PodID", "POD ID", view.pod_identity, listed=False),
        Column("pod_labels", _pod(lambda pod: pod.labels)),
        Column("attempt", lambda row: row.attempt, "Attempt", "ATTEMPT", listed=False),
        Column("kind", lambda row: row.kind, "Kind", "KIND", listed=False),
        Column("mount_id", lambda row: _own(row, "read-write layer")),
        Column("init_id", lambda row: _own(row, "init layer")),
    ]
    shown = _SHOWN_OF_PODS if pods else _SHOWN
    return Table(columns, (*shown, "Size") if size else shown, {"Label": _label})


def _config(value: Callable[[ContainerConfig], Any]) -> Callable[[Container], Any]:
    """A fact of the config; None where the config is missing."""
    return lambda row: None if row.config is None else value(row.config)


def _pod(value: Callable[[Pod], Any]) -> Callable[[Container], Any]:
    """A fact of the pod; None for a container of none."""
    return lambda row: value(row.pod) if row.pod else None


def _recorded(config: ContainerConfig) -> str | None:
    from layerfs.analysis.store.containers import recorded_state

    return recorded_state(config) if config.state.known else None


def _recorded_running(config: ContainerConfig) -> bool | None:
    return config.state.running if config.state.known else None


def _state(row: Container) -> str | None:
    """The state if it is certain; None for a container recorded as running, which may have ended since."""
    return None if row.config is None or row.config.state.running else _recorded(row.config)


def _exited(row: Container) -> int | None:
    """The exit code of a container that ran and ended."""
    ended = _state(row) is not None and row.config and row.config.state.started_ns is not None
    return row.config.state.exit_code if ended and row.config else None


def _at(row: Container) -> str:
    if row.config is None:
        return UNKNOWN
    return clock(ZERO_TIME_NS if row.config.created_ns is None else row.config.created_ns)


def _since(row: Container) -> str:
    if row.config is None:
        return UNKNOWN
    return age(ZERO_TIME_NS if row.config.created_ns is None else row.config.created_ns)


def _ports(config: ContainerConfig) -> list[dict[str, Any]]:
    from layerfs.analysis.store.containers import ports

    return [port._asdict() for port in ports(config)]


def _ports_text(row: Container) -> str:
    from layerfs.analysis.store.containers import ports

    return shown_ports(ports(row.config)) if row.config else ""


def _label(row: Container, name: str) -> str:
    return row.labels.get(name, "")


def _labels_text(row: Container) -> str:
    found = row.config.labels if row.config else {}
    return ",".join(f"{name}={found[name]}" for name in sorted(found))


def _own(row: Container, kind: str) -> str | None:
    """The directory of a container's own layer."""
    found = row.own_layer(kind)
    return found.cache_id if found else None


def _mounts(config: ContainerConfig) -> list[dict[str, Any]]:
    return [
        {
            "type": mount.type,
            "name": mount.name or None,
            "source": mount.source or None,
            "destination": mount.destination,
            "writable": mount.writable,
        }
        for mount in config.mount_points
    ]


def _local_volumes(row: Container) -> int:
    """How many volumes it has of the engine's own driver; who does not name drivers has no others."""
    if row.config is None:
        return 0
    points = row.config.raw.get("MountPoints")
    if not isinstance(points, dict):
        return sum(mount.type == "volume" for mount in row.config.mount_points)
    return sum(isinstance(point, dict) and point.get("Driver") == "local" for point in points.values())


def _networks(config: ContainerConfig) -> list[str]:
    from layerfs.analysis.store.containers import networks

    return list(networks(config))


def _networks_text(row: Container) -> str:
    return ",".join(_networks(row.config)) if row.config else ""
