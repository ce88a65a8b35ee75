"""`layerfs ls`: the entries of directories in a tree, without mounting it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..colors import EntryColors, color_option, colored
from ..emit import emit
from ..fit import terminal_width
from ..options import format_option
from ..places import Words, open_place, place_argument
from ..rows.entries import ENTRY_TABLE, Complaints, Entry, escaped
from ..rows.listing import Line, Style, lines, total_line
from ..subjects import open_subject, subject_options, tree_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layerfs.subject import Subject
    from layerfs.tree.node import Node

__all__ = ["command"]

LONG, SINGLE, COLUMNS = "long", "single", "columns"
_LAYOUT = "layerfs.ls.layout"

_ACCESS_LISTS = (b"system.posix_acl_access", b"system.posix_acl_default")


class ListOptions(NamedTuple):
    """Which entries are listed, and in which order."""

    hidden: bool
    dots: bool
    itself: bool
    recursive: bool
    long: bool
    order: str | None
    reverse: bool


class Group(NamedTuple):
    """The lines of a directory, or of the files given as arguments.

    Attributes:
        title: the path of a directory; None for files given as arguments.
        listed: the lines.
        measured: the lines that set the widths of columns; for files given as arguments also the given
            directories.
    """

    title: bytes | None
    listed: list[Line]
    measured: list[Line]


def _laid_out(layout: str) -> dict[str, Any]:
    """The settings of a flag that chooses the layout; the last one counts, as in ls(1)."""

    def note(context: click.Context, _parameter: click.Parameter, given: bool) -> bool:
        if given and not (layout == SINGLE and context.meta.get(_LAYOUT) == LONG):
            context.meta[_LAYOUT] = layout
        return given

    return {"is_flag": True, "callback": note}


@click.command("ls")
@place_argument("[PATH]...")
@click.option(
    "-l",
    expose_value=False,
    **_laid_out(LONG),
    help="Show mode, links, owners, size, time and target of each entry.",
)
@click.option(
    "-n", expose_value=False, **_laid_out(LONG), help="Like -l; owners are always shown as numbers."
)
@click.option("--full-time", **_laid_out(LONG), help="Like -l, with times to the nanosecond.")
@click.option(
    "--layers", is_flag=True, help="Show before each entry the layer that supplied it; 1 is the base."
)
@click.option("-i", "inode", is_flag=True, help="Show before each entry its inode number.")
@click.option("-h", "human", is_flag=True, help="Show sizes in powers of 1024.")
@click.option(
    "-a", "hidden", flag_value="all", help="Show names that begin with a dot too, and `.` and `..`."
)
@click.option("-A", "hidden", flag_value="almost", help="Show names that begin with a dot too.")
@click.option("-d", "itself", is_flag=True, help="List directories themselves, not their entries.")
@click.option("-R", "recursive", is_flag=True, help="List subdirectories recursively.")
@click.option("-t", "order", flag_value="time", help="Sort by time, newest first.")
@click.option("-S", "order", flag_value="size", help="Sort by size, largest first.")
@click.option("-r", "reverse", is_flag=True, help="Reverse the order.")
@click.option(
    "-1",
    "single",
    expose_value=False,
    **_laid_out(SINGLE),
    help="List one name a line; the default if the output is no terminal.",
)
@click.option(
    "-C",
    "columns",
    expose_value=False,
    **_laid_out(COLUMNS),
    help="List names in columns; the default on a terminal.",
)
@color_option
@format_option
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    place: Words,
    full_time: bool,
    layers: bool,
    inode: bool,
    human: bool,
    hidden: str | None,
    itself: bool,
    recursive: bool,
    order: str | None,
    reverse: bool,
    form: str,
    kind: str | None,
    up_to: int | None,
    layer: int | None,
) -> int:
    """List directories of an image, container or layer, as ls(1) would in its mount.

    Names are in byte order. What a terminal cannot show is escaped as by `ls -b`. Of flags for the same
    thing, as -t and -S, the last one counts.

    \b
    Examples:
      layerfs ls nginx:latest /etc
      layerfs ls -l --layers nginx:latest /etc     # which layer supplied what
      layerfs ls -lAR --layer 3 nginx:latest       # layer 3 alone, with whiteouts
      layerfs ls -R --format jsonl nginx:latest /  # every entry as JSON
    """
    at = open_place(ctx, place)
    subject = open_subject(at.store, at.name, kind=kind, up_to=up_to, layer=layer)
    text = form == "table"
    layout = ctx.meta.get(_LAYOUT)
    long = layout == LONG
    choice = ListOptions(bool(hidden), hidden == "all" and text, itself, recursive, long, order, reverse)
    complaints = Complaints()
    groups = _groups(subject, at.paths or ("/",), choice, complaints)
    if not text:
        emit(ENTRY_TABLE, (line.entry for group in groups for line in group.listed), form)
        return complaints.code
    in_columns = layout == COLUMNS or (layout is None and sys.stdout.isatty())
    width = terminal_width() if in_columns else None

    def has_acl(entry: Entry) -> bool:
        return _has_acl(entry, complaints)

    colors = EntryColors() if colored() else None
    style = Style(long, human, full_time, inode, layers, width, time.time_ns(), has_acl, colors)
    titled = len(at.paths) > 1 or recursive
    for line in _text(groups, style, titled=titled):
        sys.stdout.write(line)
    return complaints.code


def _text(groups: Iterable[Group], style: Style, *, titled: bool) -> Iterator[str]:
    """The lines of the output, with a header for each directory if there may be several."""
    for number, group in enumerate(groups):
        if number:
            yield "\n"
        if group.title is not None:
            if titled:
                # as ls -b: in a header a colon is escaped, and a space is not
                yield escaped(group.title).replace("\\ ", " ").replace(":", "\\:") + ":\n"
            if style.long:
                yield total_line(group.listed, style)
        yield from lines(group.listed, style, group.measured)


def _groups(
    subject: Subject, paths: Sequence[str], choice: ListOptions, complaints: Complaints
) -> Iterator[Group]:
    """The groups to list: first the files given as arguments, then each directory."""
    from layerfs.errors import TreeError

    named: list[Line] = []
    for path in map(tree_path, paths):
        try:
            node = _named(subject, path, choice)
        except TreeError as error:
            complaints.refuse(error)
        else:
            named.append(Line(path, Entry.of(subject, node, complaints)))
    in_order = _sorted(named, choice)
    files = [line for line in in_order if choice.itself or not line.entry.node.is_dir]
    if files:
        yield Group(None, files, in_order)
    if not choice.itself:
        for line in in_order:
            if line.entry.node.is_dir:
                yield from _directories(subject, line, choice, complaints)


def _named(subject: Subject, path: bytes, choice: ListOptions) -> Node:
    """The node of a path; as in ls(1), a link to a directory is followed without -l and -d."""
    from layerfs.errors import TreeError

    node = subject.tree.resolve(path, follow=False)
    if node.stat.is_symlink and not (choice.long or choice.itself):
        try:
            target = subject.tree.resolve(path)
        except TreeError:
            return node
        return target if target.is_dir else node
    return node


def _directories(subject: Subject, top: Line, choice: ListOptions, complaints: Complaints) -> Iterator[Group]:
    """A directory, and with -R all directories below it, parents first."""
    from layerfs.errors import TreeError

    pending = [(top.label, top.entry.node)]
    while pending:
        title, directory = pending.pop()
        try:
            children = subject.tree.children(directory)
        except TreeError as error:
            (complaints.refuse if directory is top.entry.node else complaints.add)(error)
            continue
        shown = [
            (name, node) for name, node in children.items() if choice.hidden or not name.startswith(b".")
        ]
        dots = [(b".", directory), (b"..", directory.parent or directory)] if choice.dots else []
        described = [Line(name, Entry.of(subject, node, complaints)) for name, node in [*dots, *shown]]
        listed = _sorted(described, choice)
        yield Group(title, listed, listed)
        if choice.recursive:
            base = title if title.endswith(b"/") else title + b"/"
            below = [
                (base + line.label, line.entry.node)
                for line in listed
                if line.entry.node.is_dir and line.label not in (b".", b"..")
            ]
            pending += reversed(below)


def _sorted(listed: list[Line], choice: ListOptions) -> list[Line]:
    def rank(line: Line) -> tuple[int, bytes]:
        found = line.entry.node.stat
        if choice.order == "size":
            return -found.size, line.label
        return (-found.mtime_ns if choice.order == "time" else 0), line.label

    return sorted(listed, key=rank, reverse=choice.reverse)


def _has_acl(entry: Entry, complaints: Complaints) -> bool:
    from layerfs.errors import TreeError

    if entry.node.stat.is_symlink:
        return False
    try:
        names = entry.subject.tree.xattr_names(entry.node)
    except TreeError as error:
        complaints.add(error)
        return False
    return any(name in _ACCESS_LISTS for name in names)
