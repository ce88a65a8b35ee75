"""What the engines themselves note of containers: commands, states, pods, and which engine it is.

Sources: podman `libpod/container_config.go`; cri-o `internal/storage/runtime.go`,
`internal/lib/container_server.go`, `pkg/annotations/internal.go`; buildah `buildah.go`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import CorruptStore, MalformedFile, MissingFile
from layerfs.formats.containerconfig import ContainerConfig, ContainerState
from layerfs.formats.crio import crio_labels, crio_log_path, parse_crio_state, split_pod_name
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object, text
from layerfs.formats.runtimespec import NO_SPEC, read_spec
from layerfs.model import Pod
from layerfs.stores.files import JSON_LIMIT, if_there, parse_optional

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerfs.formats.containerconfig import MountPoint
    from layerfs.formats.libpod import LibpodContainer
    from layerfs.formats.runtimespec import RuntimeSpec
    from layerfs.hostdir import HostDir
    from layerfs.ids import ContainerID
    from layerfs.stores.containers_storage.containers import Records
    from layerfs.stores.containers_storage.libpod import Libpod

__all__ = ["INFRA", "SANDBOX", "WORKING", "Notes"]

SANDBOX, INFRA, WORKING = "sandbox", "infra", "working container"
"""Kinds of containers: what holds a pod of Kubernetes together, or one of Podman; what Buildah works in."""

_BUILDAH = "buildah.json"
_LIVE = ("running", "paused", "stopping")  # states with a process
_NOT_KNOWN = ContainerState(
    running=False,
    paused=False,
    restarting=False,
    dead=False,
    exit_code=0,
    error="",
    started_ns=None,
    finished_ns=None,
    known=False,
)


class Notes:
    """The notes of the engines on the containers of one graph root."""

    def __init__(
        self,
        root: HostDir,
        driver: str,
        records: Mapping[ContainerID, Records],
        libpod: Libpod,
        report: Callable[[CorruptStore], None],
    ) -> None:
        """Read what there is in the containers' directories of `root`; `report` is told of damage."""
        self._root = root
        self._driver = driver
        self._records = records
        self._libpod = libpod
        self._report = report
        self._specs: dict[ContainerID, RuntimeSpec] = {}

    @functools.cached_property
    def sandboxes(self) -> Mapping[str, Pod]:
        """The pods of CRI-O by the IDs of their sandboxes."""
        return {
            container_id: self._sandbox(container_id, records)
            for container_id, records in self._records.items()
            if records.metadata.is_pod
        }

    def kind(self, container_id: ContainerID, records: Records) -> str:
        """`container`, or what else it is."""
        if records.metadata.is_pod:
            return SANDBOX
        if records.libpod:
            return INFRA if records.libpod.is_infra else "container"
        return WORKING if self._is_buildahs(container_id) else "container"

    def is_of_podman(self, container_id: ContainerID, records: Records) -> bool:
        """Whether Podman made a container, so that libpod must know it."""
        return (
            bool(records.metadata.raw) and not records.metadata.pod_id and not self._is_buildahs(container_id)
        )

    def pod(self, container_id: ContainerID, records: Records) -> Pod | None:
        """The pod of a container or sandbox; None if it has none."""
        if records.libpod and (pod_id := records.libpod.pod):
            return self._libpod.pods.get(pod_id) or self._lost_pod(container_id, pod_id)
        noted = records.metadata
        if not noted.pod_id:
            return None
        if found := self.sandboxes.get(container_id if noted.is_pod else noted.pod_id):
            return found
        # the sandbox has no record: what the container says of it
        name, namespace, uid, attempt = split_pod_name(noted.pod_name) or (noted.pod_name, "", "", None)
        return Pod(name, namespace, uid, noted.pod_id, attempt, {})

    def attempt(self, records: Records) -> int | None:
        """How many times Kubernetes made it before; None elsewhere."""
        return records.metadata.attempt if records.metadata.pod_id else None

    def config(self, container_id: ContainerID, records: Records, image_id: str) -> ContainerConfig:
        """A container's config, of whatever there is; `image_id` is that of its image."""
        libpod, stored, metadata = records.libpod, records.stored, records.metadata
        spec = _spec_of(libpod) if libpod else self._spec(container_id)
        created = (libpod and libpod.created_ns) or (stored and stored.created_ns) or metadata.created_ns
        return ContainerConfig(
            id=container_id,
            name=next(iter(records.names), ""),
            image_id=image_id,
            image_ref=(libpod.image_name if libpod else metadata.image_name) or self._built_on(container_id),
            driver=self._driver,
            os=spec.os,
            created_ns=created,
            command=libpod.command if libpod else spec.command,
            state=_libpod_state(libpod) if libpod else self._crio_state(container_id, records),
            mount_points=tuple(map(self._found, libpod.mounts)) if libpod else spec.mounts,
            labels=dict(libpod.labels) if libpod else self._crio_labels(container_id),
            log_path=libpod.log_path if libpod else crio_log_path(spec.annotations),
            raw=spec.raw,
        )

    # -- Podman ----------------------------------------------------------------------------------

    def _found(self, mount: MountPoint) -> MountPoint:
        """A mount with the directory of its volume."""
        return (
            mount._replace(source=self._libpod.volume_path(mount.name)) if mount.type == "volume" else mount
        )

    def _lost_pod(self, container_id: ContainerID, pod_id: str) -> Pod:
        """What is left of a pod without a record, which is reported: its ID."""
        problem = f"its pod {ascii(pod_id[:100])[1:-1]} has no record"
        self._report(MissingFile(f"container {container_id}", problem))
        return Pod("", "", "", pod_id, None, {})

    # -- CRI-O -----------------------------------------------------------------------------------

    def _sandbox(self, container_id: ContainerID, records: Records) -> Pod:
        noted = records.metadata
        labels = self._crio_labels(container_id)
        return Pod(noted.metadata_name, noted.namespace, noted.uid, container_id, noted.attempt, labels)

    def _crio_labels(self, container_id: ContainerID) -> dict[str, str]:
        try:
            return crio_labels(self._spec(container_id).annotations)
        except FormatError as error:
            name = self._root.name_of(self._file(container_id, "config.json"))
            self._report(MalformedFile(name, error.problem, expected=error.expected, found=error.found))
            return {}

    def _crio_state(self, container_id: ContainerID, records: Records) -> ContainerState:
        """The state that CRI-O wrote down; of Buildah's nothing tells it."""
        if not records.metadata.pod_id:
            return _NOT_KNOWN
        path = self._file(container_id, "state.json")
        found = attempt(
            self._report, lambda: parse_optional(self._root, path, parse_crio_state, limit=JSON_LIMIT)
        )
        return found or _NOT_KNOWN

    # -- files -----------------------------------------------------------------------------------

    def _spec(self, container_id: ContainerID) -> RuntimeSpec:
        """The specification in a container's directory, which is there once it was started."""
        if container_id not in self._specs:
            path = self._file(container_id, "config.json")
            found = attempt(
                self._report,
                lambda: parse_optional(
                    self._root, path, lambda content: read_spec(load_object(content)), limit=JSON_LIMIT
                ),
            )
            self._specs[container_id] = found or NO_SPEC
        return self._specs[container_id]

    def _is_buildahs(self, container_id: ContainerID) -> bool:
        """Whether Buildah keeps its notes of a build beside a container."""
        path = self._file(container_id, _BUILDAH)
        found = attempt(self._report, lambda: if_there(self._root, path, lambda: self._root.lstat(path)))
        return found is not None

    def _built_on(self, container_id: ContainerID) -> str:
        """The name of the image that Buildah builds on; empty where it is not known, or not Buildah's."""
        path = self._file(container_id, _BUILDAH)
        noted = attempt(
            self._report, lambda: parse_optional(self._root, path, _buildah_image, limit=JSON_LIMIT)
        )
        return noted or ""

    def _file(self, container_id: ContainerID, name: str) -> str:
        return f"{self._driver}-containers/{container_id}/userdata/{name}"


def _buildah_image(content: bytes) -> str:
    return text(load_object(content), "image")


def _spec_of(libpod: LibpodContainer) -> RuntimeSpec:
    """The specification that libpod has; of its mounts libpod itself knows more."""
    return NO_SPEC._replace(os="linux" if "linux" in libpod.spec else "", raw=libpod.spec)


def _libpod_state(libpod: LibpodContainer) -> ContainerState:
    """The state as libpod last wrote it down."""
    if not libpod.is_known:
        return _NOT_KNOWN
    return ContainerState(
        running=libpod.state in _LIVE,
        paused=libpod.state == "paused",
        restarting=False,
        dead=False,
        exit_code=libpod.exit_code or 0,
        error=libpod.error,
        started_ns=libpod.started_ns,
        finished_ns=libpod.finished_ns,
        word=libpod.state,
    )
