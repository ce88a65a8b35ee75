"""The columns of `layerfs timeline`, and the lines of its bodyfile.

Sources: Sleuth Kit `tsk/fs/fs_name.c` (types, `tsk_fs_name_print_mac_md5`), `tools/timeline/mactime.base`.
"""

from __future__ import annotations

import functools
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from ..table import Column, Table
from ..units import ellipsis, human_size, middle_ellipsis, rfc3339
from .entries import escaped, lossless, type_word
from .findings import SHOWN_OWNERS, owner_value, owners_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from layerfs.analysis.store.forest import Owner, Stage
    from layerfs.analysis.store.seen import Sight, Sights
    from layerfs.analysis.store.timeline import EngineEvent, Moment
    from layerfs.tree.node import FileStat

    from .findings import InRoot

__all__ = ["Event", "FileRow", "body_line", "engine_line", "timeline_table"]

_NANO = 10**9
_KNOWN = 16
_TEXT_WIDTH = 60
_BODY_TYPES = {
    stat.S_IFREG: "r",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "h",
}
"""The Sleuth Kit's letters of types: a socket is `h`, a whiteout `w`."""
_DELETING = ("whiteout", "opaque")


class FileRow(NamedTuple):
    """What a layer has of a path; `whiteout` where that is the mark of a deletion."""

    row: InRoot
    whiteout: bool = False
    md5: str | None = None

    @property
    def stat(self) -> FileStat:
        """Its attributes."""
        return self.row.found.stat

    @property
    def state(self) -> str:
        """`whiteout`, or as `find` has it."""
        return "whiteout" if self.whiteout else self.row.state


class Event(NamedTuple):
    """Something at a time: of a file, or else noted by the engine."""

    time_ns: int
    macb: str
    file: FileRow | None = None
    engine: EngineEvent | None = None

    @classmethod
    def of_file(cls, moment: Moment, file: FileRow) -> Event:
        """A time of a file."""
        return cls(moment.time_ns, moment.macb, file)

    @property
    def key(self) -> tuple[int, str, bytes, int]:
        """The sort key: the time; at equal times first the engine's events, then files by path and layer."""
        if self.file is None:
            return self.time_ns, str(self.engine and self.engine.what), b"", 0
        return self.time_ns, "~", self.file.row.found.path, self.file.row.found.stage.number or 0


# -- bodyfile ------------------------------------------------------------------------------------


