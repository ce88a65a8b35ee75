"""Where a version comes from: the layer of a number, and the command that made it.

Used by the commands about the layers of an image or a container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .entries import lossless
from .messages import say
from .subjects import KINDS, open_subject
from .units import ellipsis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerfs.model import Container, Image
    from layerfs.store import Store
    from layerfs.tree.source import LayerSource

    from .subjects import Subject, Supplier

__all__ = ["Provenance", "command_words", "kind_option", "open_owner", "open_stack", "own_words"]

CREATED_BY_WIDTH = 45

kind_option = click.option(
    "--type", "kind", type=click.Choice(KINDS[:2]), help="What NAME is, if it could be several things."
)
"""`--type`, for commands about images and containers."""


def open_stack(root: Store, name: str, kind: str | None) -> Subject:
    """The image (also as of a layer) or container that NAME means; raises as `open_subject`."""
    from layerfs.model import BareLayer, Layer

    subject = open_subject(root, name, kind=kind, up_to=None, layer=None)
    if isinstance(subject.of, (BareLayer, Layer)):
        raise click.UsageError(f"{name} is a layer alone: name an image or a container")
    return subject


def open_owner(root: Store, name: str, kind: str | None, *, image_first: bool = False) -> Image | Container:
    """The image or container that NAME means, for a command about layers; says so where it is a container.

    Args:
        root: the data root.
        name: what was given.
        kind: which of the two, where that was said.
        image_first: whether the command is Docker's, and about images: a container only if no image has
            the name.
    """
    from layerfs.model import Container, Image

    if image_first and kind is None:
        found = root.names.image_or_container(name)
    else:
        of_any = root.names.anything(name, (kind,) if kind else KINDS[:2])
        assert isinstance(of_any, (Image, Container))  # noqa: S101 - as asked for
        found = of_any
    if isinstance(found, Container):
        say("note", f"{found.name} is a container: shown are the layers of its image, and its own above them")
    return found


def own_words(kind: str, container: str) -> str:
    """What stands in the place of a command for a layer that no step of a build made."""
    return f"({kind} of {container})"


class Provenance:
    """The layers of one subject by number, and what made them."""

    def __init__(self, root: Store, subject: Subject) -> None:
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
        return supplier.diff_id.hex[:12] if supplier.diff_id else (supplier.cache_id or "")[:12]

    def backing_path(self, number: int, part: bytes) -> str:
        """The file of the data root behind a path of a layer."""
        return f"{self.source(number).label}/{lossless(part)}"


def _commands(root: Store, subject: Subject) -> Mapping[int, str]:
    from layerfs.analysis.store.history import history

    image = _image(root, subject)
    rows = history(root, image) if image else ()
    return {row.number: row.entry.created_by for row in rows if row.number is not None}


def _image(root: Store, subject: Subject) -> Image | None:
    """The image of a subject; of a container the one it was made from, if that is still there."""
    from layerfs.analysis.store.stack import made_from
    from layerfs.model import Container, Image

    if isinstance(subject.of, Image):
        return subject.of
    return made_from(root, subject.of) if isinstance(subject.of, Container) else None


def command_words(*, full: bool) -> Callable[[str | None], str]:
    """How CREATED BY looks in a table."""

    def words(text: str | None) -> str:
        text = (text or "").replace("\t", " ")
        return text if full else ellipsis(text, CREATED_BY_WIDTH)

    return words
