"""`layerfs find`: entries by name, attributes and content, in one tree or in every layer of a root."""

from __future__ import annotations

import os
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from ..emit import emit
from ..findtests import dashed, test_options, wanted
from ..findwords import FindCommand
from ..options import format_option, metadata_option, no_trunc_option, root_option, type_option
from ..places import OpenPlace, complete_place, open_words, read_place, refuse_nameless, refuse_relative
from ..progress import clear_bar, progress
from ..rows.entries import Complaints, escaped
from ..rows.findings import InRoot, InTree, ls_line, root_table, tree_table
from ..spool import in_order
from ..stores import find_name, open_root
from ..subjects import KINDS, layer_options, open_subject, tree_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.store.forest import Forest
    from layerfs.analysis.store.seen import LayerHit
    from layerfs.analysis.tree.find import Contents
    from layerfs.analysis.tree.predicates import Predicate
    from layerfs.store import Store
    from layerfs.subject import Subject
    from layerfs.tree.node import FileStat, Part

    from ..findtests import Wanted

__all__ = ["command"]

WILDCARDS = "*?[\\"


class Output(NamedTuple):
    """How findings are shown: by a format, or as in find(1)."""

    form: str | None
    ls: bool
    print0: bool


class Read(NamedTuple):
    """What was read of an entry, as far as it is needed."""

    target: bytes | None
    sha256: str | None


@click.command("find", cls=FindCommand)
@click.argument(
    "words", metavar="NAME[:/PATH]|--all [/START]... [PATTERN]", nargs=-1, shell_complete=complete_place
)
@click.option("-all", "--all", "everywhere", is_flag=True, help="Search every layer of the data root.")
@test_options
@dashed("print0", "print0", is_flag=True, help="End each path with a NUL instead of a line feed.")
@dashed("ls", "ls", is_flag=True, help="The layer, then the fields of find's -ls.")
@no_trunc_option
@format_option
@layer_options
@type_option(*KINDS, name="--kind")
@metadata_option()
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    everywhere: bool,
    print0: bool,
    ls: bool,
    no_trunc: bool,
    form: str,
    up_to: int | None,
    layer: int | None,
    kind: str | None,
    **tests: Any,
) -> int:
    """Find entries by name, attributes or content: in one tree, or in all layers of the root.

    NAME is an image, a container or a layer. As in find(1), a word that begins with a slash and has no
    wildcard is a path to start at. Any other word is the PATTERN: it is matched with names, or with whole
    paths if it has a slash. Tests are those of find(1), with one dash or two; all of them must hold.

    --all reads each layer once, however many images use it, and shows for each entry which images and
    containers show it and which hide it.

    \b
    Examples:
      layerfs find nginx:latest '*.conf'
      layerfs find nginx:latest /etc /usr/lib -type f -mtime -7
      layerfs find nginx:latest -type f -perm /u+s,g+s -ls
      layerfs find nginx:latest -deleted -size +1M  # hidden by later layers
      layerfs find --all id_rsa                     # in every layer of the root
      layerfs find --all --sha256 "$(sha256sum < evil | cut -c -64)"
    """
    given = ctx.get_parameter_source("form") != ParameterSource.DEFAULT
    if ls + print0 + given > 1:
        raise click.UsageError("-ls, -print0 and --format exclude each other")
    output = Output(form if given else None, ls, print0)
    if everywhere:
        starts, pattern = _paths(words)
        complaints = Complaints(*map(tree_path, starts or ["/"]))
        if (up_to, layer, kind) != (None, None, None):
            raise click.UsageError("--up-to, --layer and --kind need a NAME instead of --all")
        _in_root(open_root(ctx), wanted(tests, pattern, None, starts), output, complaints, full=no_trunc)
    else:
        at = _place(ctx, words)
        starts, pattern = _paths(at.paths)
        subject = open_subject(at.store, at.name, kind=kind, up_to=up_to, layer=layer)
        conditions = wanted(tests, pattern, subject.tree, starts)  # also checks that the paths are possible
        complaints = Complaints()
        complaints.ask(subject.tree, *map(tree_path, starts or ["/"]))
        _in_tree(subject, conditions, output, complaints)
    return complaints.code


def _place(context: click.Context, words: tuple[str, ...]) -> OpenPlace:
    """The tree to search, and the words behind its NAME."""
    if unnamed := open_words(context, words, marks=WILDCARDS):
        return unnamed
    if not words:
        raise click.UsageError("Missing argument 'NAME' (or --all).")
    name, others = read_place(words, lenient=True)
    refuse_nameless(name)
    if not others:
        refuse_relative(name)
    _paths(others)
    found = find_name(context, name)
    return OpenPlace(found.store, found.name, others)


def _paths(words: tuple[str, ...]) -> tuple[list[str], str | None]:
    """The start paths, and the PATTERN."""
    starts = [word for word in words if word.startswith("/") and not set(word) & set(WILDCARDS)]
    patterns = [word for word in words if word not in starts]
    if len(patterns) > 1:
        raise click.UsageError(f"Got unexpected extra argument ({patterns[1]})")
    return starts, patterns[0] if patterns else None


# -- one tree ------------------------------------------------------------------------------------


def _in_tree(subject: Subject, chosen: Wanted, output: Output, complaints: Complaints) -> None:
    from layerfs.analysis.tree.find import find

    rows = _tree_rows(
        subject,
        find(
            subject.tree,
            chosen.test,
            complaints.add,
            live=chosen.live or not chosen.deleted,
            deleted=chosen.deleted,
            depth=chosen.depth,
            starts=chosen.starts or (b"/",),
        ),
        chosen,
        complaints,
    )
    if output.form:
        emit(tree_table(), rows, output.form)
    else:
        _print(rows, output)


