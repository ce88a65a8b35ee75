"""`layerfs containers`: the containers of a data root, as `docker ps --all` lists them, offline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from ..emit import emit
from ..filters import Filters, filter_option, invalid_filter, labels
from ..options import format_option, no_trunc_option, root_option
from ..rows.ports import asked_ports, shown_ports
from ..stores import open_root
from ..subjects import container_names, image_names
from ..table import Column, Table
from ..template.printf import printf
from ..units import ZERO_TIME_NS, age, clock, ellipsis, human_duration, human_size, rfc3339, short_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerfs.analysis.store.containers import ContainerFilter, ContainerSizes
    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.model import Container
    from layerfs.store import Store

__all__ = ["View", "command", "container_table"]

UNKNOWN = "N/A"
COMMAND_WIDTH, MOUNT_WIDTH = 20, 15

_NANO = 10**9


def _filter_values(root: Store, name: str) -> Iterable[Any]:
    """What a filter may be given, as far as it can be listed."""
    from layerfs.analysis.store.containers import HEALTHS, STATES

    if name == "health":
        return HEALTHS
    if name == "is-task":
        return ("true", "false")
    if name == "ancestor":
        return image_names(root)
    if name in ("before", "name", "since"):
        return container_names(root)
    if name == "status":
        return STATES
    values: dict[str, Callable[[ContainerConfig], Iterable[Any]]] = {
        "exited": lambda config: (config.state.exit_code,),
        "id": lambda config: (short_id(config.id),),
        "label": lambda config: (f"{key}={value}" for key, value in config.labels.items()),
        "network": _networks,
        "volume": lambda config: (mount.name or mount.source for mount in config.mount_points),
    }
    if name not in values:
        return ()
    return (value for item in root.containers() if item.config for value in values[name](item.config))


@click.command("containers")
@click.option(
    "-a",
    "--all",
    "every",
    is_flag=True,
    expose_value=False,
    help="Accepted as by `docker ps`; all containers are shown anyway.",
)
@click.option("-q", "--quiet", is_flag=True, help="Show container IDs only.")
@click.option(
    "-s", "--size", is_flag=True, help="Show the bytes that each container has written, and its total size."
)
@click.option("-n", "--last", type=click.IntRange(-1), default=-1, metavar="N", help="Show the N newest.")
@click.option("-l", "--latest", is_flag=True, help="Show the newest.")
@filter_option(
    *("ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "name", "network"),
    *("publish", "since", "status", "volume"),
    values=_filter_values,
)
@no_trunc_option
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    quiet: bool,
    size: bool,
    last: int,
    latest: bool,
    filters: Filters,
    no_trunc: bool,
    form: str,
) -> None:
    """List containers, newest first, as `docker ps --all` does.

    The state is the one last recorded. A container recorded as running may have ended since, so it is shown
    as last seen running; in JSON its `state` is null and `recorded_running` is true.

    \b
    Examples:
      layerfs containers --size
      layerfs containers --filter ancestor=nginx --filter status=exited
      layerfs containers --format '{{.Names}}: {{.Status}}'
      layerfs containers --format json
    """
    from layerfs.analysis.store.containers import listed_containers

    data_root = _with_containers(open_root(ctx))
    rows = list(listed_containers(data_root, _container_filter(data_root, filters)))
    limit = 1 if latest and last == -1 else last
    if form == "table" and quiet:
        form = "{{.ID}}"
    view = View(data_root, full=no_trunc)
    emit(container_table(view, size=size), rows[:limit] if limit > 0 else rows, form)


def _with_containers(root: Store) -> Store:
    """`root` itself; raises `NotInThisKind` if stores of its kind have no containers."""
    from layerfs.errors import NotInThisKind

    if not root.has_containers:
        raise NotInThisKind(root.path, root.noun, "it has no containers")
    return root


def _container_filter(root: Store, filters: Filters) -> ContainerFilter:
    from layerfs.analysis.store.containers import HEALTHS, STATES, ContainerFilter, descendants

    for state in filters.get("status", ()):
        if state not in STATES:
            raise invalid_filter("status", state, f"expected one of {', '.join(STATES)}")
    for health in filters.get("health", ()):
        if health not in HEALTHS:
            raise invalid_filter("health", health, f"expected one of {', '.join(HEALTHS)}")
    return ContainerFilter(
        ids=tuple(filters.get("id", ())),
        names=tuple(filters.get("name", ())),
        states=tuple(filters.get("status", ())),
        exit_codes=tuple(map(_exit_code, filters.get("exited", ()))),
        labels=labels(filters),
        ancestors=descendants(root, filters["ancestor"]) if "ancestor" in filters else None,
        before=tuple(root.container(name) for name in filters.get("before", ())),
        since=tuple(root.container(name) for name in filters.get("since", ())),
        volumes=tuple(filters.get("volume", ())),
        networks=tuple(filters.get("network", ())),
        healths=tuple(filters.get("health", ())),
        task=_task(filters.get("is-task", [])),
        published=asked_ports("publish", filters),
        exposed=asked_ports("expose", filters),
    )


def _task(values: list[str]) -> bool | None:
    if values and not {"true", "false"} & set(values):
        raise invalid_filter("is-task", values[0], "expected true or false")
    return "true" in values if values else None


def _exit_code(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise invalid_filter("exited", text, "expected an exit code") from error


# -- columns -------------------------------------------------------------------------------------


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

    def names(self, row: Container) -> str:
        """The name; nothing where it has none."""
        return row.config.name if row.config else ""

    def image(self, row: Container) -> str:
        """The image's name as the user gave it, or its ID if the name now means another image."""
        name = self.image_name(row)
        if name is None:
            return UNKNOWN
        assert row.config is not None  # noqa: S101 - it has a name of its image
        return name or "<no image>" if self._full else _short_image(name, row.config.image_id)

    def image_name(self, row: Container) -> str | None:
        """The image's name, or None if it is not known."""
        from layerfs.analysis.store.containers import image_name

        return image_name(self._root, row.config) if row.config else None

    def command(self, row: Container) -> str:
        """The command, quoted as Go quotes."""
        if row.config is None:
            return UNKNOWN
        path, *arguments = row.config.command
        words = [path, *(f"'{word}'" if " " in word else word for word in arguments)]
        text = " ".join(words)
        return printf("%q", text if self._full else ellipsis(text, COMMAND_WIDTH))

    def status(self, row: Container) -> str:
        """Its last recorded state, and when that was."""
        if row.config is None:
            return "Config missing"
        return _status(row.config, self._now_ns) + ("" if row.own else " (layers missing)")

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
        return human_size(own) + ("" if whole == 0 or not (row.own and row.top) else virtual)

    def sizes(self, row: Container) -> ContainerSizes:
        """Its sizes in bytes, read when first asked for: the whole layer must be walked."""
        from layerfs.analysis.store.containers import container_sizes

        if row.id not in self._sizes:
            self._sizes[row.id] = container_sizes(self._root, row)
        return self._sizes[row.id]


