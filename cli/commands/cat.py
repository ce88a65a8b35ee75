"""`layerfs cat`: the content of files in a tree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ..places import Words, open_place, place_argument
from ..rows.entries import Complaints
from ..subjects import open_subject, subject_options, tree_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.tree.union import UnionTree

__all__ = ["command"]


@click.command("cat")
@place_argument("PATH...")
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    place: Words,
    kind: str | None,
    up_to: int | None,
    layer: int | None,
) -> int:
    """Write files of an image, container or layer to standard output, byte for byte.

    Symbolic links are followed inside the tree only.

    \b
    Examples:
      layerfs cat nginx:latest /etc/os-release
      layerfs cat --up-to 1 nginx:latest /etc/motd  # as of the first layer
    """
    from layerfs.errors import TreeError

    at = open_place(ctx, place)
    subject = open_subject(at.store, at.name, kind=kind, up_to=up_to, layer=layer)
    complaints = Complaints()
    for path in at.paths:
        try:
            for chunk in _content(subject.tree, tree_path(path)):
                sys.stdout.buffer.write(chunk)
        except TreeError as error:
            sys.stdout.buffer.flush()
            complaints.refuse(error)
    return complaints.code


def _content(tree: UnionTree, path: bytes) -> Iterator[bytes]:
    """The content of a file, piece by piece; raises `TreeError`, also if reading fails in the middle."""
    from layerfs.errors import UnreadableEntry

    with tree.open(tree.resolve(path)) as opened:
        try:
            yield from opened.chunks()
        except OSError as error:
            raise UnreadableEntry(path, error.strerror) from error
