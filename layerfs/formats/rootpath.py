"""Paths of a data root as other tools write them: which layer, image or container a path belongs to.

An alert or audit log names files by their place on its own host, so a path is recognised by its shape,
whatever directory the root has there.

Source: moby `daemon/graphdriver/overlay2/overlay.go`, `layer/filestore.go`, `image/fs.go`,
`distribution/metadata/v2_metadata_service.go`, `volume/local/local.go`, `daemon/snapshotter/mount.go`;
containerd `plugins/snapshots/overlay/overlay.go`, `plugins/content/local/store.go`,
`core/runtime/v2/bundle.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["RootPath", "root_paths"]

_PREFIXES = {
    b"overlay2/l": "link",
    b"overlay2": "directory",
    b"image/overlay2/layerdb/sha256": "chain",
    b"image/overlay2/layerdb/mounts": "container",
    b"image/overlay2/imagedb/content/sha256": "image",
    b"image/overlay2/imagedb/metadata/sha256": "image",
    b"image/overlay2/distribution/diffid-by-digest/sha256": "blob",
    b"image/overlay2/distribution/v2metadata-by-diffid/sha256": "diff",
    b"containers": "container",
    b"rootfs/overlayfs": "mounted",
    b"io.containerd.runtime.v2.task": "task",
    b"io.containerd.grpc.v1.cri/containers": "container",
    b"io.containerd.grpc.v1.cri/sandboxes": "container",
    b"io.containerd.content.v1.content/blobs/sha256": "content",
    b"volumes": "volume",
}
"""What the name behind a prefix is; a longer prefix comes before its own beginning."""

_SNAPSHOTTER, _OVERLAYFS = b"io.containerd.snapshotter.v1.", b"overlayfs"
_FILES, _WHOLE = b"fs", b"native"


class RootPath(NamedTuple):
    """A path, taken apart.

    Attributes:
        kind: what `name` names: `directory` (of `overlay2/`, or of a snapshotter), `link`, `chain`, `diff`,
            `blob`, `content` (any blob of containerd's), `image`, `container` or `volume`; digests without
            their algorithm.
        name: the name; of a snapshotter's directory the place of its snapshot.
        area: of a layer's directory the part: `diff` (its files), `merged`, `work`, `link`, …; `merged` of a
            container's tree that is mounted; else empty.
        inner: the path inside that, without a leading slash.
    """

    kind: str
    name: str
    area: str = ""
    inner: bytes = b""


def root_paths(path: bytes, root: bytes) -> Iterator[RootPath]:
    """What a path may be, the likeliest first: below `root`, or else below a data root of any place.

    `.`, `..` and repeated slashes are taken as text; no file is looked at.
    """
    names = _components(path)
    own = _components(root)
    is_own = path.startswith(b"/") and names[: len(own)] == own
    for start in range(len(own) if is_own else 0, len(names)):
        if found := _parse(names, start):
            yield found


def _components(path: bytes) -> list[bytes]:
    names: list[bytes] = []
    for name in path.split(b"/"):
        if name == b"..":
            del names[-1:]
        elif name not in (b"", b"."):
            names.append(name)
    return names


def _parse(names: Sequence[bytes], start: int) -> RootPath | None:
    """What the components from `start` on are below a data root; None if they belong to no layer or image."""
    if names[start].startswith(_SNAPSHOTTER):
        return _snapshot(names[start].removeprefix(_SNAPSHOTTER), names[start + 1 :])
    for prefix, kind in _PREFIXES.items():
        at = start + prefix.count(b"/") + 1
        if len(names) <= at or b"/".join(names[start:at]) != prefix:
            continue
        name, rest = _text(names[at]), names[at + 1 :]
        if kind == "directory":
            return RootPath(kind, name, _text(rest[0]) if rest else "", b"/".join(rest[1:]))
        if kind == "link":  # a link leads to diff/ itself
            return RootPath(kind, name, "diff" if rest else "", b"/".join(rest))
        if kind == "mounted":
            return RootPath("container", name, "merged", b"/".join(rest))
        if kind == "task":  # a namespace, and a container's directory in it
            inside = b"/".join(rest[2:]) if rest[1:2] == [b"rootfs"] else b""
            return RootPath("container", _text(rest[0]), "merged", inside) if rest else None
        return RootPath(kind, name)
    return None


def _snapshot(snapshotter: bytes, names: Sequence[bytes]) -> RootPath | None:
    """What lies in a snapshotter's directory."""
    if names[:1] != [b"snapshots"] or len(names) < 2:
        return None
    place = names[1] if snapshotter == _OVERLAYFS else snapshotter + b"/" + names[1]
    rest = names[2:]
    if snapshotter == _WHOLE:
        return RootPath("directory", _text(place), "diff", b"/".join(rest))
    area = "diff" if rest[:1] == [_FILES] else _text(b"".join(rest[:1]))
    return RootPath("directory", _text(place), area, b"/".join(rest[1:]))


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
