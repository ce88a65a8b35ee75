"""The keys that `docker inspect` has only with a containerd store.

Sources: moby `daemon/containerd/image_inspect.go`, `image_identity.go`, `daemon/inspect.go` (v29).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerfs.formats.errors import FormatError
from layerfs.formats.jsontext import load_object, mapping, text
from layerfs.formats.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs.formats.containerdmeta import MetaBlob
    from layerfs.formats.jsontext import Json
    from layerfs.stores.containerd.image import Target

__all__ = ["SOURCE", "notes_of_container", "notes_of_image", "pulled_from"]

SOURCE = "containerd.io/distribution.source."
"""Begins the label of a blob that says where it was pulled from; the rest is the registry's host."""

_BUILD = "moby/build.ref."


def notes_of_image(target: Target, blob: MetaBlob | None) -> dict[str, Any]:
    """`Descriptor`, and `Identity` as far as labels tell it: signatures are not checked.

    Args:
        target: the descriptor that its names point to.
        blob: the record of that blob; None where there is none.
    """
    found = target.descriptor
    annotations = dict(target.metas[0].annotations)
    descriptor = {"mediaType": found.media_type, "digest": found.digest, "size": found.size}
    return {
        "Descriptor": descriptor | ({"annotations": annotations} if annotations else {}),
        "Identity": _identity(blob.labels) if blob else None,
    }


def _identity(labels: Mapping[str, str]) -> dict[str, Any] | None:
    builds = sorted(_builds(labels), key=lambda build: build["Ref"])
    pulls = [{"Repository": name} for name in sorted(set(_names(labels)))]
    return ({"Build": builds} if builds else {}) | ({"Pull": pulls} if pulls else {}) or None


def _builds(labels: Mapping[str, str]) -> Iterator[dict[str, str]]:
    for label, value in labels.items():
        if label.startswith(_BUILD):
            try:
                created = text(load_object(value.encode()), "createdAt")
            except FormatError:
                continue
            yield {"Ref": label.removeprefix(_BUILD), "CreatedAt": created}


def _names(labels: Mapping[str, str]) -> Iterator[str]:
    for name in pulled_from(labels):
        try:
            reference = parse_reference(name)
        except FormatError:
            continue
        yield reference.name


def pulled_from(labels: Mapping[str, str]) -> Iterator[str]:
    """The repositories that the labels of a blob say it was pulled from."""
    for label, value in labels.items():
        if label.startswith(SOURCE):
            yield from (f"{label.removeprefix(SOURCE)}/{path}" for path in value.split(","))


def notes_of_container(raw: Json, snapshotter: str) -> dict[str, Any]:
    """`Storage`, and the `ImageManifestDescriptor` of its config; raises `FormatError`."""
    manifest = mapping(raw, "ImageManifest")
    platform = mapping(raw, "ImagePlatform")
    return {
        "Storage": {"RootFS": {"Snapshot": {"Name": snapshotter}}} if snapshotter else None,
        "ImageManifestDescriptor": {**manifest, **({"platform": platform} if platform else {})}
        if manifest
        else None,
    }
