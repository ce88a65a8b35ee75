"""The config of a container, made from its record in meta.db.

Sources: OCI runtime-spec `config.md`; containerd `internal/cri/labels/labels.go`; nerdctl `docs/dir.md`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from layerfs.errors import MalformedFile
from layerfs.formats.containerconfig import ContainerConfig, ContainerState, MountPoint
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import array, load_object, mapping, text, texts
from layerfs.ids import ContainerID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.formats.containerdmeta import MetaContainer
    from layerfs.formats.cri import CRIMetadata, CRIStatus
    from layerfs.formats.jsontext import Json

__all__ = ["NO_SPEC", "ContainerdID", "RuntimeSpec", "config_of", "name_of", "spec_of"]

_NERDCTL_NAME = "nerdctl/name"


class ContainerdID(ContainerID):
    """A container's ID as containerd allows it (`pkg/identifiers`)."""

    __slots__ = ()
    pattern = re.compile(r"(?=.{1,76}\Z)[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
    noun = "container ID"


class RuntimeSpec(NamedTuple):
    """The used parts of a container's OCI runtime specification.

    Attributes:
        os: `linux`, or empty.
        command: path and arguments of its main process.
        mounts: the bind mounts.
        raw: the whole document.
    """

    os: str
    command: tuple[str, ...]
    mounts: tuple[MountPoint, ...]
    raw: Json


NO_SPEC = RuntimeSpec("", (), (), {})
"""Stands for an image that is missing or damaged; the record has its name too."""


def name_of(meta: MetaContainer, noted: CRIMetadata | None) -> str:
    """The name that the maker of a container gave it."""
    return (noted and noted.name) or meta.labels.get(_NERDCTL_NAME) or meta.id


def spec_of(meta: MetaContainer) -> RuntimeSpec:
    """A container's specification; an empty one if there is none. Raises `CorruptStore`."""
    try:
        spec = load_object(meta.spec.value) if meta.spec else {}
        return RuntimeSpec(
            "linux" if "linux" in spec else "",
            tuple(texts(mapping(spec, "process"), "args")),
            tuple(_mounts(spec)),
            spec,
        )
    except FormatError as error:
        raise MalformedFile(
            f"container {ascii(meta.id)[1:-1]}: spec",
            error.problem,
            expected=error.expected,
            found=error.found,
        ) from error


def config_of(
    meta: MetaContainer,
    spec: RuntimeSpec,
    image_id: str,
    noted: CRIMetadata | None,
    status: CRIStatus | None,
) -> ContainerConfig:
    """A container's config.

    Args:
        meta: its record.
        spec: its specification.
        image_id: the ID of its image, empty if there is none.
        noted: the metadata that Kubernetes wrote down, or None.
        status: the state that Kubernetes wrote down; without it the state is not known.
    """
    return ContainerConfig(
        id=ContainerdID(meta.id),
        name=name_of(meta, noted),
        image_id=image_id,
        image_ref=meta.image,
        driver=meta.snapshotter,
        os=spec.os,
        created_ns=(status and status.created_ns) or meta.created_ns,
        command=spec.command,
        state=_state(status),
        mount_points=spec.mounts,
        labels=dict(meta.labels),
        log_path=noted.log_path if noted else "",
        raw=spec.raw,
    )


def _state(status: CRIStatus | None) -> ContainerState:
    """The state that Kubernetes wrote down; of others only a running containerd knows whether they run."""
    return ContainerState(
        running=bool(status and status.started_ns and not status.finished_ns),
        paused=False,
        restarting=False,
        dead=False,
        exit_code=status.exit_code if status else 0,
        error=status.message if status else "",
        started_ns=status.started_ns if status else None,
        finished_ns=status.finished_ns if status else None,
        known=status is not None,
    )


def _mounts(spec: Json) -> Iterator[MountPoint]:
    """The bind mounts; all others are of the system, such as /proc."""
    for item in array(spec, "mounts"):
        if isinstance(item, dict) and _is_bind(item):
            options = texts(item, "options")
            yield MountPoint("bind", "", text(item, "source"), text(item, "destination"), "ro" not in options)


def _is_bind(item: dict[str, Any]) -> bool:
    return item.get("type") == "bind" or bool({"bind", "rbind"} & set(texts(item, "options")))
