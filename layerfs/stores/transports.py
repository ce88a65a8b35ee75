"""NAMEs that contain their store: `docker-archive:FILE[:REF]`, as in containers-transports(5), or a path.

A path begins with `/`, `./` or `../`, and may also be followed by a colon and a REF; `-` is standard input.
Other words are names in the chosen store. `carried` examines only the word; `located` looks for files of the
host, to find the colon that ends the path. Some transports take `@INDEX` in place of a REF, as in skopeo.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from layerfs.errors import AmbiguousName, InvalidReference, NotAnArchive
from layerfs.hostdir import is_there
from layerfs.stores.registry import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.ids import ImageID
    from layerfs.store import Store
    from layerfs.stores.registry import Options

__all__ = [
    "STDIN",
    "TRANSPORTS",
    "Carried",
    "Located",
    "Transport",
    "carried",
    "image_at",
    "located",
    "open_located",
]

STDIN = "-"
"""The path that means standard input."""

_LONGEST_PATH = 4096
_LONGEST_NUMBER = 10
_NUMBER = re.compile(r"@[0-9]{1,9}")
_INDEX = re.compile(r"@([0-9]{1,9})(@[0-9]{1,9})?")


class Transport(NamedTuple):
    """A transport: the word before the colon, which tells the kind of store.

    Attributes:
        module: has `open_transport(transport, path, options)`.
        default: the path to use if none is given; then text without a slash at its beginning is a REF. None
            if a path is needed.
        numbered: whether `@INDEX` is allowed; then the module has `image_at`.
        bracketed: whether the path may be in brackets, with a driver before it and a run root behind it, as
            `[overlay@/graph+/run]`.
    """

    module: str
    default: str | None = None
    numbered: bool = False
    bracketed: bool = False


TRANSPORTS = {
    "docker-archive": Transport("layerfs.stores.archive.transports", numbered=True),
    "oci": Transport("layerfs.stores.archive.transports", numbered=True),
    "oci-archive": Transport("layerfs.stores.archive.transports", numbered=True),
    "dir": Transport("layerfs.stores.archive.transports"),
    "containers-storage": Transport(
        "layerfs.stores.containers_storage.transports", default="/var/lib/containers/storage", bracketed=True
    ),
}
"""The transports, one line each."""


class Carried(NamedTuple):
    """A NAME that contains a store.

    Attributes:
        word: the whole NAME.
        transport: of `TRANSPORTS`; empty for a plain path.
        text: the rest: a path, perhaps with a REF.
    """

    word: str
    transport: str
    text: str


class Located(NamedTuple):
    """The place of a store, and the name in it.

    Attributes:
        transport: of `TRANSPORTS`; empty for a plain path.
        path: of the host; `STDIN` is standard input.
        ref: the name in the store; None for the only image.
        as_of: `@N`, if it follows the path or an index directly; else empty.
        number: the index of the image in the store's own list, from 0; None if none is given.
        driver: that of the store, if it is given; else empty.
        run: the path of its run root, likewise.
    """

    transport: str
    path: str
    ref: str | None
    as_of: str = ""
    number: int | None = None
    driver: str = ""
    run: str = ""


class _Opener(Protocol):
    def open_transport(self, transport: str, path: str, options: Options) -> Store:
        """Open it; raises `DataRootError` if it is not of the kind of the transport."""

    def image_at(self, transport: str, store: Store, index: int) -> ImageID:
        """The image at an index of the store's own list; raises `LookupFailed`, `CorruptStore`."""


def carried(word: str) -> Carried | None:
    """The parts of a NAME that contains its store; None for any other word."""
    if "\0" in word:
        return None
    transport, colon, text = word.partition(":")
    if colon and transport in TRANSPORTS:
        return Carried(word, transport, text)
    is_path = word in (".", "..") or word.startswith(("/", "./", "../"))
    is_input = word.partition(":")[0].partition("@")[0] == STDIN
    return Carried(word, "", word) if is_path or is_input else None


