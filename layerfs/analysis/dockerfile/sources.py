"""What ADD and COPY have put into a layer, and so what a context must have to put it there again."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.dockerfile.writing import LONGEST_TEXT, heredoc, paths
from layerfs.errors import TreeError
from layerfs.tree.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.analysis.dockerfile.created import Said
    from layerfs.tree.node import Node
    from layerfs.tree.source import LayerSource
    from layerfs.tree.union import UnionTree

__all__ = [
    "ARCHIVE",
    "CONTENTS",
    "ENTRY",
    "Contents",
    "Copied",
    "Item",
    "Place",
    "contents_of",
    "copied",
    "whole_layer",
]

ENTRY, CONTENTS, ARCHIVE = "entry", "contents", "archive"
"""How something lies in a context: as it is, as what is in the directory, as a tar of that."""

_BY_DIGEST = re.compile(r"(--link )?(--chown=(.*?) ?)?(file|dir|multi):([0-9a-f]{64}) in (.*?) ?", re.DOTALL)
_FLAG = re.compile(r"--[a-z-]+(?:=\S*)? ")
_FROM = re.compile(r"--from=(\S+) ")
_NOT_RECORDED = "--from, --link, --exclude: BuildKit does not record them"
_OWNED = "--chown, or --from: what was copied belongs to {}"
_CONTROL_FILES = frozenset(("Dockerfile", ".dockerignore"))
_SHOWN = 5


class Item(NamedTuple):
    """Something of a layer that a context must have.

    Attributes:
        name: its path below the context, without `.` and `..`; empty for the context itself.
        path: its path in the tree of the layer.
        form: one of `ENTRY`, `CONTENTS`, `ARCHIVE`.
        without: names of the directory that are left out, as they have items of their own.
    """

    name: str
    path: bytes
    form: str
    without: frozenset[bytes] = frozenset()


class Copied(NamedTuple):
    """An ADD or COPY.

    Attributes:
        line: the instruction; None where no Dockerfile can say it.
        items: what the context must have for it, as far as the layer tells.
        unknown: what is not known of it.
    """

    line: str | None
    items: tuple[Item, ...] = ()
    unknown: tuple[str, ...] = ()


class Place(NamedTuple):
    """Where something was copied to.

    Attributes:
        layer: the tree of the layer alone.
        union: gives the tree of the image as of that layer, which is not always needed.
        workdir: the WORKDIR then.
    """

    layer: UnionTree
    union: Callable[[], UnionTree]
    workdir: str

    def node(self, path: str) -> Node | None:
        """What the layer has at a path of the image, through the image's links; None if nothing."""
        where = os.fsencode(posixpath.join("/", self.workdir, path))
        found = self._literal(where)
        if found is not None and not found.stat.is_symlink:
            return found
        try:
            return self._literal(self.union().resolve(where).path)
        except TreeError:
            return found

    def _literal(self, path: bytes) -> Node | None:
        try:
            return self.layer.resolve(path, follow=False)
        except TreeError:
            return None

    def entries(self, directory: Node) -> dict[bytes, Node]:
        """What the layer has in a directory; nothing where it cannot be read."""
        try:
            return self.layer.children(directory)
        except TreeError:
            return {}


class Contents(NamedTuple):
    """What a layer has.

    Attributes:
        entries: how many entries, without what it deletes.
        deleted: how many names it deletes; all that was in a directory counts as one, `/directory/*`.
        names: the first of these.
        in_root: how many entries its root has.
        tops: the first of these.
    """

    entries: int
    deleted: int
    names: tuple[bytes, ...]
    in_root: int
    tops: tuple[bytes, ...]


def contents_of(layer: LayerSource, below: Callable[[], UnionTree]) -> Contents:
    """What a layer has, and what it deletes of the tree below it; raises `OSError`."""
    entries, in_root, hidden = 0, 0, 0
    deleted: list[bytes] = []
    tops: list[bytes] = []
    pending = [b""]
    while pending:
        directory = pending.pop()
        gone = [b"/" + directory + b"/*"] if directory and _empties(layer, directory, below) else []
        for entry in layer.scan(directory):
            path = directory + b"/" + entry.name if directory else entry.name
            if entry.whiteout:
                gone += [b"/" + path] if _found(below(), path) else []
                continue
            entries += 1
            if not directory:
                in_root += 1
                tops = sorted([*tops, b"/" + path])[:_SHOWN]
            if entry.stat.is_dir:
                pending.append(path)
        hidden += len(gone)
        deleted = sorted([*deleted, *gone])[:_SHOWN]
    return Contents(entries, hidden, tuple(deleted), in_root, tuple(tops))


def _empties(layer: LayerSource, directory: bytes, below: Callable[[], UnionTree]) -> bool:
    """Whether a directory of a layer hides what the tree below has in it."""
    if not layer.marks(directory).opaque:
        return False
    node = _found(below(), directory)
    return node is not None and node.is_dir and bool(below().children(node))


