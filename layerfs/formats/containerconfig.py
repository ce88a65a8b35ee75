"""config.v2.json: the engine's record of a container.

Source: moby `container/container.go`, `container/state.go`, `volume/mounts/mounts.go`.
"""

from __future__ import annotations

from typing import NamedTuple

from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import (
    Json,
    flag,
    integer,
    load_object,
    mapping,
    objects_by_name,
    text,
    texts,
    texts_by_name,
    time_ns,
)
from layerfs.ids import ContainerID, InvalidID

__all__ = ["ContainerConfig", "ContainerState", "MountPoint", "parse_container_config"]


class ContainerState(NamedTuple):
    """The state as last written: stale after a crash. Times in ns since the epoch, None for never.

    Attributes:
        known: whether a state was written; if not, the other fields mean nothing.
        word: what the engine itself calls the state; empty where that follows from the other fields.
    """

    running: bool
    paused: bool
    restarting: bool
    dead: bool
    exit_code: int
    error: str
    started_ns: int | None
    finished_ns: int | None
    known: bool = True
    word: str = ""


class MountPoint(NamedTuple):
    """A volume or bind mount; not part of the union. Paths are the original host's."""

    type: str
    name: str
    source: str
    destination: str
    writable: bool


class ContainerConfig(NamedTuple):
    """What layerfs uses of a container's config; `raw` is the whole document.

    Attributes:
        name: without the leading slash.
        image_id: the image it was made from, as text: that image may be gone.
        image_ref: what the user typed for it.
        command: path and arguments of its main process.
    """

    id: ContainerID
    name: str
    image_id: str
    image_ref: str
    driver: str
    os: str
    created_ns: int | None
    command: tuple[str, ...]
    state: ContainerState
    mount_points: tuple[MountPoint, ...]
    labels: dict[str, str]
    log_path: str
    raw: Json

    @property
    def health(self) -> str:
        """The health as last written; `none` without a health check, `unhealthy` for an empty status."""
        state = self.raw.get("State")
        health = state.get("Health") if isinstance(state, dict) else None
        return (str(health.get("Status") or "") or "unhealthy") if isinstance(health, dict) else "none"

    @property
    def platform(self) -> str:
        """The platform of its image, such as `linux/arm/v7`; of older engines the operating system alone."""
        noted = self.raw.get("ImagePlatform")
        found = noted if isinstance(noted, dict) else {"os": self.os}
        return "/".join(str(found[key]) for key in ("os", "architecture", "variant") if found.get(key))


def parse_container_config(content: bytes) -> ContainerConfig:
    """Parse a config.v2.json; raises `FormatError`."""
    document = load_object(content)
    config = mapping(document, "Config")
    mounts = objects_by_name(mapping(document, "MountPoints"))
    try:
        container_id = ContainerID(text(document, "ID"))
    except InvalidID as error:
        raise FormatError("malformed ID", found=str(error)) from error
    return ContainerConfig(
        id=container_id,
        name=text(document, "Name").removeprefix("/"),
        image_id=text(document, "Image"),
        image_ref=text(config, "Image"),
        driver=text(document, "Driver"),
        os=text(document, "OS"),
        created_ns=time_ns(document, "Created"),
        command=(text(document, "Path"), *texts(document, "Args")),
        state=_state(mapping(document, "State")),
        mount_points=tuple(_mount_point(mounts[name]) for name in sorted(mounts)),
        labels=texts_by_name(mapping(config, "Labels")),
        log_path=text(document, "LogPath"),
        raw=document,
    )


def _state(state: Json) -> ContainerState:
    return ContainerState(
        running=flag(state, "Running"),
        paused=flag(state, "Paused"),
        restarting=flag(state, "Restarting"),
        dead=flag(state, "Dead"),
        exit_code=integer(state, "ExitCode"),
        error=text(state, "Error"),
        started_ns=time_ns(state, "StartedAt"),
        finished_ns=time_ns(state, "FinishedAt"),
    )


def _mount_point(mount: Json) -> MountPoint:
    return MountPoint(
        type=text(mount, "Type"),
        name=text(mount, "Name"),
        source=text(mount, "Source"),
        destination=text(mount, "Destination"),
        writable=flag(mount, "RW"),
    )