def located(name: Carried) -> Located:
    """Find the end of the path in a NAME: a colon before which there is an existing file.

    Raises:
        InvalidReference: there is no path, or an empty REF.
        AmbiguousName: several paths in it exist. NotAnArchive: no path in it exists.
    """
    if name.text.startswith("[") and name.transport and TRANSPORTS[name.transport].bracketed:
        return _bracketed(name)
    default = TRANSPORTS[name.transport].default if name.transport else None
    if default is not None and not name.text.startswith("/"):
        return Located(name.transport, default, name.text or None)
    ends = [end for end in _ends(name.text) if end]
    if not ends:
        raise InvalidReference(f"{name.word!r} has no path behind {name.transport}:")
    paths = {end: name.text[:end] for end in ends}
    found = [end for end, path in paths.items() if path == STDIN or is_there(path)]
    if not found:
        raise NotAnArchive(f"{paths[ends[0]]}: no such file or directory")
    if len(found) > 1:
        raise AmbiguousName(
            name.word,
            [paths[end] for end in found],
            hint="the host has each of these: give one of another name, as by a link, or with --root",
        )
    rest = name.text[found[0] :]
    if rest == ":":
        raise InvalidReference(f"{name.word!r} has no reference behind its last colon")
    ref = rest[1:] if rest.startswith(":") else None
    if ref and (indexed := _INDEX.fullmatch(ref)):
        _check_numbered(name, ref)
        return Located(name.transport, paths[found[0]], None, indexed[2] or "", int(indexed[1]))
    return Located(name.transport, paths[found[0]], ref, rest if ref is None else "")


def _bracketed(name: Carried) -> Located:
    """The parts of `[driver@graph+run:options]REF`; only the path of the graph root must be there.

    Source: containers/image `storage/storage_transport.go` (ParseReference).
    """
    where, bracket, ref = name.text[1:].partition("]")
    driver, mark, paths = where.rpartition("@") if "@" in where.partition("/")[0] else ("", "@", where)
    path, _, run = paths.partition(":")[0].partition("+")
    if not (bracket and mark and path.startswith("/") and (not run or run.startswith("/"))):
        raise InvalidReference(
            f"{name.word!r} has no path in its brackets",
            hint=f"write {name.transport}:[overlay@/GRAPH+/RUN]REF",
        )
    return Located(name.transport, path, ref or None, driver=driver, run=run)


def _check_numbered(name: Carried, ref: str) -> None:
    """Raise `InvalidReference` for an index that the transport does not allow."""
    if not (name.transport and TRANSPORTS[name.transport].numbered):
        words = [word for word, transport in TRANSPORTS.items() if transport.numbered]
        raise InvalidReference(
            f"{name.word!r}: :{ref} is the place of an image in a list only with {', '.join(words)}",
            hint=f"layer {ref[1:]} of the only image is {name.word.removesuffix(':' + ref)}{ref}",
        )


def _ends(text: str) -> Iterator[int]:
    """The possible ends of the path: each colon, up to the longest path; an `@N` at the end; the end."""
    at = text.find(":")
    while 0 <= at <= _LONGEST_PATH:
        yield at
        at = text.find(":", at + 1)
    path, mark, _ = text[-_LONGEST_NUMBER:].rpartition("@")
    as_of = text[-_LONGEST_NUMBER:][len(path) :]
    if mark and _NUMBER.fullmatch(as_of):
        yield len(text) - len(as_of)
    yield len(text)


def open_located(at: Located, options: Options) -> Store:
    """Open the store of a NAME; raises as `registry.open_store`."""
    if not at.transport:
        return open_store(at.path, options)
    options = options._replace(driver=at.driver or None, run_root=at.run or None)
    return _module(at).open_transport(at.transport, at.path, options)


def image_at(at: Located, store: Store) -> ImageID:
    """The image for the index in a NAME; raises `LookupFailed`, `CorruptStore`."""
    assert at.number is not None  # noqa: S101 - asked only then
    return _module(at).image_at(at.transport, store, at.number)


def _module(at: Located) -> _Opener:
    return cast("_Opener", importlib.import_module(TRANSPORTS[at.transport].module))
