"""Whether the records of a data root are sound and agree: the checks that read no layer's content.

What the engine never compares is compared here: an image's config with its ID and its layers, a layer's
files with the chain ID that is its name, `link`, `lower` and `l/` with the walk along `parent`, names
with images, containers with their layers.

Sources: moby `layer/filestore.go`, `layer/layer_store.go`, `image/store.go`, `reference/store.go`,
`daemon/graphdriver/overlay2/overlay.go` (v20.10.24).
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import (
    ROOT,
    Finding,
    container_subject,
    from_damage,
    image_subject,
    layer_subject,
)
from layerfs.errors import CorruptStore, DataRootUnreadable
from layerfs.ids import CacheID, chain_id, chain_ids
from layerfs.stores.docker.driver import DIRECTORY_HALF, IMAGE_HALF
from layerfs.stores.docker.layerdb import TAR_SPLIT
from layerfs.stores.docker.overlay2 import MAX_STACK
from layerfs.stores.docker.refstore import read_repositories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from layerfs.analysis.doctor.findings import Severity
    from layerfs.formats.imageconfig import ImageConfig
    from layerfs.ids import ChainID, ContainerID, ImageID
    from layerfs.stores.docker.chains import ChainParts
    from layerfs.stores.docker.dataroot import DataRoot
    from layerfs.stores.docker.directories import Directory
    from layerfs.stores.docker.layerdb import NotedLayer
    from layerfs.stores.files import Problem

__all__ = ["Structure"]

_NAMED = 10  # others that claim the same directory


class Structure:
    """The checks of one data root; a record is read at most once.

    Every method yields what it finds; none raises for damage, nor reports it to the root.
    """

    def __init__(self, root: DataRoot) -> None:
        """Check the records of `root`."""
        self.root = root
        self._configs: dict[ImageID, ImageConfig | Problem] = {}
        self._missing: set[ChainID] = set()

    # -- names -----------------------------------------------------------------------------------

    def names(self) -> Iterator[Finding]:
        """What is wrong with repositories.json, and the names that lead to no image."""
        path = self.root.driver_dir.name_of("repositories.json")
        try:
            names = read_repositories(self.root.driver_dir)
        except CorruptStore as error:
            yield from_damage(error, "names", ROOT)
            return
        for problem in names.problems:
            yield Finding("name-invalid", "note", ROOT, path, "a reference and an image ID", problem)
        for row in names.rows:
            if row.image_id not in self.root.imagedb:
                yield Finding(
                    *("name-dangling", "warning", image_subject(row.image_id), path),
                    expected=f"an image for {row.reference}",
                    actual="none",
                    message=f"{row.reference} names an image that is not there",
                )

    # -- images ----------------------------------------------------------------------------------

    def image_ids(self) -> frozenset[ImageID]:
        """Every image that there is a config or a name of: one with a name only lost its config."""
        try:
            rows = read_repositories(self.root.driver_dir).rows
        except CorruptStore:  # `names` finds it
            rows = ()
        return frozenset((*self.root.imagedb.image_ids(), *(row.image_id for row in rows)))

    def image(self, image_id: ImageID) -> Iterator[Finding]:
        """What is wrong with an image's config and notes, and which of its layers are not there."""
        subject = image_subject(image_id)
        config = self.config(image_id)
        if isinstance(config, CorruptStore):
            yield from_damage(config, "config", subject)
            return
        yield from self._history(config, image_id)
        yield from _attempt("parent-note", subject, lambda: self.root.imagedb.parent(image_id), "warning")
        yield from _attempt("tag-time", subject, lambda: self.root.imagedb.last_updated(image_id), "warning")
        for chain in chain_ids(config.diff_ids):
            yield from self.layer_exists(chain, f"image {image_id} needs it")

    def config(self, image_id: ImageID) -> ImageConfig | Problem:
        """An image's config, or what is wrong with it."""
        found = self._configs.get(image_id)
        if found is None:
            try:
                found = self.root.imagedb.config(image_id)
            except CorruptStore as error:
                found = error
            self._configs[image_id] = found
        return found

    def _history(self, config: ImageConfig, image_id: ImageID) -> Iterator[Finding]:
        steps = sum(not entry.empty_layer for entry in config.history)
        if steps > len(config.diff_ids):
            yield Finding(
                *("history-wrong", "warning", image_subject(image_id), self.root.imagedb.file_name(image_id)),
                expected=f"at most {len(config.diff_ids)} steps that make a layer",
                actual=str(steps),
                message="the history names more layers than there are",
            )

    # -- layers ----------------------------------------------------------------------------------

    def layer_exists(self, chain: ChainID, message: str = "") -> Iterator[Finding]:
        """Whether a layer has a record at all; found once, whoever asks; `message` says who needs it."""
        problem = self.noted(chain).problems.get("")
        if problem and chain not in self._missing:
            self._missing.add(chain)
            found = from_damage(problem, "layer", layer_subject(chain))
            yield found._replace(message=f"{found.message}: {message}" if message else found.message)

    def layer(self, chain: ChainID) -> Iterator[Finding]:
        """What is wrong with a layer's record, its place in the chain, its directory and its links."""
        noted, subject = self.noted(chain), layer_subject(chain)
        if "" in noted.problems:
            yield from self.layer_exists(chain)
            return
        place = self.below(chain)
        found = self.root.records.directories.of(chain)
        for name, problem in noted.problems.items():
            finding = from_damage(problem, name, subject)
            yield finding._replace(expected=self._right_value(chain, name) or finding.expected)
        yield from self._place(chain, noted)
        parent = place.parent if place else noted.parent
        if parent:
            yield from self.layer_exists(parent, f"layer {chain} stands on it")
        yield from self._tar_split(chain)
        if noted.cache_id:
            yield from self._cache_id(chain, noted.cache_id, found)
        if cache_id := found.cache_id if found else noted.cache_id:
            yield from self.directory(cache_id, subject, self._stack(chain))

    def directory_of(self, chain: ChainID) -> CacheID | None:
        """A layer's directory, or where that cannot be told, the one it notes."""
        found = self.root.records.directories.of(chain)
        return found.cache_id if found else self.noted(chain).cache_id

    def noted(self, chain: ChainID) -> NotedLayer:
        """What the files of a layer's record say."""
        return self.root.layerdb.noted_layer(chain)

    def _place(self, chain: ChainID, noted: NotedLayer) -> Iterator[Finding]:
        """Whether `diff` and `parent` make the chain ID; if not, which of the two is wrong."""
        if noted.diff_id is None or "parent" in noted.problems:
            return
        computed = chain_id(noted.parent, noted.diff_id)
        if computed == chain:
            return
        subject, file_name = layer_subject(chain), self.root.layerdb.file_name
        right = self.below(chain)
        if right is None:
            message = "diff and parent do not make this chain ID"
            yield Finding("chain-wrong", "error", subject, file_name(chain), chain, computed, message)
            return
        if right.diff_id != noted.diff_id:
            yield Finding(
                *("diff-wrong", "error", subject, file_name(chain, "diff"), right.diff_id, noted.diff_id),
                message="not the diff ID that the chain ID is made of",
            )
        if right.parent != noted.parent:
            code = "parent-wrong" if noted.parent else "parent-missing"
            yield Finding(
                *(code, "error", subject, file_name(chain, "parent"), right.parent or "none"),
                actual=noted.parent,
                message="not the layer below" if noted.parent else "the file is missing",
            )

    def _right_value(self, chain: ChainID, name: str) -> str | None:
        """What belongs into a file of a layer's record, as far as something else tells."""
        if name == "cache-id":
            directory = self.root.records.directories.of(chain)
            return directory.cache_id if directory else None
        place = self.below(chain) if name in ("diff", "parent") else None
        if place is None:
            return None
        return place.diff_id if name == "diff" else place.parent or "none"

    def below(self, chain: ChainID) -> ChainParts | None:
        """What a layer is made of: as its record says if that is right; None where nothing tells."""
        return self.root.records.chains.place(chain)

    def _stack(self, chain: ChainID) -> list[CacheID | None] | None:
        """The directories of a layer and all below it, uppermost first; None where some cannot be told."""
        records = self.root.records
        steps = list(itertools.islice(records.chains.walk(chain), MAX_STACK + 1))
        if len(steps) > MAX_STACK or steps[-1].parts is None:
            return None
        directories = (records.directories.of(step.chain) for step in steps)
        return [found.cache_id if found else None for found in directories]

    def _tar_split(self, chain: ChainID) -> Iterator[Finding]:
        path = self.root.layerdb.file_name(chain, TAR_SPLIT)
        state = self.root.layerdb.tar_split_state(chain)
        if state:
            yield Finding(
                *(f"tar-split-{state}", "error", layer_subject(chain), path, "a gzip file", state),
                message="the layer's original tar cannot be told",
                unread=state == "unreadable",
            )

    def _cache_id(self, chain: ChainID, cache_id: CacheID, found: Directory | None) -> Iterator[Finding]:
        """Whether the directory that a layer notes is its own, as far as that can be told."""
        if found and found.cache_id != cache_id:
            yield Finding(
                *("cache-id-wrong", "error", layer_subject(chain)),
                path=self.root.layerdb.file_name(chain, "cache-id"),
                expected=found.cache_id,
                actual=cache_id,
                message=f"not the layer's directory: {found.told_by}",
            )
        claims = self.claims.get(cache_id, ())
        others = [other for other in claims[: _NAMED + 1] if other != layer_subject(chain)][:_NAMED]
        if others and not found:
            more = len(claims) - 1 - len(others)
            yield Finding(
                *("cache-id-shared", "error", layer_subject(chain)),
                path=self.root.layerdb.file_name(chain, "cache-id"),
                expected="a directory of its own",
                actual=f"{cache_id}, also of {', '.join(others)}" + (f" and {more} more" if more else ""),
                message="several layers have one directory: removing one removes the files of all",
            )

    @functools.cached_property
    def claims(self) -> Mapping[str, list[str]]:
        """Which layers and containers have each name in `overlay2/`, as subjects of findings."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for chain in self.root.layerdb.chain_ids():
            if cache_id := self.directory_of(chain):
                found[cache_id].append(layer_subject(chain))
        for container_id in self.root.layerdb.container_ids():
            mount = self.root.layerdb.noted_mount(container_id)
            for own in filter(None, (mount.mount_id, mount.init_id)):
                found[own].append(container_subject(container_id))
        return found

    # -- directories -----------------------------------------------------------------------------

    def directory(
        self, cache_id: CacheID, subject: str, stack: Sequence[CacheID | None] | None
    ) -> Iterator[Finding]:
        """What is wrong with a layer's directory: `diff/`, `link`, its short link, `lower`.

        Args:
            cache_id: its name in `overlay2/`.
            subject: what it belongs to.
            stack: it and all directories below it, uppermost first; None in it is one not known, and
                None instead of it that the stack is not known.
        """
        overlay2, link_of = self.root.overlay2, self.root.records.directories.link
        if DIRECTORY_HALF in self.root.gone:  # found once, for all
            return
        try:
            overlay2.diff(cache_id).close()
        except CorruptStore as error:
            path = error.path if cache_id in overlay2 else overlay2.path_of(cache_id)
            yield from_damage(error, "directory", subject)._replace(path=path)
            if cache_id not in overlay2 or isinstance(error, DataRootUnreadable):
                return
        yield from _attempt("link", subject, lambda: overlay2.link_problem(cache_id, link_of))
        yield from self._absolute(cache_id, subject)
        if stack:
            yield from _attempt("lower", subject, lambda: overlay2.lower_problem(stack, link_of))

    def _absolute(self, cache_id: CacheID, subject: str) -> Iterator[Finding]:
        overlay2 = self.root.overlay2
        try:
            link = overlay2.link(cache_id)
        except CorruptStore:
            return
        if link and overlay2.link_target(link) == cache_id and overlay2.is_absolute(link):
            yield Finding(
                *("short-link-absolute", "warning", subject),
                path=self.root.directory.name_of(f"overlay2/l/{link}"),
                expected=f"../{cache_id}/diff",
                actual="an absolute path",
                message="the short link leads to where the data root once was",
            )

    # -- containers ------------------------------------------------------------------------------

    @functools.cached_property
    def _containers(self) -> frozenset[ContainerID]:
        """Every container that has a directory in `containers/`."""
        return frozenset(self.root.containerdb.container_ids())

    def container(self, container_id: ContainerID) -> Iterator[Finding]:
        """What is wrong with a container's records and the directories it adds."""
        subject = container_subject(container_id)
        if container_id in self._containers:
            yield from _attempt(
                "container-config", subject, lambda: self.root.containerdb.config(container_id)
            )
        else:
            yield Finding(
                *("mount-orphaned", "warning", subject),
                path=self.root.driver_dir.name_of(f"layerdb/mounts/{container_id}"),
                expected=self.root.directory.name_of(f"containers/{container_id}"),
                actual="none",
                message="layers of a container that is gone",
            )
        if IMAGE_HALF not in self.root.gone:  # found once, for all
            yield from self._mount(container_id, subject)

    def _mount(self, container_id: ContainerID, subject: str) -> Iterator[Finding]:
        """What is wrong with a container's mount record and the directories it names."""
        mount = self.root.layerdb.noted_mount(container_id)
        for name, problem in mount.problems.items():
            if not name and self.root.containerdb.has_other_driver(container_id):
                continue  # its record is below that driver's own directory
            yield from_damage(problem, f"mount-{name}" if name == "parent" else name or "mount", subject)
        below: list[CacheID | None] | None = []
        if mount.parent:
            yield from self.layer_exists(mount.parent, f"container {container_id} stands on it")
            below = self._stack(mount.parent)
        elif "parent" in mount.problems:
            below = None
        if mount.init_id:
            yield from self.directory(mount.init_id, subject, _upon(below, mount.init_id))
            below = _upon(below, mount.init_id)
        elif "init-id" in mount.problems:
            below = None
        elif mount.mount_id and (found := self._init_missing(container_id, mount.mount_id)):
            yield found
            below = None
        if mount.mount_id:
            yield from self.directory(mount.mount_id, subject, _upon(below, mount.mount_id))

    def _init_missing(self, container_id: ContainerID, mount_id: CacheID) -> Finding | None:
        """The finding where there is an -init directory that the container's record does not name."""
        if CacheID(f"{mount_id}-init") not in self.root.overlay2:
            return None
        path = self.root.driver_dir.name_of(f"layerdb/mounts/{container_id}/init-id")
        finding = Finding("init-id-missing", "warning", container_subject(container_id), path)
        return finding._replace(expected=f"{mount_id}-init", message="the file is missing")


def _upon(below: Sequence[CacheID | None] | None, cache_id: CacheID) -> list[CacheID | None] | None:
    return None if below is None else [cache_id, *below]


def _attempt(
    noun: str, subject: str, check: Callable[[], object], severity: Severity = "error"
) -> Iterator[Finding]:
    """The finding of a check that gives or raises what it finds; a sound value is no finding."""
    problem: object
    try:
        problem = check()
    except CorruptStore as error:
        problem = error
    if isinstance(problem, CorruptStore):
        is_link = noun == "link" and not problem.path.endswith("/link")
        yield from_damage(problem, "short-link" if is_link else noun, subject, severity)
