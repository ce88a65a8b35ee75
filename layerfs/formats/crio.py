"""What CRI-O writes down of a container in its directory: its state, and annotations in its specification.

Sources: cri-o `internal/oci/container.go` (ContainerState), `pkg/annotations/internal.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.formats.containerconfig import ContainerState
from layerfs.formats.jsontext import integer, load_object, text, texts_by_name, time_ns

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["crio_labels", "crio_log_path", "parse_crio_state", "split_pod_name"]

_PREFIX = "io.kubernetes.cri-o."
_POD_NAME, _PARTS = "k8s_", 4  # the pod, its namespace, its uid, the attempt


def parse_crio_state(content: bytes) -> ContainerState:
    """A state.json; raises `FormatError`. A container that it calls running may have ended since."""
    noted = load_object(content)
    status = text(noted, "status")
    started = time_ns(noted, "started")
    return ContainerState(
        running=status in ("running", "paused"),
        paused=status == "paused",
        restarting=False,
        dead=False,
        exit_code=integer(noted, "exitCode"),
        error=text(noted, "error"),
        started_ns=started,
        finished_ns=time_ns(noted, "finished"),
        known=bool(status) or started is not None,
    )


def crio_labels(annotations: Mapping[str, str]) -> dict[str, str]:
    """The labels that Kubernetes gave a container, or a pod; raises `FormatError`."""
    noted = annotations.get(_PREFIX + "Labels")
    return texts_by_name(load_object(noted.encode("utf-8", "surrogatepass"))) if noted else {}


def crio_log_path(annotations: Mapping[str, str]) -> str:
    """The file of a container's log; empty where it is not known."""
    return annotations.get(_PREFIX + "LogPath", "")


def split_pod_name(name: str) -> tuple[str, str, str, int | None] | None:
    """Name, namespace, uid and attempt of a pod, from `k8s_<pod>_<namespace>_<uid>_<attempt>`; else None.

    No name of Kubernetes holds an underscore.
    """
    parts = name.removeprefix(_POD_NAME).split("_")
    if not name.startswith(_POD_NAME) or len(parts) != _PARTS:
        return None
    attempt = parts[3]
    is_number = attempt.isascii() and attempt.isdigit() and len(attempt) < 10
    return parts[0], parts[1], parts[2], int(attempt) if is_number else None
