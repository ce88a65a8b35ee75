"""The config of a container, made from its record in meta.db.

Sources: containerd `internal/cri/labels/labels.go`; nerdctl `docs/dir.md`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerfs.errors import MalformedFile
from layerfs.formats.containerconfig import ContainerConfig, ContainerState
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object
from layerfs.formats.runtimespec import NO_SPEC, read_spec
from layerfs.ids import ContainerID

if TYPE_CHECKING:
    from layerfs.formats.containerdmeta import MetaContainer
    from layerfs.formats.cri import CRIMetadata, CRIStatus
    from layerfs.formats.runtimespec import RuntimeSpec

__all__ = ["ContainerdID", "config_of", "name_of", "spec_of"]

_NERDCTL_NAME = "nerdctl/name"


class ContainerdID(ContainerID):
    """A container's ID as containerd allows it (`pkg/identifiers`)."""

    __slots__ = ()
    pattern = re.compile(r"(?=.{1,76}\Z)[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
    noun = "container ID"


def name_of(meta: MetaContainer, noted: CRIMetadata | None) -> str:
    """The name that the maker of a container gave it."""
    return (noted and noted.name) or meta.labels.get(_NERDCTL_NAME) or meta.id


def spec_of(meta: MetaContainer) -> RuntimeSpec:
    """A container's specification; an empty one if there is none. Raises `CorruptStore`."""
    try:
        return read_spec(load_object(meta.spec.value)) if meta.spec else NO_SPEC
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
