"""Examples of what words mean, found in a store: `find_example`. The search ends after a given time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from layerfs.analysis.explain.places import is_tar
from layerfs.analysis.explain.searching import Example, OutOfTime, Search
from layerfs.analysis.store.stack import container_layers
from layerfs.errors import LayerfsError, TreeError
from layerfs.model import READ_WRITE
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from layerfs.model import Image, Layer
    from layerfs.store import Store
    from layerfs.tree.source import Entry, LayerSource

__all__ = ["Example", "find_example"]

_LAYER_ID = "layer ID"
"""What a store of containers/storage calls the place of a layer."""


def find_example(store: Store, word: str, seconds: float) -> Example | None:
    """An example of a word in a store; None where there is none, or none was found in that time."""
    find = _FINDERS.get(word)
    if find is None:
        return None
    try:
        return find(Search(store, seconds))
    except (OutOfTime, LayerfsError, OSError):
        return None


# -- what lies in layers -------------------------------------------------------------------------


def _whiteout(search: Search) -> Example | None:
    for image, number, layer, source in search.layers():
        for path, entry in search.entries(source):
            if not entry.whiteout:
                continue
            below = _layer_below(search.sources(search.store.chain(image, number)), path)
            if below is not None:
                place = _in_layer(search.store, layer, source.lies_at(path))
                facts = (("the whiteout", place), ("the file", f"still in layer {below}"))
                return Example(image.name, facts, b"/" + path, number)
    return None


def _layer_below(layers: Sequence[LayerSource], path: bytes) -> int | None:
    """The number of the first layer below the uppermost that has a file at a path; layers are base first."""
    below = (number for number in range(len(layers) - 1, 0, -1) if _has_file(layers[number - 1], path))
    return next(below, None)


def _has_file(layer: LayerSource, path: bytes) -> bool:
    entry = layer.entry(path)
    return entry is not None and entry.stat.is_file and not entry.whiteout


def _marked(
    search: Search, fits: Callable[[LayerSource, bytes, Entry], str | None], *, base: bool = False
) -> Example | None:
    """The first entry of a layer, mostly above the base, of which `fits` tells something."""
    for image, number, layer, source in search.layers():
        if number == 1 and not base:
            continue
        for path, entry in search.entries(source):
            told = fits(source, path, entry)
            if told is not None:
                facts = (("the entry", _in_layer(search.store, layer, path)), ("what it says", told))
                return Example(image.name, facts, b"/" + path, number)
    return None


def _opaque(search: Search) -> Example | None:
    return _marked(
        search,
        lambda layer, path, entry: "opaque" if entry.stat.is_dir and layer.marks(path).opaque else None,
    )


def _redirect(search: Search) -> Example | None:
    def fits(layer: LayerSource, path: bytes, entry: Entry) -> str | None:
        target = layer.marks(path).redirect if entry.stat.is_dir else None
        return None if target is None else f"redirect to {_text(target)}"

    return _marked(search, fits)


def _metacopy(search: Search) -> Example | None:
    """A file whose data are found."""
    for image, number, layer, source in search.layers():
        for path, entry in search.entries(source) if number > 1 else ():
            if entry.whiteout or not entry.stat.is_file or source.metacopy(path) is None:
                continue
            tree = UnionTree(search.sources(search.store.chain(image, number))[::-1])
            try:
                data = tree.data_part(tree.resolve(path, follow=False))
            except TreeError:
                continue
            facts = (
                ("the entry", _in_layer(search.store, layer, path)),
                ("what it says", "attributes only"),
                ("the bytes", f"in layer {number - data.layer}"),
            )
            return Example(image.name, facts, b"/" + path, number)
    return None


def _hard_links(search: Search) -> Example | None:
    def fits(_layer: LayerSource, _path: bytes, entry: Entry) -> str | None:
        names = entry.stat.nlink
        is_linked = entry.stat.is_file and names > 1 and not entry.whiteout
        return f"one of {names} names of one file" if is_linked else None

    return _marked(search, fits, base=True)


def _copy_up(search: Search) -> Example | None:
    """A file of a container's own layer that its image has too."""
    store = search.store
    for container in store.containers():
        own = container.own_layer(READ_WRITE)
        if own is None or not container.top:
            continue
        search.check()
        layers = search.sources(container_layers(store, container))
        for path, entry in search.entries(store.source(own)):
            if not entry.stat.is_file or entry.whiteout:
                continue
            below = _layer_below(layers, path)
            if below is not None:
                facts = (
                    ("in the image", f"layer {below} has the file"),
                    ("in the container", f"a copy of all of it, {entry.stat.size} bytes now"),
                )
                return Example(container.name, facts, b"/" + path, len(layers))
    return None


def _in_layer(store: Store, layer: Layer, path: bytes) -> str:
    """Where an entry of a layer lies."""
    if layer.cache_id is None:
        return f"{_text(path)} in layer {layer.diff_id.hex[:12]}"
    return f"{store.files_path(layer.cache_id)}/{_text(path)}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


# -- identities ----------------------------------------------------------------------------------


def _deepest(search: Search) -> Image | None:
    """The first image with more than one layer; else the first with any."""
    images = [image for image in search.images() if image.chain]
    return next((image for image in images if len(image.chain) > 1), images[0] if images else None)


def _chain(search: Search) -> Example | None:
    image = _deepest(search)
    if image is None or len(image.chain) < 2:
        return None
    facts = (
        ("chain ID of layer 1", f"{image.chain[0]}"),
        ("diff ID of layer 2", f"{image.config.diff_ids[1]}"),
        ("chain ID of layer 2", f"{image.chain[1]}"),
    )
    return Example(image.name, facts, layer=2)