def _found(tree: UnionTree, path: bytes) -> Node | None:
    try:
        return tree.resolve(b"/" + path, follow=False)
    except TreeError:
        return None


def whole_layer(name: str) -> Copied:
    """A layer of which nothing is known but what is in it."""
    archive = f"UNKNOWN-{name}.tar"
    return Copied(paths("ADD", [archive, "/"]), (Item(archive, b"/", ARCHIVE),))


def copied(said: Said, place: Place | None) -> Copied:
    """The ADD or COPY that a row tells of.

    Args:
        said: the row.
        place: the layer that it made; None if it cannot be read.
    """
    if "\0" in said.text:  # which no path has
        return Copied(None, (), (f"{said.keyword} {said.text}",))
    match = _BY_DIGEST.fullmatch(said.text)
    if match:
        flags = [f"--chown={match[3]}"] if match[3] else []
        found = _by_digest(said.keyword, match[4], match[5], match[6], flags, place)
        if (
            said.builder == "buildah"
            and said.keyword == "COPY"
            and place
            and (owner := _owner(match[6], place))
        ):
            return found._replace(unknown=(*found.unknown, _OWNED.format(owner)))
        return found
    return _by_name(said, place)


# -- by digest: the classic builder, and buildah ---------------------------------------------------


def _by_digest(
    keyword: str, kind: str, digest: str, dest: str, flags: Sequence[str], place: Place | None
) -> Copied:
    made_up = f"UNKNOWN-{digest[:12]}"
    node = place.node(dest) if place else None
    if place is None or node is None:
        why = "" if place is None else f"; the layer has nothing at {dest}"
        return Copied(
            paths(keyword, [made_up, dest], flags), (), (f"the name of the source, and what it was{why}",)
        )
    entries = place.entries(node) if node.is_dir else {}
    names = _names(entries)
    has_names = names is not None and not _CONTROL_FILES & set(names) and names
    if kind == "file" and not node.is_dir:
        unknown = "the name of the source"
        return Copied(paths(keyword, [made_up, dest], flags), (Item(made_up, node.path, ENTRY),), (unknown,))
    if has_names and (kind == "multi" or (kind == "file" and len(names or ()) == 1)):
        assert names  # noqa: S101 - as just asked
        items = tuple(Item(name, entries[os.fsencode(name)].path, ENTRY) for name in names)
        unknown = "the directories of the sources in the context"
        return Copied(paths(keyword, [*names, _directory(dest)], flags), items, (unknown,))
    is_archive = kind == "file" and keyword == "ADD"
    what = f"an archive that was unpacked ({_count(place, node)})" if is_archive else f"{_count(place, node)}"
    return Copied(
        paths(keyword, [made_up, dest], flags),
        (Item(made_up, node.path, ARCHIVE if is_archive else CONTENTS),),
        (f"the name of the source: {what}",),
    )


def _names(entries: dict[bytes, Node]) -> list[str] | None:
    """The names of files in a directory that has nothing else; None for any other, or odd names."""
    names = [os.fsdecode(name) for name in entries]
    if any(node.is_dir for node in entries.values()) or not all(map(_is_usual, names)):
        return None
    return sorted(names)


def _is_usual(name: str) -> bool:
    """Whether a name means itself in COPY: it is no pattern, and a text."""
    return name.isprintable() and not set(name) & set("*?[\\") and not name.startswith("UNKNOWN-")


def _directory(dest: str) -> str:
    return dest if dest.endswith("/") else f"{dest}/"


def _count(place: Place, node: Node) -> str:
    count = sum(1 for _ in walk(place.layer, node)) - 1
    return f"{count} {'entry' if count == 1 else 'entries'}"


# -- by name: BuildKit, kaniko ---------------------------------------------------------------------


def _by_name(said: Said, place: Place | None) -> Copied:
    text = said.text + " "
    flags: list[str] = []
    unknown: list[str] = []
    while match := _FLAG.match(text):
        if found := _FROM.match(text):
            unknown.append(f"the build stage or image {found[1]} that it was copied from")
        else:
            flags.append(match[0][:-1])
        text = text[match.end() :]
    words = text[:-1].split(" ")
    sources, dest, sure = _divided(words, place)
    if not sources or not dest:
        return Copied(None, (), (*unknown, f"{said.keyword} {said.text}"))
    if not sure:
        unknown.append("where the names begin, as the history does not quote them")
    if inline := _inline(said.keyword, flags, sources, dest, place):
        return Copied(inline, (), tuple(unknown))
    renamed = [source.removeprefix("<<") for source in sources]
    if renamed != sources:
        unknown.append(
            f"the texts in the Dockerfile itself ({', '.join(s for s in sources if s[:2] == '<<')})"
        )
    items, missing = _items(renamed, dest, place, keyword=said.keyword)
    if said.builder == "BuildKit" and said.keyword == "COPY":
        unknown.append(_NOT_RECORDED)
    if (
        said.builder == "BuildKit"
        and place
        and (owner := _owner(dest, place))
        and "--chown" not in " ".join(flags)
    ):
        unknown.append(_OWNED.format(owner))
    return Copied(paths(said.keyword, [*renamed, dest], flags), items, (*unknown, *missing))


