"""The PORTS column of `containers`. Source: docker/cli `cli/command/formatter/container.go`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.analysis.containers import Port

__all__ = ["shown_ports"]


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
