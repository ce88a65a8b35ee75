"""A container as containerd notes it, in the words that all kinds of store have for one.

Sources: OCI runtime-spec `config.md`; containerd `internal/cri/labels/labels.go`; nerdctl `docs/dir.md`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from layerfs.errors import MalformedFile
from layerfs.formats.containerconfig import ContainerConfig, ContainerState, MountPoint
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import array, load_object, mapping, text, texts
from layerfs.ids import ContainerID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.formats.containerdmeta import MetaContainer
    from layerfs.formats.jsontext import Json

__all__ = ["ContainerdID", "config_of"]

_NERDCTL_NAME = "nerdctl/name"
_CRI = ("io.cri-containerd.container.metadata", "io.cri-containerd.sandbox.metadata")


class ContainerdID(ContainerID):
    """What containerd takes for a container's ID (`pkg/identifiers`)."""

    __slots__ = ()
    pattern = re.compile(r"(?=.{1,76}\Z)[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
    noun = "container ID"


def config_of(meta: MetaContainer, image_id: str) -> ContainerConfig:
    """A container's config; `image_id` is of its image, empty where there is none; raises `CorruptStore`."""
    try:
        spec = load_object(meta.spec.value) if meta.spec else {}
        process = mapping(spec, "process")
        return ContainerConfig(
            id=ContainerdID(meta.id),
            name=_name(meta),
            image_id=image_id,
            image_ref=meta.image,
            driver=meta.snapshotter,
            os="linux" if "linux" in spec else "",
            created_ns=meta.created_ns,
            command=tuple(texts(process, "args")),
            state=ContainerState(
                running=False,
                paused=False,
                restarting=False,
                dead=False,
                exit_code=0,
                error="",
                started_ns=None,
                finished_ns=None,
            ),
            mount_points=tuple(_mounts(spec)),
            labels=dict(meta.labels),
            log_path="",
            raw=spec,
        )
    except FormatError as error:
        raise MalformedFile(
            f"container {ascii(meta.id)[1:-1]}: spec",
            error.problem,
            expected=error.expected,
            found=error.found,
        ) from error


def cri_metadata(meta: MetaContainer) -> Json:
    """What Kubernetes' interface noted of it; empty where it is none of that; raises `FormatError`."""
    noted = next((meta.extensions[key] for key in _CRI if key in meta.extensions), None)
    return mapping(load_object(noted.value), "Metadata") if noted else {}


def _name(meta: MetaContainer) -> str:
    return text(cri_metadata(meta), "Name") or meta.labels.get(_NERDCTL_NAME) or meta.id


def _mounts(spec: Json) -> Iterator[MountPoint]:
    """The bind mounts; all others are of the system, as /proc."""
    for item in array(spec, "mounts"):
        if isinstance(item, dict) and _is_bind(item):
            options = texts(item, "options")
            yield MountPoint("bind", "", text(item, "source"), text(item, "destination"), "ro" not in options)


def _is_bind(item: dict[str, Any]) -> bool:
    return item.get("type") == "bind" or bool({"bind", "rbind"} & set(texts(item, "options")))
