"""The rows of `layerfs whois`, and the lines that it prints by default."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from ..escape import printable
from ..table import Column, Table
from ..units import short_id
from .entries import escaped, lossless, type_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from layerfs.analysis.store.whois import Answer, Spot, User
    from layerfs.store import Store

__all__ = ["WHOIS_TABLE", "WhoisRow", "whois_lines"]

NOBODY = "nobody: an orphan"
UNKNOWN = "not known: records that could use it are damaged"


class WhoisRow(NamedTuple):
    """An answer, what was asked, and of which store."""

    thing: str
    answer: Answer
    store: Store


# -- text ----------------------------------------------------------------------------------------


def whois_lines(row: WhoisRow) -> Iterator[str]:
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
        words.append(printable(f"(pod {'/'.join(filter(None, (pod.namespace, pod.name)))})"))
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


def _column(key: str, placeholder: str, value: Any, cell: Any = None) -> Column[WhoisRow]:
    return Column(key, value, placeholder, placeholder.upper(), cell)


def _plain(key: str, placeholder: str) -> Column[WhoisRow]:
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
    def words(row: WhoisRow) -> str:
        users: Sequence[User] = [user for user in row.answer.users if _user_kind(user) == kind]
        return ", ".join(user.owner.name for user in users)

    return words


WHOIS_TABLE: Table[WhoisRow] = Table(
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
