"""Where a version comes from: the layer of a number, and the command that made it.

Used by the commands `blame` and `deleted`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .entries import lossless
from .subjects import KINDS, open_subject
from .units import ellipsis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerfs import DataRoot
    from layerfs.model import Image
    from layerfs.tree.source import LayerSource

    from .subjects import Subject, Supplier

__all__ = ["Provenance", "command_words", "kind_option", "open_stack"]

CREATED_BY_WIDTH = 45

kind_option = click.option(
    "--type", "kind", type=click.Choice(KINDS[:2]), help="What NAME is, if it could be several things."
)
"""`--type`, for commands about images and containers."""


def open_stack(root: DataRoot, name: str, kind: str | None) -> Subject:
    """The image (also as of a layer) or container that NAME means; raises as `open_subject`."""
    from layerfs.model import Layer

    subject = open_subject(root, name, kind=kind, up_to=None, layer=None)
    if isinstance(subject.of, Layer):
        raise click.UsageError(f"{name} is a layer alone: name an image or a container")
    return subject


class Provenance:
    """The layers of one subject by number, and what made them."""

    def __init__(self, root: DataRoot, subject: Subject) -> None:
        """Read the history of the image that the subject is, or was made from."""
        self._subject = subject
        self._commands = _commands(root, subject)

    def supplier(self, number: int) -> Supplier:
        """The layer of a number, 1 for the base."""
        return self._subject.suppliers[-number]

    def source(self, number: int) -> LayerSource:
        """The same, to read from."""
        return self._subject.tree.layers[-number]

    def command(self, number: int) -> str | None:
        """The history entry that made a layer; None where nothing tells, as for a container's own."""
        return self._commands.get(number)

    def short(self, number: int) -> str:
        """A layer's name in 12 digits: of its diff ID or, as a container's has none, of its cache ID."""
        supplier = self.supplier(number)
        return supplier.diff_id.hex[:12] if supplier.diff_id else supplier.cache_id[:12]

    def backing_path(self, number: int, part: bytes) -> str:
        """The file of the data root behind a path of a layer."""
        return f"{self.source(number).label}/{lossless(part)}"


def _commands(root: DataRoot, subject: Subject) -> Mapping[int, str]:
    from layerfs.analysis.history import history

    image = _image(root, subject)
    rows = history(root, image) if image else ()
    return {row.number: row.entry.created_by for row in rows if row.number is not None}


def _image(root: DataRoot, subject: Subject) -> Image | None:
    """The image of a subject; of a container the one it was made from, if that is still there."""
    from layerfs.ids import ImageID, InvalidID
    from layerfs.model import Container, Image

    if isinstance(subject.of, Image):
        return subject.of
    if not isinstance(subject.of, Container) or subject.of.config is None:
        return None
    try:
        image_id = ImageID(subject.of.config.image_id)
    except InvalidID:
        return None
    return root.load_image(image_id) if image_id in root.imagedb else None


def command_words(*, full: bool) -> Callable[[str | None], str]:
    """How CREATED BY looks in a table."""

    def words(text: str | None) -> str:
        text = (text or "").replace("\t", " ")
        return text if full else ellipsis(text, CREATED_BY_WIDTH)

    return words
