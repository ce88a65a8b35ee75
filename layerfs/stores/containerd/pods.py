"""What Kubernetes wrote down of containers: their names, their pods, and their states.

Sources: containerd `internal/cri/labels/labels.go`, `internal/cri/annotations/annotations.go`,
`internal/cri/store/container/status.go`.
"""

from __future__ import annotations

import errno
import functools
from typing import TYPE_CHECKING

from layerfs.damage import attempt
from layerfs.errors import CorruptStore, DataRootUnreadable, MalformedFile, MissingFile, reason
from layerfs.formats.cri import CRI_KINDS, CRIStatus, parse_cri_metadata, parse_cri_status
from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object, mapping, text
from layerfs.model import Pod

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerfs.formats.boltvalues import TypedValue
    from layerfs.formats.containerdmeta import MetaContainer, Namespace
    from layerfs.formats.cri import CRIMetadata
    from layerfs.hostdir import HostDir

__all__ = ["SANDBOX", "Kubernetes"]

SANDBOX = "sandbox"
"""The kind of a pod's sandbox, as labels have it."""

_STATES, _STATE_LIMIT = "io.containerd.grpc.v1.cri/containers", 1 << 20
_ANNOTATIONS = "io.kubernetes.cri.sandbox-"


class Kubernetes:
    """The records of Kubernetes in one containerd root; each is read once."""

    def __init__(
        self, root: HostDir, spaces: Sequence[Namespace], report: Callable[[CorruptStore], None]
    ) -> None:
        """Read the records of `spaces` in the root; `report` is told of damage."""
        self._root = root
        self._spaces = spaces
        self._report = report
        self._parsed: dict[tuple[str, bytes], CRIMetadata | None] = {}

    def metadata(self, meta: MetaContainer) -> CRIMetadata | None:
        """The metadata of a container or sandbox; None if it is not of Kubernetes, or damaged."""
        return self._noted(f"container {ascii(meta.id)[1:-1]}", meta.extensions)

    def kind(self, meta: MetaContainer) -> str:
        """`container`, or `sandbox` for that of a pod."""
        return next((CRI_KINDS[key] for key in CRI_KINDS if key in meta.extensions), "container")

    def pod(self, meta: MetaContainer) -> Pod | None:
        """The pod of a container or sandbox; None if it has none."""
        noted = self.metadata(meta)
        if noted is None:
            return None
        if self.kind(meta) == SANDBOX:
            return _pod(meta.id, noted)
        sandbox = meta.sandbox or noted.sandbox
        found = self._sandbox(sandbox)
        return _pod(sandbox, found) if found else _annotated(sandbox, meta)

    def status(self, meta: MetaContainer) -> CRIStatus | None:
        """The state of a container as last written down; None if it is lost (reported)."""
        if self.metadata(meta) is None or self.kind(meta) == SANDBOX or not self._has_states:
            return None
        return attempt(self._report, lambda: self._status(f"{_STATES}/{meta.id}/status"))

    @functools.cached_property
    def _has_states(self) -> bool:
        """Whether the directory of states is there; if not, that is reported once."""
        try:
            self._root.lstat(_STATES)
        except OSError as error:
            self._report(_unread(error, self._root.name_of(_STATES), "the states of containers are missing"))
            return False
        return True

    def _status(self, path: str) -> CRIStatus:
        name = self._root.name_of(path)
        try:
            return parse_cri_status(self._root.read(path, _STATE_LIMIT))
        except OSError as error:
            raise _unread(error, name, "the state of the container is missing") from error
        except FormatError as error:
            raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error

    def _sandbox(self, sandbox: str) -> CRIMetadata | None:
        """The metadata of a sandbox, from its container or else from its own record."""
        for space in self._spaces:
            if meta := space.container(sandbox):
                return self.metadata(meta)
        for space in self._spaces:
            if extensions := space.sandbox_extensions(sandbox):
                return self._noted(f"sandbox {ascii(sandbox)[1:-1]}", extensions)
        return None

    def _noted(self, name: str, extensions: Mapping[str, TypedValue]) -> CRIMetadata | None:
        key = next((key for key in CRI_KINDS if key in extensions), None)
        if key is None:
            return None
        at = name, extensions[key].value
        if at not in self._parsed:
            self._parsed[at] = attempt(self._report, lambda: _parse(f"{name}: {key}", at[1]))
        return self._parsed[at]


def _parse(name: str, content: bytes) -> CRIMetadata:
    try:
        return parse_cri_metadata(content)
    except FormatError as error:
        raise MalformedFile(name, error.problem, expected=error.expected, found=error.found) from error


def _pod(sandbox: str, noted: CRIMetadata) -> Pod:
    return Pod(noted.name, noted.namespace, noted.uid, sandbox, noted.attempt, noted.labels)


def _annotated(sandbox: str, meta: MetaContainer) -> Pod | None:
    """A pod whose sandbox has no record, from the annotations in the container's specification."""
    try:
        said = mapping(load_object(meta.spec.value), "annotations") if meta.spec else {}
        name, namespace, uid = (text(said, _ANNOTATIONS + part) for part in ("name", "namespace", "uid"))
    except FormatError:
        return None
    return Pod(name, namespace, uid, sandbox, None, {}) if name else None


def _unread(error: OSError, name: str, lost: str) -> CorruptStore:
    if error.errno in (errno.EACCES, errno.EPERM):
        return DataRootUnreadable(name)
    return MissingFile(name, lost) if error.errno == errno.ENOENT else MalformedFile(name, reason(error))
