"""The steps of a walk from one layer to that below, and from a layer to what its record says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.formats.graphroot import layer_id
from layerfs.steps import Step
from layerfs.stores.containers_storage.recordfiles import of_id, record_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerfs.stores.containers_storage.parts import Stored
    from layerfs.stores.containers_storage.recordfiles import RecordFile, Written
    from layerfs.stores.containers_storage.store import GraphRoot
    from layerfs.stores.walker import Walker

__all__ = ["LayerSteps"]


class LayerSteps:
    """Adds the steps of records of layers to a walk."""

    def __init__(self, store: GraphRoot, walker: Walker, written: Written) -> None:
        """Add to `walker`, which stands in the first root of `store`."""
        self._store = store
        self._walker = walker
        self._written = written
        self._found: list[RecordFile] | None = None

    def _layer_files(self) -> list[RecordFile]:
        """Every file with records of layers that can be read."""
        if self._found is None:
            places = []
            for part in self._store.roots:
                volatile = f"{part.opened.layers}/volatile-layers.json"
                places += [(part.opened.run, volatile)] if part.opened.run else []
                places += [(part.directory, volatile), (part.directory, part.layers_file)]
            self._found = record_files(self._written, places)
        return self._found

    def below(self, stack: Sequence[Stored]) -> None:
        """The layers that a layer stands on, as the records say; `stack` is uppermost first."""
        if len(stack) < 2:
            return
        step = Step(
            "LAYER ID", "STACK",
            "Each layer's record names the one below. The engine follows this; all else repeats it.",
        )  # fmt: skip
        used: dict[str, RecordFile] = {}
        for stored in stack:
            found = of_id(self._layer_files(), stored.record.id)
            if found is None or (found[1].get("parent") or None) != stored.record.parent:
                problem = f"no record tells what is below {stored.record.id[:12]}; its directory does"
                if found is None and not stored.is_lost:
                    problem = f"there are several records of {stored.record.id[:12]}: the first counts"
                self._walker.add(step._replace(ok=False, problem=problem))
                return
            used[found[0].place] = found[0]
        needs = {f"J{number if number > 1 else ''}": place for number, place in enumerate(used, 1)}
        step = step._replace(place=next(iter(used)))
        command = (
            'while [ "$K" ]; do',
            "  echo $K",
            f"  K=$(jq -r --arg i $K '.[]|select(.id==$i).parent//empty' {_words(needs)})",
            "done",
        )
        values = tuple(str(stored.record.id) for stored in stack)
        step = step._replace(command=command, values=values)
        self._walker.add(step, {**needs, "K": values[0]}, {"K": ""})

    def record(self, stored: Stored, number: int | None) -> None:
        """A layer's record, and how its ID is made of that."""
        record = stored.record
        step = Step(
            "LAYER ID", "DIFF ID",
            "The layer's record has the SHA-256 of its tar. With the ID of the layer below it makes the ID.",
            self._written.place(stored.part.directory, stored.part.layers_file), layer=number,
        )  # fmt: skip
        found = of_id(self._layer_files(), record.id)
        if found is None:
            problem = "there is no record of it, or more than one"
            self._walker.add(step._replace(ok=False, problem=problem))
            return
        file, row = found
        step = step._replace(place=file.place)
        key, mark = ("diff-digest", "") if record.diff_id else ("toc-digest", "@TOC=")
        noted = record.diff_id or record.toc
        if not noted:
            why = (
                "The layer of a container: it has no tar, so its record has no digest, and its ID is random."
            )
            self._walker.add(step._replace(why=why, ok=None))
            return
        if row.get(key) != noted or (row.get("parent") or None) != record.parent:
            why = f"{step.why} (jq does not find it: the keys are spelled in other letters.)"
            self._walker.add(step._replace(why=why, ok=None))
            return
        if mark:
            why = "The layer is known by its table of contents alone, whose digest makes the ID."
            step = step._replace(end="TOC", why=why)
        lines = [f'D=$(jq -r --arg i $K \'.[]|select(.id==$i)."{key}"\' "$J"); echo $D']
        digits = noted.partition(":")[2]
        values = [noted]
        needs = {"J": file.place, "K": record.id}
        made = layer_id(record.parent, diff="" if mark else digits, toc=digits if mark else "")
        if made != record.id:
            step = step._replace(why=f"{step.why} (Not here: the ID was taken, so it got a random one.)")
        elif record.parent or mark:
            lines.append(f"printf '%s' \"$P+{mark}${{D#*:}}\" | sha256sum | cut -c-64")
            values.append(made)
            needs["P"] = record.parent or ""
        step = step._replace(command=tuple(lines), values=tuple(values))
        self._walker.add(step, needs, {"D": noted})


def _words(variables: Iterable[str]) -> str:
    return " ".join(f'"${name}"' for name in variables)
