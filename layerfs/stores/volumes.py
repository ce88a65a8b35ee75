"""`volumes/`: the volumes of the driver `local` of Docker or Podman, a directory each.

Sources: moby `volume/local/local.go`, `pkg/directory/directory_unix.go`; podman `libpod/options.go`.
"""

from __future__ import annotations

import functools
import os
import stat
from typing import TYPE_CHECKING

from layerfs.capabilities import Volume
from layerfs.damage import attempt
from layerfs.stores.files import explain, open_optional
from layerfs.stores.inodesizes import inode_sizes

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.errors import CorruptStore
    from layerfs.hostdir import HostDir

__all__ = ["Volumes", "volumes"]

_CONTENT = "_data"


class Volumes:
    """Reader of the `volumes/` directory."""

    def __init__(self, root: HostDir) -> None:
        """Read the `volumes/` below the data root; raises `CorruptStore` where it is something else."""
        self._directory = open_optional(root, "volumes")

    @property
    def exist(self) -> bool:
        """Whether the directory exists; a copy may have been made without it."""
        return self._directory is not None

    def names(self) -> list[str]:
        """The volumes, sorted; raises `CorruptStore`."""
        if self._directory is None:
            return []
        try:
            found = [name for name, what in self._directory.scan() if stat.S_ISDIR(what.st_mode)]
        except OSError as error:
            raise explain(error, self._directory.display) from error
        return sorted(map(os.fsdecode, found))

    def size(self, name: str) -> int:
        """Bytes in a volume as the engine counts them: each inode once, without directories.

        Raises:
            CorruptStore: it is missing or unreadable.
        """
        assert self._directory is not None, "a name comes from `names`"  # noqa: S101
        place = os.fsencode(f"{name}/{_CONTENT}")
        try:
            with self._directory.subdir(place) as content:
                return sum(inode_sizes(content).values())
        except OSError as error:
            raise explain(error, self._directory.name_of(place)) from error


def volumes(root: HostDir, report: Callable[[CorruptStore], None]) -> list[Volume] | None:
    """Every volume of a data root with its size, by name; None if there is no `volumes/`.

    Damage is given to `report`.
    """
    found = attempt(report, lambda: Volumes(root))
    names = attempt(report, found.names) if found and found.exist else None
    if found is None or names is None:
        return None
    return [Volume(name, attempt(report, functools.partial(found.size, name))) for name in names]
