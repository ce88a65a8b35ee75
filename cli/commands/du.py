"""`layerfs du`: the disk space that images and layers take, share, and would free if removed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from ..emit import emit, emit_json
from ..options import format_option, no_trunc_option, root_option
from ..rows.identities import (
    NONE,
    cache_id_column,
    chain_id_column,
    diff_id_column,
    id_words,
    place_or_blob,
)
from ..stores import open_root
from ..subjects import names_argument
from ..table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from layerfs.analysis.store.usage import ImageUsage, Orphan, OwnDirectory, StoreUsage, WhatIf
    from layerfs.model import Container, Image, Layer
    from layerfs.store import Store

__all__ = ["command"]

_NO_BLOB: Row = {"blob": None, "blob_size": None}

Row: TypeAlias = dict[str, Any]

UNKNOWN = "N/A"
ORPHAN = "<orphan>"
TOTAL = "TOTAL"


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

    SIZE, SHARED SIZE and UNIQUE SIZE are those of `docker system df -v`. FREED SIZE is what removing the
    image would free, together with the untagged parents that only it needs: a layer stays as long as
    another image, a container, or BuildKit's cache needs it. The row TOTAL counts each layer once. Removing
    a container removes its own two directories; its log and its volumes are not counted.

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
        _show_what_if(usage, usage.what_if(images, containers), form, sort, full=no_trunc)
    elif form == "json":
        emit_json(_document(StoreUsage(store), sort))
    elif layers:
        _show_layers(StoreUsage(store), form, sort, full=no_trunc)
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


def _document(usage: StoreUsage, sort: str | None) -> Row:
    orphans = usage.orphans
    return {
        "images": _sorted(map(_image_row, usage.listed()), sort),
        "layers": [_layer_row(usage, layer) for layer in _largest_first(usage)],
        "orphans": None if orphans is None else list(map(_orphan_row, orphans)),
        "total_size": usage.total_size,
        "reclaimable_size": usage.reclaimable_size,
    }


# -- images --------------------------------------------------------------------------------------


def _show_images(usage: StoreUsage, form: str, sort: str | None, *, full: bool) -> None:
    rows = _sorted(map(_image_row, usage.listed()), sort)
    emit(_image_table(full=full), [*rows, _image_total(usage, rows)] if form == "table" else rows, form)
    if form == "table" and usage.orphans:
        click.echo("\nDirectories that no image, container or build cache uses:\n")
        emit(_orphan_table(), map(_orphan_row, usage.orphans), form)


def _image_row(usage: ImageUsage) -> Row:
    repository, tag = usage.image.first_tag
    return {
        "repository": repository,
        "tag": tag,
        "id": usage.image.id,
        "references": list(usage.image.every_name),
        "size": usage.size,
        "shared_size": usage.shared,
        "unique_size": usage.unique,
        "freed_size": usage.freed,
        "containers": usage.containers,
    }


def _image_total(usage: StoreUsage, rows: Sequence[Row]) -> Row:
    total, shared = usage.total_size, usage.shared_size
    return {
        "repository": TOTAL,
        "tag": "",
        "id": "",
        "references": [],
        "size": total,
        "shared_size": shared,
        "unique_size": None if total is None or shared is None else total - shared,
        "freed_size": usage.what_if([item.image for item in usage.listed()]).freed_size,
        "containers": sum(row["containers"] for row in rows),
    }


def _image_table(*, full: bool) -> Table[Row]:
    columns = (
        _column("repository", "Repository", "REPOSITORY", lambda value: NONE if value is None else value),
        _column("tag", "Tag", "TAG", lambda value: NONE if value is None else value),
        _column("id", "ID", "IMAGE ID", id_words(full=full, missing=NONE)),
        _column("references", "References", "REFERENCES", ", ".join),
        _column("size", "Size", "SIZE", _size),
        _column("shared_size", "SharedSize", "SHARED SIZE", _size),
        _column("unique_size", "UniqueSize", "UNIQUE SIZE", _size),
        _column("freed_size", "FreedSize", "FREED SIZE", _size),
        _column("containers", "Containers", "CONTAINERS", str),
    )
    return Table(
        columns,
        ("Repository", "Tag", "ID", "Size", "SharedSize", "UniqueSize", "FreedSize", "Containers"),
    )


# -- layers --------------------------------------------------------------------------------------


def _show_layers(usage: StoreUsage, form: str, sort: str | None, *, full: bool) -> None:
    orphans = usage.orphans or ()
    rows = [_layer_row(usage, layer) for layer in _largest_first(usage)]
    rows += [_unregistered_row(orphan) for orphan in orphans if orphan.layer is None]
    rows = _sorted(rows, sort)
    if form == "table":
        rows.append(_layer_total(rows, orphans))
    users = _users(usage, ORPHAN if usage.orphans else "", full=full)
    emit(_layer_table(usage.root, users, full=full), rows, form)


def _largest_first(usage: StoreUsage) -> list[Layer]:
    return sorted(usage.holders.layers.values(), key=lambda layer: (-(layer.size or 0), layer.chain_id))


def _layer_row(usage: StoreUsage, layer: Layer, removed: Iterable[Image | Container] = ()) -> Row:
    """A layer and who uses it, images and containers in `removed` left out."""
    gone: set[str] = {item.id for item in removed}
    images = [image for image in usage.holders.images.get(layer.chain_id, ()) if image.id not in gone]
    holders = usage.holders.containers.get(layer.chain_id, ())
    containers = [container for container in holders if container.id not in gone]
    return {
        "chain_id": layer.chain_id,
        "diff_id": layer.diff_id,
        "parent": layer.parent,
        "cache_id": layer.cache_id,
        "blob": layer.blob_digest,
        "size": layer.size,
        "blob_size": layer.blob_size,
        "images": [image.id for image in images],
        "containers": [container.id for container in containers],
        "buildkit": layer.chain_id in usage.holders.buildkit,
    }


def _unregistered_row(orphan: Orphan) -> Row:
    """A directory that is no layer's."""
    name = orphan.cache_id or os.path.basename(orphan.directory)
    row: Row = {"chain_id": None, "diff_id": None, "parent": None, "cache_id": name, "blob": None}
    return row | {"size": orphan.size, "blob_size": None, "images": [], "containers": [], "buildkit": False}


