"""What of a tree the kernel's overlayfs can stack: `lower_directories` gives its directories, or refuses.

The kernel knows directories and marks, and nothing of what layerfs makes good: attributes from archives,
layers that are packed, owners of a user namespace. Nor does it follow redirects and metacopies here: by them
a layer that is not trusted could lead it anywhere. So these are looked for before anything is mounted.

Source: Linux `Documentation/filesystems/overlayfs.rst` ("Permission model"), `fs/overlayfs/namei.c`.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from layerfs.errors import MountFailed, reason
from layerfs.formats.whiteouts import TRUSTED
from layerfs.tree.archived import ArchivedLayer
from layerfs.tree.overlay import OverlayLayer, RawLayer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.capabilities import Progress
    from layerfs.formats.whiteouts import Dialect
    from layerfs.hostdir import HostDir
    from layerfs.tree.source import LayerSource
    from layerfs.tree.union import UnionTree

__all__ = ["LowerDirectories", "lower_directories"]


class LowerDirectories(NamedTuple):
    """The directories of a tree's layers.

    Attributes:
        directories: uppermost first; none of an empty tree.
        dialect: what their marks are.
    """

    directories: tuple[HostDir, ...]
    dialect: Dialect


def lower_directories(tree: UnionTree, on_progress: Progress | None = None) -> LowerDirectories:
    """What the kernel is to stack for `tree`; raises `MountFailed` where it would show another.

    Args:
        tree: what is to be shown.
        on_progress: told of each layer that was looked through for `marks`.
    """
    layers = [_stackable(layer) for layer in tree.layers]
    dialect = layers[0].dialect if layers else TRUSTED
    directories = tuple(_directory(layer, dialect) for layer in layers)
    told = on_progress or (lambda _part, _amount, _total: None)
    told("marks", 0, len(directories))
    for directory in directories:
        _check_marks(directory, dialect)
        told("marks", 1, len(directories))
    return LowerDirectories(directories, dialect)


def _stackable(layer: LayerSource) -> OverlayLayer:
    if isinstance(layer, OverlayLayer):
        return layer
    raise MountFailed(
        "--driver kernel cannot show a layer as it is on disk, as overlayfs hides whiteouts and marks: "
        f"{layer.label}",
        hint="--driver native shows them",
    )


def _directory(layer: OverlayLayer, dialect: Dialect) -> HostDir:
    stored = layer.stored
    if isinstance(stored, ArchivedLayer):
        raise MountFailed(
            "--driver kernel shows what is on disk, and this layer's attributes are taken from its archive: "
            f"{layer.label}",
            hint="--driver native shows it; --metadata disk shows what is left on disk",
        )
    if not isinstance(stored, RawLayer):
        raise MountFailed(
            f"--driver kernel needs unpacked layers, and this one is not unpacked: {layer.label}",
            hint="--driver native reads it as it is",
        )
    if not stored.is_as_on_disk:
        raise MountFailed(
            "--driver kernel knows overlayfs's own marks only, and this layer may have those of "
            f"fuse-overlayfs, or attributes kept beside its files: {layer.label}",
            hint="--driver native shows them",
        )
    if not stored.has_owners_of_disk:
        raise MountFailed(
            "--driver kernel shows the owners on disk, not those inside the engine's user namespace: "
            f"{layer.label}",
            hint="--driver native shows them; --userns none shows those on disk",
        )
    if layer.dialect != dialect:
        raise MountFailed(
            "--driver kernel reads one kind of marks (trusted.overlay.* or user.overlay.*), and this layer "
            f"has another kind than those above: {layer.label}",
            hint="--driver native reads each as it is",
        )
    return stored.directory


def _check_marks(directory: HostDir, dialect: Dialect) -> None:
    """Refuse a layer with a redirect or metacopy, which this mount would answer with EPERM."""
    marks = {dialect.redirect: "redirect", dialect.metacopy: "metacopy"}
    try:
        for path, names in _marked(directory):
            if found := marks.keys() & names:
                mark = marks[found.pop()]
                raise MountFailed(
                    f"--driver kernel does not follow {mark} marks, and a layer has one: "
                    f"{directory.name_of(path)}",
                    hint="--driver native follows it, to lower layers only",
                )
    except OSError as error:
        raise MountFailed(
            f"a layer cannot be searched for marks: {reason(error)}: {directory.display}",
            hint="--driver native reads the rest",
        ) from error


def _marked(directory: HostDir) -> Iterator[tuple[bytes, list[bytes]]]:
    """Every entry with extended attributes: its path, and their names. The root of a layer is not asked.

    What vanishes meanwhile, from the layer of a container that runs, is left out.
    """
    pending = [b""]
    while pending:
        path = pending.pop()
        with suppress(FileNotFoundError), directory.subdir(path) as opened:
            prefix = path + b"/" if path else b""
            place = b"/proc/self/fd/%d/" % opened.fd
            for name, kind in opened.listing():
                try:  # as `HostDir.xattr_names` does it, at a third of the cost
                    names = os.listxattr(place + name, follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if names:
                    yield prefix + name, [os.fsencode(found) for found in names]
                if kind == stat.S_IFDIR:
                    pending.append(prefix + name)
