"""What layers did to a path in all images of a store; a layer that several images share is read once.

What a layer did to a path depends only on the layers below it, so it is the same for all images with this
layer.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from layerfs.analysis.tree.blame import Blame
from layerfs.capabilities import unwatched
from layerfs.damage import attempt
from layerfs.errors import NotADirectory, PathNotFound, TreeError
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.analysis.tree.blame import Content, Digests, Event
    from layerfs.capabilities import Progress
    from layerfs.ids import ChainID
    from layerfs.model import Image, Layer
    from layerfs.store import Store
    from layerfs.tree.source import Entry, LayerSource, Marks

__all__ = ["SharedEvent", "blame_all"]


@dataclass(frozen=True, slots=True)
class SharedEvent:
    """What a layer did to the path, which is the same in every image with the layer.

    Attributes:
        event: what it did.
        layer: the layer.
        content: the content of the path after it, read while the layer is open.
        directory: the directory of the layer that holds this content; None if the path is not there.
        images: the images that have the layer.
        visible_in: those of them whose final tree shows this content.
    """

    event: Event
    layer: Layer
    content: Content
    directory: str | None
    images: list[Image] = field(default_factory=list)
    visible_in: list[Image] = field(default_factory=list)


def blame_all(
    root: Store,
    path: bytes,
    digests: Digests,
    *,
    on_progress: Progress = unwatched,
    problem: Callable[[TreeError], None],
) -> list[SharedEvent]:
    """What layers did to `path`, in all images; damaged images are reported to `root` and left out.

    Args:
        root: the store.
        path: if no layer of an image has it, links on the way are followed in the tree of that image.
        digests: of contents.
        on_progress: called with the part `images`.
        problem: called for what cannot be read, which is left out.

    Raises:
        PathNotFound: no layer of any image has it.
    """
    found: dict[tuple[ChainID, bytes], SharedEvent] = {}
    stacks = _Stacks(root)
    images = sorted(root.images(), key=lambda image: image.chain)
    for image in images:
        on_progress("images", 1, len(images))
        opened = attempt(root.report, functools.partial(stacks.open, image))
        if opened is None:
            continue
        records, tree = opened
        blame = Blame(tree, digests, problem)
        try:
            steps = blame.steps(blame.locate(path))
        except (NotADirectory, PathNotFound):
            continue
        except TreeError as error:
            problem(error)
            continue
        for step in steps:
            layer = records[step.layer - 1]
            key = (layer.chain_id, step.path)
            if key not in found:
                holder = tree.layers[-step.after.layer].label if step.after else None
                found[key] = SharedEvent(blame.event(step), layer, blame.content(step), holder)
            found[key].images.append(image)
            if step.visible:
                found[key].visible_in.append(image)
    if not found:
        raise PathNotFound(path, f"in none of the images: {os.strerror(PathNotFound.number)}")
    return list(found.values())


class _Stacks:
    """Opens trees of images; if they come in the order of their chains, shared layers are read once."""

    def __init__(self, root: Store) -> None:
        self._root = root
        self._records: list[Layer] = []
        self._sources: list[LayerSource] = []

    def open(self, image: Image) -> tuple[Sequence[Layer], UnionTree]:
        """The image's layers, base first, and its tree; raises `CorruptStore`."""
        records = self._root.chain(image)
        common = sum(1 for _ in _common(self._records, records))
        del self._records[common:], self._sources[common:]
        for record in records[common:]:
            self._sources.append(cast("LayerSource", _Remembering(self._root.source(record))))
            self._records.append(record)
        return records, UnionTree(self._sources[::-1])


def _common(left: Sequence[Layer], right: Sequence[Layer]) -> Iterator[Layer]:
    for known, wanted in zip(left, right, strict=False):
        if known.chain_id != wanted.chain_id:
            return
        yield known


class _Remembering:
    """A layer source that remembers its answers for each path, as only few paths are asked for."""

    def __init__(self, layer: LayerSource) -> None:
        self._layer = layer
        self._entries: dict[bytes, Entry | None] = {}
        self._marks: dict[bytes, Marks] = {}

    def entry(self, path: bytes) -> Entry | None:
        """The entry at `path`, or None."""
        if path not in self._entries:
            self._entries[path] = self._layer.entry(path)
        return self._entries[path]

    def marks(self, path: bytes) -> Marks:
        """The overlay marks of the directory at `path`."""
        if path not in self._marks:
            self._marks[path] = self._layer.marks(path)
        return self._marks[path]

    def __getattr__(self, name: str) -> Any:
        """Everything else is that of the layer."""
        return getattr(self._layer, name)
