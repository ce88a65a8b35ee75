"""The waste of an image as rows: of the image, its layers, and its paths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from ..messages import say
from ..table import Column, Narrow, Table
from ..units import human_size
from .entries import escaped, lossless
from .identities import NONE, cache_id_column, chain_id_column, diff_id_column, id_words
from .provenance import command_words, maker

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.analysis.store.wasteall import Sums
    from layerfs.analysis.tree.waste import LayerWaste, PathWaste, Waste
    from layerfs.subject import Subject

    from ..amounts import Limit
    from .entries import Complaints

__all__ = [
    "Account",
    "exceeds",
    "layer_table",
    "path_table",
    "score_words",
    "size_words",
    "sums_row",
    "total_table",
]

Row: TypeAlias = dict[str, Any]

EXCEEDED = 1


class Account:
    """The waste of one image or container, as rows."""

    def __init__(self, subject: Subject, found: Waste) -> None:
        """Show the sums `found` for a subject's tree."""
        self._subject = subject
        self._found = found

    @classmethod
    def of(cls, subject: Subject, complaints: Complaints, *, allocated: bool) -> Account:
        """Measure the waste of a subject; what cannot be read is a complaint."""
        from layerfs.analysis.tree.waste import waste

        return cls(subject, waste(subject.tree, allocated=allocated, problem=complaints.add))

    @property
    def has_places(self) -> bool:
        """Whether its store has such places."""
        return self._subject.store.has_places

    @property
    def place_word(self) -> str:
        """What its store calls a layer's place."""
        return self._subject.store.place_word

    def total_row(self) -> Row:
        """The whole tree as a row."""
        found = self._found
        return _total_row(self._subject, found.stored, found.wasted, found.efficiency, len(found.paths))

    def maker(self, number: int) -> str | None:
        """What made its layer of a number, for tables."""
        return maker(self._subject, number)

    def layer_rows(self) -> list[Row]:
        """Its layers as rows, base first."""
        return [_layer_row(layer, self._subject) for layer in self._found.layers]

    def rest(self, top: int) -> tuple[int, int]:
        """How many paths are not among the `top`, and their bytes."""
        rest = self._found.paths[top:] if top else ()
        return len(rest), sum(item.wasted for item in rest)

    def path_rows(self, top: int) -> list[Row]:
        """Its paths as rows, most wasted first."""
        return [_path_row(item) for item in self._found.paths[: top or None]]

    def document(self, top: int) -> Row:
        """All rows in one object."""
        return self.total_row() | {"layers": self.layer_rows(), "paths": self.path_rows(top)}


def sums_row(subject: Subject, found: Sums) -> Row:
    """`Account.total_row` of sums that are known otherwise."""
    efficiency = (found.stored - found.wasted) / found.stored if found.stored else 1.0
    return _total_row(subject, found.stored, found.wasted, efficiency, found.paths)


def _total_row(subject: Subject, stored: int, wasted: int, efficiency: float, paths: int) -> Row:
    return {
        "name": subject.title,
        "id": getattr(subject.of, "id", None),
        "layer_count": len(subject.tree.layers),
        "stored": stored,
        "wasted": wasted,
        "efficiency": efficiency,
        "wasted_paths": paths,
    }


def exceeds(row: Row, max_wasted: Limit | None, min_efficiency: float | None) -> int:
    """Report the limits that a row exceeds; returns the exit code."""
    wasted, stored, broken = row["wasted"], row["stored"], []
    if max_wasted and max_wasted.exceeded(wasted, stored):
        part = f"{size_words(wasted)} of {size_words(stored)} ({100 * wasted / (stored or 1):.4g}%)"
        broken.append(f"wastes {part}: more than --max-wasted {max_wasted.text}")
    if min_efficiency is not None and row["efficiency"] < min_efficiency:
        score = score_words(row["efficiency"])
        broken.append(f"has an efficiency of {score}: less than --min-efficiency {min_efficiency}")
    for problem in broken:
        say("failed", f"{row['name']} {problem}")
    return EXCEEDED if broken else 0


