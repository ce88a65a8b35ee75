"""Layers that are rebuilt because the original tar is lost, and the config of an image with such layers.

Each loss is logged as damage.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING

from layerfs.errors import MalformedFile
from layerfs.formats.tarpack import END
from layerfs.ids import DiffID

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.errors import CorruptStore
    from layerfs.layertar import Buffer, LayerTar
    from layerfs.views.export.members import Write

__all__ = ["Made", "lost_layer", "tell_loss", "with_layers"]

_log = logging.getLogger(__name__)


class Made:
    """A generated tar, made twice: once for its digest and length, once to write it."""

    def __init__(self, make: Callable[[Write], object], instead_of: DiffID) -> None:
        """The tar that `make` writes, which replaces the layer `instead_of`."""
        self._make = make
        self._instead_of = instead_of
        self.diff_id, self.size = self._measure(lambda _piece: None)

    def write(self, write: Write) -> None:
        """Write it; raises `CorruptStore` if the root changed meanwhile."""
        if self._measure(write) != (self.diff_id, self.size):
            raise MalformedFile(f"layer {self._instead_of}", "changed while it was read")

    def _measure(self, write: Write) -> tuple[DiffID, int]:
        digest, size = hashlib.sha256(), 0

        def counted(piece: Buffer) -> None:
            nonlocal size
            size += len(piece)
            digest.update(piece)
            write(piece)

        self._make(counted)
        return DiffID.from_hex(digest.hexdigest()), size


def lost_layer(diff_id: DiffID, error: CorruptStore) -> LayerTar:
    """An empty layer, which replaces a lost one."""
    made = Made(lambda write: write(END), diff_id)
    tell_loss(f"{error}: layer {diff_id} is lost, an empty one takes its place: {made.diff_id}")
    return made


def with_layers(config: bytes, diff_ids: list[DiffID]) -> bytes:
    """The config with other diff IDs, otherwise unchanged."""
    document = json.loads(config)
    document["rootfs"]["diff_ids"] = diff_ids
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def tell_loss(message: str) -> None:
    """Log a loss as damage."""
    _log.warning("%s", message, extra={"damage": True})
