"""What changed between two twins: a part of the later one.

A report of some images says nothing of others. So a thing is `new` or `gone` only where both are of the whole
store; else it is `only now` or `only then`, which is no difference of the stores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .placeless import without_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

__all__ = ["Side", "compared"]

Json = dict[str, Any]

_NEW, _GONE, _CHANGED, _MOVED, _MENDED = "new", "gone", "changed", "moved", "mended"
_ONLY_NOW, _ONLY_THEN = "only now", "only then"


class Side(NamedTuple):
    """A twin, and the file that it was read from.

    Attributes:
        twin: as the schema says.
        file: its name; None if it was made just now, as the others are then.
        size: bytes of the file.
        sha256: of the file.
    """

    twin: Json
    file: str | None = None
    size: int | None = None
    sha256: str | None = None


class _Words(NamedTuple):
    """What to call a thing that only one of two twins has."""

    now: str
    then: str


def compared(then: Side, now: Side) -> Json:
    """The part `compared` of the later twin."""
    old, new = then.twin, now.twin
    complete = old["scope"] == new["scope"] == "all"
    words = _Words(_NEW, _GONE) if complete else _Words(_ONLY_NOW, _ONLY_THEN)
    part: Json = {
        "totals": [
            {"what": key, "then": old["totals"][key], "now": new["totals"][key]}
            for key in new["totals"]
            if key in old["totals"] and old["totals"][key] != new["totals"][key]
        ],
        "names": list(_names(old, new)),
        "images": list(_things("images", old, new, words)),
        "containers": list(_things("containers", old, new, words)),
        "layers": list(_layers(old, new, words)),
        "findings": list(_findings(old, new)),
        "not_compared": [by for by, key in _LISTS if old[key] is None or new[key] is None],
        "records": list(_records(old, new, words)),
    }
    rows = (row for key, value in part.items() if key not in ("totals", "not_compared") for row in value)
    differences = sum(row["change"] not in (_ONLY_NOW, _ONLY_THEN) for row in rows)
    return {"differences": differences, "complete": complete, "then": _side(then), "now": _side(now)} | part


def _side(side: Side) -> Json:
    evidence, root = side.twin["evidence"], side.twin["root"]
    return {
        "file": side.file,
        "size": side.size,
        "sha256": side.sha256,
        "tool": evidence["tool"],
        "ended": evidence.get("ended"),
        "kind": root["kind"],
        "path": root.get("path"),
    }


def _pairs(old: Mapping[Any, Any], new: Mapping[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Each key of either, with what both have; None where one has nothing. First those of the earlier."""
    for key in dict.fromkeys((*old, *new)):
        yield key, old.get(key), new.get(key)


def _names(old: Json, new: Json) -> Iterator[Json]:
    """Names that mean other images. What a report is not about is no answer to where a name is."""
    then, now = _holders(old), _holders(new)
    told_then, told_now = ({image["id"] for image in twin["images"]} for twin in (old, new))
    for name, before, after in _pairs(then, now):
        if before == after:
            continue
        if after is None and not (new["scope"] == "all" or told_now.intersection(before)):
            continue
        if before is None and not (old["scope"] == "all" or told_then.intersection(after)):
            continue
        change = _GONE if after is None else _NEW if before is None else _MOVED
        yield {"change": change, "name": name, "then": before or [], "now": after or []}


def _holders(twin: Json) -> dict[str, list[str]]:
    """The IDs of the images that have each name."""
    found: dict[str, list[str]] = {}
    for image in twin["images"]:
        for name in image["references"]:
            found.setdefault(name, []).append(image["id"])
    return {name: sorted(owners) for name, owners in found.items()}


def _things(kind: str, old: Json, new: Json, words: _Words) -> Iterator[Json]:
    """Images or containers: those of one report only, and those that differ though they are the same."""
    then, now = ({item["id"]: item for item in twin[kind]} for twin in (old, new))
    for key, before, after in _pairs(then, now):
        shown = after or before
        what = list(_differing(before, after)) if before and after else []
        if before and after and not what:
            continue
        change = words.now if not before else words.then if not after else _CHANGED
        yield {"change": change, "id": key, "name": shown["name"], "size_then": _size(before),
               "size": _size(after), "what": what}  # fmt: skip


def _differing(before: Json, after: Json) -> Iterator[str]:
    if before.get("image") != after.get("image"):
        yield "its image is another"
    if "image" in before and before["name"] != after["name"]:
        yield "it was renamed"
    if before["damage"] != after["damage"]:
        yield (
            "it cannot be read"
            if not before["damage"]
            else ("it can be read" if not after["damage"] else "it cannot be read for another reason")
        )
    if before.get("size") != after.get("size"):
        yield "size"
    read = before["damage"] is None and after["damage"] is None
    if "image" in before and read and _own(before) != _own(after):
        yield "its own files"


def _own(container: Json) -> list[Json]:
    """The layers that a container has for itself."""
    return [layer for layer in container["layers"] if layer["chain_id"] is None]


def _size(thing: Json | None) -> int | None:
    """Bytes of an image, or of the files in a container's layers; None where it is not known."""
    if thing is None:
        return None
    size: int | None = thing.get("size") if "size" in thing else (thing["waste"] or {}).get("stored")
    return size


class _Layer(NamedTuple):
    """A layer as a twin has it, each once."""

    chain: str | None
    owner: str
    size: int | None
    content: Json | None
    changes: list[Json]


