"""What `layerfs waste --duplicates` shows: groups of equal files, and where their copies are."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from .entries import escaped, lossless
from .output import Column, Table, emit, emit_json
from .progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerfs import DataRoot, LayerfsError
    from layerfs.analysis.duplicates import Copy, Duplicates, Group
    from layerfs.ids import ChainID
    from layerfs.model import Image, Layer

    from .entries import Complaints

__all__ = ["show_duplicates"]

Row: TypeAlias = dict[str, Any]


def show_duplicates(
    root: DataRoot,
    images: Sequence[Image] | None,
    min_size: int,
    top: int,
    form: str,
    complaints: Complaints,
    *,
    allocated: bool,
) -> None:
    """Search the layers of images, None for all of the root, and print what is there several times.

    Raises:
        CorruptStore: a layer of the images given is missing.
    """
    layers = _Layers(root, images)
    search = _search(layers, min_size, complaints, allocated=allocated)
    groups = search.groups()
    rows = [layers.row(group) for group in groups[: top or None]]
    if form == "json":
        emit_json(_totals(search, groups) | {"groups": rows})
    elif form == "table":
        _show(search, groups, rows)
    else:
        emit(_table(), rows, form)


def _search(layers: _Layers, min_size: int, complaints: Complaints, *, allocated: bool) -> Duplicates:
    from layerfs.analysis.duplicates import Duplicates
    from layerfs.errors import CorruptStore, TreeError

    def problem(error: LayerfsError) -> None:
        if isinstance(error, TreeError):
            complaints.add(error)
        elif isinstance(error, CorruptStore):
            layers.root.report(error)

    openers = [functools.partial(layers.root.source, layer) for layer in layers.layers]
    search = Duplicates(openers, min_size=min_size, allocated=allocated, problem=problem)
    _drain(search.scan(), "Listing", len(openers))
    _drain(search.read(), "Reading", search.pending)
    return search


def _drain(steps: Iterable[int], label: str, length: int) -> None:
    with progress(steps, label, length) as watched:
        for _ in watched:
            pass


class _Layers:
    """The layers that are searched, each once, and who they belong to."""

    def __init__(self, root: DataRoot, images: Sequence[Image] | None) -> None:
        self.root = root
        self._one_image = images is not None and len(images) == 1
        self._images: dict[ChainID, list[Image]] = {}
        found: dict[ChainID, Layer] = {}
        for image in root.images() if images is None else images:
            for layer in _sound_chain(root, image) if images is None else root.chain(image):
                found[layer.chain_id] = layer
                self._images.setdefault(layer.chain_id, []).append(image)
        self.layers = list(found.values())

    def row(self, group: Group) -> Row:
        """A group as a row."""
        return {
            "sha256": group.sha256,
            "size": group.size,
            "copies": len(group.copies),
            "saved": group.saved,
            "files": [self._file(copy) for copy in group.copies],
        }

    def _file(self, copy: Copy) -> Row:
        """A copy: the first of its names, and all of them."""
        first = copy.places[0]
        layer = self.layers[first.layer]
        return {
            "layer": first.layer + 1 if self._one_image else None,
            "chain_id": layer.chain_id,
            "cache_id": layer.cache_id,
            "images": [image.name for image in self._images[layer.chain_id]],
            "path": lossless(b"/" + first.path),
            "links": [lossless(b"/" + place.path) for place in copy.places[1:]],
        }


def _sound_chain(root: DataRoot, image: Image) -> Sequence[Layer]:
    from layerfs.errors import CorruptStore

    try:
        return root.chain(image)
    except CorruptStore as error:
        root.report(error)
        return ()


def _totals(search: Duplicates, groups: Sequence[Group]) -> Row:
    return {
        "files": search.files,
        "stored": search.taken,
        "copies": sum(len(group.copies) - 1 for group in groups),
        "saved": sum(group.saved for group in groups),
    }


def _show(search: Duplicates, groups: Sequence[Group], rows: Sequence[Row]) -> None:
    """The sum in a line, and the groups that save most."""
    totals = _totals(search, groups)
    click.echo(
        f"copies of others: {totals['copies']} of {totals['files']} files, "
        f"{_size(totals['saved'])} of {_size(totals['stored'])}"
    )
    if rows:
        click.echo()
        emit(_table(), rows, "table")
    if len(groups) > len(rows):
        rest = _size(sum(group.saved for group in groups[len(rows) :]))
        click.echo(f"\nand {len(groups) - len(rows)} more groups with {rest}; --top 0 shows all")


def _table() -> Table[Row]:
    columns: tuple[Column[Row], ...] = (
        Column("sha256", lambda row: row["sha256"], "SHA256", "SHA256", lambda row: row["sha256"][:12]),
        Column("size", lambda row: row["size"], "Size", "SIZE", lambda row: _size(row["size"])),
        Column("copies", lambda row: row["copies"], "Copies", "COPIES"),
        Column("saved", lambda row: row["saved"], "Saved", "SAVED", lambda row: _size(row["saved"])),
        Column("files", lambda row: row["files"], "Files", "FILES", _files),
    )
    return Table(columns, ("Saved", "Size", "Copies", "SHA256", "Files"))


_NAMED = 3


def _files(row: Row) -> str:
    """Where the first copies are, as `layer:path`."""
    from .units import short_id

    names = [
        f"{short_id(file['chain_id']) if file['layer'] is None else file['layer']}:"
        + escaped(file["path"].encode("utf-8", "surrogateescape"))
        for file in row["files"][:_NAMED]
    ]
    more = len(row["files"]) - _NAMED
    return " ".join(names) + (f" and {more} more" if more > 0 else "")


def _size(value: int) -> str:
    from .units import human_size

    return human_size(value, 4)
