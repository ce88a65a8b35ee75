"""What a store contains, whatever kind it is: `Image`, `Container`, `Layer`, and a `Finding` about it.

A kind of store that knows more of one makes it of a class of its own, derived from these.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from layerfs.ids import chain_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from layerfs.formats.containerconfig import ContainerConfig
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.formats.reference import Reference
    from layerfs.ids import BlobDigest, ChainID, ContainerID, DiffID, ImageID

__all__ = [
    "GROUPS",
    "INIT",
    "NOWHERE",
    "READ_WRITE",
    "WHOLE",
    "BareLayer",
    "Blob",
    "Container",
    "Diagnosis",
    "Finding",
    "Image",
    "Layer",
    "LayerInfo",
    "Named",
    "Place",
    "Pod",
    "Remedy",
    "Removes",
    "Severity",
    "added_up",
]

READ_WRITE = "read-write layer"
INIT = "init layer"
"""The kinds of a container's own layers."""

WHOLE = "whole tree"
"""The kind of what is no layer on others: all of a tree in one directory."""


class Layer:
    """A layer of an image, on top of those below it; each kind of store has a class derived from this.

    Attributes:
        chain_id: its identity on top of those below.
        diff_id: sha256 of its uncompressed tar.
        parent: the layer it stands on; None for a base layer.
        cache_id: the name of its directory in Docker's `overlay2/`; None in a kind of store without one.
        size: bytes, as its engine counts them; None where that is not known.
    """

    __slots__ = ()

    @property
    def blob_digest(self) -> BlobDigest | None:
        """The digest of its blob, in kinds of store that know it; whether it is there, `export` tells."""
        return None

    @property
    def blob_size(self) -> int | None:
        """Bytes of that blob."""
        return None

    if TYPE_CHECKING:  # for a derived class to say as fields or properties

        @property
        def chain_id(self) -> ChainID:
            """See above."""

        @property
        def diff_id(self) -> DiffID:
            """See above."""

        @property
        def parent(self) -> ChainID | None:
            """See above."""

        @property
        def cache_id(self) -> str | None:
            """See above."""

        @property
        def size(self) -> int | None:
            """See above."""


def added_up(sizes: Iterable[int | None]) -> int | None:
    """The sum of some sizes; None where one is not known."""
    total = 0
    for size in sizes:
        if size is None:
            return None
        total += size
    return total


@dataclass(frozen=True)
class Image:
    """An image whose config was read and hashes to its ID.

    Attributes:
        id: sha256 of the config.
        references: every name that points at it, sorted; tags and digests alike.
        config: the parsed config.
        parent: the parent image as the engine noted it, unchecked; None for most images.
    """

    id: ImageID
    references: tuple[Reference, ...]
    config: ImageConfig
    parent: str | None = None

    @functools.cached_property
    def chain(self) -> tuple[ChainID, ...]:
        """The chain ID of each layer, base first, computed from the config."""
        return chain_ids(self.config.diff_ids)

    @property
    def listed_references(self) -> tuple[Reference, ...]:
        """Those of its names that its engine lists."""
        return self.references

    @property
    def other_names(self) -> tuple[str, ...]:
        """Its names that are no references, in kinds of store where such can be."""
        return ()

    @property
    def every_name(self) -> tuple[str, ...]:
        """Its references as Docker shows them, and its other names."""
        return (*map(str, self.references), *self.other_names)

    @property
    def first_tag(self) -> tuple[str | None, str | None]:
        """Repository and tag of its first name with a tag; else another name, whole, and no tag."""
        tags = sorted((name for name in self.references if name.tag), key=lambda name: name.canonical)
        if tags:
            return tags[0].familiar_name, tags[0].tag
        return next(iter(self.other_names), None), None

    @property
    def has_name(self) -> bool:
        """Whether anything names it."""
        return bool(self.references)

    @property
    def platform_name(self) -> str | None:
        """What it is for, as `linux/arm/v7`; None where its config does not say."""
        config = self.config
        if not (config.os and config.architecture):
            return None
        return "/".join(filter(None, (config.os, config.architecture, config.variant)))

    @property
    def target_digest(self) -> str | None:
        """The digest of the index or manifest that its names point at; None in kinds without one."""
        return None

    @functools.cached_property
    def name(self) -> str:
        """What to call it: its first tag, else its first name, else its ID."""
        tags = [reference for reference in self.references if reference.tag]
        return str(next(iter(tags or self.references), self.id))


class Pod(NamedTuple):
    """A pod of Kubernetes, as its sandbox tells, or of Podman.

    Attributes:
        name, namespace, uid: what Kubernetes calls it; its namespace is none of containerd's. Podman knows
            only names.
        id: of its sandbox; in Podman its own.
        attempt: how many sandboxes it had before; None where that is not known.
        labels: the pod's.
    """

    name: str
    namespace: str
    uid: str
    id: str
    attempt: int | None
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Container:
    """A container: its config and its layers; either may be missing from a damaged or cut-down store.

    Attributes:
        own: its own layers, base first; none where its layers are not known.
        top: the uppermost layer of the image below; None for a container of none, or where it is not known.
        elsewhere: the driver that has its layers, where that is another store's.
        pod: whose it is, in Kubernetes or Podman; None for none.
        attempt: how many times Kubernetes made it before; None elsewhere.
        kind: `container`; `sandbox` for what holds a pod of Kubernetes together, `infra` one of Podman;
            `working container` of a build that is not finished.
    """

    id: ContainerID
    config: ContainerConfig | None
    own: tuple[BareLayer, ...] = ()
    top: ChainID | None = None
    elsewhere: str | None = None
    pod: Pod | None = None
    attempt: int | None = None
    kind: str = "container"

    @property
    def labels(self) -> Mapping[str, str]:
        """Its own labels, and its pod's where it has none of that name."""
        own = self.config.labels if self.config else {}
        return {**self.pod.labels, **own} if self.pod else own

    @property
    def name(self) -> str:
        """Its name without the slash, or its ID."""
        return self.config.name if self.config and self.config.name else self.id

    def own_layer(self, kind: str) -> BareLayer | None:
        """Its own layer of a kind, `READ_WRITE` or `INIT`."""
        return next((layer for layer in self.own if layer.kind == kind), None)


