"""`containers/`: the engine's records of each container.

Source: moby `container/container.go` (config.v2.json, hostconfig.json).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, DataRootUnreadable, MalformedFile
from layerfs.formats.jsontext import load_object
from layerfs.ids import ContainerID
from layerfs.stores.docker.driver import DRIVER
from layerfs.stores.files import (
    JSON_LIMIT,
    identities,
    open_part,
    parse_file,
    parse_optional,
)

if TYPE_CHECKING:
    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.formats.jsontext import Json
    from layerfs.hostdir import HostDir
    from layerfs.stores.files import Problem

__all__ = ["ContainerDB"]


class ContainerDB:
    """Reader of the `containers/` directory; every config is read at most once.

    Attributes:
        problems: why the directory cannot be read.
    """

    def __init__(self, root: HostDir) -> None:
        """Read the `containers/` below the data root."""
        self._root = root
        self.problems: list[Problem] = []
        self._directory = open_part(root, "containers", self.problems)
        self._configs: dict[ContainerID, ContainerConfig | CorruptStore] = {}

    def container_ids(self) -> list[ContainerID]:
        """Every container's ID, sorted."""
        return sorted(identities(self._directory, ContainerID))

    def config(self, container: ContainerID) -> ContainerConfig:
        """The config of one container; raises `CorruptStore`."""
        known = self._configs.get(container)
        if known is None:
            try:
                known = self._read(container)
            except CorruptStore as error:
                known = error
            self._configs[container] = known
        if isinstance(known, CorruptStore):
            raise known
        return known

    def has_other_driver(self, container: ContainerID) -> bool:
        """Whether the config says that the container is of another storage driver; False without a config."""
        try:
            return self.config(container).driver not in ("", DRIVER)
        except (CorruptStore, DataRootUnreadable):
            return False

    def _read(self, container: ContainerID) -> ContainerConfig:
        from layerfs.formats.containerconfig import parse_container_config  # noqa: PLC0415 - if there is any

        path = _config_path(container)
        config = parse_file(self._root, path, parse_container_config, JSON_LIMIT)
        if config.id != container:
            raise MalformedFile(
                self._root.name_of(path), "another container's config", expected=container, found=config.id
            )
        return config

    def config_name(self, container: ContainerID) -> str:
        """The path of the config of one container, for messages."""
        return self._root.name_of(_config_path(container))

    def host_config(self, container: ContainerID) -> Json | None:
        """The host config of one container; None if there is none; raises `CorruptStore`."""
        return parse_optional(self._root, _host_config_path(container), load_object, JSON_LIMIT)

    def host_config_name(self, container: ContainerID) -> str:
        """The path of the host config, for messages."""
        return self._root.name_of(_host_config_path(container))


def _config_path(container: ContainerID) -> str:
    return f"containers/{container}/config.v2.json"


def _host_config_path(container: ContainerID) -> str:
    return f"containers/{container}/hostconfig.json"
