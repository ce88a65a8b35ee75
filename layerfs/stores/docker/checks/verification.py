"""Whether images and layers are what they were when they were pulled or built.

The records are checked by `structure`; then each layer's files are compared with its archive, by
`analysis.verify`, several layers at a time. A layer is checked once, however many images have it.

Sources: moby `layer/filestore.go`, `layer/ro_layer.go`, `image/store.go` (v20.10.24).
"""

from __future__ import annotations

import functools
import re
import time
from typing import TYPE_CHECKING, NamedTuple

from layerfs.analysis.doctor.findings import Finding, layer_subject
from layerfs.analysis.verify.attributes import Attributes
from layerfs.analysis.verify.hiding import Hiding
from layerfs.analysis.verify.layercheck import LayerCheck
from layerfs.analysis.verify.layerfindings import LayerFindings
from layerfs.analysis.verify.repeats import PathRepeated
from layerfs.analysis.verify.verdicts import LayerVerdict, called, in_order, not_compared
from layerfs.errors import CorruptStore, LookupFailed
from layerfs.formats.rootpath import root_paths
from layerfs.formats.whiteouts import USER
from layerfs.ids import ChainID, ImageID, chain_ids
from layerfs.store import FILES, RECORDS
from layerfs.stores.docker.checks.structure import Structure
from layerfs.stores.layerarchive import LayerArchive
from layerfs.syscalls import is_system_admin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from layerfs.capabilities import Progress, VerifyOptions
    from layerfs.ids import CacheID, DiffID
    from layerfs.stores.docker.dataroot import DataRoot
    from layerfs.tree.union import UnionTree

__all__ = ["LayerJob", "LayerVerdict", "Verification", "verification"]

_BUILDKIT = re.compile(r"[a-z0-9]{25}")
"""The names BuildKit gives: its layers were written in place and never unpacked from a tar."""

_SAMPLES = 256  # layers that are asked how their engine applies archives

_PER_RECORD = 250
"""Bytes hashed in the time that is needed for one byte of a packed `tar-split.json.gz`, about."""


class LayerJob(NamedTuple):
    """A layer whose files can be compared.

    Attributes:
        chain_id: which layer.
        cache_id: its directory.
        diff_id: what its tar must hash to.
        size: its size in bytes as noted; None where that is damaged.
        work: how long it takes, in bytes that could be hashed meanwhile.
    """

    chain_id: ChainID
    cache_id: CacheID
    diff_id: DiffID
    size: int | None
    work: int


def verification(
    root: DataRoot, names: Sequence[tuple[str, int | None]], options: VerifyOptions
) -> _NamedCheck:
    """The check of what the names mean, or of everything; see `Verifiable`."""
    root.require(RECORDS, FILES)
    found = Verification(root, options)
    if not names:
        return _NamedCheck(found, root.image_ids(), found.all_chains(), quick=options.quick)
    images: list[ImageID] = []
    chains: list[ChainID] = []
    for name, number in names:
        if number is not None:
            image = root.image(name)
            images.append(image.id)
            chains += found.chains_of(image.id)[: root.layer_number(image, number, name)]
            continue
        for item in found.called(name, options.path):
            if isinstance(item, ImageID):
                images.append(item)
                chains += found.chains_of(item)
            else:
                chains.append(item)
    return _NamedCheck(found, dict.fromkeys(images), dict.fromkeys(chains), quick=options.quick)


class _NamedCheck:
    """See `capabilities.Check`."""

    def __init__(
        self, check: Verification, images: Iterable[ImageID], chains: Iterable[ChainID], *, quick: bool
    ) -> None:
        self._verification = check
        self._images = list(images)
        self._chains = list(chains)
        self._quick = quick
        self.images = len(self._images)
        self.layers = len(self._chains)
        self.proven = self.proven_size = 0
        self.seconds = 0.0

    def findings(self, on_progress: Progress) -> Iterator[Finding]:
        """What is wrong with the records, and then with one layer after the other."""
        yield from self._verification.records(self._images, self._chains)
        jobs = [] if self._quick else self._verification.jobs(self._chains)
        started = time.monotonic()
        for verdict in self._verification.verdicts(jobs, on_progress):
            self.proven += verdict.proven
            self.proven_size += verdict.tar_size
            yield from verdict.findings
        self.seconds = time.monotonic() - started


