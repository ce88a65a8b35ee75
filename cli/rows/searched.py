"""What `layerfs grep` searches: the files of one tree, those of all layers of a store, and records."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from ..globs import Globs
from ..subjects import tree_path
from ..units import short_id
from .matches import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from layerfs.analysis.grep.texts import Selection, Text
    from layerfs.analysis.store.forest import Owner, Stage
    from layerfs.analysis.store.seen import Sight
    from layerfs.store import Store
    from layerfs.subject import Subject

    from .entries import Complaints

__all__ = ["Texts", "Where", "selection_of", "texts_in_root", "texts_in_tree"]


class Where(NamedTuple):
    """What is asked for.

    Attributes:
        versions: what of files: `shown` by the tree, `hidden` by later layers, or `all`.
        metadata: whether the records of images and containers too.
        selection: which files.
    """

    versions: str
    metadata: bool
    selection: Selection


class Texts(NamedTuple):
    """What is searched.

    Attributes:
        store: where it is from.
        found: the texts, or in a whole store those of one layer after the other.
        steps: how many there are, if that is known before.
        source: what a text is from; called for those of which something is shown.
        whole: whether they are of a whole store.
        label: of the progress bar.
        alone: whether it is one file that was named.
    """

    store: Store
    found: Iterable[Any]
    steps: int | None
    source: Callable[[Text], Source]
    whole: bool
    label: str
    alone: bool = False


def selection_of(include: Sequence[str], exclude: Sequence[str]) -> Selection:
    """The files that two lists of patterns select."""
    from layerfs.analysis.grep.texts import Selection

    wanted, unwanted = Globs(include), Globs(exclude)
    return Selection(
        wanted.fits_or_above if include else None,
        (lambda path: not unwanted.fits_or_above(path)) if exclude else None,
    )


def texts_in_tree(subject: Subject, paths: Sequence[str], where: Where, complaints: Complaints) -> Texts:
    """The files of one tree."""
    from layerfs.analysis.grep.records import record_texts
    from layerfs.analysis.grep.texts import every_version, shown_files

    tops = [b"/" + tree_path(path).lstrip(b"/") for path in paths] or [b"/"]
    if where.versions == "shown":
        texts = shown_files(subject.tree, tops, where.selection, complaints.add)
    else:
        texts = every_version(subject.tree, tops, where.selection, complaints.add)
        if where.versions == "hidden":
            texts = (text for text in texts if text.hidden)
    owners = list(_owners(subject)) if where.metadata else []
    records = (text for owner in owners for text in record_texts(owner))

    def source(text: Text) -> Source:
        if text.owner:
            return Source(text, record=True, name=text.owner.name, owner=text.owner)
        layer = subject.layers[text.layer] if subject.layers and text.layer is not None else None
        return Source(text, layer=layer)

    alone = len(tops) == 1 and not where.metadata and where.versions == "shown" and _is_file(subject, tops[0])
    return Texts(subject.store, chain(texts, records), None, source, False, "Searching files", alone)


def _is_file(subject: Subject, path: bytes) -> bool:
    from layerfs.errors import TreeError

    try:
        return not subject.tree.resolve(path).is_dir
    except TreeError:
        return False


def _owners(subject: Subject) -> Iterator[Owner]:
    """The image or container of a tree, and the image of a container."""
    from layerfs.analysis.store.stack import made_from
    from layerfs.model import Container, Image

    if isinstance(subject.of, (Container, Image)):
        yield subject.of
    if isinstance(subject.of, Container) and (image := made_from(subject.store, subject.of)):
        yield image


def texts_in_root(store: Store, where: Where, complaints: Complaints) -> Texts:
    """The files of every layer, and perhaps the records of everything."""
    from layerfs.analysis.grep.everywhere import layer_files
    from layerfs.analysis.grep.records import record_texts
    from layerfs.analysis.store.forest import Forest

    forest = Forest(store)
    layers: Iterator[Iterator[Text]] = layer_files(forest, where.selection, complaints.add)
    if where.versions == "hidden":
        layers = ((text for text in layer if text.hit and text.hit.is_deleted) for layer in layers)
    steps = len(forest)
    if where.metadata:
        owners: list[Owner] = [*store.images(), *store.containers()]
        steps += len(owners)
        layers = chain((record_texts(owner) for owner in owners), layers)
    return Texts(store, layers, steps, _source_in_root, True, "Searching layers")


def _source_in_root(text: Text) -> Source:
    """Where a text of a whole store is from, named so that other commands find it."""
    if text.owner:
        return Source(text, record=True, name=text.owner.name, owner=text.owner)
    assert text.hit is not None  # noqa: S101 - else it is a record
    sights, stage = text.hit.sights(), text.hit.stage
    return Source(text, name=_name(sights.seen, sights.missed, stage), sights=sights)


def _name(seen: Sequence[Sight], missed: Sequence[Sight], stage: Stage) -> str:
    """A NAME whose tree shows a file of a layer: of an image or container, as of that layer, or the layer."""
    from layerfs.model import Image

    owners = sorted((sight.owner for sight in seen), key=_by_name)
    if owners:
        return _shortest(owners[0])
    images = sorted((sight.owner for sight in missed if isinstance(sight.owner, Image)), key=_by_name)
    if images and stage.number is not None and stage.chain_id is not None:
        return f"{_shortest(images[0])}@{stage.number}"
    return str(stage.cache_id or stage.chain_id or "")


def _by_name(owner: Owner) -> tuple[bool, bool, int, str]:
    """The order of what a file is named by: images first, and of these the one with the shortest tag."""
    from layerfs.model import Image

    nameless = owner.name == owner.id or "@" in owner.name
    return nameless, not isinstance(owner, Image), len(owner.name), owner.name


def _shortest(owner: Owner) -> str:
    """Its name, or the beginning of its ID."""
    return short_id(owner.id) if owner.name == owner.id else owner.name
