"""The tar of a layer, whatever kind of store makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.ids import DiffID

__all__ = ["Buffer", "LayerTar"]

Buffer: TypeAlias = bytes | memoryview
"""A piece of a tar."""


class LayerTar(Protocol):
    """The tar of a layer, which can be written as often as it is wanted."""

    @property
    def diff_id(self) -> DiffID:
        """Its sha256."""

    @property
    def size(self) -> int:
        """Its bytes; raises `CorruptStore`."""

    def write(self, write: Callable[[Buffer], object]) -> None:
        """Write it, piece by piece; raises `CorruptStore` when it is not what it should be."""
