"""The records that containerd's CRI plugin (Kubernetes) keeps of containers, pods, and states of containers.

Sources: containerd `internal/cri/store/container/{metadata,status}.go`,
`internal/cri/store/sandbox/metadata.go`; cri-api `runtime/v1/api.proto`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerfs.formats.jsontext import Json, integer, load_object, mapping, text, texts_by_name

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CRI_KINDS", "CRIMetadata", "CRIStatus", "parse_cri_metadata", "parse_cri_status"]

CRI_KINDS = {
    "io.cri-containerd.container.metadata": "container",
    "io.cri-containerd.sandbox.metadata": "sandbox",
    "metadata": "sandbox",
}
"""The extensions that hold these records; the value tells what the record is of."""


@dataclass(frozen=True, slots=True)
class CRIMetadata:
    """The record of a container, or of the sandbox of a pod.

    Attributes:
        full_name: `<container>_<pod>_<namespace>_<uid>_<attempt>`; for a sandbox without the first part.
        name: the container's own name; for a sandbox the pod's.
        namespace, uid: the pod's; empty for a container.
        attempt: how many times it was made before, 0 for the first.
        sandbox: the ID of a container's sandbox; empty for a sandbox.
        image_ref: the config digest of a container's image.
        labels: the labels that Kubernetes gave it.
        log_path: the file of its log.
        raw: the whole document.
    """

    full_name: str
    name: str
    namespace: str
    uid: str
    attempt: int
    sandbox: str
    image_ref: str
    labels: Mapping[str, str]
    log_path: str
    raw: Json


@dataclass(frozen=True, slots=True)
class CRIStatus:
    """The state of a container as it was last written down; times in ns since 1970, None for never.

    Attributes:
        raw: the whole document.
    """

    created_ns: int | None
    started_ns: int | None
    finished_ns: int | None
    exit_code: int
    message: str
    raw: Json


def parse_cri_metadata(content: bytes) -> CRIMetadata:
    """Parse the value of an extension; raises `FormatError`."""
    noted = mapping(load_object(content), "Metadata")
    config = mapping(noted, "Config")
    named = mapping(config, "metadata")
    return CRIMetadata(
        full_name=text(noted, "Name"),
        name=text(named, "name"),
        namespace=text(named, "namespace"),
        uid=text(named, "uid"),
        attempt=integer(named, "attempt"),
        sandbox=text(noted, "SandboxID"),
        image_ref=text(noted, "ImageRef"),
        labels=texts_by_name(mapping(config, "labels")),
        log_path=text(noted, "LogPath"),
        raw=noted,
    )


def parse_cri_status(content: bytes) -> CRIStatus:
    """Parse a file `status`; raises `FormatError`."""
    noted = load_object(content)
    return CRIStatus(
        created_ns=integer(noted, "CreatedAt") or None,
        started_ns=integer(noted, "StartedAt") or None,
        finished_ns=integer(noted, "FinishedAt") or None,
        exit_code=integer(noted, "ExitCode"),
        message=text(noted, "Message") or text(noted, "Reason"),
        raw=noted,
    )