def _layer_total(rows: Sequence[Row], orphans: Iterable[Orphan]) -> Row:
    """The sum of the rows, and how it comes about."""
    whole = sum(row["size"] or 0 for row in rows)
    orphaned = sum((orphan.layer.size if orphan.layer else orphan.size) or 0 for orphan in orphans)
    used = sum(row["size"] or 0 for row in rows if row["images"])
    parts = {"images": used, "containers or build cache alone": whole - used - orphaned, "orphans": orphaned}
    return {
        **_NO_BLOB,
        **dict.fromkeys(("diff_id", "parent", "cache_id", "images", "containers", "buildkit"), ""),
        "chain_id": TOTAL,
        "size": whole,
        "note": ", ".join(f"{name} {_size(size)}" for name, size in parts.items() if size),
    }


def _layer_table(store: Store, users: Callable[[Row], str], *, full: bool) -> Table[Row]:
    identity = id_words(full=full, missing=NONE)
    columns = (
        chain_id_column(_key("chain_id"), identity),
        diff_id_column(_key("diff_id"), identity),
        _column("parent", "Parent", "PARENT", identity),
        cache_id_column(_key("cache_id"), identity, store.place_word, place_or_blob(identity)),
        _column("blob", "Blob", "BLOB", identity),
        _column("size", "Size", "SIZE", _size),
        _column("blob_size", "BlobSize", "BLOB SIZE", _size),
        _column("images", "Images", "IMAGES", _count),
        _column("containers", "Containers", "CONTAINERS", _count),
        _column("buildkit", "BuildKit", "BUILDKIT", str),
        Column("", users, "UsedBy", "USED BY"),
    )
    return Table(columns, ("ChainID", "CacheID", "Size", "Images", "Containers", "UsedBy"))


# -- orphans -------------------------------------------------------------------------------------


def _orphan_row(orphan: Orphan) -> Row:
    return {
        "cache_id": orphan.cache_id,
        "directory": os.path.abspath(orphan.directory),
        "chain_id": orphan.layer.chain_id if orphan.layer else None,
        "size": orphan.size,
    }


def _orphan_table() -> Table[Row]:
    columns = (
        _column("directory", "Directory", "DIRECTORY", str),
        _column("size", "Size", "SIZE", _size),
    )
    return Table(columns, ("Directory", "Size"))


# -- what if -------------------------------------------------------------------------------------


