"""What can be searched of a whole store: the files of every layer, each layer once.

It is the search of `findall`, so which images show a file, and which hide it, is known when its text comes.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from layerfs.analysis.grep.texts import Text, inode_of
from layerfs.analysis.store.findall import contents_of, find_all
from layerfs.tree.node import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from layerfs.analysis.grep.texts import Selection
    from layerfs.analysis.store.forest import Forest
    from layerfs.analysis.store.seen import LayerHit
    from layerfs.errors import TreeError

__all__ = ["layer_files"]


def layer_files(
    forest: Forest, chosen: Selection, problem: Callable[[TreeError], None]
) -> Iterator[Iterator[Text]]:
    """The regular files of every layer of a store, each layer once; `len(forest)` generators.

    Args:
        forest: the layers.
        chosen: which files.
        problem: called for what cannot be read.
    """
    steps = find_all(
        forest,
        lambda found: found.stat.is_file and chosen.has(found.path),
        problem,
    )
    for found in steps:
        yield _of_layer(forest, found)


def _of_layer(forest: Forest, found: list[LayerHit]) -> Iterator[Text]:
    contents = contents_of(forest, found[0].stage) if found else None
    for hit in found:
        assert contents is not None  # noqa: S101 - tells mypy
        part = Part(0, hit.path[1:])
        yield Text(
            hit.path,
            functools.partial(contents.open, part),
            hit=hit,
            inode=inode_of(hit.stat),
        )
