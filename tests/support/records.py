"""The records of a layer and of a container in an overlay2 root, and what can befall each."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.support.planting import placed_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.planting import PlacedLayer

__all__ = ["DAMAGES", "Record", "damaged", "overlay2_records"]


class Record(NamedTuple):
    """One record of a layer.

    Attributes:
        path: its file.
        others: the same file of another layer: what a mistake would put there.
    """

    path: Path
    others: Path


def overlay2_records(root: Path, image: str, number: int) -> Mapping[str, Record]:
    """Every record of an image's layer (1 is the base; it has a layer above and one below)."""
    layers = placed_layers(root, image)
    ours, theirs = (_files(root, layers[index]) for index in (number - 1, number))
    return {name: Record(path, theirs[name]) for name, path in ours.items()}


def _files(root: Path, layer: PlacedLayer) -> dict[str, Path]:
    in_layerdb = ("diff", "parent", "cache-id", "size", "tar-split.json.gz")
    return {
        **{name: layer.record / name for name in in_layerdb},
        **{name: layer.directory / name for name in ("link", "lower")},
        "l": root / "overlay2/l" / (layer.directory / "link").read_text(),
    }


def _remove(record: Record) -> None:
    record.path.unlink()


def _write(content: bytes) -> Callable[[Record], None]:
    def damage(record: Record) -> None:
        record.path.unlink()
        record.path.write_bytes(content)

    return damage


def _swap(record: Record) -> None:
    record.path.unlink()
    _put(record.path, _content(record.others))


def _hide(record: Record) -> None:
    record.path.unlink()
    record.path.mkdir()


DAMAGES: Mapping[str, Callable[[Record], None]] = {
    "missing": _remove,
    "empty": _write(b""),
    "garbage": _write(b"\xff garbage\n"),
    "another's": _swap,
    "unreadable": _hide,
}
"""What can befall a record; an unreadable one is a directory, as nobody can keep root from a file."""


@contextmanager
def damaged(records: list[Record], damage: Callable[[Record], None]) -> Iterator[None]:
    """Damage records, and put them back."""
    kept = [_content(record.path) for record in records]
    for record in records:
        damage(record)
    try:
        yield
    finally:
        for record, content in zip(records, kept, strict=True):
            if record.path.is_dir() and not record.path.is_symlink():
                record.path.rmdir()
            record.path.unlink(missing_ok=True)
            _put(record.path, content)


def _content(path: Path) -> bytes | str:
    return os.readlink(path) if path.is_symlink() else path.read_bytes()


def _put(path: Path, content: bytes | str) -> None:
    if isinstance(content, str):
        path.symlink_to(content)
    else:
        path.write_bytes(content)
