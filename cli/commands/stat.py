"""`layerfs stat`: everything known of entries of a tree, and which layer supplied them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ..emit import emit
from ..options import format_option
from ..places import Words, open_place, place_argument
from ..rows.entries import Complaints, Entry, lossless
from ..rows.reports import REPORT_TABLE, Report, report_lines
from ..subjects import open_subject, subject_options, tree_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.subject import Subject
    from layerfs.tree.source import LayerSource

__all__ = ["command"]


@click.command("stat")
@place_argument("PATH...")
@click.option("-L", "--dereference", is_flag=True, help="Follow symbolic links.")
@format_option
@subject_options
@click.pass_context
def command(
    ctx: click.Context,
    place: Words,
    dereference: bool,
    form: str,
    kind: str | None,
    up_to: int | None,
    layer: int | None,
) -> int:
    """Show all attributes of files, and which layer supplied them.

    First comes what stat(1) would show in a mount, then the layer, the files of the data root behind the
    entry, and its extended attributes.

    \b
    Examples:
      layerfs stat nginx:latest /etc/passwd
      layerfs stat --format '{{.Layer}} {{.BackingPath}}' nginx:latest /etc/passwd
      layerfs stat --format json nginx:latest /bin/ping
    """
    at = open_place(ctx, place)
    subject = open_subject(at.store, at.name, kind=kind, up_to=up_to, layer=layer)
    complaints = Complaints()
    reports = _reports(subject, at.paths, complaints, follow=dereference)
    if form == "table":
        for report in reports:
            sys.stdout.writelines(report_lines(report))
    else:
        emit(REPORT_TABLE, reports, form)
    return complaints.code


def _reports(
    subject: Subject, paths: Sequence[str], complaints: Complaints, *, follow: bool
) -> Iterator[Report]:
    from layerfs.errors import TreeError

    for path in map(tree_path, paths):
        try:
            node = subject.tree.resolve(path, follow=follow)
            entry = Entry.of(subject, node, complaints)
            xattrs = _xattrs(entry)
        except TreeError as error:
            complaints.refuse(error)
            continue
        parts = node.parts if subject.layers else ()
        backing = tuple(_host_path(subject.tree.layers[part.layer], part.path) for part in parts)
        yield Report(path, entry, xattrs, backing, tuple(subject.layers[part.layer] for part in parts))


def _host_path(layer: LayerSource, path: bytes) -> str:
    place = layer.lies_at(path)
    return f"{layer.label}/{lossless(place)}" if place else layer.label


def _xattrs(entry: Entry) -> dict[bytes, bytes]:
    """Every attribute that is listed and has a value; raises `TreeError`."""
    tree = entry.subject.tree
    found = {name: tree.xattr(entry.node, name) for name in tree.xattr_names(entry.node)}
    return {name: value for name, value in sorted(found.items()) if value is not None}