def _tree_rows(
    subject: Subject, found: Iterable[Any], chosen: Wanted, complaints: Complaints
) -> Iterator[InTree]:
    from layerfs.analysis.tree.find import Contents

    contents = Contents(subject.tree.layers)
    # reading takes long, so there is a progress bar
    watching = progress(list(found), "Reading files") if chosen.digests else nullcontext(found)
    with watching as watched:
        for item in watched:
            read = _read(contents, item.part, item.stat, chosen, complaints)
            if read:
                layer = subject.layers[item.part.layer] if subject.layers else None
                yield InTree(item, read.target, contents.location(item.part), read.sha256, layer)


def _read(
    contents: Contents, part: Part, stat: FileStat, chosen: Wanted, complaints: Complaints
) -> Read | None:
    """What is read of an entry; None if its content does not have a wanted digest."""
    from layerfs.errors import TreeError

    digest = target = None
    try:
        if chosen.digests:
            digest = contents.sha256(part, stat)
            if digest not in chosen.digests:
                return None
        if stat.is_symlink:
            target = contents.target(part)
    except TreeError as error:
        complaints.add(error)
        return None if chosen.digests else Read(None, None)
    return Read(target, digest)


# -- a whole root --------------------------------------------------------------------------------


def _in_root(root: Store, chosen: Wanted, output: Output, complaints: Complaints, *, full: bool) -> None:
    """Print findings in all layers: sorted by path, or for jsonl in the order of the search."""
    from layerfs.analysis.store.findall import Below, find_all
    from layerfs.analysis.store.forest import Forest

    forest = Forest(root)
    test = Below(chosen.starts, chosen.test) if chosen.starts else chosen.test
    steps = _complete(find_all(forest, test, complaints.add), test, complaints)
    form = output.form or "table"
    if form == "jsonl":
        rows = (row for found in steps for row in _root_rows(forest, found, chosen, complaints))
        emit(root_table(root, full=full), rows, form)
        return
    listed = _searched(forest, steps, chosen, complaints)
    if output.ls or output.print0:
        _print_sorted(listed, output)
    else:
        emit(root_table(root, full=full), listed, form, key=_order)


def _searched(
    forest: Forest, steps: Iterable[list[LayerHit]], chosen: Wanted, complaints: Complaints
) -> Iterator[InRoot]:
    """The findings in the order of the search; so many layers are read while these are taken."""
    with progress(steps, "Searching layers", len(forest)) as watched:
        for found in watched:
            yield from _root_rows(forest, found, chosen, complaints)


def _order(row: InRoot) -> tuple[bytes, int, str]:
    """The sort key: the path, then the layer."""
    stage = row.found.stage
    return row.found.path, stage.number or 0, str(stage.cache_id or "")  # a plain value


def _complete(
    steps: Iterator[list[LayerHit]], test: Predicate, complaints: Complaints
) -> Iterator[list[LayerHit]]:
    """Pass the steps on; after the last one, start paths that no layer has are complaints."""
    from layerfs.analysis.store.findall import Below
    from layerfs.errors import PathNotFound

    yield from steps
    for path in test.missing if isinstance(test, Below) else ():
        complaints.refuse(PathNotFound(path, "no layer has it"))


def _root_rows(
    forest: Forest, found: Iterable[LayerHit], chosen: Wanted, complaints: Complaints
) -> Iterator[InRoot]:
    """The findings of one layer."""
    from layerfs.analysis.store.findall import contents_of
    from layerfs.tree.node import Part

    contents: Contents | None = None
    for item in found:
        if (chosen.live or chosen.deleted) and not (
            (chosen.live and item.is_live) or (chosen.deleted and item.is_deleted)
        ):
            continue
        contents = contents or contents_of(forest, item.stage)
        part = Part(0, item.path[1:])
        if read := _read(contents, part, item.stat, chosen, complaints):
            yield InRoot(item, read.target, contents.location(part), read.sha256, item.sights())


# -- lines ---------------------------------------------------------------------------------------


def _print(rows: Iterable[InTree], output: Output) -> None:
    """Print paths as find(1) does: unchanged, but escaped on a terminal."""
    line = _line_of(output)
    _write(map(line, rows), output)


def _print_sorted(rows: Iterable[InRoot], output: Output) -> None:
    """The same of findings that are not sorted yet."""
    line = _line_of(output)
    _write(in_order((_order(row), line(row)) for row in rows), output)


def _line_of(output: Output) -> Callable[[InTree | InRoot], str]:
    """What makes the line of a finding."""
    if output.ls:
        now = time.time_ns()
        return lambda row: ls_line(row, now)
    if output.print0:
        return lambda row: os.fsdecode(row.found.path) + "\0"
    if sys.stdout.isatty():
        return lambda row: escaped(row.found.path) + "\n"
    return lambda row: os.fsdecode(row.found.path) + "\n"


def _write(lines: Iterable[str], output: Output) -> None:
    """Write lines; those that are paths unchanged are written as the bytes on disk."""
    is_text = output.ls or (sys.stdout.isatty() and not output.print0)
    for line in lines:
        clear_bar(sys.stdout)
        if is_text:
            sys.stdout.write(line)
        else:
            sys.stdout.buffer.write(os.fsencode(line))
