"""The twin of a report: everything the page says, as JSON. The page is made from it and nothing else.

Its shape is `report.schema.json` beside this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..rows.diagnoses import row_of
from ..units import rfc3339
from .evidence import evidence_part, root_part
from .placeless import without_place
from .stacks import Problems, Told, stack_part
from .times import FileTimes, timeline_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from layerfs.analysis.store.usage import ImageUsage, StoreUsage
    from layerfs.ids import ChainID
    from layerfs.model import Container, Finding, Image
    from layerfs.store import Store

    from .evidence import Witness

__all__ = ["SCHEMA", "Asked", "make_twin"]

SCHEMA = "layerfs.report/1"

Json = dict[str, Any]


class Asked(NamedTuple):
    """What a report is about.

    Attributes:
        store: where it is read.
        owners: the images and containers with parts of their own, in order.
        everything: whether that is all of the store.
        reproducible: whether times and what is only so on this host are left out.
        findings: what `verify` found, if that was asked for.
    """

    store: Store
    owners: Sequence[Image | Container]
    everything: bool
    reproducible: bool = False
    findings: Sequence[Finding] | None = None


def make_twin(asked: Asked, witness: Witness, watched: Iterable[Image | Container] | None = None) -> Json:
    """Read all that the report tells; what cannot be read is in `problems`, and the rest goes on.

    Args:
        asked: what it is about.
        witness: was told of what was read so far.
        watched: the images and containers again, by something that counts them.
    """
    from layerfs.analysis.store.timeline import engine_events
    from layerfs.analysis.store.usage import StoreUsage
    from layerfs.model import Image

    store, told = asked.store, Told(Problems(), FileTimes(), {})
    usage = StoreUsage(store)
    account = {item.image.id: item for item in usage.listed()}
    images: list[Json] = []
    containers: list[Json] = []
    for owner in asked.owners if watched is None else watched:
        told.times.begin()
        if isinstance(owner, Image):
            images.append(
                _image(store, owner, account.get(owner.id) or usage.of(owner)) | _stack(asked, owner, told)
            )
        else:
            containers.append(_container(owner) | _stack(asked, owner, told))
    events = engine_events(store, asked.owners)
    twin = {
        "schema": SCHEMA,
        "root": root_part(store, reproducible=asked.reproducible),
        "scope": "all" if asked.everything else "chosen",
        "totals": _totals(usage),
        "images": images,
        "containers": containers,
        "sharing": (sharing := list(_sharing(usage, asked.owners))),
        "names": _names(store, sharing),
        "findings": _doctor(store),
        "verified": None if asked.findings is None else [_finding(item) for item in asked.findings],
        "timeline": timeline_part(events, told.times),
        "problems": [*map(str, store.damage), *told.problems.texts],
        "evidence": evidence_part(store, witness, reproducible=asked.reproducible),
    }
    return twin | without_place(twin, store.path) if asked.reproducible else twin


def _stack(asked: Asked, owner: Image | Container, told: Told) -> Json:
    """The layers of an image or container; without them, why they cannot be read."""
    from layerfs.errors import CorruptStore
    from layerfs.model import Image

    kind = "image" if isinstance(owner, Image) else "container"
    try:
        return {"damage": None} | stack_part(asked.store, owner.id, kind, told)
    except CorruptStore as error:
        asked.store.report(error)
        empty: Json = {"layers": [], "waste": None, "hidden": [], "lanes": [], "directories": []}
        return {"damage": str(error)} | empty


def _image(store: Store, image: Image, usage: ImageUsage) -> Json:
    config = image.config
    return {
        "id": image.id,
        "name": image.name,
        "references": list(image.every_name),
        "created": rfc3339(config.created_ns),
        "platform": image.platform_name,
        "author": config.author,
        "target": image.target_digest,
        "size": usage.size,
        "shared_size": usage.shared,
        "unique_size": usage.unique,
        "freed_size": usage.freed,
        "packed_size": store.packed_size(image),
        "container_count": usage.containers,
        "chain": list(image.chain),
        "steps": [
            {
                "created": rfc3339(entry.created_ns),
                "created_by": entry.created_by,
                "comment": entry.comment,
                "author": entry.author,
                "empty_layer": entry.empty_layer,
            }
            for entry in config.history
        ],
    }


def _container(container: Container) -> Json:
    config = container.config
    return {
        "id": container.id,
        "name": container.name,
        "image": config.image_id if config else None,
        "created": rfc3339(config.created_ns) if config else None,
        "kind": container.kind,
        "pod": container.pod.name if container.pod else None,
    }


def _totals(usage: StoreUsage) -> Json:
    store = usage.root
    return {
        "images": len(store.image_ids()),
        "containers": len(store.containers()),
        "layers": len(usage.holders.layers),
        "size": usage.total_size,
        "shared_size": usage.shared_size,
        "reclaimable_size": usage.reclaimable_size,
    }


def _sharing(usage: StoreUsage, owners: Iterable[Image | Container]) -> Iterator[Json]:
    """Each layer of the images and containers of the report, with all that have it."""
    holders = usage.holders
    for chain in dict.fromkeys(chain for owner in owners for chain in _chain(usage.root, owner)):
        layer = holders.layers.get(chain)
        yield {
            "chain_id": chain,
            "diff_id": layer.diff_id if layer else None,
            "size": layer.size if layer else None,
            "images": [image.id for image in holders.images.get(chain, ())],
            "containers": [item.id for item in holders.containers.get(chain, ())],
        }


def _names(store: Store, sharing: Iterable[Json]) -> dict[str, str]:
    """What to call each image and container that shares a layer, by its ID."""
    wanted = {item for row in sharing for item in (*row["images"], *row["containers"])}
    known: list[Image | Container] = [*store.images(), *store.containers()]
    return {owner.id: owner.name for owner in known if owner.id in wanted}


def _chain(store: Store, owner: Image | Container) -> Sequence[ChainID]:
    """The chain IDs below an image or container, base first; none where they cannot be read."""
    from layerfs.errors import CorruptStore
    from layerfs.model import Image

    if isinstance(owner, Image):
        return owner.chain
    try:
        return [layer.chain_id for layer in store.layers_below(owner)]
    except CorruptStore as error:
        store.report(error)
        return ()


def _doctor(store: Store) -> list[Json] | None:
    """What is wrong with the store as a whole; None in kinds that are not examined."""
    from layerfs.capabilities import Diagnosable, DoctorOptions, unwatched

    if not isinstance(store, Diagnosable):
        return None
    return [row_of(item) for item in store.diagnose(DoctorOptions(), unwatched).diagnoses]


def _finding(item: Finding) -> Json:
    return {name: value for name, value in item._asdict().items() if name != "unread"}
