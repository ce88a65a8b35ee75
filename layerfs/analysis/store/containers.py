"""Which containers a listing shows, and what the store tells of each.

The engine's record of a running container may be outdated, so nothing here says that a container runs.

Sources: moby `daemon/list.go`, `container/view.go`, `container/state.go`,
`daemon/images/image_unix.go` (sizes) of v20.10.24.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from layerfs.analysis.store.listing import has_labels
from layerfs.damage import attempt
from layerfs.errors import LookupFailed
from layerfs.ids import ImageID, InvalidID
from layerfs.model import READ_WRITE, BareLayer, added_up

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.ids import ContainerID
    from layerfs.model import Container, Image, Pod
    from layerfs.store import Store

__all__ = [
    "HEALTHS",
    "LIVE",
    "STATES",
    "UNKNOWN",
    "ContainerFilter",
    "ContainerSizes",
    "Port",
    "container_sizes",
    "descendants",
    "image_name",
    "listed_containers",
    "networks",
    "ports",
    "recorded_state",
    "written_size",
]

_PORT = re.compile("[0-9]{1,5}")

LIVE = ("running", "paused", "restarting", "stopping")
"""Recorded states of a container with a process; whether it still runs cannot be known offline."""

UNKNOWN = "unknown"
"""The state of a container without a recorded state."""

STATES = (*LIVE, "removing", "dead", "created", "initialized", "exited", "stopped", UNKNOWN)
"""Every recorded state; `initialized`, `stopped` and `stopping` are Podman's."""

HEALTHS = ("starting", "healthy", "unhealthy", "none")


class ContainerFilter(NamedTuple):
    """What `--filter` asks for; every condition given must hold, one value of each is enough.

    Attributes:
        ids: prefixes of IDs; a prefix of several IDs matches none.
        names: regular expressions, searched for anywhere in the name.
        states: as recorded.
        exit_codes: of containers that ran and ended.
        labels: label names with the value wanted, or None for any value; all must hold.
        ancestors: IDs of images they were made from; None for any.
        before, since: created before / after these containers; all must hold.
        volumes: names, sources or mount points of their volumes and binds.
        networks: names of networks, or prefixes of their IDs.
        healths: as recorded, of `HEALTHS`.
        task: whether a swarm manages them; None for either.
        published, exposed: ports such as `80/tcp`, on the host and in the container; one of each is enough.
        pods: names of pods of Kubernetes, also behind their namespaces, or the beginning of a sandbox's ID.
    """

    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = ()
    labels: tuple[tuple[str, str | None], ...] = ()
    ancestors: Collection[str] | None = None
    before: tuple[Container, ...] = ()
    since: tuple[Container, ...] = ()
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    healths: tuple[str, ...] = ()
    task: bool | None = None
    published: frozenset[str] = frozenset()
    exposed: frozenset[str] = frozenset()
    pods: tuple[str, ...] = ()


class Port(NamedTuple):
    """A port of a container: only exposed, or published on an address of the host."""

    private: int
    address: str
    public: int
    protocol: str


class ContainerSizes(NamedTuple):
    """Bytes in the read-write layer, and in it and the image together; None if they cannot be read."""

    read_write: int | None
    root_fs: int | None


# -- which ---------------------------------------------------------------------------------------


def listed_containers(root: Store, chosen: ContainerFilter) -> Iterator[Container]:
    """The containers of a listing, newest first; also those with only a part of their records."""
    containers = root.containers()
    position = {item.id: index for index, item in enumerate(containers)}
    ids = {found for prefix in chosen.ids for found in _unique(prefix, containers)}
    for index, item in enumerate(containers):
        in_time = all(index > position[other.id] for other in chosen.before) and all(
            index < position[other.id] for other in chosen.since
        )
        if in_time and (not chosen.ids or item.id in ids) and _passes(item, chosen):
            yield item


def _has_port(config: ContainerConfig, chosen: ContainerFilter) -> bool:
    """Whether a wanted port was published, or exposed, when the engine last recorded the ports."""
    return any(
        f"{port.public}/{port.protocol}" in chosen.published
        or f"{port.private}/{port.protocol}" in chosen.exposed
        for port in ports(config)
    )


def _unique(prefix: str, containers: Sequence[Container]) -> list[ContainerID]:
    found = [item.id for item in containers if prefix and item.id.startswith(prefix)]
    return found if len(found) == 1 else []


def _passes(item: Container, chosen: ContainerFilter) -> bool:
    """Whether a container meets the conditions on its config; one without a config meets none."""
    if item.config is None:
        # what was asked of its ID and its age is judged already
        return chosen._replace(ids=(), before=(), since=()) == ContainerFilter()
    config, state = item.config, recorded_state(item.config)
    ended = state not in LIVE and config.state.started_ns is not None
    return (
        (not chosen.names or any(_named(config.name, pattern) for pattern in chosen.names))
        and (not chosen.states or state in chosen.states)
        and (not chosen.exit_codes or (ended and config.state.exit_code in chosen.exit_codes))
        and has_labels(item.labels, chosen.labels)
        and (chosen.ancestors is None or config.image_id in chosen.ancestors)
        and (not chosen.volumes or not _places(config).isdisjoint(chosen.volumes))
        and (not chosen.networks or _in_network(config, chosen.networks))
        and (not chosen.healths or config.health in chosen.healths)
        and chosen.task in (None, config.raw.get("Managed") is True)
        and (not (chosen.published or chosen.exposed) or _has_port(config, chosen))
        and (not chosen.pods or any(_in_pod(item.pod, name) for name in chosen.pods))
    )