def _inline(
    keyword: str, flags: Sequence[str], sources: Sequence[str], dest: str, place: Place | None
) -> str | None:
    """The instruction with its text, if its one source is a heredoc whose text the layer has."""
    if len(sources) != 1 or not sources[0].startswith("<<") or place is None:
        return None
    name = sources[0].removeprefix("<<")
    node = place.node(dest)
    if node and node.is_dir:
        node = place.entries(node).get(os.fsencode(name))
    if node is None or not node.stat.is_file or node.stat.size > LONGEST_TEXT:
        return None
    try:
        with place.layer.open(node) as content:
            return heredoc(keyword, flags, name, dest, content.read())
    except (TreeError, OSError):
        return None


def _owner(dest: str, place: Place) -> str | None:
    """To whom belongs what was copied, if not to root."""
    node = place.node(dest)
    if node and node.is_dir:
        node = next(iter(place.entries(node).values()), None)
    return f"{node.stat.uid}:{node.stat.gid}" if node and (node.stat.uid or node.stat.gid) else None


def _divided(words: list[str], place: Place | None) -> tuple[list[str], str, bool]:
    """Sources and destination of words that were joined with spaces, and whether that is sure."""
    if len(words) == 2 or place is None:
        return words[:-1], words[-1], len(words) == 2
    for begin in range(len(words) - 1, 0, -1):
        dest = " ".join(words[begin:])
        if place.node(dest) is not None:
            if begin > 1 and not dest.endswith(("/", ".")) and dest not in (".", ".."):
                return [" ".join(words[:begin])], dest, False  # several sources need a directory
            return words[:begin], dest, begin == len(words) - 1
    return words[:-1], words[-1], False


def _items(
    sources: Sequence[str], dest: str, place: Place | None, *, keyword: str
) -> tuple[tuple[Item, ...], tuple[str, ...]]:
    sources = [source for source in sources if not _is_url(source)]
    node = place.node(dest) if place else None
    if place is None or node is None or not sources:
        return (), (f"what was copied: the layer has nothing at {dest}",) if place and sources else ()
    if not node.is_dir:
        name = _clean(sources[0])
        if not name or len(sources) > 1:
            return (), (f"what was copied: {dest} is no directory",)
        return (Item(name, node.path, ENTRY),), ()
    entries = place.entries(node)
    items: list[Item] = []
    taken: set[bytes] = set()
    open_ended: list[str] = []
    for source in sources:
        matches = _matches(source, entries)
        is_lone_directory = len(sources) == 1 and not matches
        if matches and not is_lone_directory:
            parent = posixpath.dirname(_clean(source))
            items += [
                Item(posixpath.join(parent, os.fsdecode(name)), entries[name].path, ENTRY) for name in matches
            ]
            taken.update(matches)
        else:
            open_ended.append(source)
    left = frozenset(entries) - taken
    if not open_ended:
        return tuple(items), ()
    first = open_ended[0]
    form = CONTENTS
    if keyword == "ADD" and _is_archive(first):
        form = ARCHIVE
    items.append(Item(_clean(first), node.path, form, frozenset(taken)))
    others = [Item(_clean(source), node.path, CONTENTS, frozenset(entries)) for source in open_ended[1:]]
    unknown = (
        (f"which of {len(left)} entries came from which source: {first} has them all",) if others else ()
    )
    return (*items, *others), unknown


def _matches(source: str, entries: dict[bytes, Node]) -> list[bytes]:
    """The files of a directory that a source, which may be a pattern, has become."""
    base = posixpath.basename(_clean(source))
    files = [name for name, node in entries.items() if not node.is_dir]
    if os.fsencode(base) in files:
        return [os.fsencode(base)]
    return [name for name in files if set(base) & set("*?[") and fnmatch.fnmatchcase(os.fsdecode(name), base)]


def _is_url(source: str) -> bool:
    return bool(re.match(r"[a-z][a-z0-9+.-]*://|git@", source))


def _is_archive(source: str) -> bool:
    return bool(re.search(r"\.(?:tar|tgz|tbz2?|txz|tar\.\w{1,4})$", source))


def _clean(source: str) -> str:
    """A source below the context, as builders understand it: nothing leads out of it."""
    return posixpath.normpath(posixpath.join("/", source)).lstrip("/")
