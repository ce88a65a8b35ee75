"""An image as steps of a Dockerfile: the rows of its history, its layers, and what else its config says."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.dockerfile.configured import Configured, Rest, Told, rest_of
from layerfs.analysis.dockerfile.created import CONFIG_KEYWORDS, Said, read_row
from layerfs.analysis.dockerfile.instructions import write
from layerfs.analysis.dockerfile.sources import Item, Place, contents_of, copied, whole_layer
from layerfs.analysis.store.stack import made_from, own_layers
from layerfs.damage import attempt
from layerfs.errors import CorruptStore, UnreadableEntry
from layerfs.formats.imageconfig import HistoryEntry
from layerfs.model import READ_WRITE, Container
from layerfs.tree.union import UnionTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from layerfs.errors import TreeError
    from layerfs.ids import DiffID
    from layerfs.model import Image
    from layerfs.store import Store
    from layerfs.tree.source import LayerSource

__all__ = ["Recipe", "Step", "known_base", "recipe"]

_NO_ENTRY = HistoryEntry(None, "", "", "", empty_layer=False)
_TOOLS = {
    "jib": "jib made this layer, not a Dockerfile",
    "ko": "ko made this layer, not a Dockerfile",
    "bazel": "Bazel made this layer, not a Dockerfile",
    "apko": "apko made this layer, not a Dockerfile",
    "buildpacks": "a buildpack made this layer, not a Dockerfile",
}


class Step(NamedTuple):
    """One row of the history, or a layer without one.

    Attributes:
        number: its place in the history, 1 for the oldest; None for a layer without a row.
        builder: who wrote the row, as `classic`, `BuildKit`, `buildah`, `commit`; empty if not known.
        created_by: the text of the row.
        lines: its instructions.
        layer: the number of the layer it made, 1 for the base; None for none.
        diff_id: of that layer.
        size: bytes of that layer; None where that is not known.
        unknown: what of the instructions cannot be known.
        notes: what else is known.
        items: what a context must have for the instructions.
    """

    number: int | None
    builder: str
    created_by: str
    lines: tuple[str, ...] = ()
    layer: int | None = None
    diff_id: DiffID | None = None
    size: int | None = 0
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()


class Recipe(NamedTuple):
    """An image as a Dockerfile.

    Attributes:
        title: what the image or container is called.
        image: the image.
        base: the image whose layers and history it begins with; None for none that is known.
        steps: the steps behind that, oldest first.
        rest: what the config says besides.
        layers: the trees of its layers.
    """

    title: str
    image: Image
    base: Image | None
    steps: tuple[Step, ...]
    rest: Rest
    layers: Layers

    def needed(self) -> Iterator[tuple[Step, int, Item]]:
        """What a context must have: for each step the number of a layer, and what of it."""
        number: int | None = None
        numbers: list[int | None] = []
        for step in reversed(self.steps):
            number = step.layer or number
            numbers.append(number)
        for step, number in zip(self.steps, reversed(numbers), strict=True):
            yield from ((step, number, item) for item in step.items if number is not None)


class Layers:
    """The layers of an image, each opened when it is asked for; what is damaged is reported and left out."""

    def __init__(self, root: Store, image: Image, own: LayerSource | None = None) -> None:
        """Of an image; `own` is the layer of a container on top."""
        self._root, self._image = root, image
        self._own = own

    def source(self, number: int) -> LayerSource | None:
        """The layer of a number; None if it cannot be read."""
        if number > len(self._image.chain):
            return self._own
        return self._opened(number)

    @functools.lru_cache(maxsize=None)  # noqa: B019, UP033 - as long as the recipe
    def _opened(self, number: int) -> LayerSource | None:
        root = self._root
        return attempt(root.report, lambda: root.source(root.record(self._image.chain[number - 1])))

    def tree(self, number: int) -> UnionTree | None:
        """The tree of that layer alone."""
        source = self.source(number)
        return UnionTree([source]) if source else None

    def place(self, number: int, workdir: str) -> Place | None:
        """Where the step of a layer has copied to."""
        alone = self.tree(number)
        return Place(alone, functools.partial(self.union, number), workdir) if alone else None

    def union(self, number: int) -> UnionTree:
        """The tree as of a layer, without those that cannot be read."""
        return UnionTree([source for at in range(number, 0, -1) if (source := self.source(at))])


def known_base(root: Store, image: Image) -> Image | None:
    """The image with a name whose layers and history this one begins with; of several the longest."""
    config = image.config
    found = [
        other
        for other in _readable_images(root)
        if other.has_name
        and other.id != image.id
        and other.config.diff_ids
        and sum(not entry.empty_layer for entry in other.config.history) == len(other.config.diff_ids)
        and (len(other.config.diff_ids), len(other.config.history))
        < (len(config.diff_ids), len(config.history))
        and config.diff_ids[: len(other.config.diff_ids)] == other.config.diff_ids
        and config.history[: len(other.config.history)] == other.config.history
    ]
    return max(found, key=lambda other: (len(other.config.history), len(other.config.diff_ids)), default=None)


def _readable_images(root: Store) -> Iterator[Image]:
    """Every image that can be read; of another that is damaged this one's answer does not depend."""
    for image_id in root.image_ids():
        with contextlib.suppress(CorruptStore):
            yield root.read_image(image_id)


