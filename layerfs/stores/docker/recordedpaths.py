"""Where the things lie in a data root of which the engine wrote down a path of its own host.

Sources: moby `daemon/container.go` (containerRoot), `volume/local/local.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerfs.ids import ContainerID

__all__ = ["RecordedPaths"]


class RecordedPaths:
    """For stores that have a Docker Engine's data root; see `capabilities.Recorded`."""

    def path_here(self, container: ContainerID, recorded: str) -> str | None:
        """The path in the data root of a file in a container's directory; None for every other path."""
        own = f"containers/{container}/"
        _, is_own, name = recorded.partition(f"/{own}")
        return own + name if is_own and ".." not in name else None

    def volume_path(self, name: str) -> str:
        """The path in the data root of the content of a volume of the driver `local`."""
        return f"volumes/{name}/_data"