class BareLayer(NamedTuple):
    """A layer that is no image's: it has no chain ID, no diff ID, and no archive.

    Attributes:
        cache_id: the name of its place, as that of its directory in Docker's `overlay2/`.
        kind: `READ_WRITE` or `INIT` of a container; `INIT` also of what a build left between layers of an
            image; `WHOLE`; `directory` of nobody, or BuildKit's.
        container_id: the container; None where it is not of one that is there.
    """

    cache_id: str
    kind: str = "directory"
    container_id: ContainerID | None = None


class LayerInfo(NamedTuple):
    """A layer of a tree: its number, and its names.

    Attributes:
        number: 1 is the base; None where the layers below are not known.
        cache_id: the name of its directory, as in Docker's `overlay2/`; None in kinds of store without one.
        diff_id: None for a container's own layers, and any other directory without a record.
        chain_id: likewise.
    """

    number: int | None
    cache_id: str | None
    diff_id: DiffID | None = None
    chain_id: ChainID | None = None

    @classmethod
    def of(cls, number: int | None, layer: Layer | BareLayer) -> LayerInfo:
        """What is told of a layer that has this number in its stack."""
        if isinstance(layer, BareLayer):
            return cls(number, layer.cache_id)
        return cls(number, layer.cache_id, layer.diff_id, layer.chain_id)


Named: TypeAlias = Image | Container | Layer | BareLayer
"""What a name can mean."""


class Place(NamedTuple):
    """Where a layer's files are.

    Attributes:
        directory: the path of its directory, beginning like the store's own; None where it has none.
        link: another short name of it, in kinds of store that have one.
    """

    directory: str | None = None
    link: str | None = None


NOWHERE = Place()


class Blob(NamedTuple):
    """What a layer is in registries.

    Attributes:
        digest: of its bytes there, compressed or not.
        repositories: those known to have had it, in full, oldest note first.
    """

    digest: BlobDigest
    repositories: tuple[str, ...]


Severity: TypeAlias = Literal["error", "warning", "note"]
"""The engine loses or refuses something; something is odd, impaired or wasted; good to know."""


class Finding(NamedTuple):
    """One defect, leftover, or difference; the same shape for every check of every kind of store.

    Attributes:
        code: which it is, in stable words as `lower-missing`.
        severity: how bad it is.
        subject: what it concerns: `image <ID>`, `layer <chain ID>`, `container <ID>`,
            `directory <name in overlay2/>`, or the store as a whole: `root`, `archive`; IDs in full.
        path: the file or member it is about, named as in the messages of the store.
        expected: what should be there, or None.
        actual: what is there, or None.
        message: what is wrong, in a few words.
        hint: what to do or to know about it, or None.
        unread: whether something that was to be looked at could not be read, so that nothing is known of it.
    """

    code: str
    severity: Severity
    subject: str
    path: str
    expected: str | None = None
    actual: str | None = None
    message: str = ""
    hint: str | None = None
    unread: bool = False


Removes: TypeAlias = Literal["", "path", "costs", "records"]
"""What is removed by hand to mend something; see `Remedy`."""

GROUPS = ("damaged", "missing", "half-written", "orphaned", "stale", "leftover", "unreadable")
"""Groups of findings, in the order of a report."""


class Remedy(NamedTuple):
    """What a code means.

    Attributes:
        group: the kind of finding, one of `GROUPS`.
        at_start: what an Engine does with it when it starts; empty for nothing.
        later: what fails or goes wrong in its use; empty for nothing.
        suggestion: what could be done about it, with the Engine stopped and on a copy first.
        drops: whether the Engine does not load the layer, nor any above it.
        removes: what the suggestion removes by hand: the `path` of the finding, all that it `costs`, or
            the `records` of a layer and of those above it; empty for nothing.
    """

    group: str
    at_start: str
    later: str
    suggestion: str
    drops: bool = False
    removes: Removes = ""


class Diagnosis(NamedTuple):
    """A finding, and what it means.

    Attributes:
        finding: what was found.
        remedy: what it does to an Engine, and what could be done.
        affects: the images and containers it concerns, as subjects of findings.
        costs: the paths below the data root whose files are what it costs.
        bytes: what these take on disk; None until it was counted.
        remove: what the remedy removes by hand, named as `path` of the finding.
    """

    finding: Finding
    remedy: Remedy
    affects: tuple[str, ...] = ()
    costs: tuple[bytes, ...] = ()
    bytes: int | None = None
    remove: tuple[str, ...] = ()
