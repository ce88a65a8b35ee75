"""What `layerfs explain NAME PATH --format json` tells: keys are stable, unknown is null."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from .entries import lossless, type_word

if TYPE_CHECKING:
    from layerfs.analysis.explain.names import Names
    from layerfs.analysis.explain.path import Explanation
    from layerfs.analysis.explain.rows import Component, Held, Row
    from layerfs.analysis.tree.blame import Event
    from layerfs.subject import Subject

    from .proofs import Proof, Prover

__all__ = ["document"]

Json = dict[str, Any]


def document(subject: Subject, found: Explanation, prover: Prover, names: Names | None, name: str) -> Json:
    """The explanation as one object."""
    node = found.node
    old = next((item for item in reversed(found.past.versions) if item.hidden), None)
    return {
        "name": name,
        "path": lossless(found.path),
        "verdict": str(found.verdict),
        "likely": found.likely and str(found.likely),
        "kind": type_word(node.stat.mode) if node else None,
        "layer": len(subject.layers) - node.part.layer if node and subject.layers else None,
        "size": node.stat.size if node else None,
        "target_path": lossless(found.wanted),
        "layers": len(subject.layers),
        "components": [
            _component(part, prover, names if part is found.last else None) for part in found.components
        ],
        "history": [_event(subject, prover, event) for event in found.past.events],
        "check": _proof(prover.check(found)),
        "old": _proof(prover.old(old) if old else None),
        "kernel_lists_name": found.kernel_lists,
        "complete": found.complete,
    }


def _component(part: Component, prover: Prover, names: Names | None) -> Json:
    found: Json = {
        "path": lossless(part.path),
        "asked": part.asked,
        "rows": [_row(row, prover) for row in part.rows],
        "made_of": list(part.made_of),
        "target": None if part.target is None else lossless(part.target),
    }
    if names:
        found["names"] = [
            {
                "name": lossless(item.name),
                "shown": item.shown,
                "made_of": list(item.found.made_of),
                "rows": [_row(row, prover) for row in item.found.rows],
            }
            for item in names.notable
        ]
        found["names_shown"] = names.shown
        found["names_left_out"] = names.left_out
    return found


def _row(row: Row, prover: Prover) -> Json:
    held = row.held
    proof = prover.of(row.part, held)
    return {
        "layer": row.layer,
        "holds": _holds(held),
        "mode": f"{stat.S_IMODE(held.stat.mode):04o}" if held.stat else None,
        "uid": held.stat.uid if held.stat else None,
        "gid": held.stat.gid if held.stat else None,
        "size": held.stat.size if held.stat else None,
        "target": None if held.target is None else lossless(held.target),
        "mark": _mark(held),
        "redirect": None if held.redirect is None else lossless(held.redirect),
        "rule": list(row.rules),
        "effect": str(row.effect),
        "hidden_by": row.by,
        "winner": row.winner,
        "place": None if held.stat is None else prover.place(row.part),
        "command": proof.command if proof else None,
        "value": proof.value if proof else None,
        "error": held.error,
    }


def _holds(held: Held) -> str:
    if held.error is not None:
        return "unreadable"
    if held.stat is None:
        return "nothing"
    return "whiteout" if held.whiteout else type_word(held.stat.mode)


def _mark(held: Held) -> str | None:
    marks = (
        ("whiteout", held.whiteout),
        ("opaque", held.opaque),
        ("metacopy", held.metacopy),
        ("redirect", held.redirect is not None),
    )
    return next((word for word, there in marks if there), None)


def _event(subject: Subject, prover: Prover, event: Event) -> Json:
    after = event.step.after
    before = event.step.before
    shown = after or before
    reachable = None
    if after:
        reachable = prover.reachable(after) if after.hidden else None
    return {
        "layer": event.step.layer,
        "action": str(event.action),
        "detail": str(event.hidden.how) if event.hidden else ", ".join(event.changes) or None,
        "size": after.stat.size if after else None,
        "created_by": subject.created_by(event.step.layer),
        "place": prover.place_of(shown) if shown else None,
        "reachable": reachable,
    }


def _proof(proof: Proof | None) -> Json | None:
    return proof and {"command": proof.command, "value": proof.value}
