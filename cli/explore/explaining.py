"""Why a path is there, or not: the lines that `layerfs explain` prints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from layerfs.analysis.explain.path import explain

from ..rows.explained import explanation_lines
from ..rows.proofs import Prover

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

    from .opening import Stack

__all__ = ["explained"]

_COLOR = re.compile("\x1b\\[[0-9;]*m")


def explained(context: click.Context, stack: Stack, path: bytes, columns: int) -> Sequence[str]:
    """The lines about a path of the whole image, for a width.

    Raises:
        TreeError: a layer that decides it cannot be read.
    """
    found = explain(stack.subject.tree, path)
    if found.error:
        raise found.error
    prover = Prover(context, stack.subject, stack.word, full=False)
    lines = explanation_lines(stack.subject, found, prover, None, every=False, full=False, columns=columns)
    return [_COLOR.sub("", line) for line in lines]  # names in them are escaped: these colours are our own
