"""`layerfs cat`: the content of files in a tree."""

from __future__ import annotations

import sys

import click

from ..subjects import complete_names, complete_paths, open_root, open_subject, subject_options, tree_path

__all__ = ["command"]


@click.command("cat")
@click.argument("name", shell_complete=complete_names)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, shell_complete=complete_paths)
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    name: str,
    paths: tuple[str, ...],
    kind: str | None,
    up_to: int | None,
    layer: int | None,
    root: str,  # noqa: ARG001 - read from the context
) -> None:
    """Write files of an image, container or layer to standard output, byte for byte.

    Symbolic links are followed inside the tree only.

    \b
    Examples:
      layerfs cat nginx:latest /etc/os-release
      layerfs cat --up-to 1 nginx:latest /etc/motd    as of the first layer
    """
    subject = open_subject(open_root(ctx), name, kind=kind, up_to=up_to, layer=layer)
    for path in paths:
        with subject.tree.open(subject.tree.resolve(tree_path(path))) as opened:
            for chunk in opened.chunks():
                sys.stdout.buffer.write(chunk)
