"""Which namespaces of a containerd root are read.

Sources: containerd `docs/namespaces.md`; moby `daemon/daemon.go` (ContainersNamespace).
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from layerfs.errors import NoSuchNamespace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from layerfs.formats.containerdmeta import Namespace

__all__ = ["ALL", "chosen_spaces", "is_dockers"]

ALL = "all"
"""Asks for every namespace."""

_DOCKERS = re.compile(r"moby(?:-\d+\.\d+)?")
_USUAL = ("moby", "k8s.io", "default")

_log = logging.getLogger(__name__)


def is_dockers(name: str) -> bool:
    """Whether a Docker Engine calls its namespace so."""
    return bool(_DOCKERS.fullmatch(name))


def chosen_spaces(
    known: Mapping[str, Namespace], wanted: str | None, *, is_docker: bool, where: str
) -> Sequence[Namespace]:
    """The namespaces that are meant.

    Args:
        known: all there are, by name.
        wanted: the name of one, or `all`; None for the one that has images. Of several that have images the
            usual ones come first, and the others are told of once.
        is_docker: whether a Docker Engine uses the root.
        where: the root, for messages.

    Raises:
        NoSuchNamespace: there is no namespace of that name.
    """
    if wanted == ALL and ALL not in known:
        return list(known.values())
    if wanted is not None:
        if wanted not in known:
            listed = ", ".join(sorted(map(repr, known))) or "none"
            raise NoSuchNamespace(f"{where}: no namespace {wanted!r}", hint=f"there are {listed}")
        return [known[wanted]]
    if is_docker and (found := list(filter(is_dockers, known))):
        return [known[found[0]]]
    filled = [name for name, space in known.items() if space.images or space.containers]
    filled.sort(key=lambda name: (_USUAL.index(name) if name in _USUAL else len(_USUAL), name))
    if len(filled) > 1:
        others = ", ".join(filled[1:])
        _log.warning(
            "%s: namespace %s is read; there are images in %s too (--namespace chooses, all reads all)",
            *(where, filled[0], others),
        )
    return [known[name] for name in filled[:1] or sorted(known)[:1]]
