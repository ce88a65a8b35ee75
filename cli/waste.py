"""The account of an image's waste as rows: of the image, its layers, and its paths.

Used by the command `waste`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

from .entries import escaped, lossless
from .output import Column, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs import DataRoot
    from layerfs.analysis.waste import LayerWaste, PathWaste, Waste
    from layerfs.model import Image

    from .amounts import Limit

__all__ = ["Account", "exceeds", "image_table", "layer_table", "path_table", "score_words", "size_words"]

Row: TypeAlias = dict[str, Any]

NONE = "<none>"
EXCEEDED = 1


class Account:
    """An image and its waste, as rows."""

    def __init__(self, root: DataRoot, image: Image, title: str, found: Waste) -> None:
        self._root = root
        self._image = image
        self._title = title
        self._found = found

    def image_row(self) -> Row:
        """The image as a row."""
        return {
            "image": self._title,
            "id": self._image.id,
            "layer_count": len(self._found.layers),
            "stored": self._found.stored,
            "wasted": self._found.wasted,
            "efficiency": self._found.efficiency,
            "wasted_paths": len(self._found.paths),
        }

    def layer_rows(self) -> list[Row]:
        """Its layers as rows, base first."""
        from layerfs.analysis.history import history

        made_by = {row.number: row.entry.created_by for row in history(self._root, self._image)}
        ids = zip(self._image.config.diff_ids, self._image.chain, strict=True)
        return [
            _layer_row(layer, diff_id, chain, made_by.get(layer.number))
            for layer, (diff_id, chain) in zip(self._found.layers, ids, strict=True)
        ]

    def rest(self, top: int) -> tuple[int, int]:
        """How many paths are not among the `top`, and their bytes."""
        rest = self._found.paths[top:] if top else ()
        return len(rest), sum(item.wasted for item in rest)

    def path_rows(self, top: int) -> list[Row]:
        """Its paths as rows, most wasted first."""
        return [_path_row(item) for item in self._found.paths[: top or None]]

    def document(self, top: int) -> Row:
        """All of it."""
        return self.image_row() | {"layers": self.layer_rows(), "paths": self.path_rows(top)}


def exceeds(row: Row, max_wasted: Limit | None, min_efficiency: float | None) -> int:
    """Say on standard error which limits the row of an image breaks; the exit code."""
    from .messages import say

    wasted, stored, broken = row["wasted"], row["stored"], []
    if max_wasted and max_wasted.exceeded(wasted, stored):
        part = f"{size_words(wasted)} of {size_words(stored)} ({100 * wasted / (stored or 1):.4g}%)"
        broken.append(f"wastes {part}: more than --max-wasted {max_wasted.text}")
    if min_efficiency is not None and row["efficiency"] < min_efficiency:
        score = score_words(row["efficiency"])
        broken.append(f"has an efficiency of {score}: less than --min-efficiency {min_efficiency}")
    for problem in broken:
        say("failed", f"{row['image']} {problem}")
    return EXCEEDED if broken else 0


def _layer_row(layer: LayerWaste, diff_id: str, chain_id: str, created_by: str | None) -> Row:
    return {
        "number": layer.number,
        "diff_id": diff_id,
        "chain_id": chain_id,
        "stored": layer.stored,
        "wasted": layer.wasted,
        "hides": layer.hides,
        "created_by": created_by,
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


def image_table(*, full: bool) -> Table[Row]:
    """Images."""
    from .units import short_id

    columns = (
        Column("image", lambda row: row["image"], "Image", "IMAGE", _name),
        _column("id", "ID", "IMAGE ID", lambda value: value if full else short_id(value)),
        _column("layer_count", "Layers", "LAYERS", str),
        _column("stored", "Stored", "STORED", size_words),
        _column("wasted", "Wasted", "WASTED", size_words),
        _column("efficiency", "Efficiency", "EFFICIENCY", score_words),
        _column("wasted_paths", "Paths", "PATHS", str),
    )
    return Table(columns, ("Image", "ID", "Layers", "Stored", "Wasted", "Efficiency", "Paths"))


def _name(row: Row) -> str:
    return NONE if row["image"] == row["id"] else str(row["image"])


def layer_table(*, full: bool) -> Table[Row]:
    """The layers of an image."""
    from .units import ellipsis, short_id

    def identity(value: str) -> str:
        return value if full else short_id(value)

    def command_text(value: str | None) -> str:
        text = (value or "").replace("\t", " ")
        return text if full else ellipsis(text, 45)

    columns = (
        _column("number", "Layer", "LAYER", str),
        _column("diff_id", "DiffID", "DIFF ID", identity),
        _column("chain_id", "ChainID", "CHAIN ID", identity),
        _column("stored", "Stored", "STORED", size_words),
        _column("wasted", "Wasted", "WASTED", size_words),
        _column("hides", "Hides", "HIDES", size_words),
        _column("created_by", "CreatedBy", "CREATED BY", command_text),
    )
    return Table(columns, ("Layer", "DiffID", "Stored", "Wasted", "Hides", "CreatedBy"))


def path_table() -> Table[Row]:
    """The paths at which an image wastes."""

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
    from .units import human_size

    return human_size(value, 4)


def score_words(value: float) -> str:
    """Four digits, never more than is true: only what wastes nothing is 1.0000."""
    return f"{math.floor(value * 10_000) / 10_000:.4f}"
