"""`layerfs diff`: what is different between two trees, or what the top layer of one did."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

import click

from ..colors import CHANGES, DIFF, color_option, colored, paint
from ..emit import emit
from ..escape import printable_lines
from ..globs import Globs
from ..main import EXIT_CODES, FINDINGS
from ..options import exclude_option, format_option, include_option, metadata_option, root_option, type_option
from ..rows.changes import View
from ..rows.entries import Complaints, escaped
from ..rows.tallies import stat_rows, stat_table
from ..rows.textdiff import unified
from ..stores import find_name
from ..subjects import KINDS, complete_names, name_argument, open_sides, open_subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layerfs.analysis.diff.changes import Change
    from layerfs.subject import Subject
    from layerfs.tree.node import Node
    from layerfs.tree.union import UnionTree

__all__ = ["command"]

ATTRIBUTES = ("content", "target", "rdev", "mode", "uid", "gid", "mtime", "capability", "xattr")


class Style(NamedTuple):
    """How changes are shown, besides the format."""

    name_only: bool
    null: bool
    stat: bool
    summary: bool
    content: bool


def _attributes(_context: click.Context, parameter: click.Parameter, given: Sequence[str]) -> frozenset[str]:
    """The attributes in lists separated by commas."""
    names = frozenset(name.strip() for text in given for name in text.split(","))
    if unknown := sorted(names.difference(ATTRIBUTES)):
        raise click.BadParameter(f"{unknown[0]!r}: there are {', '.join(ATTRIBUTES)}", param=parameter)
    return names


@click.command("diff")
@name_argument("A")
@click.argument("other", metavar="[B]", required=False, shell_complete=complete_names)
@click.option(
    "--stat", "stat_", is_flag=True, help="Show entries and bytes by kind of change and by directory."
)
@click.option("--summary", is_flag=True, help="Show entries and bytes by kind of change.")
@click.option("-p", "--content", is_flag=True, help="Show the contents too, as a unified diff.")
@click.option("--hash", "hashes", is_flag=True, help="Show the sha256 of files before and after.")
@click.option("--name-only", is_flag=True, help="Show paths only.")
@click.option(
    "-z", "--null", is_flag=True, help="With --name-only: end each path with NUL, and do not escape it."
)
@include_option
@exclude_option
@click.option(
    "--ignore",
    metavar="ATTRIBUTE,...",
    multiple=True,
    callback=_attributes,
    help=f"Ignore differences in these attributes: {', '.join(ATTRIBUTES)}.",
)
@click.option(
    "--docker/--no-docker",
    default=None,
    help="Show changes as `docker diff` does: A, C, D; contents are not read. The default for one container; "
    "of one of Podman's it is what `podman diff` shows.",
)
@color_option
@format_option
@type_option(*KINDS, of="A and B")
@metadata_option()
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    other: str | None,
    stat_: bool,
    summary: bool,
    content: bool,
    hashes: bool,
    name_only: bool,
    null: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    ignore: frozenset[str],
    docker: bool | None,
    form: str,
    kind: str | None,
) -> int:
    """Show the differences between A and B: images, IMAGE@N, containers or layers.

    With A alone: what the top layer of an image, or a layer, changed of what is below it; for a container,
    what `docker diff` or `podman diff` shows. Contents are compared byte by byte, but layers that both have
    are never read.

    Each line says added, deleted, modified (the contents), metadata (attributes only) or type. A GLOB with
    a slash is matched with the whole path, any other with the last name; `*` also matches slashes. The exit
    code is 1 if anything differs.

    \b
    Examples:
      layerfs diff nginx:1.24 nginx:1.25
      layerfs diff --ignore mtime --stat nginx@3 nginx  # since layer 3
      layerfs diff my-container                         # as docker diff
      layerfs diff -p --include /etc nginx web          # with contents
    """
    style = Style(name_only, null, stat_, summary, content)
    _check(style, form, hashes=hashes)
    first = find_name(ctx, name, "A")
    as_engine = docker is None
    if other is None:
        sides = open_sides(first.store, first.name, kind=kind)
        docker = _is_container(sides[1]) if docker is None else docker
    else:
        second = find_name(ctx, other, "B")
        sides = (
            open_subject(first.store, first.name, kind=kind, up_to=None, layer=None),
            open_subject(second.store, second.name, kind=kind, up_to=None, layer=None),
        )
    if docker and hashes:
        raise click.UsageError("Docker's changes show no --hash: it needs --no-docker")
    if docker and ignore:
        raise click.UsageError("what Docker's changes ignore is fixed: --ignore needs --no-docker")
    complaints = Complaints(met=EXIT_CODES["TreeError"])  # 1 means that they differ
    view = View(*sides, complaints, docker=bool(docker), hashes=hashes)
    counted = _Counted(_changes(view, include, exclude, ignore, as_engine=as_engine))
    _show(view, counted, style, form)
    return view.complaints.code or (FINDINGS if counted.any else 0)


def _check(style: Style, form: str, *, hashes: bool) -> None:
    """Refuse options that exclude each other."""
    chosen = {"--name-only": style.name_only, "--stat": style.stat, "--summary": style.summary}
    given = [option for option, on in (chosen | {"--content": style.content}).items() if on]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} exclude each other")
    if given and hashes and not style.content:
        raise click.UsageError(f"{given[0]} shows no --hash")
    if form != "table" and (style.name_only or style.content):
        raise click.UsageError(f"{given[0]} has a format of its own")
    if style.null and not style.name_only:
        raise click.UsageError("--null needs --name-only")


def _is_container(subject: Subject) -> bool:
    from layerfs.model import Container

    return isinstance(subject.of, Container)


class _Counted:
    """Passes changes on; `any` is true after the first."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._changes = changes
        self.any = False

    def __iter__(self) -> Iterator[Change]:
        for change in self._changes:
            self.any = True
            yield change


