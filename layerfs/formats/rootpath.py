"""Paths of files in a store, as other tools report them: which layer, image or container each belongs to.

Alerts and audit logs have paths of the host they were made on. So a path is recognised by the names of a
store's directories in it, wherever the store was on that host.

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
"""The kind of the name behind each prefix; longer prefixes come first."""

_SNAPSHOTTER, _OVERLAYFS = b"io.containerd.snapshotter.v1.", b"overlayfs"
_FILES, _WHOLE = b"fs", b"native"


class RootPath(NamedTuple):
    """The parts of a path.

    Attributes:
        kind: what `name` names: `directory` (of `overlay2/`, or of a snapshotter), `link`, `chain`, `diff`,
            `blob`, `content` (any blob of containerd's), `image`, `container` or `volume`; digests without
            their algorithm.
        name: the name; for a snapshotter's directory the place of the snapshot.
        area: of a layer's directory the part: `diff` (its files), `merged`, `work`, `link`, …; `merged` of a
            container's tree that is mounted; else empty.
        inner: the path inside that, without a leading slash.
    """

    kind: str
    name: str
    area: str = ""
    inner: bytes = b""


def root_paths(path: bytes, root: bytes) -> Iterator[RootPath]:
    """The possible meanings of a path, the likeliest first: below `root`, else below a data root anywhere.

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
    """The parts of a path, if a data root has its components from `start` on; None if they fit no kind."""
    if names[start].startswith(_SNAPSHOTTER):
        return _snapshot(names[start].removeprefix(_SNAPSHOTTER), names[start + 1 :])
    for prefix, kind in _PREFIXES.items():
        at = start + prefix.count(b"/") + 1
        if len(names) <= at or b"/".join(names[start:at]) != prefix:
            continue
        name, rest = _text(names[at]), names[at + 1 :]
        if kind == "directory":
            return RootPath(kind, name, _text(rest[0]) if rest else "", b"/".join(rest[1:]))
        if kind == "link":  # a link points at diff/ itself
            return RootPath(kind, name, "diff" if rest else "", b"/".join(rest))
        if kind == "mounted":
            return RootPath("container", name, "merged", b"/".join(rest))
        if kind == "task":  # a namespace, then a container's directory
            inside = b"/".join(rest[2:]) if rest[1:2] == [b"rootfs"] else b""
            return RootPath("container", _text(rest[0]), "merged", inside) if rest else None
        return RootPath(kind, name)
    return None


def _snapshot(snapshotter: bytes, names: Sequence[bytes]) -> RootPath | None:
    """The parts of a path in a snapshotter's directory."""
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
