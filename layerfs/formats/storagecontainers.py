"""containers.json: what containers/storage knows of containers, whoever made them.

Sources: containers/storage `containers.go` (Container); podman `libpod/storage.go`
(RuntimeContainerMetadata); cri-o `internal/storage/runtime.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import flag, integer, load_object, load_objects, mapping, text, texts, time_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.formats.jsontext import Json

__all__ = ["NO_METADATA", "ContainerMetadata", "StorageContainer", "parse_metadata", "storage_containers"]


class StorageContainer(NamedTuple):
    """A container as containers/storage has it.

    Attributes:
        id: unchecked.
        names: all of them; the first is the one it is called by.
        image: the ID of the image's record, hex digits; empty for none.
        layer: the ID of its read-write layer.
        metadata: what its engine noted, JSON; empty for none.
        created_ns: ns since 1970, None where it is not known.
        mount_label: the label of SELinux; empty for none.
        is_volatile: whether its engine does not wait for its files to be on the disk.
        raw: the whole record.
    """

    id: str
    names: tuple[str, ...]
    image: str
    layer: str
    metadata: str
    created_ns: int | None
    mount_label: str
    is_volatile: bool
    raw: Json


class ContainerMetadata(NamedTuple):
    """What an engine noted of a container: Podman and CRI-O alike, from `pod_id` on CRI-O alone.

    Attributes:
        image_name, image_id: of the image, its name in full.
        name: of the container.
        created_ns: in whole seconds; None for none.
        pod_id: the sandbox of its pod.
        pod_name: what CRI-O calls that: `k8s_<pod>_<namespace>_<uid>_<attempt>`.
        metadata_name: the name that Kubernetes has for it; for a sandbox the pod's.
        uid, namespace: the pod's; empty for what is no sandbox.
        attempt: how many times it was made before.
        is_pod: whether it is the sandbox of a pod.
        raw: the whole document.
    """

    image_name: str
    image_id: str
    name: str
    created_ns: int | None
    pod_id: str
    pod_name: str
    metadata_name: str
    uid: str
    namespace: str
    attempt: int
    is_pod: bool
    raw: Json


_NANO = 10**9


def storage_containers(content: bytes, damaged: Callable[[FormatError], None]) -> Iterator[StorageContainer]:
    """The containers of a containers.json, in its order; of several with one ID the first.

    Args:
        content: of the file.
        damaged: told of each record that is malformed; it is left out.

    Raises:
        FormatError: the file is no array of objects.
    """
    seen: set[str] = set()
    for number, record in enumerate(load_objects(content)):
        try:
            found = _storage_container(record)
        except FormatError as error:
            part = f"[{number}]"
            damaged(FormatError(error.problem, expected=error.expected, found=error.found, part=part))
            continue
        if found.id in seen:
            part = ascii(found.id[:100])[1:-1]
            damaged(FormatError("a second record of this ID: the first counts", part=part))
            continue
        seen.add(found.id)
        yield found


def _storage_container(record: Json) -> StorageContainer:
    flags = mapping(record, "flags")
    return StorageContainer(
        id=text(record, "id"),
        names=texts(record, "names"),
        image=text(record, "image"),
        layer=text(record, "layer"),
        metadata=text(record, "metadata"),
        created_ns=time_ns(record, "created"),
        mount_label=text(flags, "MountLabel"),
        is_volatile=flag(flags, "Volatile"),
        raw=record,
    )


def _metadata(noted: Json) -> ContainerMetadata:
    created = integer(noted, "created-at")
    return ContainerMetadata(
        image_name=text(noted, "image-name"),
        image_id=text(noted, "image-id"),
        name=text(noted, "name"),
        created_ns=created * _NANO if created else None,
        pod_id=text(noted, "pod-id"),
        pod_name=text(noted, "pod-name"),
        metadata_name=text(noted, "metadata-name"),
        uid=text(noted, "uid"),
        namespace=text(noted, "namespace"),
        attempt=integer(noted, "attempt"),
        is_pod=flag(noted, "pod"),
        raw=noted,
    )


NO_METADATA = _metadata({})
"""Of a container of which its engine noted nothing, as Buildah."""


def parse_metadata(metadata: str) -> ContainerMetadata:
    """What an engine noted; raises `FormatError`."""
    if not metadata:
        return NO_METADATA
    return _metadata(load_object(metadata.encode("utf-8", "surrogatepass")))
