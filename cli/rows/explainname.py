"""`layerfs explain NAME`: the way from a name to directories, as one would walk it by hand."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from ..emit import emit, emit_json
from ..escape import json_text
from ..main import FINDINGS
from ..options import DEFAULT_FORMAT
from ..subjects import KINDS, split_layer
from .walks import StepRow, step_table, walk_document, walk_lines

if TYPE_CHECKING:
    from layerfs.steps import Walk

    from ..places import OpenPlace

__all__ = ["explain_name"]

_NARROW, _WIDE = 80, 120


def explain_name(at: OpenPlace, *, kind: str | None, form: str, verbose: bool, full: bool) -> int:
    """Print the walk of a NAME; 1 if a step is not as it should be. Raises what ended it early, after that.

    Args:
        at: the store, and the name in it.
        kind: what it may mean, one of `KINDS`; None is all.
        form: the format.
        verbose: whether each layer gets its steps.
        full: whether IDs are shown in full.
    """
    walk = _walk(at, kind, every=verbose)
    if form == DEFAULT_FORMAT:
        width = min(max(shutil.get_terminal_size().columns, _NARROW), _WIDE)
        sys.stdout.writelines(f"{line}\n" for line in walk_lines(walk, at.name, width, full=full))
    elif form == "json":
        emit_json(walk_document(walk, at.name, at.store.kind))
    elif form == "jsonl":
        sys.stdout.write(json_text(walk_document(walk, at.name, at.store.kind)) + "\n")
    else:
        emit(step_table(), [StepRow(number, step) for number, step in enumerate(walk.steps, 1)], form)
    if walk.failure:
        raise walk.failure
    return FINDINGS if any(step.ok is False for step in walk.steps) else 0


def _walk(at: OpenPlace, kind: str | None, *, every: bool) -> Walk:
    from layerfs.capabilities import Explaining, lacking

    if not isinstance(at.store, Explaining):
        raise lacking(at.store, "explain")
    name, number = split_layer(at.name)
    kinds = ("image",) if number is not None else (kind,) if kind else KINDS
    return at.store.explained(name, at.store.names.meant(name, kinds), number, every=every)