def recipe(
    root: Store, owner: Image | Container, *, full: bool = False, complain: Callable[[TreeError], object]
) -> Recipe:
    """The steps of an image; of a container those of its image, and what it changed.

    Args:
        root: the store.
        owner: the image or container.
        full: whether the steps of a known base image are told too.
        complain: called for what of a layer cannot be read.

    Raises:
        CorruptStore: a container's layers or its image are not known.
    """
    container = owner if isinstance(owner, Container) else None
    image = made_from(root, owner) if isinstance(owner, Container) else owner
    if image is None:
        raise CorruptStore(root.record_name(owner.id), "the image it was made from is not there")
    own = (
        next((layer for layer in own_layers(root, container) if layer.kind == READ_WRITE), None)
        if container
        else None
    )
    layers = Layers(root, image, root.source(own) if own else None)
    base = None if full else known_base(root, image)
    config = Configured.of(image.config.raw)
    told = Told.by(Configured.of(base.config.raw)) if base else Told()
    maker = _Maker(root, image, layers, config, told, complain)
    steps = [*maker.steps(base)]
    rest = rest_of(config, told)
    if container and own:
        number = len(image.chain) + 1
        row = _Row(None, _NO_ENTRY, number)
        changed = maker.unknown(
            row, Said("commit"), f"what was changed in the container {container.name}", own.cache_id
        )
        steps.append(changed._replace(size=root.content_size(own), diff_id=None))
    return Recipe(owner.name, image, base, tuple(steps), rest, layers)


class _Row(NamedTuple):
    """A row of the history and the number of its layer."""

    number: int | None
    entry: HistoryEntry
    layer: int | None