def _short_image(name: str, image_id: str) -> str:
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
    return reference.familiar_name + (f":{reference.tag}" if reference.tag else "")


def _status(config: ContainerConfig, now_ns: int) -> str:
    """Docker's words where they are true without an engine."""
    from layerfs.analysis.store.containers import LIVE, recorded_state

    state, recorded = config.state, recorded_state(config)
    if recorded in LIVE:
        since = f" (started {_ago(state.started_ns, now_ns)})" if state.started_ns is not None else ""
        return f"Last seen {recorded}{since}"
    if recorded != "exited":
        return {"removing": "Removal In Progress", "dead": "Dead", "created": "Created"}[recorded]
    if state.finished_ns is None:
        return ""
    return f"Exited ({state.exit_code}) {_ago(state.finished_ns, now_ns)}"


def _ago(then_ns: int, now_ns: int) -> str:
    return f"{human_duration((now_ns - then_ns) / _NANO)} ago"


def container_table(view: View, *, size: bool) -> Table[Container]:
    """All that is told of containers; with `size` also what they take."""
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
        Column("recorded_running", _config(lambda config: config.state.running)),
        Column("", view.status, "Status", "STATUS"),
        Column("exit_code", _exited),
        Column("started", _config(lambda config: rfc3339(config.state.started_ns))),
        Column("finished", _config(lambda config: rfc3339(config.state.finished_ns))),
        Column("ports", _config(_ports), "Ports", "PORTS", _ports_text),
        Column("labels", _config(lambda config: config.labels), "Labels", "LABELS", _labels_text),
        Column("mounts", _config(_mounts), "Mounts", "MOUNTS", view.mounts),
        Column("", _local_volumes, "LocalVolumes", "LOCAL VOLUMES"),
        Column("networks", _config(_networks), "Networks", "NETWORKS", _networks_text),
        Column(
            "size_rw", lambda row: view.sizes(row).read_write if size else None, "Size", "SIZE", view.size
        ),
        Column("size_root_fs", lambda row: view.sizes(row).root_fs if size else None),
        Column("mount_id", lambda row: _own(row, "read-write layer")),
        Column("init_id", lambda row: _own(row, "init layer")),
    ]
    shown = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
    return Table(columns, (*shown, "Size") if size else shown, {"Label": _label})


def _config(value: Callable[[ContainerConfig], Any]) -> Callable[[Container], Any]:
    """A fact of the config; None where the config is missing."""
    return lambda row: None if row.config is None else value(row.config)


def _recorded(config: ContainerConfig) -> str:
    from layerfs.analysis.store.containers import recorded_state

    return recorded_state(config)


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
    return row.config.labels.get(name, "") if row.config else ""


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
    points = row.config.raw.get("MountPoints") if row.config else None
    found = points.values() if isinstance(points, dict) else ()
    return sum(isinstance(point, dict) and point.get("Driver") == "local" for point in found)


def _networks(config: ContainerConfig) -> list[str]:
    from layerfs.analysis.store.containers import networks

    return list(networks(config))


def _networks_text(row: Container) -> str:
    return ",".join(_networks(row.config)) if row.config else ""