class Verification:
    """Checks images and layers of one data root; nothing is reported to it, all is a `Finding`."""

    def __init__(self, root: DataRoot, options: VerifyOptions) -> None:
        """Check as `options` say."""
        self._root = root
        self._options = options
        self._structure = Structure(root)
        self._sees_all = is_system_admin()
        self._foreign = root.owners.are_same and root.directory.lstat().st_uid != 0

    # -- records -------------------------------------------------------------------------------

    def chains_of(self, image: ImageID) -> tuple[ChainID, ...]:
        """The layers of an image, base first; none where its config is damaged, which `records` finds."""
        try:
            return chain_ids(self._root.imagedb.config(image).diff_ids)
        except CorruptStore:
            return ()

    def called(self, name: str, root_path: bytes) -> list[ImageID | ChainID]:
        """The image, or else the layers, that a name or a path of a layer means, damaged ones too.

        Args:
            name: what was given.
            root_path: the data root's absolute path; a path of another place is understood as well.

        Raises:
            LookupFailed: it means none, or something that has no archive to be compared with.
        """
        wanted = None if self._is_image(name) else _of_path(name, root_path)
        kinds = ("image", "layer") if wanted is None else ("layer",)
        matches = self._root.names.matches(wanted or name, kinds)
        return called(name, matches)

    def _is_image(self, name: str) -> bool:
        """Whether a reference that looks like a path is an image's."""
        try:
            return bool(self._root.names.image_id(name))
        except LookupFailed:
            return False

    def all_chains(self) -> list[ChainID]:
        """Every layer of the root, also those that are damaged, and those that images lack."""
        noted = self._root.layerdb.chain_ids()
        wanted = (chain for image in self._root.imagedb.image_ids() for chain in self.chains_of(image))
        return list(dict.fromkeys([*wanted, *noted]))

    def records(self, images: Iterable[ImageID], chains: Iterable[ChainID]) -> list[Finding]:
        """What is wrong with the records of images and layers, each defect once."""
        found = [*self._not_compared()]
        for image in images:
            found += self._structure.image(image)
        for chain in chains:
            found += self._structure.layer(chain)
        found = [_softened(finding) for finding in found]
        return list({(finding.code, finding.subject, finding.path): finding for finding in found}.values())

    def _not_compared(self) -> Iterator[Finding]:
        foreign = "the data root is not root's, nor a user namespace's" if self._foreign else None
        return not_compared(self._root.directory.display, self._options, foreign, sees_all=self._sees_all)

    # -- contents ------------------------------------------------------------------------------

    def jobs(self, chains: Iterable[ChainID]) -> list[LayerJob]:
        """The layers whose files can be compared; why the others cannot, `records` says."""
        found = [self._job(chain) for chain in dict.fromkeys(chains)]
        return [job for job in found if job]

    def _job(self, chain: ChainID) -> LayerJob | None:
        noted, layerdb = self._structure.noted(chain), self._root.layerdb
        place = self._structure.below(chain)
        diff_id = place.diff_id if place else noted.diff_id
        cache_id = self._structure.directory_of(chain)
        if cache_id is None or diff_id is None or layerdb.tar_split_state(chain):
            return None
        if cache_id not in self._root.overlay2:
            return None
        work = max(noted.size or 0, 0) + _PER_RECORD * layerdb.tar_split_size(chain)
        return LayerJob(chain, cache_id, diff_id, noted.size, work)

    def verdicts(self, jobs: Sequence[LayerJob], on_progress: Progress) -> Iterator[LayerVerdict]:
        """Compare layers, by several processes; the verdicts in the order of `jobs`."""
        work = {job: job.work for job in jobs}
        return in_order(self.check, work, self._options.processes, on_progress, self._where)

    def _where(self, job: LayerJob) -> tuple[str, str]:
        return layer_subject(job.chain_id), self._root.overlay2.path_of(job.cache_id)

    def check(
        self, job: LayerJob, told: Callable[[int], object] = lambda _count: None, *, beside: bool = False
    ) -> LayerVerdict:
        """Compare one layer."""
        try:
            diff = self._root.overlay2.diff(job.cache_id)
        except CorruptStore:
            return LayerVerdict((), proven=False, tar_size=0)  # found in its record
        with diff:
            archive = LayerArchive(job.chain_id, self._root.layerdb, diff)
            try:
                found, checked = self._compare(job, archive, {}, told, beside=beside)
            except PathRepeated:
                found, checked = self._compare(job, archive, archive.repeated(), told, beside=beside)
            if checked.sizes and job.size is not None and job.size not in checked.sizes:
                path = self._root.layerdb.file_name(job.chain_id, "size")
                said = " or ".join(map(str, sorted(checked.sizes))), str(job.size)
                found.add("size-wrong", path, *said, "not the size of the layer")
            return LayerVerdict(found.result(), checked.proven, checked.content.size)

    def _compare(
        self,
        job: LayerJob,
        archive: LayerArchive,
        repeated: Mapping[bytes, int],
        told: Callable[[int], object],
        *,
        beside: bool,
    ) -> tuple[LayerFindings, LayerCheck]:
        """Compare one layer, of whose archive these paths come several times; raises `PathRepeated`."""
        found = LayerFindings(layer_subject(job.chain_id), archive.diff, list_all=self._options.list_all)
        attributes = self._attributes(job)
        below = functools.partial(self._below, job.chain_id)
        hiding = Hiding(archive, self._root.dialect, below, naive=attributes.naive)
        checked = LayerCheck(archive, found, attributes, hiding, told=told, beside=beside, repeated=repeated)
        try:
            checked.run(job.diff_id)
        except OSError as error:
            found.add("unreadable", b"", None, error.strerror, "the layer cannot be read to its end")
        return found, checked

    def _below(self, chain: ChainID) -> UnionTree | None:
        """What a layer stands on, or None for a base; raises `CorruptStore`."""
        place = self._structure.below(chain)
        records = self._root.records
        parent = place.parent if place else records.layer(chain).parent
        return self._root.tree_below(records.layer(parent)) if parent else None

    def _attributes(self, job: LayerJob) -> Attributes:
        aspects = self._options.aspects - {"owner"} if self._foreign else self._options.aspects
        dialect = self._root.dialect
        return Attributes(
            aspects,
            dialect,
            in_place=_BUILDKIT.fullmatch(job.cache_id) is not None,
            sees_all=self._sees_all,
            owners=self._root.owners,
            naive=self._naive,
        )

    @functools.cached_property
    def _naive(self) -> bool:
        """Whether the engine applies archives through overlayfs, as a rootless one does; see `hiding`."""
        dialect, layerdb = self._root.dialect, self._root.layerdb
        if dialect is USER:
            return True
        for chain in layerdb.chain_ids()[:_SAMPLES]:  # in the order of a hash, which is a random one
            noted = layerdb.noted_layer(chain)
            if noted.cache_id is None or not noted.parent or _BUILDKIT.fullmatch(noted.cache_id):
                continue
            try:
                names = self._root.overlay2.diff(noted.cache_id).xattr_names()
            except (CorruptStore, OSError):
                continue
            if any(map(dialect.tells_of_copies, names)):
                return True
        return False


def _softened(finding: Finding) -> Finding:
    """What a reader without privilege cannot look at is no sign of a change."""
    return finding._replace(severity="warning") if finding.unread else finding


def _of_path(name: str, root_path: bytes) -> str | None:
    """The ID in a path of a layer; None for what is no path of one."""
    if "/" not in name or "\0" in name:
        return None
    for place in root_paths(name.encode("utf-8", "surrogateescape"), root_path):
        if place.kind in ("directory", "link", "chain", "diff"):
            return place.name
    return None
