"""The usual places of stores, and how stores that no kind reads are recognised.

Sources: moby `cmd/dockerd` (rootless: `$XDG_DATA_HOME/docker`); containerd `docs/ops.md`; the
documentation of k3s, RKE2, k0s and MicroK8s; containers/storage `docs/containers-storage.conf.5.md`; BuildKit
`docs/rootless.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from layerfs.formats.engineconfig import Person

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = [
    "HOME_PLACES",
    "PASSWD",
    "PASSWD_LIMIT",
    "PLACES",
    "VOLUMES",
    "UsualPlace",
    "homes",
    "inside_var",
    "owner_of_part",
    "unread_kind",
]


class UsualPlace(NamedTuple):
    """A usual place of a store below the top of a system, and the engine that uses it."""

    path: str
    owner: str


PLACES = (
    UsualPlace("var/lib/docker", "docker"),
    UsualPlace("var/snap/docker/common/var-lib-docker", "docker"),
    UsualPlace("var/lib/containerd", "containerd"),
    UsualPlace("var/lib/rancher/k3s/agent/containerd", "k3s"),
    UsualPlace("var/lib/rancher/rke2/agent/containerd", "rke2"),
    UsualPlace("var/lib/k0s/containerd", "k0s"),
    UsualPlace("var/snap/microk8s/common/var/lib/containerd", "microk8s"),
    UsualPlace("var/lib/containers/storage", "podman"),
    UsualPlace("var/lib/buildkit", "buildkit"),
)
"""The places below the top of a system."""

HOME_PLACES = (
    UsualPlace(".local/share/docker", "docker"),
    UsualPlace(".local/share/containerd", "containerd"),
    UsualPlace(".local/share/containers/storage", "podman"),
    UsualPlace(".local/share/buildkit", "buildkit"),
)
"""The places below a user's home, of engines without root."""

PASSWD, PASSWD_LIMIT = "etc/passwd", 1 << 20
"""The file below the top of a system with the homes of users, and its most bytes."""

VOLUMES = "volumes"
"""The directory of a store with its volumes, each of which has its files in `_data`."""

_UID, _HOME = 2, 5  # the indexes of the number and the home in a line of passwd

_MARKS = (
    (("io.containerd.metadata.v1.bolt",), "containerd"),
    (("overlay-images", "overlay-layers"), "containers-storage"),
    (("vfs-images", "vfs-layers"), "containers-storage"),
    (("btrfs-images", "btrfs-layers"), "containers-storage"),
    (("zfs-images", "zfs-layers"), "containers-storage"),
    (("runc-overlayfs",), "buildkit"),
    (("runc-native",), "buildkit"),
    (("containers", "image"), "docker"),
    (("containers", "volumes"), "docker"),
    (("containers", "engine-id"), "docker"),
)
"""Names that are together at the top of a store, and the kind of such a store."""


def unread_kind(names: Collection[str]) -> str | None:
    """The kind of store of a directory with these names; None if it is not recognised."""
    return next((kind for marks, kind in _MARKS if all(mark in names for mark in marks)), None)


_PART_OWNERS = {"moby": "docker", "k8s.io": "kubernetes", "buildkit": "buildkit"}
"""The engines of some namespaces in a containerd root."""


def owner_of_part(part: str | None, owner: str) -> str:
    """The engine of a namespace in a store of `owner`."""
    known = _PART_OWNERS.get((part or "").split("-")[0])
    return known if known and owner in ("", "containerd", "docker") else owner


def inside_var() -> Iterator[UsualPlace]:
    """The places in a volume that was mounted as a store itself, or as /var or /var/lib of a system."""
    for top in ("var/lib/", "var/"):
        yield from (
            UsualPlace(path.removeprefix(top), owner) for path, owner in PLACES if path.startswith(top)
        )


def homes(passwd: bytes) -> Iterator[Person]:
    """The users of a passwd file with their homes, each home once."""
    seen = {""}
    for line in passwd.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.split(":")
        home = fields[_HOME].strip("/") if len(fields) > _HOME else ""
        if home not in seen and not {".", "..", ""} & set(home.split("/")) and "\0" not in home:
            seen.add(home)
            yield Person(fields[0], home, fields[_UID])
