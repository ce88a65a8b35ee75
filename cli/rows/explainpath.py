"""`layerfs explain NAME PATH`: opens the layers, damaged ones too, asks the engine, and prints."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ..emit import emit_json, emit_objects
from ..main import EXIT_CODES, FINDINGS
from ..messages import say, say_error
from ..subjects import split_layer, tree_path
from .provenance import open_stack

if TYPE_CHECKING:
    import click

    from layerfs.analysis.explain.names import Names
    from layerfs.analysis.explain.path import Explanation
    from layerfs.errors import TreeError
    from layerfs.store import Store
    from layerfs.subject import Subject

    from ..places import OpenPlace

__all__ = ["explain_path"]

_NAMES = 20
"""How many names of a directory are explained."""


def explain_path(
    context: click.Context,
    at: OpenPlace,
    *,
    typed: str,
    kind: str | None,
    form: str,
    verbose: bool,
    full: bool,
) -> int:
    """Explain one path of an image or container; the exit code: 0 if it is shown, 1 if not.

    `typed` is the name for commands that are printed: one that has its store in it, where one was given.
    """
    from layerfs.analysis.explain.path import explain

    from .explained import explanation_lines
    from .explaineddocument import document
    from .proofs import Prover

    subject = _open(at.store, at.name, kind)
    found = explain(subject.tree, tree_path(at.paths[0]))
    names = _names(subject, found, None if verbose else _NAMES)
    prover = Prover(context, subject, typed, full=full)
    if form == "table":
        lines = explanation_lines(subject, found, prover, names, every=verbose, full=full)
        sys.stdout.writelines(f"{line}\n" for line in lines)
    elif form == "json":
        emit_json(document(subject, found, prover, names, at.name))
    else:
        emit_objects([document(subject, found, prover, names, at.name)], form)
    if found.error:
        return _complain(subject, found, found.error)
    for problem in dict.fromkeys(map(str, found.past.problems)):
        say("error", problem)
    return 0 if found.is_shown and not found.past.problems else FINDINGS


def _open(store: Store, name: str, kind: str | None) -> Subject:
    """The layers that NAME means; damaged ones are among them, and refuse to answer."""
    from layerfs.analysis.explain.damaged import as_far_as_readable
    from layerfs.errors import CorruptStore, DataRootError
    from layerfs.model import Container, Image
    from layerfs.subject import Subject

    try:
        return open_stack(store, name, kind)
    except DataRootError:
        raise
    except CorruptStore:
        image, number = split_layer(name)
        owner = store.names.anything(image, (kind,) if kind else ("container", "image"))
        assert isinstance(owner, (Container, Image))  # noqa: S101 - as asked for
        tree, layers = as_far_as_readable(store, owner, number)
        return Subject(store, tree, name, layers, owner)


def _complain(subject: Subject, found: Explanation, error: TreeError) -> int:
    """Say why nothing can be told: which layer cannot be read, if it is for that; the exit code."""
    from layerfs.analysis.explain.damaged import UnreadableLayer

    rows = ((part.path, row) for part in found.components for row in part.rows if row.held.error is not None)
    path, broken = next(rows, (b"", None))
    if broken is None:
        say_error(error)
        return EXIT_CODES["TreeError"]
    say("error", f"{os.fsdecode(path)}: layer {broken.layer}: {broken.held.error}")
    as_a_whole = isinstance(subject.tree.layers[broken.part.layer], UnreadableLayer)
    return EXIT_CODES["CorruptStore" if as_a_whole else "TreeError"]


def _names(subject: Subject, found: Explanation, most: int | None) -> Names | None:
    """The names of a directory that is shown; None for all else, and where it cannot be listed."""
    from layerfs.analysis.explain.names import names
    from layerfs.errors import TreeError

    if found.node is None or not found.node.is_dir or not subject.layers:
        return None
    try:
        return names(subject.tree, found.last, found.node, most)
    except TreeError as error:
        say_error(error)
        return None
