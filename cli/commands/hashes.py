"""`layerfs hashes`: digests of files, as sha256sum(1) lists them."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..emit import emit
from ..options import choice, format_option, one_of
from ..places import Words, open_place, place_argument
from ..progress import progress
from ..rows.entries import Complaints
from ..rows.hashes import HashRow, hash_table, print_digests, stored_names
from ..subjects import open_subject, subject_options, tree_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.analysis.tree.hashes import HashedFile
    from layerfs.subject import Subject


__all__ = ["command"]


def _algorithm(name: str) -> Callable[..., Any]:
    return click.option(f"--{name}", **one_of("algorithm"), help=f"List {name} digests.")


@click.command("hashes")
@place_argument("[PATH]...")
@click.option(
    "--all-versions",
    "every",
    is_flag=True,
    help="List every version in every layer, hidden ones too, by its path in the data root.",
)
@_algorithm("md5")
@_algorithm("sha1")
@_algorithm("sha512")
@click.option(
    "-z",
    "--zero",
    is_flag=True,
    help="End each line with NUL instead of a line feed, and do not escape names.",
)
@format_option
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    place: Words,
    every: bool,
    zero: bool,
    form: str,
    kind: str | None,
    up_to: int | None,
    layer: int | None,
) -> int:
    """List digests of all files of an image, container or layer, as sha256sum does.

    Regular files are listed: all, or those at and below PATH. Paths are relative to the root of the tree,
    so that `sha256sum -c` accepts the list in a mount or a copy of it.

    With --all-versions every version of a file in every layer is listed, hidden ones too. Its path is
    relative to the data root; in an archive it is the member of the layer, and the path in it. --format
    also shows the layer, the state, and what hides a version. The exit code is 1 if a file could not be
    read, and 6 if it is one of those named.

    \b
    Examples:
      layerfs hashes nginx:latest > nginx.sha256
      cd /mnt && sha256sum -c nginx.sha256  # in a mount of it
      layerfs hashes --md5 nginx:latest /usr/bin
      layerfs hashes --all-versions nginx > known
      cd /var/lib/docker && sha256sum -c --quiet known  # the layers themselves
    """
    given = ctx.get_parameter_source("form") != ParameterSource.DEFAULT
    if zero and given:
        raise click.UsageError("--zero and --format exclude each other")
    at = open_place(ctx, place)
    subject = open_subject(at.store, at.name, kind=kind, up_to=up_to, layer=layer)
    algorithm = str(choice(ctx, "algorithm", "sha256"))
    complaints = Complaints()
    complaints.ask(subject.tree, *map(tree_path, at.paths or ("/",)), follow=True)
    files = _files(subject, at.paths, complaints, every=every)
    rows = _rows(subject, files, algorithm, complaints)
    if given:
        emit(hash_table(algorithm), rows, form)
    else:
        names = stored_names(at.store.path.rstrip("/")) if every else lambda row: b"." + row.file.path
        print_digests(rows, names, zero=zero)
    return complaints.code


def _files(
    subject: Subject, paths: Sequence[str], complaints: Complaints, *, every: bool
) -> list[HashedFile]:
    from layerfs.analysis.tree.hashes import every_version, shown_files
    from layerfs.errors import TreeError

    wanted = [tree_path(path) for path in paths] or [b"/"]
    if every:
        tops = [b"/" + path.strip(b"/") for path in wanted]
        return every_version(subject.tree, tops, complaints.add)
    nodes = []
    for path in wanted:
        try:
            nodes.append(subject.tree.resolve(path))
        except TreeError as error:
            complaints.refuse(error)
    return shown_files(subject.tree, nodes, complaints.add)


def _rows(
    subject: Subject, files: Sequence[HashedFile], algorithm: str, complaints: Complaints
) -> Iterator[HashRow]:
    from layerfs.analysis.tree.hashes import hashes

    found = hashes(subject.tree, files, algorithm, len(os.sched_getaffinity(0)))
    # a list on the terminal shows how far it is
    with nullcontext(found) if sys.stdout.isatty() else progress(found, "Hashing", len(files)) as watched:
        for hashed in watched:
            if hashed.error:
                complaints.add(hashed.error)
            place, path = hashed.file.data
            label = subject.tree.layers[place].label
            layer = subject.layers[hashed.file.part.layer]
            yield HashRow(hashed, algorithm, layer, f"{label}/{os.fsdecode(path)}")