class _Maker:
    """Makes the steps of one image."""

    def __init__(
        self,
        root: Store,
        image: Image,
        layers: Layers,
        config: Configured,
        told: Told,
        complain: Callable[[TreeError], object],
    ) -> None:
        self._root, self._image, self._layers = root, image, layers
        self._config, self._told, self._complain = config, told, complain
        self._buildah = "io.buildah.version" in config.labels
        self._command = " ".join(config.cmd or ())
        self._has_base = self._is_pending = False

    def steps(self, base: Image | None) -> Iterator[Step]:
        """The steps behind a base, oldest first."""
        rows = self._rows(base)
        following = _following_layers(rows)
        for row, layer in zip(rows, following, strict=True):
            said = read_row(row.entry, self._told.shell, buildah=self._buildah, command=self._command)
            step = self._step(row, said, layer)
            if row.entry.comment.startswith("FROM ") and not self._has_base:
                self._has_base = True
                step = step._replace(notes=(f"buildah began here, {row.entry.comment}", *step.notes))
            yield step

    def _rows(self, base: Image | None) -> list[_Row]:
        """Entries that are not marked empty take the layers in turn; layers that are left have no entry."""
        config = self._image.config
        begin = len(base.config.history) if base else 0
        numbers = iter(range(1 + (len(base.config.diff_ids) if base else 0), len(config.diff_ids) + 1))
        rows = [
            _Row(at, entry, None if entry.empty_layer else next(numbers, None))
            for at, entry in enumerate(config.history[begin:], begin + 1)
        ]
        return [*rows, *(_Row(None, _NO_ENTRY, number) for number in numbers)]

    def _step(self, row: _Row, said: Said, layer: int | None) -> Step:
        """The step of a row; `layer` is its own, or the next: buildah may make one layer of several steps."""
        if row.number is None:
            return self.unknown(row, said, "how this layer was made: the history has no row for it")
        if not said.keyword:
            return self.unknown(row, said, _why(said))
        if said.keyword in ("ADD", "COPY"):
            number = layer if said.builder == "buildah" else row.layer
            found = copied(said, self._layers.place(number, self._told.workdir) if number else None)
            lines = [found.line] if found.line else []
            step = self._of(row, said, lines, [*found.unknown, *self._joined(row, said)])
            return step._replace(items=found.items)
        written = write(said, self._config, self._told)
        step = self._of(row, said, written.lines, [*written.unknown, *self._joined(row, said)])
        return step._replace(notes=written.notes)

    def _joined(self, row: _Row, said: Said) -> Iterator[str]:
        """That a layer holds more than what its row tells of, where that is so."""
        changes_files = said.keyword not in CONFIG_KEYWORDS
        if row.layer is None:
            self._is_pending |= changes_files and said.builder == "buildah"
        elif self._is_pending:
            self._is_pending = False
            yield "what each step has changed: buildah made this one layer of all steps since the last layer"
        elif not changes_files and said.keyword != "WORKDIR":
            yield f"what made this layer: {said.keyword} changes no file"

    def unknown(self, row: _Row, said: Said, why: str, name: str = "") -> Step:
        """A step of which only the layer is known."""
        if row.layer is None:
            return self._of(row, said, [], [why])
        diff_id = self._image.config.diff_ids[row.layer - 1] if row.layer <= len(self._image.chain) else None
        whole = whole_layer(name[:12] or (diff_id.hex[:12] if diff_id else str(row.layer)))
        step = self._of(row, said, [whole.line] if whole.line else [], [why])
        return step._replace(items=whole.items, notes=tuple(self._contents(row.layer)))

    def _contents(self, number: int) -> Iterator[str]:
        """What is in a layer, in words."""
        source = self._layers.source(number)
        if source is None:
            yield "what is in it cannot be read"
            return
        try:
            found = contents_of(source, functools.cache(functools.partial(self._layers.union, number - 1)))
        except OSError as error:
            self._complain(UnreadableEntry(b"/", f"{source.label}: {error.strerror or error}"))
            yield "not all of what is in it can be read"
            return
        tops = _listed(found.tops, found.in_root)
        yield f"it has {found.entries} {'entry' if found.entries == 1 else 'entries'}" + (
            f", in {tops}" if tops else ""
        )
        if found.deleted:
            names = "a name" if found.deleted == 1 else f"{found.deleted} names"
            yield f"it deletes {names}, which ADD cannot: {_listed(found.names, found.deleted)}"

    def _of(self, row: _Row, said: Said, lines: Sequence[str], unknown: Sequence[str]) -> Step:
        image, layer = self._image, row.layer
        is_own = layer is not None and layer <= len(image.chain)
        size = self._root.layer_size(image.chain[layer - 1]) if layer and is_own else 0
        diff_id = image.config.diff_ids[layer - 1] if layer and is_own else None
        if row.number is not None and layer is None and not row.entry.empty_layer:
            unknown = [*unknown, "its layer: the history has more rows with one than the image has layers"]
            size = None
        return Step(
            row.number, said.builder, row.entry.created_by, tuple(lines), layer, diff_id, size, tuple(unknown)
        )


def _listed(names: Sequence[bytes], count: int) -> str:
    text = ", ".join(os.fsdecode(name) for name in names)
    return text + (", …" if count > len(names) else "")


def _following_layers(rows: Sequence[_Row]) -> list[int | None]:
    """The layer of each row, or of the next row that has one."""
    found: list[int | None] = []
    layer: int | None = None
    for row in reversed(rows):
        layer = row.layer or layer
        found.append(layer)
    return found[::-1]


def _why(said: Said) -> str:
    """What is not known of a row that is no instruction."""
    if said.builder == "import":
        return "how this was made: an archive was imported" + (
            f', with the comment "{said.text}"' if said.text else ""
        )
    if said.builder == "commit":
        return f'what was changed in a container, which ran "{said.text}"'
    if said.builder == "nix":
        count = len(re.findall(r"/nix/store/", said.text))
        return f"how nix made this layer, which has {count} store paths"
    if said.builder in _TOOLS:
        return f'{_TOOLS[said.builder]}: "{said.text}"'
    return f'how this was made; the history says "{said.text}"' if said.text else "how this was made"