def _in_pod(pod: Pod | None, name: str) -> bool:
    """Whether a pod is called so; there is none without Kubernetes."""
    return pod is not None and (
        name in (pod.name, f"{pod.namespace}/{pod.name}") or (bool(name) and pod.id.startswith(name))
    )


def _named(name: str, pattern: str) -> bool:
    """Whether a pattern is found in a name, with or without its slash; a malformed pattern never is."""
    try:
        return any(pattern == form or re.search(pattern, form) for form in (name, f"/{name}"))
    except re.error:
        return False


def _places(config: ContainerConfig) -> set[str]:
    return {
        place
        for mount in config.mount_points
        for place in (mount.name or mount.source, mount.destination)
        if place
    }


def _in_network(config: ContainerConfig, wanted: tuple[str, ...]) -> bool:
    known = networks(config)
    return any(
        value in known or any(network_id.startswith(value) for network_id in known.values())
        for value in wanted
    )


def descendants(root: Store, names: Collection[str]) -> set[str]:
    """The IDs of the images with these names, and of all images built on them; unknown names are ignored."""
    found = set()
    for name in names:
        try:
            found.add(str(root.names.image_id(name)))
        except LookupFailed:
            continue
    children: defaultdict[str, set[str]] = defaultdict(set)
    for image in root.images():
        if image.parent:
            children[image.parent].add(str(image.id))
    pending = list(found)
    while pending:
        new = children[pending.pop()] - found
        found |= new
        pending += new
    return found


# -- what is known -------------------------------------------------------------------------------


def recorded_state(config: ContainerConfig) -> str:
    """The last state that the engine recorded: one of `STATES`, or `UNKNOWN` if there is none."""
    state = config.state
    if not state.known:
        return UNKNOWN
    if state.word:
        return state.word
    if state.running:
        return "paused" if state.paused else "restarting" if state.restarting else "running"
    if _object(config.raw.get("State")).get("RemovalInProgress") is True:
        return "removing"
    if state.dead:
        return "dead"
    return "created" if state.started_ns is None else "exited"


def image_name(root: Store, config: ContainerConfig) -> str:
    """The image's name as the user typed it, if it still means this image; else the image's ID."""
    if config.image_ref == config.image_id:
        return config.image_id
    try:
        meant = root.names.image_id(config.image_ref)
    except LookupFailed:
        return config.image_id
    return config.image_ref if meant == config.image_id else config.image_id


def container_sizes(root: Store, container: Container) -> ContainerSizes:
    """The bytes of a container as `docker ps --size` counts them; defects are reported to `root`."""
    layer = container.own_layer(READ_WRITE)
    if layer is None:
        return ContainerSizes(None, None)
    own = written_size(root, container)
    below = attempt(root.report, lambda: added_up(_sizes_below(root, container, layer)))
    return ContainerSizes(own, None if own is None or below is None else own + below)


def written_size(root: Store, container: Container) -> int | None:
    """The bytes that a container has written, as its engine counts; None where they cannot be read."""
    layer = container.own_layer(READ_WRITE)
    if layer is None:
        return None
    return added_up((root.content_size(layer), root.size_beside(container)))


def _sizes_below(root: Store, container: Container, own: BareLayer) -> Iterator[int | None]:
    """The sizes of all layers below a container's own one, by the rules of the store."""
    if root.account_rules.whole_image and (image := _made_from(root, container)):
        yield root.size(image)
        return
    if not root.account_rules.init_counts:
        yield from (item.size for item in root.layers_below(container))
        return
    for item in root.stack(container):
        if item.cache_id != own.cache_id:
            yield root.content_size(item) if isinstance(item, BareLayer) else item.size


def _made_from(root: Store, container: Container) -> Image | None:
    """The image that a container was made from; None where it is gone, or damaged (reported)."""
    try:
        own = ImageID(container.config.image_id if container.config else "")
    except InvalidID:
        return None
    return root.load_image(own) if root.has_image(own) else None


def networks(config: ContainerConfig) -> dict[str, str]:
    """The networks a container is in: their IDs by their names, sorted."""
    found = _object(_network_settings(config).get("Networks"))
    known = {name: network for name, network in found.items() if isinstance(network, dict)}
    return {name: str(known[name].get("NetworkID") or "") for name in sorted(known)}


def ports(config: ContainerConfig) -> list[Port]:
    """The ports as last recorded, sorted; an engine records them while the container runs."""
    found: list[Port] = []
    for name, bindings in _object(_network_settings(config).get("Ports")).items():
        number, _, protocol = name.partition("/")
        hosts = [item for item in bindings or () if isinstance(item, dict)] if bindings else []
        if not _PORT.fullmatch(number):
            continue
        if not hosts:
            found.append(Port(int(number), "", 0, protocol or "tcp"))
        for host in hosts:
            public = str(host.get("HostPort") or "0")
            if _PORT.fullmatch(public):
                address = str(host.get("HostIp") or "")
                found.append(Port(int(number), address, int(public), protocol or "tcp"))
    return sorted(found)


def _network_settings(config: ContainerConfig) -> Mapping[str, Any]:
    return _object(config.raw.get("NetworkSettings"))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