def body_line(file: FileRow) -> str:
    """A line of a bodyfile: times in whole seconds; 0 for the time of birth, which is not known."""
    found = file.stat
    times = (found.atime_ns, found.mtime_ns, found.ctime_ns)
    kind = "w" if file.whiteout else _BODY_TYPES.get(found.kind, "-")
    mode = f"{kind}/{kind}{stat.filemode(found.mode)[1:]}"
    fields = (file.md5 or 0, _body_name(file), found.ino, mode, found.uid, found.gid, found.size)
    return "|".join(map(str, (*fields, *(time // _NANO for time in times), 0))) + "\n"


def engine_line(event: EngineEvent) -> str:
    """An event of the engine as a line of a file with this name, all of whose times are equal."""
    name = _body_text(f"[{event.what}] {owners_text(event.owners, full=False)}{_step_words(event)}")
    seconds = event.time_ns // _NANO
    return "|".join(map(str, (0, name, 0, "-/----------", 0, 0, 0, *[seconds] * 4))) + "\n"


def _step_words(event: EngineEvent) -> str:
    layer = f" (layer {event.layer})" if event.layer else ""
    return f"{layer}: {event.text}" if event.text or layer else ""


def _body_name(file: FileRow) -> str:
    """The path, and what distinguishes its versions, as mactime knows only the name."""
    row = file.row
    target = f" -> {lossless(row.target)}" if row.target is not None else ""
    stage = row.found.stage
    owners = _owner_words(row.found.clear, full=False)
    place = " ".join(filter(None, (_layer_words(stage), owners and f"of {owners}")))
    return f"{_body_text(lossless(row.found.path) + target)} ({_body_text(place)}){_body_text(_mark(file))}"


def _layer_words(stage: Stage) -> str:
    cache = (stage.cache_id or "")[:12]
    return f"layer {stage.number} {cache}" if stage.number else f"directory {cache}"


def _mark(file: FileRow) -> str:
    """Its state, in words like the Sleuth Kit's."""
    row = file.row
    if file.whiteout:
        return " (whiteout)"
    if row.state in ("unused", "used", "unknown"):
        return f" ({row.state})"
    if not row.sights.missed:
        return ""
    where = "" if row.state == "hidden" else f" in {owners_text(_owners(row.sights.missed), full=False)}"
    words = dict.fromkeys(_hiding(sight) for sight in row.sights.missed)
    return f" ({', '.join(words)}{where})"


def _hiding(sight: Sight) -> str:
    assert sight.hidden is not None  # noqa: S101 - it is one of those that miss it
    how = "deleted" if sight.hidden.how in _DELETING else "replaced"
    return f"{how} by layer {sight.hidden.by}"


def _owners(sights: Sequence[Sight]) -> list[Owner]:
    return [sight.owner for sight in sights]


@functools.lru_cache(_KNOWN)  # all entries of a layer have the same
def _all_owners(clear: Sights) -> list[Owner]:
    return _owners(clear.every)


@functools.lru_cache(_KNOWN)
def _owner_words(clear: Sights, *, full: bool, most: int = SHOWN_OWNERS) -> str:
    return owners_text(_all_owners(clear), full=full, most=most)


def _body_text(text: str) -> str:
    r"""Text as a field, escaped as in `ls -b` but for spaces, so without separators and line ends."""
    shown = escaped(text.encode("utf-8", "surrogateescape"))
    return shown.replace(r"\ ", " ").replace("|", r"\174")


# -- columns -------------------------------------------------------------------------------------


def _of_file(value: Callable[[FileRow], Any]) -> Callable[[Event], Any]:
    return lambda event: None if event.file is None else value(event.file)


def _of_stage(name: str) -> Callable[[Event], Any]:
    def value(event: Event) -> Any:
        found = None
        if event.file:
            found = getattr(event.file.row.found.stage, name)
        elif event.engine and name == "chain_id":
            found = event.engine.chain_id
        return None if found is None else str(found)

    return value


def _column(key: str, placeholder: str, value: Callable[[Event], Any], words: Any = None) -> Column[Event]:
    return Column(key, value, placeholder, placeholder.upper(), words)


def _hidden_value(sight: Sight) -> dict[str, Any]:
    assert sight.hidden is not None  # noqa: S101 - it is one of those that miss it
    by, how, at = sight.hidden
    return owner_value(sight.owner) | {"by": by, "how": str(how), "at": lossless(at)}


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else lossless(raw)


def _type(file: FileRow) -> str:
    return "whiteout" if file.whiteout else type_word(file.stat.mode)


def _size_words(event: Event) -> str:
    return human_size(event.file.stat.size, 4) if event.file else ""


_FILE_COLUMNS: tuple[Column[Event], ...] = (
    _column("path", "Path", _of_file(lambda file: lossless(file.row.found.path))),
    _column("target", "Target", _of_file(lambda file: _text(file.row.target))),
    _column("type", "Type", _of_file(_type)),
    _column("mode", "Mode", _of_file(lambda file: f"{stat.S_IMODE(file.stat.mode):04o}")),
    _column("uid", "UID", _of_file(lambda file: file.stat.uid)),
    _column("gid", "GID", _of_file(lambda file: file.stat.gid)),
    _column("size", "Size", _of_file(lambda file: file.stat.size), _size_words),
    _column("nlink", "NLink", _of_file(lambda file: file.stat.nlink)),
    _column("inode", "Inode", _of_file(lambda file: file.stat.ino)),
    _column("md5", "MD5", _of_file(lambda file: file.md5)),
    _column("sha256", "SHA256", _of_file(lambda file: file.row.sha256)),
)


def _owner_columns(
    owners: Callable[[Event], Sequence[Owner]], *, full: bool, every: bool
) -> list[Column[Event]]:
    """The columns of the images and containers of an event: the first of many and their number, or all."""

    def missed(event: Event) -> Sequence[Sight]:
        return event.file.row.sights.missed if event.file else ()

    def words(event: Event) -> str:
        if event.file:
            return _owner_words(event.file.row.found.clear, full=full, most=1)
        return owners_text(owners(event), full=full, most=1)

    def first(event: Event) -> dict[str, Any] | None:
        found = owners(event)
        return owner_value(found[0]) if found else None

    return [
        Column("owner", first),
        Column("owner_count", lambda event: len(owners(event))),
        Column("hidden_count", lambda event: len(missed(event))),
        Column(
            "owners" if every else "",
            lambda event: [owner_value(owner) for owner in owners(event)],
            "Owners",
            "OF",
            words,
        ),
        Column(
            "hidden_in" if every else "",
            lambda event: [_hidden_value(sight) for sight in missed(event)],
            "HiddenIn",
            "HIDDEN IN",
            lambda event: owners_text(_owners(missed(event)), full=full, most=1),
        ),
    ]


def timeline_table(*, full: bool, every_owner: bool) -> Table[Event]:
    """The columns of events; `full` shows whole names and commands.

    With `every_owner` values list all images and containers of each event, which is most of the output.
    """

    def layer(event: Event) -> int | None:
        if event.file:
            return event.file.row.found.stage.number
        return event.engine.layer if event.engine else None

    def owners(event: Event) -> Sequence[Owner]:
        if event.file:
            return _all_owners(event.file.row.found.clear)
        return event.engine.owners if event.engine else ()

    def name(event: Event) -> str:
        if event.file:
            target = event.file.row.target
            arrow = "" if target is None else f" -> {escaped(target)}"
            path = escaped(event.file.row.found.path) + arrow
            return path if full else middle_ellipsis(path, _TEXT_WIDTH)
        text = (event.engine.text if event.engine else "").replace("\t", " ")
        return text if full else ellipsis(text, _TEXT_WIDTH)

    columns: tuple[Column[Event], ...] = (
        _column("time", "Time", lambda event: rfc3339(event.time_ns)),
        _column("time_ns", "TimeNS", lambda event: event.time_ns),
        _column("macb", "MACB", lambda event: event.macb),
        _column("event", "Event", lambda event: str(event.engine.what) if event.engine else "file"),
        *_FILE_COLUMNS,
        _column("state", "State", _of_file(lambda file: file.state)),
        _column("layer", "Layer", layer),
        _column("diff_id", "DiffID", _of_stage("diff_id")),
        _column("chain_id", "ChainID", _of_stage("chain_id")),
        _column("cache_id", "CacheID", _of_stage("cache_id")),
        _column("backing_path", "BackingPath", _of_file(lambda file: file.row.backing)),
        *_owner_columns(owners, full=full, every=every_owner),
        _column("command", "Command", lambda event: (event.engine and event.engine.text) or None),
        Column("", name, "What", "WHAT"),
    )
    return Table(columns, ("Time", "MACB", "What", "Event", "Size", "Layer", "State", "Owners"))