def _changes(
    view: View, include: Sequence[str], exclude: Sequence[str], ignore: frozenset[str], *, as_engine: bool
) -> Iterator[Change]:
    from layerfs.analysis.diff.difference import differences
    from layerfs.analysis.diff.dockerdiff import docker_changes
    from layerfs.analysis.diff.layerdiff import engine_changes

    trees, complain = (view.before.tree, view.after.tree), view.complaints.add
    skip = Globs(exclude).fits if exclude else None
    found: Iterable[Change]
    if view.docker:
        if as_engine:
            found = engine_changes(view.after.store, *trees, complain, skip=skip)
        else:
            found = docker_changes(*trees, complain, skip=skip)
    else:
        found = differences(*trees, complain, ignore=ignore, skip=skip)
    wanted = Globs(include)
    return (change for change in found if not include or wanted.fits_or_above(change.path))


def _show(view: View, changes: Iterable[Change], style: Style, form: str) -> None:
    if style.stat or style.summary:
        table = stat_table(docker=view.docker, only_total=style.summary)
        emit(table, stat_rows(changes, only_total=style.summary), form)
    elif style.null:
        for change in changes:
            sys.stdout.buffer.write(change.path + b"\0")
    elif style.name_only:
        for change in changes:
            sys.stdout.write(escaped(change.path) + "\n")
    elif form != "table":
        emit(view.table(), changes, form)
    else:
        in_colors = colored()
        for change in changes:
            line = view.line(change)
            _write((paint(line, CHANGES.get(change.kind, "33")) if in_colors else line) + "\n")
            if style.content:
                _write_content(view, change)


def _write_content(view: View, change: Change) -> None:
    """Write the contents unchanged; on a terminal with control characters escaped."""
    from layerfs.errors import TreeError

    if change.kind == "metadata":
        return
    try:
        for line in unified(_file(view.before, change.before), _file(view.after, change.after), change.path):
            if sys.stdout.isatty() or colored():
                _write(_painted(printable_lines(os.fsdecode(line))))
            else:
                sys.stdout.flush()
                sys.stdout.buffer.write(line)
    except TreeError as error:
        view.complaints.add(error)


def _painted(line: str) -> str:
    """A line of a unified diff in its colour, if colours are on."""
    color = next((color for begin, color in DIFF.items() if line.startswith(begin)), "")
    return paint(line.removesuffix("\n"), color) + "\n" if color and colored() else line


def _file(subject: Subject, node: Node | None) -> tuple[UnionTree, Node] | None:
    return (subject.tree, node) if node is not None and node.stat.is_file else None


def _write(text: str) -> None:
    sys.stdout.write(text)
