"""`layerfs tree`: a directory and all that is below it, drawn as a tree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ..colors import EntryColors, color_option, colored
from ..emit import emit
from ..escape import json_text
from ..options import format_option
from ..places import Words, open_place, place_argument
from ..rows.entries import ENTRY_TABLE, Complaints, Entry, escaped
from ..subjects import open_subject, subject_options, tree_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerfs.subject import Subject
    from layerfs.tree.node import Node
    from layerfs.tree.walk import Visit

__all__ = ["command"]


@click.command("tree")
@place_argument("[PATH]")
@click.option("-L", "depth", type=click.IntRange(1), metavar="N", help="No more than N levels down.")
@click.option("-d", "directories", is_flag=True, help="List directories only.")
@click.option("-a", "hidden", is_flag=True, help="Show names that begin with a dot too.")
@color_option
@format_option
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    place: Words,
    depth: int | None,
    directories: bool,
    hidden: bool,
    form: str,
    kind: str | None,
    up_to: int | None,
    layer: int | None,
) -> int:
    """Draw a directory of an image, container or layer as a tree.

    --format json gives one object, with the entries of a directory in its `contents`. The other formats
    have a row for each entry.

    \b
    Examples:
      layerfs tree nginx:latest /etc
      layerfs tree -d -L 2 nginx:latest       # two levels of directories
      layerfs tree --layer 3 -a nginx:latest  # layer 3 alone, with whiteouts
    """
    from layerfs.errors import NotADirectory
    from layerfs.tree.walk import walk

    at = open_place(ctx, place)
    subject = open_subject(at.store, at.name, kind=kind, up_to=up_to, layer=layer)
    complaints = Complaints()
    path = tree_path(at.paths[0] if at.paths else "/")

    def keep(node: Node) -> bool:
        return (hidden or not node.name.startswith(b".")) and (node.is_dir or not directories)

    top = subject.tree.resolve(path)
    if not top.is_dir:
        raise NotADirectory(path)
    visits = _reported(walk(subject.tree, top, depth=depth, keep=keep), complaints)
    if form == "table":
        output = _drawn(subject, visits, path, complaints, only_directories=directories)
    elif form == "json":
        output = _nested(subject, visits, complaints)
    else:
        emit(ENTRY_TABLE, (Entry.of(subject, visit.node, complaints) for visit in visits), form)
        return complaints.code
    for piece in output:
        sys.stdout.write(piece)
    return complaints.code


def _reported(visits: Iterable[Visit], complaints: Complaints) -> Iterator[Visit]:
    for visit in visits:
        if visit.problem:
            (complaints.add if visit.depth else complaints.refuse)(visit.problem)
        yield visit


def _drawn(
    subject: Subject,
    visits: Iterable[Visit],
    title: bytes,
    complaints: Complaints,
    *,
    only_directories: bool,
) -> Iterator[str]:
    """The lines of tree(1) 2.1, and its summary, which counts the top too."""
    colors = EntryColors() if colored() else None
    bars: list[str] = []
    directories = files = whiteouts = 0
    for visit in visits:
        del bars[max(visit.depth - 1, 0) :]
        entry = Entry.of(subject, visit.node, complaints)
        label = escaped(visit.node.name if visit.depth else title)
        if colors:
            label = colors.paint(entry, label)
        arrow = f" -> {escaped(entry.target)}" if entry.target is not None else ""
        trouble = "  [error opening dir]" if visit.problem else ""
        mark = f"  {entry.mark_text}" if entry.mark_text else ""
        branch = ("└── " if visit.last else "├── ") if visit.depth else ""
        yield f"{''.join(bars)}{branch}{label}{arrow}{mark}{trouble}\n"
        if visit.depth:
            bars.append("    " if visit.last else "│   ")
        directories += visit.node.is_dir
        whiteouts += entry.is_whiteout
        files += not (visit.node.is_dir or entry.is_whiteout)
    yield f"\n{directories} director{'y' if directories == 1 else 'ies'}"
    yield "" if only_directories else f", {files} file{'' if files == 1 else 's'}"
    yield f", {whiteouts} whiteout{'' if whiteouts == 1 else 's'}\n" if whiteouts else "\n"


def _nested(subject: Subject, visits: Iterable[Visit], complaints: Complaints) -> Iterator[str]:
    """The tree as one JSON object, written during the walk, so that it can have any depth.

    `contents` is an array for a directory that was listed, else null.
    """
    unfinished = 0
    separator = ""
    for visit in visits:
        if unfinished > visit.depth:
            yield "]}" * (unfinished - visit.depth)
            separator = ","
        record = json_text(ENTRY_TABLE.record(Entry.of(subject, visit.node, complaints)))
        yield f'{separator}\n{record.removesuffix("}")},"contents":'.removeprefix("\n")
        yield "[" if visit.entered else "null}"
        separator = "" if visit.entered else ","
        unfinished = visit.depth + visit.entered
    yield "]}" * unfinished + "\n"
