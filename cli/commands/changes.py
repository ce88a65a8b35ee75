"""`layerfs changes`: what each layer of an image or container did, and the step of the build that made it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from ..emit import emit
from ..options import format_option, metadata_option, no_trunc_option, root_option
from ..progress import progress
from ..rows.changes import View
from ..rows.entries import Complaints
from ..rows.layerchanges import layer_changes_table
from ..rows.provenance import kind_option, open_owner
from ..stores import find_name
from ..subjects import name_argument

if TYPE_CHECKING:
    from layerfs.model import Container, Image
    from layerfs.store import Store
    from layerfs.subject import Subject

__all__ = ["command"]


@click.command("changes")
@name_argument("NAME")
@click.option(
    "--layer", type=click.IntRange(1), metavar="N", help="List what layer N did, as `diff IMAGE@N-1 IMAGE@N`."
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
    layer: int | None,
    no_trunc: bool,
    form: str,
    kind: str | None,
) -> int:
    """Show what each layer of an image or container did, base first, and the step that made it.

    The columns of changes count entries. BYTES is the size of the files that a layer adds, changes, or
    copies because their attributes changed; IDENTICAL is the size of files that are copied without any
    change. Together they are the size of the layer. --format json also has the bytes of each kind of
    change, and of what the layer deletes.

    \b
    Examples:
      layerfs changes nginx:latest
      layerfs changes --layer 3 nginx:latest  # each path that layer 3 touched
      layerfs changes --format '{{.Layer}} {{.Bytes}}' nginx:latest
    """
    from layerfs.analysis.diff.layerchanges import layer_changes

    data_root, name, _ = find_name(ctx, name)
    complaints = Complaints()
    owner = open_owner(data_root, name, kind)
    if layer is not None:
        _list(_step(data_root, owner, name, layer), form, complaints)
        return complaints.code
    rows = layer_changes(data_root, owner, complaints.add)
    with progress(rows, "Comparing layers", len(data_root.tree(owner).layers)) as watched:
        listed = list(watched)
    emit(layer_changes_table(owner.name, full=no_trunc), listed, form)
    return complaints.code


def _list(step: tuple[Subject, Subject], form: str, complaints: Complaints) -> None:
    """Print what differs between what is below a layer, and that with the layer."""
    from layerfs.analysis.diff.difference import differences

    before, after = step
    view = View(before, after, complaints)
    changes = differences(before.tree, after.tree, complaints.add)
    if form == "table":
        sys.stdout.writelines(view.line(change) + "\n" for change in changes)
    else:
        emit(view.table(), changes, form)


def _step(root: Store, owner: Image | Container, name: str, number: int) -> tuple[Subject, Subject]:
    """The image or container called `name` up to the layer below, and up to the layer.

    Raises:
        LayerNotFound: there is no layer of this number.
    """
    from layerfs.analysis.diff.layerchanges import step
    from layerfs.errors import LayerNotFound
    from layerfs.subject import by_layers, subject_of

    whole = by_layers(subject_of(root, owner, owner.name))
    depth = len(whole.layers)
    if number > depth:
        raise LayerNotFound.numbered(name, number, depth)
    before, after = step(whole.tree, number)
    layers = whole.layers[depth - number :]
    return replace(whole, tree=before, layers=layers[1:]), replace(whole, tree=after, layers=layers)