def _layers(old: Json, new: Json, words: _Words) -> Iterator[Json]:
    then, now = _layers_of(old), _layers_of(new)
    owners = {item["id"] for twin in (old, new) for item in _owners(twin)}
    unread_then, unread_now = _unread(old), _unread(new)
    for _, before, after in _pairs(then, now):
        shown: _Layer = after or before
        what = list(_layer_differs(before, after)) if before and after else []
        if before and after and not what:
            continue
        if (not after and shown.owner in unread_now) or (not before and shown.owner in unread_then):
            continue  # whose layers could not be read, which is told of it
        change = words.now if not before else words.then if not after else _CHANGED
        yield {
            "change": change,
            "chain_id": shown.chain,
            "of": shown.owner if shown.owner in owners else "",
            "index": shown.content["index"] if shown.content else None,
            "size_then": before.size if before else None,
            "size": after.size if after else None,
            "what": what,
            "paths": list(_paths(before.changes, after.changes)) if before and after else [],
        }


def _unread(twin: Json) -> set[str]:
    """The images and containers whose layers could not be read."""
    return {item["id"] for item in _owners(twin) if item["damage"] is not None}


def _layers_of(twin: Json) -> dict[tuple[str, int], _Layer]:
    """The layers by chain ID, those of a container itself by the container and their number."""
    found: dict[tuple[str, int], _Layer] = {}
    for owner in (*twin["images"], *twin["containers"]):
        for layer in owner["layers"]:
            key = (layer["chain_id"], 0) if layer["chain_id"] else (owner["id"], layer["index"])
            if layer["changes_in"] is None:
                found[key] = _Layer(layer["chain_id"], owner["id"], layer["size"], layer, layer["changes"])
    for row in twin["sharing"]:
        owner = (*row["images"], *row["containers"], "")[0]
        found.setdefault((row["chain_id"], 0), _Layer(row["chain_id"], owner, row["size"], None, []))
    return found


def _layer_differs(before: _Layer, after: _Layer) -> Iterator[str]:
    if (before.content is None) != (after.content is None):
        yield "it cannot be read" if before.content else "it can be read"
    elif before.content and after.content:
        for key, word in (("stored", "bytes in files"), ("place", "its directory is another")):
            if before.content[key] != after.content[key]:
                yield word
        if _by_path(before.changes) != _by_path(after.changes):
            yield "what it changes"
    if before.size != after.size:
        yield "size"


def _by_path(changes: Iterable[Json]) -> dict[str, Json]:
    return {row["path"]: row for row in changes}


def _paths(before: list[Json], after: list[Json]) -> Iterator[Json]:
    for path, old, new in _pairs(_by_path(before), _by_path(after)):
        if old != new:
            yield {
                "path": path,
                "then": old and old["kind"],
                "now": new and new["kind"],
                "size_then": old and old["size"],
                "size": new and new["size"],
            }


_LISTS = (("doctor", "findings"), ("verify", "verified"))


def _findings(old: Json, new: Json) -> Iterator[Json]:
    """What only one of the reports found, where both looked."""
    same = {item["id"] for item in _owners(old)} == {item["id"] for item in _owners(new)}
    sides = [without_place(twin, twin["root"].get("path") or "") for twin in (old, new)]
    for by, key in _LISTS:
        if all(side[key] is not None for side in sides):
            complete = same or by == "doctor" or old["scope"] == new["scope"] == "all"
            yield from _found(by, [map(_finding, side[key]) for side in sides], complete=complete)
    complete = same or old["scope"] == new["scope"] == "all"
    problems = [(("error", None, None, text) for text in side["problems"]) for side in sides]
    yield from _found("read", problems, complete=complete)


def _owners(twin: Json) -> list[Json]:
    return [*twin["images"], *twin["containers"]]


def _finding(row: Json) -> tuple[str, str, str, str]:
    ends = "".join(f"; {word} {row[key]}" for key, word in _ENDS if row[key] is not None)
    return row["severity"], row["code"], row["path"], row["message"] + ends


_ENDS = (("expected", "expected"), ("actual", "found"))


def _found(by: str, sides: Sequence[Iterable[Any]], *, complete: bool) -> Iterator[Json]:
    then, now = (dict.fromkeys(side) for side in sides)
    for change, rows, others in (
        (_NEW if complete else _ONLY_NOW, now, then),
        (_MENDED if complete else _ONLY_THEN, then, now),
    ):
        for severity, code, path, message in rows:
            if (severity, code, path, message) not in others:
                yield {"change": change, "by": by, "severity": severity, "code": code, "path": path,
                       "message": message}  # fmt: skip


def _records(old: Json, new: Json, words: _Words) -> Iterator[Json]:
    """Records with other bytes. With --verify more of them are read, which tells nothing of the store."""
    if (old["verified"] is None) != (new["verified"] is None):
        words = _Words(_ONLY_NOW, _ONLY_THEN)
    then, now = ({row["path"]: row for row in twin["evidence"]["metadata_files"]} for twin in (old, new))
    of: Callable[[Json | None, str], Any] = lambda row, key: row and row[key]  # noqa: E731
    for path, before, after in _pairs(then, now):
        if before and after and before["sha256"] == after["sha256"] and before["size"] == after["size"]:
            continue
        yield {
            "change": words.now if not before else words.then if not after else _CHANGED,
            "path": path,
            "size_then": of(before, "size"),
            "size": of(after, "size"),
            "sha256_then": of(before, "sha256"),
            "sha256": of(after, "sha256"),
        }
