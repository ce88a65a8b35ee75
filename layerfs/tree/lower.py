"""Looking further down: where a redirected directory or a metacopy file goes on in lower layers.

A redirect is rare (containers and BuildKit layers on hosts that enable `redirect_dir` or
`metacopy`), so this walk is apart from the merge in `union.py`. Every step goes to a strictly lower
layer, so it ends however the redirects point; a path is walked inside one layer at a time,
component by component, so it cannot leave it.

Source: Linux `fs/overlayfs/namei.c`: ovl_lookup_layer, ovl_lookup_single, ovl_check_redirect.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from layerfs.tree.node import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.tree.source import Entry, LayerSource

__all__ = ["Descent", "InvalidRedirect", "join"]


class InvalidRedirect(ValueError):
    """A redirect the kernel refuses too: empty components, `.` or `..`, or a relative path."""


class _Step(NamedTuple):
    """What one layer had to say about a path."""

    entry: Entry | None
    stop: bool
    path: bytes | None  # a redirect met on the way: the path for the layers below


def join(directory: bytes, name: bytes) -> bytes:
    """`directory/name`; `b""` is a layer's root and `b"/"` the root of a tree."""
    if not directory:
        return name
    return directory + name if directory.endswith(b"/") else directory + b"/" + name


class Descent:
    """A search in the layers below a given one, starting from one directory of the union."""

    def __init__(self, layers: Sequence[LayerSource], parent: Sequence[Part]) -> None:
        """Search `layers`; relative names are looked up in the places of `parent`."""
        self._layers = layers
        self._parent = {part.layer: part.path for part in parent}

    def below(self, start: Part, target: bytes) -> Iterator[tuple[Part, Entry]]:
        """What lies at `target` in each layer below `start`, uppermost first, until a mark ends it.

        Args:
            start: the entry that points down.
            target: a name in the same directory, or a path from the root with a leading slash.

        Raises:
            InvalidRedirect: where the kernel would refuse.
            OSError: as the layer gives it.
        """
        _check(target)
        for index in range(start.layer + 1, len(self._layers)):
            base = b"" if target.startswith(b"/") else self._parent.get(index)
            if base is None:
                continue
            step = self._walk(self._layers[index], base, target)
            if step.entry is not None:
                yield Part(index, join(base, target.lstrip(b"/"))), step.entry
            if step.stop:
                return
            if step.path is not None:
                target = step.path

    def _walk(self, layer: LayerSource, base: bytes, target: bytes) -> _Step:
        """Follow `target` in one layer from `base`."""
        names = target.strip(b"/").split(b"/")
        path, stop = base, False
        way = _Way(target, names)
        entry: Entry | None = None
        for depth, name in enumerate(names):
            path = join(path, name)
            entry = layer.entry(path)
            if entry is None:
                return _Step(None, stop, way.target(depth))
            final = depth == len(names) - 1
            if entry.whiteout or not (entry.stat.is_dir or final):
                return _Step(None, stop=True, path=None)
            if not entry.stat.is_dir:  # at the end of the path: it ends the search unless it is a metacopy
                marks = layer.metacopy(path)
                stop = marks is None
            else:
                marks = layer.marks(path)
                stop = stop or marks.opaque
            redirect = marks.redirect if marks and not marks.opaque else None
            if redirect is not None and redirect.startswith(b"/"):
                stop = False  # it leads out of what an opaque directory above it hides
            way.go(name, redirect)
        return _Step(entry, stop, way.target(len(names)))


class _Way:
    """A target for the layers below, as the redirects met on its way rewrite it, one after the other."""

    def __init__(self, target: bytes, names: Sequence[bytes]) -> None:
        self._root = b"/" if target.startswith(b"/") else b""
        self._names = names
        self._gone: list[bytes] = []
        self._moved = False

    def go(self, name: bytes, redirect: bytes | None) -> None:
        """Pass a component; a redirect takes its place or, if absolute, that of all so far."""
        if redirect is None:
            self._gone.append(name)
            return
        _check(redirect)
        self._moved = True
        if redirect.startswith(b"/"):
            self._root, self._gone = b"/", redirect[1:].split(b"/")
        else:
            self._gone.append(redirect)

    def target(self, depth: int) -> bytes | None:
        """The target once `depth` components were passed; None where nothing changed it."""
        return self._root + b"/".join([*self._gone, *self._names[depth:]]) if self._moved else None


def _check(target: bytes) -> None:
    """Refuse what ovl_check_redirect refuses."""
    absolute = target.startswith(b"/")
    names = target[1:].split(b"/") if absolute else [target]
    bad = any(name in (b"", b".", b"..") or b"/" in name or b"\0" in name for name in names)
    if bad or len(target) > 4096:
        raise InvalidRedirect(f"invalid overlay redirect {os.fsdecode(target[:100])!r}")
