"""The layer that a version comes from, and the command that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..messages import say
from ..options import type_option
from ..subjects import KINDS, open_subject
from ..units import ellipsis
from .entries import lossless

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerfs.model import Container, Image
    from layerfs.store import Store
    from layerfs.subject import Subject

__all__ = [
    "backing_path",
    "command_words",
    "kind_option",
    "maker",
    "open_owner",
    "open_stack",
    "own_words",
    "short_name",
]

CREATED_BY_WIDTH = 45

kind_option = type_option(*KINDS[:2])
"""`--type`, for commands about images and containers."""


def open_stack(root: Store, name: str, kind: str | None) -> Subject:
    """The layers of the image (also as of one) or container that NAME means; raises as `open_subject`."""
    from layerfs.model import BareLayer, Layer
    from layerfs.subject import by_layers, split_layer

    subject = open_subject(root, name, kind=kind, up_to=None, layer=None)
    if isinstance(subject.of, (BareLayer, Layer)):
        raise click.UsageError(f"{name} is a layer alone: name an image or a container")
    return by_layers(subject, split_layer(name)[1])


def open_owner(root: Store, name: str, kind: str | None, *, image_first: bool = False) -> Image | Container:
    """The image or container that NAME means, for a command about layers; says so where it is a container.

    Args:
        root: the data root.
        name: what was given.
        kind: which of the two, if that was given.
        image_first: whether an image is preferred, as in Docker's commands about images.
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
    """The text in place of a command for a layer that no build step made."""
    return f"({kind} of {container})"


def maker(subject: Subject, number: int) -> str | None:
    """What made the layer of a number, for tables: a command, or whose own layer it is; None if not known."""
    command = subject.created_by(number)
    kind = subject.own_kind(number) if command is None else None
    return own_words(kind, subject.title) if kind else command


def short_name(subject: Subject, number: int) -> str:
    """A layer's name in 12 digits: of its diff ID or, as a container's has none, of its cache ID."""
    layer = subject.layer(number)
    return layer.diff_id.hex[:12] if layer.diff_id else (layer.cache_id or "")[:12]


def backing_path(subject: Subject, number: int, part: bytes) -> str:
    """The path on disk of a path in the layer of a number."""
    return f"{subject.source(number).label}/{lossless(part)}"


def command_words(*, full: bool) -> Callable[[str | None], str]:
    """A function that makes the text of CREATED BY."""

    def words(text: str | None) -> str:
        text = (text or "").replace("\t", " ")
        return text if full else ellipsis(text, CREATED_BY_WIDTH)

    return words