def _layer_row(layer: LayerWaste, subject: Subject) -> Row:
    info = subject.layer(layer.number)
    return {
        "number": layer.number,
        "diff_id": info.diff_id,
        "chain_id": info.chain_id,
        "cache_id": info.cache_id,
        "stored": layer.stored,
        "wasted": layer.wasted,
        "hides": layer.hides,
        "created_by": subject.created_by(layer.number),
    }


def _path_row(item: PathWaste) -> Row:
    return {
        "path": lossless(item.path),
        "wasted": item.wasted,
        "versions": [
            {
                "layer": file.layer,
                "size": file.size,
                "names": file.names,
                "hidden": {
                    "by": file.hidden.by,
                    "how": str(file.hidden.how),
                    "at": lossless(file.hidden.at),
                },
            }
            for file in item.files
        ],
    }


# -- tables --------------------------------------------------------------------------------------


def total_table(*, full: bool) -> Table[Row]:
    """Images, or one image or container."""
    columns = (
        Column("name", lambda row: row["name"], "Name", "NAME", _name),
        _column("id", "ID", "ID", id_words(full=full, missing=NONE)),
        _column("layer_count", "Layers", "LAYERS", str),
        _column("stored", "Stored", "STORED", size_words),
        _column("wasted", "Wasted", "WASTED", size_words),
        _column("efficiency", "Efficiency", "EFFICIENCY", score_words),
        _column("wasted_paths", "Paths", "PATHS", str),
    )
    return Table(columns, ("Name", "ID", "Layers", "Stored", "Wasted", "Efficiency", "Paths"))


def _name(row: Row) -> str:
    return NONE if row["name"] == row["id"] else str(row["name"])


def layer_table(account: Account, *, full: bool) -> Table[Row]:
    """The layers of an image or container; those of a container's own have no diff ID."""
    command = command_words(full=full)
    identity = id_words(full=full, missing=NONE)
    columns: tuple[Column[Row], ...] = (
        _column("number", "Layer", "LAYER", str),
        diff_id_column(lambda row: row["diff_id"], identity),
        chain_id_column(lambda row: row["chain_id"], identity),
        cache_id_column(lambda row: row["cache_id"], identity, account.place_word),
        _column("stored", "Stored", "STORED", size_words),
        _column("wasted", "Wasted", "WASTED", size_words),
        _column("hides", "Hides", "HIDES", size_words),
        Column(
            "created_by",
            lambda row: row["created_by"],
            "CreatedBy",
            "CREATED BY",
            lambda row: command(account.maker(row["number"])),
        ),
    )
    identified = "CacheID" if account.has_places else "DiffID"
    shown = ("Layer", identified, "Stored", "Wasted", "Hides", "CreatedBy")
    return Table(columns, shown, narrow=None if full else Narrow({"CreatedBy": 20}, (identified,)))


def path_table() -> Table[Row]:
    """The columns of paths with wasted bytes."""

    def layers(row: Row) -> str:
        return ",".join(str(version["layer"]) for version in row["versions"])

    def hidden(row: Row) -> str:
        causes = dict.fromkeys(
            f"{version['hidden']['how']} in {version['hidden']['by']}" for version in row["versions"]
        )
        return ", ".join(causes)

    columns: tuple[Column[Row], ...] = (
        _column("path", "Path", "PATH", lambda value: escaped(value.encode("utf-8", "surrogateescape"))),
        _column("wasted", "Wasted", "WASTED", size_words),
        Column("versions", lambda row: row["versions"], "Layers", "IN LAYERS", layers),
        Column("", hidden, "Hidden", "HIDDEN"),
    )
    return Table(columns, ("Wasted", "Layers", "Hidden", "Path"))


def _column(key: str, placeholder: str, header: str, words: Callable[[Any], str]) -> Column[Row]:
    return Column(key, lambda row: row[key], placeholder, header, lambda row: words(row[key]))


def size_words(value: int) -> str:
    """Bytes with four digits, as `docker system df -v`."""
    return human_size(value, 4)


def score_words(value: float) -> str:
    """Four decimal digits, rounded down, so that only an image without waste has 1.0000."""
    return f"{math.floor(value * 10_000) / 10_000:.4f}"
