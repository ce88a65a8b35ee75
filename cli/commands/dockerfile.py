"""`layerfs dockerfile`: the history of an image as a Dockerfile, and the context to build it."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from ..copying import reason, tell_not_kept
from ..emit import checked_format, emit
from ..escape import printable_lines
from ..main import FINDINGS
from ..messages import say
from ..options import root_option
from ..rows.dockerfile import dockerfile_table, rows_of
from ..rows.entries import Complaints, lossless
from ..rows.provenance import kind_option, open_owner
from ..stores import evidence, find_name
from ..subjects import complete_names
from ..units import human_size

if TYPE_CHECKING:
    from layerfs.analysis.dockerfile.steps import Recipe
    from layerfs.views.buildcontext import Problem

__all__ = ["command"]

DOCKERFILE = "dockerfile"
STDOUT = "-"


def _complete_format(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    from ..emit import format_names

    return [CompletionItem(name) for name in (DOCKERFILE, *format_names()) if name.startswith(typed)]


def _read_format(_context: click.Context, _parameter: click.Parameter, form: str) -> str:
    return form if form == DOCKERFILE else checked_format(form)


@click.command("dockerfile")
@click.argument("name", metavar="IMAGE", required=False, shell_complete=complete_names)
@click.option(
    "--full", is_flag=True, help="Tell the steps of a known base image too, and begin FROM scratch."
)
@click.option(
    "--context",
    "target",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write the Dockerfile and the sources of ADD and COPY to DIR, which must be new or empty.",
)
@click.option(
    "-o", "--output", default=STDOUT, metavar="FILE|-", help="Where to write; - is standard output."
)
@click.option("-f", "--force", is_flag=True, help="Replace FILE if it exists.")
@click.option(
    "--format",
    "form",
    default=DOCKERFILE,
    metavar="FORMAT",
    callback=_read_format,
    shell_complete=_complete_format,
    help="Default: dockerfile. Or a row for each instruction, as table, json, jsonl, csv, tsv or a template.",
)
@kind_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    full: bool,
    target: str | None,
    output: str,
    force: bool,
    form: str,
    kind: str | None,
) -> int:
    """Show the history of an image as a Dockerfile, as far as the history tells.

    Each instruction follows a comment with its layer and size. What cannot be known, as the names of files
    that the classic builder copied, is marked UNKNOWN and never invented. Steps that a named image of the
    store has too become FROM that image, unless --full is given. For a container the steps of its image are
    shown, and what was changed in the container.

    --context writes what ADD and COPY need, taken from the layers, so that `docker build DIR` can be tried.

    \b
    Examples:
      layerfs dockerfile nginx:latest
      layerfs dockerfile --full -o Dockerfile nginx:latest
      layerfs dockerfile --context ctx/ nginx:latest
      layerfs dockerfile --format json nginx:latest
    """
    from layerfs.analysis.dockerfile.steps import recipe

    if output != STDOUT and form != DOCKERFILE:
        raise click.UsageError("--output is for the Dockerfile: it excludes --format")
    if force and output == STDOUT:
        raise click.UsageError(
            "-f is --force, for -o FILE: no Dockerfile is read, one is made of the history"
        )
    at = find_name(ctx, name, "IMAGE")
    owner = open_owner(at.store, at.name, kind, image_first=True)
    complaints = Complaints()
    found = recipe(at.store, owner, full=full, complain=complaints.add)
    failed = target is not None and _write_context(ctx, found, target)
    if form != DOCKERFILE:
        emit(dockerfile_table(), rows_of(found), form)
    elif target is None or output != STDOUT:
        _write(ctx, found, output, force=force)
    return complaints.code or (FINDINGS if failed else 0)


def _write(context: click.Context, recipe: Recipe, output: str, *, force: bool) -> None:
    """Write the Dockerfile: its own bytes to a file or pipe, escaped to a terminal."""
    from layerfs.analysis.dockerfile.document import document
    from layerfs.views.export.newfile import NewFile
    from layerfs.views.place import BadTarget

    text = document(recipe, human_size)
    if output == STDOUT:
        sys.stdout.write(printable_lines(text) if sys.stdout.isatty() else text)
        return
    try:
        with NewFile(os.fsencode(output), evidence(context), force=force) as file:
            file.write(text.encode("utf-8", "surrogateescape"))
    except BadTarget as error:
        raise click.BadParameter(f"{output}: {error}", param_hint="--output") from error


def _write_context(context: click.Context, recipe: Recipe, target: str) -> bool:
    """Write the sources and the Dockerfile to a directory; whether something could not be written."""
    from layerfs.analysis.dockerfile.document import document
    from layerfs.views.buildcontext import DOCKERFILE as USUAL
    from layerfs.views.buildcontext import Context
    from layerfs.views.place import BadTarget, open_target

    try:
        place = open_target(os.fsencode(target), evidence(context))
    except BadTarget as error:
        raise click.BadParameter(f"{target}: {error}", param_hint="--context") from error
    failed = False
    with Context(place) as written:
        for problem in written.sources(recipe):
            failed = True
            say("error", f"{target}/{problem.name}: {_words(problem)}")
        name = written.dockerfile(document(recipe, human_size))
        ignoring = written.ignores(name)
    for path, unfinished in written.copies.unfinished:
        failed = True
        say("error", f"{target}/{lossless(path)}: {reason(unfinished)}")
    tell_not_kept(written.copies)
    for found in ignoring:
        say("warning", f"{target}/{found}: it is a source, and a build leaves out what it names")
    option = "" if name == USUAL else f" -f {shlex.quote(f'{target}/{name}')}"
    say("note", f"to build it: docker build{option} {shlex.quote(target)}")
    return failed


def _words(problem: Problem) -> str:
    """Why something is not in the context."""
    if isinstance(problem.error, FileExistsError):
        layer = problem.step.layer
        return f"another step has put something else there; that of layer {layer} is not in the context"
    return reason(problem.error)
