"""The times of a store: those of all files in its layers, and those that the engine recorded.

A file has three times, of which some may be equal. The engine records when the steps of an image ran, and
when images and containers were made, tagged, started and stopped. Each layer is read once.

Sources: stat(2); moby `image/image.go`, `container/state.go`; OCI image-spec `config.md` (history).
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.store.findall import find_all
from layerfs.formats.gotime import parse_time
from layerfs.ids import ImageID, InvalidID
from layerfs.model import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from layerfs.analysis.store.forest import Forest, Owner
    from layerfs.analysis.store.seen import LayerHit
    from layerfs.errors import TreeError
    from layerfs.ids import ChainID
    from layerfs.model import Container
    from layerfs.store import Store
    from layerfs.tree.node import FileStat

__all__ = ["EngineEvent", "Moment", "Period", "What", "engine_events", "file_versions", "moments"]


class What(enum.StrEnum):
    """What the engine noted."""

    STEP = "step"
    IMAGE_CREATED = "image created"
    IMAGE_TAGGED = "image tagged"
    CONTAINER_CREATED = "container created"
    CONTAINER_STARTED = "container started"
    CONTAINER_FINISHED = "container finished"


class Period(NamedTuple):
    """The time from a moment (included) to another (excluded), in ns since the epoch; None is no limit."""

    since_ns: int | None = None
    until_ns: int | None = None

    def holds(self, time_ns: int) -> bool:
        """Whether a time is in this period."""
        return (self.since_ns is None or self.since_ns <= time_ns) and (
            self.until_ns is None or time_ns < self.until_ns
        )


class Moment(NamedTuple):
    """A time of a file, in ns since the epoch, and which of its times it is, in mactime(1)'s form: `m.c.`."""

    time_ns: int
    macb: str


class EngineEvent(NamedTuple):
    """What the engine noted.

    Attributes:
        time_ns: ns since the epoch.
        what: what happened.
        owners: the images, or the container, it happened to.
        text: the command of a step; else empty.
        layer: the number of the layer that a step made; None for a step without a layer, and for other
            events.
        chain_id: the chain ID of that layer.
    """

    time_ns: int
    what: What
    owners: tuple[Owner, ...]
    text: str = ""
    layer: int | None = None
    chain_id: ChainID | None = None


# -- files ---------------------------------------------------------------------------------------


def file_versions(
    forest: Forest, problem: Callable[[TreeError], None]
) -> Iterator[tuple[list[LayerHit], list[LayerHit]]]:
    """All entries of the layers; gives `len(forest)` items, one for each layer.

    Args:
        forest: the layers.
        problem: called for each directory that cannot be read.

    Yields:
        The entries of a layer, directories included; and the whiteouts that were met since the last item.
    """
    whiteouts: list[LayerHit] = []
    for found in find_all(forest, lambda _: True, problem, whiteouts.append):
        yield found, whiteouts[:]
        whiteouts.clear()


def moments(found: FileStat) -> list[Moment]:
    """The times of a file, earliest first, equal ones together."""
    times: dict[int, list[str]] = {}
    for place, time_ns in enumerate((found.mtime_ns, found.atime_ns, found.ctime_ns)):
        times.setdefault(time_ns, list("...."))[place] = "mac"[place]
    return [Moment(time_ns, "".join(letters)) for time_ns, letters in sorted(times.items())]


# -- the engine ----------------------------------------------------------------------------------


def engine_events(root: Store, owners: Iterable[Owner]) -> list[EngineEvent]:
    """The engine's events of images and containers, and of the images that containers were made from.

    A step that several images share is one event. Damage is reported to `root`.
    """
    steps: dict[tuple[EngineEvent, int], list[Owner]] = {}
    found: list[EngineEvent] = []
    for owner in {owner.id: owner for owner in _with_images(root, owners)}.values():
        if isinstance(owner, Image):
            times: Counter[EngineEvent] = Counter()
            for step in _steps(owner):
                steps.setdefault((step, times[step]), []).append(owner)
                times[step] += 1
            found += _of_image(root, owner)
        else:
            found += _of_container(owner)
    found += (step._replace(owners=tuple(images)) for (step, _), images in steps.items())
    return found


def _with_images(root: Store, owners: Iterable[Owner]) -> Iterator[Owner]:
    for owner in owners:
        yield owner
        if not isinstance(owner, Image) and owner.config:
            try:
                image_id = ImageID(owner.config.image_id)
            except InvalidID:
                continue
            image = root.load_image(image_id) if root.has_image(image_id) else None
            if image:
                yield image


def _steps(image: Image) -> Iterator[EngineEvent]:
    """The steps of an image's history, without owners, so that a shared step is equal in every image."""
    layers = enumerate(image.chain, 1)
    for entry in image.config.history:
        number, chain = (None, None) if entry.empty_layer else next(layers, (None, None))
        if entry.created_ns is not None:
            text = entry.created_by or entry.comment
            yield EngineEvent(entry.created_ns, What.STEP, (), text, number, chain)


def _of_image(root: Store, image: Image) -> Iterator[EngineEvent]:
    if image.config.created_ns is not None:
        yield EngineEvent(image.config.created_ns, What.IMAGE_CREATED, (image,))
    noted = root.last_tagged(image)
    tagged = parse_time(noted) if noted else None
    if tagged is not None:
        yield EngineEvent(tagged, What.IMAGE_TAGGED, (image,))


def _of_container(container: Container) -> Iterator[EngineEvent]:
    config = container.config
    if config is None:
        return
    times = (
        (config.created_ns, What.CONTAINER_CREATED),
        (config.state.started_ns, What.CONTAINER_STARTED),
        (config.state.finished_ns, What.CONTAINER_FINISHED),
    )
    for time_ns, what in times:
        if time_ns is not None:
            yield EngineEvent(time_ns, what, (container,))