def _show_what_if(usage: StoreUsage, outcome: WhatIf, form: str, sort: str | None, *, full: bool) -> None:
    from layerfs.model import added_up

    removed: list[Image | Container] = [*outcome.removed, *outcome.containers]
    freed = [_layer_row(usage, layer, removed) for layer in outcome.layers]
    kept = [_layer_row(usage, layer, removed) for layer in outcome.kept]
    own = list(map(_own_row, outcome.directories))
    if form == "json":
        document: Row = {"freed_size": outcome.freed_size, "images": [image.id for image in outcome.removed]}
        document |= {"containers": [container.id for container in outcome.containers], "directories": own}
        document["others"] = [{"name": part.name, "size": part.size} for part in outcome.others]
        emit_json(document | {"layers": freed, "kept": kept})
        return
    names = {container.id: container.name for container in outcome.containers}
    rows = [_unlayered(row, f"goes with container {names[row['container']]}") for row in own]
    if outcome.others:
        size = added_up(part.size for part in outcome.others)
        rows.append(
            _unlayered({"cache_id": NONE, "size": size}, f"blobs and the like: {len(outcome.others)}")
        )
    rows += [row | {"freed_size": row["size"], "note": ""} for row in freed]
    rows = _sorted([*rows, *(row | {"freed_size": 0} for row in kept)], sort)
    if form == "table":
        whole = added_up(row["size"] for row in rows)
        total = {"chain_id": TOTAL, "cache_id": "", "diff_id": "", **_NO_BLOB, "note": ""}
        rows.append(total | {"size": whole, "freed_size": outcome.freed_size})
    users = _users(usage, "an unused layer above it", full=full)
    emit(_what_if_table(usage.root, users, full=full), rows, form)


def _own_row(found: OwnDirectory) -> Row:
    return {"cache_id": found.cache_id, "container": found.container.id, "size": found.size}


def _unlayered(row: Row, note: str) -> Row:
    """A directory of a container as a row among layers."""
    return {"chain_id": None, "diff_id": None, **_NO_BLOB, **row, "freed_size": row["size"], "note": note}


def _what_if_table(store: Store, users: Callable[[Row], str], *, full: bool) -> Table[Row]:
    identity = id_words(full=full, missing=NONE)
    columns = (
        chain_id_column(_key("chain_id"), identity),
        diff_id_column(_key("diff_id"), identity),
        cache_id_column(_key("cache_id"), identity, store.place_word, place_or_blob(identity)),
        _column("blob", "Blob", "BLOB", identity),
        _column("size", "Size", "SIZE", _size),
        _column("blob_size", "BlobSize", "BLOB SIZE", _size),
        _column("freed_size", "FreedSize", "FREED SIZE", _size),
        Column("", users, "KeptFor", "KEPT FOR"),
    )
    return Table(columns, ("ChainID", "CacheID", "Size", "FreedSize", "KeptFor"))


# -- cells ---------------------------------------------------------------------------------------


def _key(name: str) -> Callable[[Row], Any]:
    return lambda row: row[name]


def _column(key: str, placeholder: str, header: str, words: Callable[[Any], str]) -> Column[Row]:
    return Column(key, _key(key), placeholder, header, lambda row: words(row[key]))


def _size(value: int | None) -> str:
    from ..units import human_size

    return UNKNOWN if value is None else human_size(value, 4)


def _count(value: Sequence[str]) -> str:
    return str(len(value)) if isinstance(value, list) else ""


def _users(usage: StoreUsage, nobody: str, *, full: bool) -> Callable[[Row], str]:
    """The names of the users of a row's layer; `nobody` if there are none."""
    from ..units import ellipsis

    names: dict[str, str] = {}
    for image in usage.root.images():
        names[image.id] = image.name if image.has_name else f"image {image.id.short}"
    for container in usage.root.containers():
        names[container.id] = f"container {container.name}"

    def words(row: Row) -> str:
        if "note" in row:
            return str(row["note"])
        users = [names[item] for item in (*row["images"], *row["containers"])]
        text = ", ".join(users + ["build cache"] * row["buildkit"]) or nobody
        return text if full else ellipsis(text, 60)

    return words


def _sorted(rows: Iterable[Row], column: str | None) -> list[Row]:
    """The rows by a column: numbers and lists largest first, names from A, the unknown last."""
    found = list(rows)
    if column is None or not found:
        return found
    wanted = column.lower().replace("-", "_").replace(" ", "_")
    key = next((name for name in (wanted, f"{wanted}_size") if name in found[0]), None)
    if key is None:
        raise click.BadParameter(f"choose one of {', '.join(found[0])}", param_hint="--sort")
    return sorted(found, key=lambda row: _rank(row[key]))


def _rank(value: Any) -> tuple[bool, Any]:
    if isinstance(value, str):
        return False, value
    return value is None, -(len(value) if isinstance(value, list) else value or 0)
