"""`--filter` of `layerfs containers`: what each name takes, and the filter that all of them make.

Source: moby `daemon/list.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..filters import Filters, invalid_filter, labels
from ..subjects import container_names, image_names
from ..units import short_id
from .ports import asked_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from layerfs.analysis.store.containers import ContainerFilter
    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.store import Store

__all__ = ["container_filter", "filter_values"]


def filter_values(root: Store, name: str) -> Iterable[Any]:
    """What a filter may be given, as far as it can be listed."""
    from layerfs.analysis.store.containers import HEALTHS, STATES, networks

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
        "network": networks,
        "volume": lambda config: (mount.name or mount.source for mount in config.mount_points),
    }
    if name == "pod":
        return (item.pod.name for item in root.containers() if item.pod)
    if name == "label":
        return (f"{key}={value}" for item in root.containers() for key, value in item.labels.items())
    if name not in values:
        return ()
    return (value for item in root.containers() if item.config for value in values[name](item.config))


def container_filter(root: Store, filters: Filters) -> ContainerFilter:
    """The filter that the values of `--filter` ask for; raises a usage error."""
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
        pods=tuple(filters.get("pod", ())),
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
