"""The PORTS column of `containers`, and its filters `publish` and `expose`.

Sources: docker/cli `cli/command/formatter/container.go`; moby `daemon/list.go` (portOp).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..filters import invalid_filter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.analysis.store.containers import Port

    from ..filters import Filters

__all__ = ["asked_ports", "shown_ports"]


def shown_ports(ports: Iterable[Port]) -> str:
    """`80-81/tcp, 0.0.0.0:443->443/tcp, 0.0.0.0:8080->80/tcp`: neighbours as one range, moved ports last."""
    ranges: dict[tuple[str, str], list[int]] = {}
    closed: list[str] = []
    moved: list[str] = []
    for port in sorted(ports):
        key = (port.address, port.protocol)
        if port.address and port.public != port.private:
            moved.append(f"{port.address}:{port.public}->{port.private}/{port.protocol}")
        elif key not in ranges:
            ranges[key] = [port.private, port.private]
        elif port.private == ranges[key][1] + 1:
            ranges[key][1] = port.private
        else:
            closed.append(_range(key, ranges[key]))
            ranges[key] = [port.private, port.private]
    return ", ".join([*closed, *(_range(key, ranges[key]) for key in ranges), *moved])


def _range(key: tuple[str, str], bounds: list[int]) -> str:
    address, protocol = key
    numbers = "-".join(map(str, sorted(set(bounds))))
    return f"{address}:{numbers}->{numbers}/{protocol}" if address else f"{numbers}/{protocol}"


def asked_ports(name: str, filters: Filters) -> frozenset[str]:
    """The ports that `80`, `80/udp` or `80-90/tcp` mean, each as `80/tcp`."""
    found: set[str] = set()
    for text in filters.get(name, ()):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/([A-Za-z]*))?", text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if match is None or not first <= last < 1 << 16:
            raise invalid_filter(name, text, "expected a port such as 80, 53/udp or 8000-8080/tcp")
        found |= {f"{port}/{match[3] or 'tcp'}" for port in range(first, last + 1)}
    return frozenset(found)
