"""Which namespaces of a containerd root are read.

Sources: containerd `docs/namespaces.md`; moby `daemon/daemon.go` (ContainersNamespace): an engine
with userns-remap adds the numbers of its users to the name.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from layerfs.errors import CorruptStore, NoSuchNamespace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.formats.containerdmeta import Namespace
    from layerfs.hostdir import HostDir

__all__ = ["ALL", "chosen_spaces", "filled", "has_dockers", "is_dockers", "namespaces_of"]

ALL = "all"
"""Asks for every namespace."""

_DOCKERS = re.compile(r"moby(?:-\d+\.\d+)?")
_USUAL = ("moby", "k8s.io", "default")

_log = logging.getLogger(__name__)


def is_dockers(name: str) -> bool:
    """Whether this is the name of a Docker Engine's namespace."""
    return bool(_DOCKERS.fullmatch(name))


def chosen_spaces(
    known: Mapping[str, Namespace], wanted: str | None, *, docker: str | None, where: str, tell: bool = True
) -> Sequence[Namespace]:
    """The namespaces to read.

    Args:
        known: all namespaces, by name.
        wanted: the name of one, or `all`; None for the one that has images. If several have images, the
            usual names come first, and one message names the others.
        docker: the namespace of the Docker Engine that has its images in the root; None where there is none.
        where: the path of the root, for messages.
        tell: whether to log the others.

    Raises:
        NoSuchNamespace: there is no namespace of that name.
    """
    if wanted == ALL and ALL not in known:
        return [known[name] for name in dict.fromkeys((*filled(known), *known))]
    if wanted is not None:
        if wanted not in known:
            listed = ", ".join(sorted(map(repr, known))) or "none"
            there = "is only" if len(known) == 1 else "are" if known else "is"
            raise NoSuchNamespace(f"{where}: no namespace {wanted!r}", hint=f"there {there} {listed}")
        return [known[wanted]]
    if docker is not None and (docker in known or not known):
        return [known[docker]] if known else []
    names = filled(known)
    if docker is not None:
        others = f"; there are images in {', '.join(names)} (--namespace chooses)" if names else ""
        if tell:
            _log.warning("%s: there is no namespace %s: Docker has no images in it%s", where, docker, others)
        return []
    if tell and len(names) > 1:
        what = "images and containers" if _has_containers(known, names[1:]) else "images"
        _log.warning(
            "%s: namespace %s is read; there are %s in %s too (--namespace chooses, all reads all)",
            *(where, names[0], what, ", ".join(names[1:])),
        )
    return [known[name] for name in names[:1] or sorted(known)[:1]]


def filled(known: Mapping[str, Namespace]) -> list[str]:
    """The namespaces with images, or if there are none, those with containers; the usual names first."""
    found = [name for name, space in known.items() if space.has("images")]
    found = found or [name for name, space in known.items() if space.has("containers")]
    return sorted(found, key=lambda name: (_USUAL.index(name) if name in _USUAL else len(_USUAL), name))


def _has_containers(known: Mapping[str, Namespace], names: Sequence[str]) -> bool:
    return any(known[name].has("containers") for name in names)


def has_dockers(known: Mapping[str, Namespace]) -> bool:
    """Whether a Docker Engine has images there; with a graph driver it has only running containers."""
    return any(is_dockers(name) and space.has("images") for name, space in known.items())


def namespaces_of(directory: HostDir, path: str) -> Mapping[str, Namespace]:
    """The namespaces of the database at `path` in a root, for a first look: damage is not reported."""
    from layerfs.boltfile import NEWEST, read_boltfile  # noqa: PLC0415 - only where there is such a root
    from layerfs.formats.containerdmeta import parse_meta  # noqa: PLC0415 - likewise

    def ignore(_problem: Exception) -> None:
        """Do not report: that is done when the root is read."""

    try:
        return parse_meta(read_boltfile(directory, path, ignore, NEWEST).root, ignore)
    except (OSError, CorruptStore):
        return {}
