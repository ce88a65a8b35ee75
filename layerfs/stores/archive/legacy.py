"""Archives of `docker save` before 1.10: a directory for each layer, with the config up to it.

There are no image configs and no diff IDs. Both are generated as an Engine does that loads the archive, so
the image gets the same ID. (For archives of engines before 1.8.3, loading changed more, so the ID differs.)

Sources: moby `image/spec/v1.md`, `image/tarexport/load.go` (legacyLoadImage), `image/v1/imagev1.go`
(HistoryFromConfig, MakeConfigFromV1Config); Go `encoding/json` (compact, with HTML escaped).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from layerfs.errors import CorruptStore, MalformedFile, MissingFile
from layerfs.formats.errors import FormatError
from layerfs.formats.imageconfig import parse_image_config
from layerfs.formats.jsontext import load_object, mapping, objects_by_name, text, texts, texts_by_name
from layerfs.stores.archive.archived import ArchivedImage, ArchivedLayer, parsed, read_parsed
from layerfs.stores.archive.dockerarchive import platform_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from layerfs.formats.jsontext import Json
    from layerfs.stores.blobs.outer import Blob, Outer

__all__ = ["legacy_ids", "legacy_images"]

_ID = re.compile(rb"[0-9a-f]{64}")
_MOST_LAYERS = 1 << 10
_DROPPED = ("id", "parent", "Size", "parent_id", "layer_id", "throwaway")
_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def legacy_ids(outer: Outer) -> list[str]:
    """The IDs of all layers in such an archive."""
    tops = {name.split(b"/", 1)[0] for name in outer.names()}
    return [top.decode() for top in sorted(tops) if _ID.fullmatch(top) and outer.find(top + b"/json")]


def legacy_images(
    outer: Outer, report: Callable[[CorruptStore], None], diff_id: Callable[[Blob], str]
) -> Iterator[ArchivedImage]:
    """Every image that has a name, or is not the base of another; unreadable ones are reported.

    Args:
        outer: the archive.
        report: takes what is wrong.
        diff_id: gives the sha256 of a layer without its compression; may raise `CorruptStore`.
    """
    documents: dict[str, Json] = {}
    for layer_id in legacy_ids(outer):
        try:
            blob = outer.find(f"{layer_id}/json".encode())
            if blob is not None:
                documents[layer_id] = read_parsed(blob, load_object)
        except CorruptStore as error:
            report(error)
    names = _names(outer, report)
    parents = {document.get("parent") for document in documents.values()}
    for layer_id in documents:
        if layer_id in names or layer_id not in parents:
            try:
                yield _image(outer, documents, layer_id, names.get(layer_id, ()), diff_id)
            except FormatError as error:
                report(MalformedFile(f"{outer.label}:{layer_id}/json", error.problem, found=error.found))
            except CorruptStore as error:
                report(error)


def _names(outer: Outer, report: Callable[[CorruptStore], None]) -> Mapping[str, tuple[str, ...]]:
    """The names in `repositories`, by the ID of the uppermost layer."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        blob = outer.find(b"repositories")
        repositories = objects_by_name(read_parsed(blob, load_object)) if blob else {}
        for repository, tags in repositories.items():
            for tag, layer_id in texts_by_name(tags).items():
                found[layer_id] = (*found.get(layer_id, ()), f"{repository}:{tag}")
    except FormatError as error:
        report(MalformedFile(f"{outer.label}:repositories", error.problem, found=error.found))
    except CorruptStore as error:
        report(error)
    return found


def _image(
    outer: Outer,
    documents: Mapping[str, Json],
    top: str,
    names: tuple[str, ...],
    diff_id: Callable[[Blob], str],
) -> ArchivedImage:
    layers, diff_ids, history = [], [], []
    for layer_id in _chain(outer, documents, top):
        place = f"{layer_id}/layer.tar"
        blob = outer.find(place.encode())
        if blob is None:
            raise MissingFile(f"{outer.label}:{place}", "the layer is missing")
        layers.append(ArchivedLayer(place, "", None, blob))
        diff_ids.append(diff_id(blob))
        history.append(_history(documents[layer_id]))
    kept = {name: value for name, value in documents[top].items() if name not in _DROPPED}
    kept |= {"rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history}
    content = _as_go_writes(kept)
    config = parsed(f"{outer.label}:{top}/json", content, parse_image_config)
    return ArchivedImage(content, config, names, tuple(layers), platform_of(config))


def _chain(outer: Outer, documents: Mapping[str, Json], top: str) -> list[str]:
    """The IDs from the base to `top`."""
    found: dict[str, None] = {}
    at = top
    while at:
        label = f"{outer.label}:{at}/json"
        if at not in documents:
            raise MissingFile(label, "the layer below another is missing")
        if at in found or len(found) >= _MOST_LAYERS:
            raise MalformedFile(label, "layers that stand on themselves, or too many")
        found[at] = None
        at = text(documents[at], "parent")
    return list(reversed(found))


def _history(document: Json) -> dict[str, Any]:
    """One entry of the history, as `HistoryFromConfig` makes it, without empty fields."""
    found = {
        "created": document.get("created") or "0001-01-01T00:00:00Z",
        "author": text(document, "author"),
        "created_by": " ".join(texts(mapping(document, "container_config"), "Cmd")),
        "comment": text(document, "comment"),
    }
    return {name: value for name, value in found.items() if value}


def _as_go_writes(document: Mapping[str, Any]) -> bytes:
    """Go's encoding of a map whose values are documents: keys are sorted, but not those inside the values."""
    text_of = json.dumps(
        {name: document[name] for name in sorted(document)}, separators=(",", ":"), ensure_ascii=False
    )
    return re.sub("[<>&\u2028\u2029]", lambda found: _HTML[found[0]], text_of).encode()
