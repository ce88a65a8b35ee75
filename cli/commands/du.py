"""`layerfs du`: the disk space that images and layers take, share, and would free if removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..emit import emit, emit_json
from ..options import format_option, no_trunc_option, root_option
from ..rows.usage import (
    image_rows,
    image_usage_table,
    layer_rows,
    layer_usage_table,
    orphan_rows,
    orphan_table,
    usage_document,
    what_if_document,
    what_if_rows,
    what_if_table,
)
from ..stores import open_root
from ..subjects import names_argument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerfs.analysis.store.usage import StoreUsage
    from layerfs.model import Container, Image
    from layerfs.store import Store

__all__ = ["command"]


@click.command("du")
@names_argument("[IMAGE|CONTAINER]...")
@click.option("--layers", is_flag=True, help="Show each layer once, with who uses it, and the orphans.")
@click.option("--what-if", is_flag=True, help="Show what removing these together would free.")
@click.option(
    "--sort", metavar="COLUMN", help="Sort by a column such as freed: largest first, names in order."
)
@no_trunc_option
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    layers: bool,
    what_if: bool,
    sort: str | None,
    no_trunc: bool,
    form: str,
) -> None:
    """Show the disk space that images and layers take, share, and would free if removed.

    SIZE, SHARED SIZE and UNIQUE SIZE are those of `docker system df -v`, or of Podman's. FREED SIZE is what
    removing the image would free, together with the untagged parents that only it needs: a layer stays as
    long as another image, a container, or BuildKit's cache needs it. The row TOTAL counts each layer once.
    Removing a container removes its own directories; of Docker's its log, and of all their volumes, are not
    counted.

    \b
    Examples:
      layerfs du --sort freed
      layerfs du --layers
      layerfs du --what-if nginx:1.24 nginx:1.25  # removing both, together
      layerfs du --what-if web nginx:1.24         # a container, then its image
      layerfs du --format json
    """
    from layerfs.analysis.store.usage import StoreUsage
    from layerfs.capabilities import Accountable, lacking
    from layerfs.store import RECORDS

    if bool(names) != what_if:
        why = "--what-if needs the names of" if what_if else f"names go with `--what-if {' '.join(names)}`:"
        raise click.UsageError(f"{why} what would be removed")
    if layers and what_if:
        raise click.UsageError("--layers and --what-if exclude each other")
    store = open_root(ctx)
    if not isinstance(store, Accountable):
        raise lacking(store, "du")
    store.require(RECORDS)
    if what_if:
        images, containers = _named(store, names)
        usage = StoreUsage(store)
        outcome = usage.what_if(images, containers)
        if form == "json":
            emit_json(what_if_document(usage, outcome))
        else:
            rows = what_if_rows(usage, outcome, sort, total=form == "table")
            emit(what_if_table(usage, full=no_trunc), rows, form)
    elif form == "json":
        emit_json(usage_document(StoreUsage(store), sort))
    elif layers:
        usage = StoreUsage(store)
        rows = layer_rows(usage, sort, total=form == "table")
        emit(layer_usage_table(usage, full=no_trunc), rows, form)
    else:
        _show_images(StoreUsage(store), form, sort, full=no_trunc)


def _named(root: Store, names: Iterable[str]) -> tuple[list[Image], list[Container]]:
    """What the names mean, each once."""
    from layerfs.model import Container, Image

    images: dict[str, Image] = {}
    containers: dict[str, Container] = {}
    for name in names:
        found = root.names.anything(name, ("image", "container"))
        if isinstance(found, Image):
            images[found.id] = found
        elif isinstance(found, Container):
            containers[found.id] = found
    return list(images.values()), list(containers.values())


def _show_images(usage: StoreUsage, form: str, sort: str | None, *, full: bool) -> None:
    emit(image_usage_table(full=full), image_rows(usage, sort, total=form == "table"), form)
    if form == "table" and usage.orphans:
        click.echo("\nDirectories that no image, container or build cache uses:\n")
        emit(orphan_table(), orphan_rows(usage), form)
