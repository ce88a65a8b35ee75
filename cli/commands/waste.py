"""`layerfs waste`: what an image stores and never shows, and which files are there several times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import click

from ..amounts import parse_limit, parse_size
from ..entries import Complaints
from ..escape import printable
from ..output import emit, emit_json, format_option, no_trunc_option
from ..params import root_option
from ..subjects import complete_images, open_root, open_subject
from ..waste import Account, exceeds, image_table, layer_table, path_table, score_words, size_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerfs import DataRoot

    from ..amounts import Limit

__all__ = ["command"]

Row: TypeAlias = dict[str, Any]

TOP = 10


@click.command("waste")
@click.argument("image", required=False, shell_complete=complete_images)
@click.option("--all", "everything", is_flag=True, help="Every image of the root, a row each.")
@click.option("--layers", is_flag=True, help="A row for each layer, and nothing else.")
@click.option("--paths", is_flag=True, help="A row for each path, and nothing else.")
@click.option("--duplicates", is_flag=True, help="Show files that are there several times, byte for byte.")
@click.option(
    "--top",
    type=click.IntRange(0),
    default=TOP,
    show_default=True,
    metavar="N",
    help="The N paths, or groups of duplicates, that waste most; 0 is all.",
)
@click.option(
    "--min-size", callback=parse_size, metavar="SIZE", help="With --duplicates: pass over smaller files."
)
@click.option("--allocated", is_flag=True, help="Count the blocks that files take, not their lengths.")
@click.option(
    "--max-wasted", callback=parse_limit, metavar="SIZE|PERCENT", help="Exit with 1 where more is wasted."
)
@click.option(
    "--min-efficiency",
    type=click.FloatRange(0, 1),
    metavar="SCORE",
    help="Exit with 1 where the score is lower.",
)
@no_trunc_option
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    image: str | None,
    everything: bool,  # noqa: ARG001 - checked with the others
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
    root: str,  # noqa: ARG001 - read from the context
) -> int:
    """Show the bytes that an image stores and its tree does not show.

    STORED is what Docker counts: each inode of a layer once, at its length, no directories. WASTED is an
    inode of which the final tree shows no name, each once. The efficiency is 1 - wasted / stored. HIDES
    is what a layer made unreachable in those below. For --max-wasted, a part such as 5% is of STORED.

    \b
    Examples:
      layerfs waste nginx:latest
      layerfs waste --all
      layerfs waste --max-wasted 20MB --min-efficiency 0.95 app:ci    exits with 1 beyond either
      layerfs waste --paths --top 0 --format jsonl nginx:latest
      layerfs waste --duplicates --min-size 64KiB --all    what all images could share
    """
    from layerfs.analysis.waste import waste

    _check_usage(ctx.params)
    complaints = Complaints()
    data_root = open_root(ctx)
    if duplicates:
        from ..duplicates import show_duplicates

        images = None if image is None else [data_root.image(image)]
        show_duplicates(data_root, images, min_size or 1, top, form, complaints, allocated=allocated)
        return complaints.code
    if image is None:
        rows = sorted(_images(data_root, complaints, allocated=allocated), key=lambda row: -row["wasted"])
        emit(image_table(full=no_trunc), rows, form)
        exceeded = [exceeds(row, max_wasted, min_efficiency) for row in rows]
        return complaints.code or max(exceeded, default=0)
    subject = open_subject(data_root, image, kind="image", up_to=None, layer=None)
    found = waste(subject.tree, allocated=allocated, problem=complaints.add)
    account = Account(data_root, data_root.image(image), subject.title, found)
    if layers:
        emit(layer_table(full=no_trunc), account.layer_rows(), form)
    elif paths:
        emit(path_table(), account.path_rows(top), form)
    elif form == "json":
        emit_json(account.document(top))
    elif form == "table":
        _show_all(account, top, full=no_trunc)
    else:
        emit(image_table(full=no_trunc), [account.image_row()], form)
    exceeded = [exceeds(account.image_row(), max_wasted, min_efficiency)]
    return complaints.code or max(exceeded)


def _check_usage(given: Mapping[str, Any]) -> None:
    """Refuse options that do not go together."""
    if (given["image"] is None) != given["everything"]:
        raise click.UsageError("name an IMAGE, or give --all, and not both")
    limited = given["max_wasted"] is not None or given["min_efficiency"] is not None
    if given["duplicates"] and (given["layers"] or given["paths"] or limited):
        raise click.UsageError("--duplicates takes neither --layers, --paths, nor limits on waste")
    if given["layers"] and given["paths"]:
        raise click.UsageError("--layers and --paths exclude each other")
    if given["everything"] and (given["layers"] or given["paths"]):
        raise click.UsageError("--layers and --paths need an IMAGE")
    if given["min_size"] is not None and not given["duplicates"]:
        raise click.UsageError("--min-size needs --duplicates")


def _show_all(account: Account, top: int, *, full: bool) -> None:
    """The image in a line, its layers, and the paths that waste most."""
    row = account.image_row()
    click.echo(
        f"{printable(row['image'])}: {size_words(row['wasted'])} of {size_words(row['stored'])} wasted, "
        f"efficiency {score_words(row['efficiency'])}"
    )
    if row["layer_count"]:
        click.echo()
        emit(layer_table(full=full), account.layer_rows(), "table")
    if row["wasted_paths"]:
        click.echo()
        emit(path_table(), account.path_rows(top), "table")
    count, size = account.rest(top)
    if count:
        click.echo(f"\nand {count} more with {size_words(size)}; --top 0 shows all")


def _images(root: DataRoot, complaints: Complaints, *, allocated: bool) -> Iterator[Row]:
    """A row for each image; those of the same layers are counted once, damaged ones reported."""
    from layerfs.analysis.waste import waste
    from layerfs.errors import CorruptStore

    from ..progress import progress

    known: dict[tuple[str, ...], Row] = {}
    images = root.images()
    with progress(images, "Counting", len(images)) as watched:
        for image in watched:
            if image.chain not in known:
                try:
                    tree = root.tree(image)
                except CorruptStore as error:
                    root.report(error)
                    continue
                found = waste(tree, allocated=allocated, problem=complaints.add)
                known[image.chain] = Account(root, image, image.name, found).image_row()
            yield known[image.chain] | {"image": image.name, "id": image.id}