def _diff(search: Search) -> Example | None:
    image = _deepest(search)
    number = len(image.chain) if image else 0
    facts = ((f"diff ID of layer {number}", str(image.config.diff_ids[-1])),) if image else ()
    return Example(image.name, facts, layer=number) if image else None


def _cache(search: Search) -> Example | None:
    image = _deepest(search)
    layer = search.store.record(image.chain[-1]) if image else None
    if image is None or layer is None or layer.cache_id is None or not search.store.has_every_layer_unpacked:
        return None
    if search.store.place_word == _LAYER_ID:
        return None
    number = len(image.chain)
    facts = (
        (f"chain ID of layer {number}", str(layer.chain_id)),
        ("its cache ID", layer.cache_id),
        ("its files", search.store.files_path(layer.cache_id)),
    )
    return Example(image.name, facts, layer=number)


def _layer_id(search: Search) -> Example | None:
    image = _deepest(search)
    if image is None or len(image.chain) < 2 or search.store.place_word != _LAYER_ID:
        return None
    first, second = search.store.chain(image, 2)
    facts = (
        ("layer ID of layer 1", str(first.cache_id)),
        ("diff ID of layer 2", str(second.diff_id)),
        ("layer ID of layer 2", str(second.cache_id)),
    )
    return Example(image.name, facts, layer=2)


def _object(search: Search) -> Example | None:
    for image, number, layer, source in search.layers():
        if not is_tar(source):
            continue
        for path, entry in search.entries(source):
            if entry.stat.is_file and (place := source.lies_at(path)) != path:
                facts = (
                    ("the file", _text(b"/" + path)),
                    ("its object", _in_layer(search.store, layer, place)),
                )
                return Example(image.name, facts, b"/" + path, number)
    return None


def _snapshot(search: Search) -> Example | None:
    image = _deepest(search)
    layer = search.store.record(image.chain[-1]) if image else None
    if image is None or layer is None or layer.cache_id is None or search.store.has_every_layer_unpacked:
        return None
    place = search.store.place(layer)
    facts = (
        (f"chain ID of layer {len(image.chain)}", str(layer.chain_id)),
        ("its snapshot", layer.cache_id),
        ("its directory", place.directory or search.store.place_path(layer.cache_id)),
    )
    return Example(image.name, facts, layer=len(image.chain))


def _image(search: Search) -> Example | None:
    image = next(search.images(), None)
    if image is None:
        return None
    facts: tuple[tuple[str, str], ...] = (("SHA-256 of the config", str(image.id)),)
    if image.target_digest:
        facts += (("digest of manifest or index", image.target_digest),)
    return Example(image.name, facts)


def _target(search: Search) -> Example | None:
    image = next((image for image in search.images() if image.target_digest), None)
    if image is None:
        return None
    facts = (
        ("the name points at", str(image.target_digest)),
        ("the config of this platform", str(image.id)),
        ("platform", image.platform_name or "not told"),
    )
    return Example(image.name, facts)


def _distribution(search: Search) -> Example | None:
    for image, number, layer, _ in search.layers():
        digest = layer.blob_digest
        noted = search.store.blobs(layer.diff_id)
        blob = str(digest) if digest else noted[0].digest if noted else None
        if blob and blob != layer.diff_id:
            facts = ((f"diff ID of layer {number}", str(layer.diff_id)), ("in registries", blob))
            return Example(image.name, facts, layer=number)
    return None


# -- images among each other ---------------------------------------------------------------------


def _shared(search: Search) -> Example | None:
    users = Counter(chain for image in search.images() for chain in set(image.chain))
    for image in search.images():
        shared = [chain for chain in image.chain if users[chain] > 1]
        if shared and len(shared) < len(image.chain):
            size = sum(search.store.record(chain).size or 0 for chain in shared)
            facts = (
                ("layers", str(len(image.chain))),
                ("of them also in other images", str(len(shared))),
                ("bytes of these", str(size)),
                ("images that have the base", str(users[image.chain[0]])),
            )
            return Example(image.name, facts)
    return None


def _missing(search: Search) -> Example | None:
    from layerfs.analysis.store.history import history  # noqa: PLC0415 - this word alone needs it

    for image in search.images():
        rows = history(search.store, image)
        unknown = sum(row.image_id is None for row in rows)
        if unknown:
            facts = (("steps", str(len(rows))), ("of them <missing>", str(unknown)))
            return Example(image.name, facts)
    return None


def _nameless(search: Search, *, parent: bool) -> Example | None:
    """An image without a name that is, or is not, the parent of another."""
    images = list(search.images())
    parents: Mapping[str, str] = {str(image.parent): image.name for image in images if image.parent}
    for image in images:
        if not image.has_name and (image.id in parents) == parent:
            told = ("a step of", parents[image.id]) if parent else ("named by", "nothing")
            return Example(str(image.id), (("image", str(image.id)), told))
    return None


_FINDERS: Mapping[str, Callable[[Search], Example | None]] = {
    "whiteout": _whiteout,
    "opaque": _opaque,
    "redirect": _redirect,
    "metacopy": _metacopy,
    "hard-links": _hard_links,
    "copy-up": _copy_up,
    "diff-id": _diff,
    "chain-id": _chain,
    "cache-id": _cache,
    "layer-id": _layer_id,
    "composefs": _object,
    "snapshot": _snapshot,
    "image-id": _image,
    "manifest": _target,
    "index": _target,
    "distribution-digest": _distribution,
    "shared-size": _shared,
    "missing": _missing,
    "dangling": lambda search: _nameless(search, parent=False),
    "intermediate": lambda search: _nameless(search, parent=True),
}
