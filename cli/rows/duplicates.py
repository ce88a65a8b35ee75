"""What `layerfs waste --duplicates` shows: groups of equal files, and where their copies are."""

from __future__ import annotations

import functools
from collections import defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import click

from ..emit import emit, emit_json
from ..progress import phases
from ..table import Column, Table
from ..units import human_size, short_id
from .entries import escaped, lossless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from layerfs import LayerfsError
    from layerfs.analysis.tree.duplicates import Copy, Duplicates, Group
    from layerfs.ids import ChainID
    from layerfs.model import Image, Layer, LayerInfo
    from layerfs.store import Store
    from layerfs.subject import Subject
    from layerfs.tree.source import LayerSource

    from .entries import Complaints

__all__ = ["show_duplicates"]

Row: TypeAlias = dict[str, Any]


def show_duplicates(
    root: Store,
    searched: Subject | Sequence[Image],
    min_size: int,
    top: int,
    form: str,
    complaints: Complaints,
    *,
    allocated: bool,
) -> None:
    """Search the layers of an image or container, or of several images, and print what is there often."""
    from layerfs.subject import Subject

    layers = _of_subject(searched) if isinstance(searched, Subject) else _of_images(root, searched)
    search = _search(root, layers.openers, min_size, complaints, allocated=allocated)
    with phases({"listing": "Listing", "reading": "Reading"}) as told:
        groups = search.search(told)
    rows = [_row(group, layers) for group in groups[: top or None]]
    if form == "json":
        emit_json(_totals(search, groups) | {"groups": rows})
    elif form == "table":
        _show(search, groups, rows)
    else:
        emit(_table(), rows, form)


class _Searched(NamedTuple):
    """The layers to search: what they are, and what opens each; with several images, who has each."""

    layers: Sequence[LayerInfo]
    openers: Sequence[Callable[[], LayerSource]]
    images: Mapping[ChainID | None, list[str]] = MappingProxyType({})


def _of_subject(subject: Subject) -> _Searched:
    """The layers of an image or container, base first."""

    def opener(source: LayerSource) -> Callable[[], LayerSource]:
        return lambda: source

    return _Searched(subject.layers[::-1], [opener(source) for source in reversed(subject.tree.layers)])


def _of_images(root: Store, images: Iterable[Image]) -> _Searched:
    """The layers of images, each once; images with a broken chain are reported and left out."""
    from layerfs.errors import CorruptStore
    from layerfs.model import LayerInfo

    found: dict[ChainID, Layer] = {}
    owners: defaultdict[ChainID | None, list[str]] = defaultdict(list)
    for image in images:
        try:
            chain = root.chain(image)
        except CorruptStore as error:
            root.report(error)
            continue
        for layer in chain:
            found[layer.chain_id] = layer
            owners[layer.chain_id].append(image.name)
    layers = found.values()
    return _Searched(
        [LayerInfo.of(None, layer) for layer in layers],
        [functools.partial(root.source, layer) for layer in layers],
        owners,
    )


def _search(
    root: Store,
    openers: Sequence[Callable[[], LayerSource]],
    min_size: int,
    complaints: Complaints,
    *,
    allocated: bool,
) -> Duplicates:
    from layerfs.analysis.tree.duplicates import Duplicates
    from layerfs.errors import CorruptStore, TreeError

    def problem(error: LayerfsError) -> None:
        if isinstance(error, TreeError):
            complaints.add(error)
        elif isinstance(error, CorruptStore):
            root.report(error)

    return Duplicates(openers, min_size=min_size, allocated=allocated, problem=problem)


def _row(group: Group, searched: _Searched) -> Row:
    return {
        "sha256": group.sha256,
        "size": group.size,
        "copies": len(group.copies),
        "saved": group.saved,
        "files": [_file(copy, searched) for copy in group.copies],
    }


def _file(copy: Copy, searched: _Searched) -> Row:
    """A copy: the first of its names, and the others."""
    first, *links = copy.places
    layer = searched.layers[first.layer]
    return {
        "layer": layer.number,
        "chain_id": layer.chain_id,
        "cache_id": layer.cache_id,
        "images": searched.images.get(layer.chain_id),
        "path": lossless(b"/" + first.path),
        "links": [lossless(b"/" + place.path) for place in links],
    }


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
    names = [
        f"{file['layer'] or short_id(file['cache_id'] or file['chain_id'])}:"
        + escaped(file["path"].encode("utf-8", "surrogateescape"))
        for file in row["files"][:_NAMED]
    ]
    more = len(row["files"]) - _NAMED
    return " ".join(names) + (f" and {more} more" if more > 0 else "")


def _size(value: int) -> str:
    return human_size(value, 4)
