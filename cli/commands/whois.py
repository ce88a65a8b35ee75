"""`layerfs whois`: the layer behind an ID, a link or a path, its command, and everyone using it."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from ..emit import emit
from ..escape import printable
from ..main import EXIT_CODES, FINDINGS
from ..messages import say_error
from ..options import format_option, root_option
from ..rows.entries import escaped, lossless, type_word
from ..stores import find_thing
from ..subjects import complete_names
from ..table import Column, Table
from ..units import short_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.analysis.store.whois import Answer, Spot, User
    from layerfs.store import Store

__all__ = ["command"]

NOBODY = "nobody: an orphan"
UNKNOWN = "not known: records that could use it are damaged"


class Row(NamedTuple):
    """An answer, what was asked, and of which store."""

    thing: str
    answer: Answer
    store: Store


@click.command("whois")
@click.argument("things", metavar="THING...", nargs=-1, required=True, shell_complete=complete_names)
@format_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    things: tuple[str, ...],
    form: str,
) -> int:
    """Show what an ID, name or path belongs to: its layer, the command that made it, and its users.

    THING is what an alert, a log or another tool shows: a cache ID, a short link, a chain ID, a diff ID,
    the digest of a blob or manifest, the number or key of a snapshot, an image or container, the beginning
    of an ID, or a path below the root. The path can be that of another host: /var/lib/docker/overlay2/...
    also works if --root is a copy elsewhere. For a path in a layer the trees that still show it are listed
    too; for a path in a merged/ directory, the layer that supplies it.

    The exit code is 1 if nothing uses it, 3 if it is not found in this root, 4 if what could tell is gone,
    and 5 if it is an image whose config is damaged or missing.

    \b
    Examples:
      layerfs whois /var/lib/docker/overlay2/0c3a…/diff/usr/bin/x
      layerfs whois 7Q2XUW… sha256:4f18858eae9d…
      layerfs whois --format '{{.Thing}} {{.Orphan}}' $(ls /mnt/docker/overlay2)
    """
    from layerfs.analysis.store.whois import Whois
    from layerfs.errors import CorruptStore, LookupFailed, NameLost

    known: dict[Store, Whois] = {}
    rows: list[Row] = []
    failures: list[CorruptStore | LookupFailed] = []
    for thing in things:
        try:
            store, name, _ = find_thing(ctx, thing)
            if store not in known:
                known[store] = Whois(store, os.fsencode(os.path.abspath(store.path)))
            rows += (Row(thing, answer, store) for answer in known[store].answers(name))
        except (CorruptStore, LookupFailed) as error:
            failures.append(error)
    if ctx.get_parameter_source("form") == ParameterSource.DEFAULT:
        for number, row in enumerate(rows):
            sys.stdout.writelines(["\n"] * bool(number))
            sys.stdout.writelines(_lines(row))
    else:
        emit(_TABLE, rows, form)
    for failure in failures:
        say_error(failure)
    if failures:
        if any(isinstance(failure, NameLost) for failure in failures):
            return FINDINGS if rows else EXIT_CODES["DataRootError"]
        strange = any(isinstance(failure, LookupFailed) for failure in failures)
        return EXIT_CODES["LookupFailed" if strange else "CorruptStore"]
    return FINDINGS if any(row.answer.orphan for row in rows) else 0


# -- text ----------------------------------------------------------------------------------------


def _lines(row: Row) -> Iterator[str]:
    """A label and a value each, as stat(1)."""
    for label, value in _facts(row.answer, row.thing, row.store):
        if value:
            yield f"{label + ':':>12} {value}\n"


def _facts(answer: Answer, thing: str, store: Store) -> Iterator[tuple[str, str | None]]:
    number = f" {answer.number}" if answer.number and answer.kind.endswith("layer") else ""
    size = "" if answer.size is None else f", {answer.size} bytes"
    yield "Thing", printable(thing)
    yield "Is", f"{answer.kind}{number}{size}, by {answer.meaning}"
    if answer.spot:
        yield "Path", _spot_text(answer.spot)
    yield "Command", None if answer.created_by is None else printable(answer.created_by)
    yield _label(store.place_word), printable(answer.cache_id or "")
    yield "Chain ID", answer.chain_id
    yield "Diff ID", answer.diff_id
    yield _label(store.link_word), printable(answer.link or "")
    yield "Directory", printable(_absolute(answer) or "")
    for user in sorted(answer.users, key=lambda user: not _names(user)):
        yield _user_kind(user).capitalize(), _user_text(user)
    if answer.buildkit:
        yield "Build cache", "BuildKit's"
    if answer.orphan is None or answer.orphan:
        yield "Used by", NOBODY if answer.orphan else UNKNOWN


def _label(word: str) -> str:
    return word[:1].upper() + word[1:]


def _spot_text(spot: Spot) -> str:
    path = escaped(spot.path)
    if spot.entry is None:
        return f"{path} (not there)"
    if spot.entry.whiteout:
        return f"{path} (whiteout)"
    found = spot.entry.stat
    size = f", {found.size} bytes" if found.is_file else ""
    return f"{path} ({type_word(found.mode)}{size}{', as the mounted union has it' if spot.merged else ''})"


def _user_text(user: User) -> str:
    words = [short_id(user.owner.id)]
    if names := _names(user):
        words.append(printable(", ".join(names)))
    if pod := getattr(user.owner, "pod", None):
        words.append(printable(f"(pod {pod.namespace}/{pod.name})"))
    if user.hidden:
        words.append(f"hides it: layer {user.hidden.by}, {user.hidden.how} {escaped(user.hidden.at)}")
    elif user.sees is not None:
        words.append("shows it" if user.sees else "hides it")
    return "  ".join(words)


def _user_kind(user: User) -> str:
    from layerfs.model import Image

    return "image" if isinstance(user.owner, Image) else "container"


def _names(user: User) -> list[str]:
    """All names of an image, the one of a container."""
    from layerfs.model import Image

    if isinstance(user.owner, Image):
        return list(user.owner.every_name)
    return [user.owner.name] if user.owner.name != user.owner.id else []


def _absolute(answer: Answer) -> str | None:
    return answer.directory and os.path.abspath(answer.directory)


# -- columns -------------------------------------------------------------------------------------


def _column(key: str, placeholder: str, value: Any, cell: Any = None) -> Column[Row]:
    return Column(key, value, placeholder, placeholder.upper(), cell)


def _plain(key: str, placeholder: str) -> Column[Row]:
    """A text or number of the answer."""
    return _column(key, placeholder, lambda row: getattr(row.answer, key))


def _of_spot(value: Any) -> Any:
    return lambda row: value(row.answer.spot) if row.answer.spot else None


def _spot_type(spot: Spot) -> str | None:
    if spot.entry is None:
        return None
    return "whiteout" if spot.entry.whiteout else type_word(spot.entry.stat.mode)


def _users(kind: str) -> Any:
    return lambda row: [_user_record(user) for user in row.answer.users if _user_kind(user) == kind]


def _user_record(user: User) -> dict[str, Any]:
    hidden = user.hidden
    return {
        "id": str(user.owner.id),
        "names": _names(user),
        "sees": user.sees,
        "hidden": hidden and {"by": hidden.by, "how": str(hidden.how), "at": lossless(hidden.at)},
    }


def _user_words(kind: str) -> Any:
    def words(row: Row) -> str:
        users: Sequence[User] = [user for user in row.answer.users if _user_kind(user) == kind]
        return ", ".join(user.owner.name for user in users)

    return words


_TABLE: Table[Row] = Table(
    (
        _column("thing", "Thing", lambda row: row.thing),
        _plain("meaning", "Meaning"),
        _plain("kind", "Kind"),
        _plain("number", "Layer"),
        _plain("cache_id", "CacheID"),
        _plain("chain_id", "ChainID"),
        _plain("diff_id", "DiffID"),
        _plain("link", "Link"),
        _plain("size", "Size"),
        _column("directory", "Directory", lambda row: _absolute(row.answer)),
        _plain("created_by", "CreatedBy"),
        _column("path", "Path", _of_spot(lambda spot: lossless(spot.path))),
        _column("type", "Type", _of_spot(_spot_type)),
        _column(
            "mode", "Mode", _of_spot(lambda spot: spot.entry and f"{stat.S_IMODE(spot.entry.stat.mode):04o}")
        ),
        _column("file_size", "FileSize", _of_spot(lambda spot: spot.entry and spot.entry.stat.size)),
        _column("merged", "Merged", _of_spot(lambda spot: spot.merged)),
        _column("images", "Images", _users("image"), _user_words("image")),
        _column("containers", "Containers", _users("container"), _user_words("container")),
        _plain("buildkit", "BuildKit"),
        _plain("orphan", "Orphan"),
    ),
    ("Kind", "Layer", "CacheID", "Images", "Containers", "Orphan", "Path"),
)
