"""`layerfs waste`: what an image stores and never shows, and which files are there several times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import click

from ..amounts import parse_limit, parse_size
from ..emit import emit, emit_json
from ..escape import printable
from ..options import format_option, metadata_option, no_trunc_option, root_option
from ..progress import progress
from ..rows.duplicates import show_duplicates
from ..rows.entries import Complaints
from ..rows.provenance import kind_option, open_stack
from ..rows.waste import (
    Account,
    exceeds,
    layer_table,
    path_table,
    score_words,
    size_words,
    sums_row,
    total_table,
)
from ..stores import find_names, open_root
from ..subjects import name_argument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from layerfs.model import Image
    from layerfs.store import Store
    from layerfs.subject import Subject

    from ..amounts import Limit

__all__ = ["command"]

Row: TypeAlias = dict[str, Any]

TOP = 10


@click.command("waste")
@name_argument()
@click.option("--all", "everything", is_flag=True, help="Show every image that `images` lists, one row each.")
@click.option("-a", "intermediate", is_flag=True, help="With --all: show intermediate images too.")
@click.option("--layers", is_flag=True, help="Show a row for each layer, and nothing else.")
@click.option("--paths", is_flag=True, help="Show a row for each path, and nothing else.")
@click.option(
    "--duplicates", is_flag=True, help="Show files that are stored several times with the same content."
)
@click.option(
    "--top",
    type=click.IntRange(0),
    default=TOP,
    show_default=True,
    metavar="N",
    help="Show the N paths, or groups of duplicates, that waste most; 0 shows all.",
)
@click.option(
    "--min-size", callback=parse_size, metavar="SIZE", help="With --duplicates: ignore smaller files."
)
@click.option("--allocated", is_flag=True, help="Count allocated blocks, not file lengths.")
@click.option(
    "--max-wasted", callback=parse_limit, metavar="SIZE|PERCENT", help="Exit with 1 if more is wasted."
)
@click.option(
    "--min-efficiency",
    type=click.FloatRange(0, 1),
    metavar="SCORE",
    help="Exit with 1 if the efficiency is lower.",
)
@no_trunc_option
@format_option
@kind_option
@metadata_option()
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    name: str | None,
    everything: bool,
    intermediate: bool,
    layers: bool,
    paths: bool,
    duplicates: bool,
    top: int,
    min_size: int | None,
    allocated: bool,
    max_wasted: Limit | None,
    min_efficiency: float | None,
    no_trunc: bool,
    form: str,
    kind: str | None,
) -> int:
    """Show the bytes that an image or container stores and its tree does not show.

    STORED is the size as Docker counts it: the length of each inode of a layer once, without directories.
    WASTED is the size of inodes that have no name in the final tree. The efficiency is 1 - wasted / stored.
    HIDES is what a layer hides of the layers below it. A percentage for --max-wasted is of STORED.

    \b
    Examples:
      layerfs waste nginx:latest
      layerfs waste --all           # every image, the most wasteful first
      layerfs waste nginx:latest@3  # as it was after layer 3
      layerfs waste --max-wasted 20MB --min-efficiency 0.95 app:ci  # for CI
      layerfs waste --paths --top 0 --format jsonl nginx:latest
      layerfs waste --duplicates --min-size 64KiB --all  # what could be shared
    """
    _check_usage(ctx.params)
    complaints = Complaints()
    data_root, subject = _chosen_store(ctx, name, kind, everything=everything)
    if duplicates:
        layers_of = subject or _chosen(data_root, every=intermediate)
        show_duplicates(data_root, layers_of, min_size or 1, top, form, complaints, allocated=allocated)
        return complaints.code
    if subject is None:
        images = _chosen(data_root, every=intermediate)
        rows = sorted(
            _rows(data_root, images, complaints, allocated=allocated), key=lambda row: -row["wasted"]
        )
        emit(total_table(full=no_trunc), rows, form)
    else:
        account = Account.of(subject, complaints, allocated=allocated)
        what = "layers" if layers else "paths" if paths else ""
        _show(account, what, top, form, full=no_trunc)
        rows = [account.total_row()]
    exceeded = [exceeds(row, max_wasted, min_efficiency) for row in rows]
    return complaints.code or max(exceeded, default=0)


def _chosen_store(
    context: click.Context, name: str | None, kind: str | None, *, everything: bool
) -> tuple[Store, Subject | None]:
    """The store, and the subject of NAME in it; None for all images."""
    from layerfs.store import RECORDS

    if everything:
        root = open_root(context)
        root.require(RECORDS)
        return root, None
    missing = "give a NAME, or --all, and not both"
    ((store, inside, _),) = find_names(context, [] if name is None else [name], missing)
    return store, open_stack(store, inside, kind)


def _check_usage(given: Mapping[str, Any]) -> None:
    """Refuse options that exclude each other."""
    if given["name"] is not None and given["everything"]:
        raise click.UsageError("give a NAME, or --all, and not both")
    if given["intermediate"] and not given["everything"]:
        raise click.UsageError("-a needs --all")
    limited = given["max_wasted"] is not None or given["min_efficiency"] is not None
    if given["duplicates"] and (given["layers"] or given["paths"] or limited):
        raise click.UsageError("--duplicates takes neither --layers, --paths, nor limits on waste")
    if given["layers"] and given["paths"]:
        raise click.UsageError("--layers and --paths exclude each other")
    if given["everything"] and (given["layers"] or given["paths"]):
        raise click.UsageError("--layers and --paths need a NAME")
    if given["min_size"] is not None and not given["duplicates"]:
        raise click.UsageError("--min-size needs --duplicates")


def _show(account: Account, what: str, top: int, form: str, *, full: bool) -> None:
    """Show one image or container: its layers, its paths, or all, as far as the format allows."""
    if what == "layers":
        emit(layer_table(account, full=full), account.layer_rows(), form)
    elif what == "paths":
        emit(path_table(), account.path_rows(top), form)
    elif form == "json":
        emit_json(account.document(top))
    elif form == "table":
        _show_tables(account, top, full=full)
    else:
        emit(total_table(full=full), [account.total_row()], form)


def _show_tables(account: Account, top: int, *, full: bool) -> None:
    """Print the sums, the layers, and the paths that waste most."""
    row = account.total_row()
    click.echo(
        f"{printable(row['name'])}: {size_words(row['wasted'])} of {size_words(row['stored'])} wasted, "
        f"efficiency {score_words(row['efficiency'])}"
    )
    if row["layer_count"]:
        click.echo()
        emit(layer_table(account, full=full), account.layer_rows(), "table")
    if row["wasted_paths"]:
        click.echo()
        emit(path_table(), account.path_rows(top), "table")
    count, size = account.rest(top)
    if count:
        click.echo(f"\nand {count} more with {size_words(size)}; --top 0 shows all")


def _chosen(root: Store, *, every: bool) -> list[Image]:
    """The images that `images` lists; with `every` as `images -a`."""
    from layerfs.analysis.store.listing import listed_images

    return [item.image for item in listed_images(root, every=every)]


def _rows(root: Store, images: Sequence[Image], complaints: Complaints, *, allocated: bool) -> Iterator[Row]:
    """A row for each image; images with the same layers are measured once, damaged ones are reported."""
    from layerfs.analysis.store.forest import Forest
    from layerfs.analysis.store.wasteall import WasteOfAll
    from layerfs.errors import CorruptStore

    forest = Forest(root, images)
    shared = WasteOfAll(forest, allocated=allocated)
    with progress(shared.steps(), "Reading layers", len(forest)) as watched:
        for _ in watched:
            pass
    sums = shared.sums()
    known: dict[tuple[str, ...], Row] = {}
    with progress(images, "Counting", len(images)) as counted:
        for image in counted:
            if image.chain not in known:
                try:
                    subject = open_stack(root, image.id, "image")
                except CorruptStore as error:
                    root.report(error)
                    continue
                found = sums.get(image.id)
                if found and forest.shows(image, subject.tree.layers):
                    known[image.chain] = sums_row(subject, found)
                else:
                    account = Account.of(subject, complaints, allocated=allocated)
                    known[image.chain] = account.total_row()
            yield known[image.chain] | {"name": image.name, "id": image.id}
