"""Whether images and layers are unchanged since they were pulled or built.

Every blob is hashed; a layer that is unpacked as directories is compared, file by file, with the tar in its
blob, several layers at a time. A layer is checked once, however many images have it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import Finding, from_damage, layer_subject
from layerfs.analysis.verify.attributes import Attributes
from layerfs.analysis.verify.hiding import Hiding
from layerfs.analysis.verify.layercheck import LayerCheck
from layerfs.analysis.verify.layerfindings import LayerFindings
from layerfs.analysis.verify.repeats import PathRepeated
from layerfs.analysis.verify.unpacking import Unpacking
from layerfs.analysis.verify.verdicts import LayerVerdict, called, in_order, not_compared
from layerfs.errors import CorruptStore
from layerfs.ids import ChainID, ImageID
from layerfs.stores.blobs.layers import LayerFiles
from layerfs.stores.containerd.checks.blobtar import BlobTar
from layerfs.stores.containerd.checks.records import Records
from layerfs.stores.containerd.checks.standing import Standing
from layerfs.syscalls import is_system_admin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from layerfs.cache.blobs import Plain
    from layerfs.capabilities import Progress, VerifyOptions
    from layerfs.hostdir import HostDir
    from layerfs.stores.containerd.layers import ContainerdLayer, Placed
    from layerfs.stores.containerd.store import ContainerdStore
    from layerfs.tree.parents import Given

__all__ = ["LayerVerdict", "Verification", "verification"]

_MARKS = ("whiteout-missing", "opaque-missing")
_LOST_MARKS = (
    "{which}, as by containerd 2.2.0 to 2.2.2 with max_concurrent_unpacks: what was hidden shows again"
)


def verification(
    store: ContainerdStore, names: Sequence[tuple[str, int | None]], options: VerifyOptions
) -> _NamedCheck:
    """The check of what the names mean, or of everything; see `Verifiable`."""
    store.keep_quiet()
    found = Verification(store, options)
    if not names:
        return _NamedCheck(found, list(store.targets.ids), list(store.layers_by_chain), is_all=True)
    images: dict[ImageID, None] = {}
    chains: dict[ChainID, None] = {}
    for name, number in names:
        if number is not None:
            image = store.image(name)
            images[image.id] = None
            chains |= dict.fromkeys(image.chain[: store.layer_number(image, number, name)])
            continue
        for item in found.called(name):
            if isinstance(item, ImageID):
                images[item] = None
                chains |= dict.fromkeys(found.chains_of(item))
            else:
                chains[item] = None
    return _NamedCheck(found, list(images), list(chains), is_all=False)


class _NamedCheck:
    """See `capabilities.Check`."""

    def __init__(
        self, check: Verification, images: Sequence[ImageID], chains: Sequence[ChainID], *, is_all: bool
    ) -> None:
        self._verification = check
        self._images = images
        self._chains = chains
        self._is_all = is_all
        self.images = len(images)
        self.layers = len(chains)
        self.proven = self.proven_size = 0
        self.seconds = 0.0

    def findings(self, on_progress: Progress) -> Iterator[Finding]:
        """The faults of records and documents, and then those of one layer after the other."""
        check = self._verification
        seen: set[tuple[str, str, str]] = set()
        for finding in check.records(self._images, self._chains, is_all=self._is_all):
            if (key := (finding.code, finding.subject, finding.path)) not in seen:
                seen.add(key)
                yield finding
        started = time.monotonic()
        for verdict in check.verdicts(self._chains, on_progress):
            self.proven += verdict.proven
            self.proven_size += verdict.tar_size * verdict.proven
            yield from verdict.findings
        self.seconds = time.monotonic() - started
        yield from check.reported({path for _, _, path in seen})


class Verification:
    """Checks images and layers of one store; damage becomes a `Finding`, and is not reported to the store."""

    def __init__(self, store: ContainerdStore, options: VerifyOptions) -> None:
        """Check as `options` say."""
        self._store = store
        self._options = options
        self._records = Records(store)
        self._standing = Standing(store)
        self._sees_all = is_system_admin()
        self._foreign = store.directory.lstat().st_uid != 0

    def called(self, name: str) -> list[ImageID | ChainID]:
        """The image, or else the layers, that a name means, also damaged ones; raises `LookupFailed`."""
        return called(name, self._store.names.matches(name, ("image", "layer")))

    def chains_of(self, image: ImageID) -> list[ChainID]:
        """The layers of all platforms of an image; none if it is damaged, which `records` finds."""
        found: dict[ChainID, None] = {}
        for item in self._store.targets.every_platform(image):
            found |= dict.fromkeys(item.chain)
        return list(found)

    # -- records -------------------------------------------------------------------------------

    def records(
        self, images: Iterable[ImageID], chains: Sequence[ChainID], *, is_all: bool
    ) -> Iterator[Finding]:
        """The faults of the records of images and layers, and if all is checked, of all blobs."""
        yield from self._not_compared()
        for image in images:
            yield from self._records.image(image)
        layers = [layer for chain in chains if (layer := self._store.layers_by_chain.get(chain))]
        for layer in layers:
            yield from self._records.layer(layer)
        yield from self._records.snapshots(None if is_all else {str(chain) for chain in chains})
        if is_all and not self._options.quick:
            yield from self._records.blobs({layer.digest or layer.diff_id for layer in layers})

    def reported(self, told: Collection[str]) -> Iterator[Finding]:
        """Other damage that the store reported, except for the paths `told`."""
        return self._records.reported(told)

    def _not_compared(self) -> Iterator[Finding]:
        foreign = "the root is not root's" if self._foreign else None
        return not_compared(self._store.directory.display, self._options, foreign, sees_all=self._sees_all)

    # -- contents ------------------------------------------------------------------------------

    def verdicts(self, chains: Iterable[ChainID], on_progress: Progress) -> Iterator[LayerVerdict]:
        """Check the blobs of layers, and their files, by several processes; in the order of `chains`."""
        known = self._store.layers_by_chain
        jobs = [chain for chain in chains if chain in known and known[chain].packed]
        work = {} if self._options.quick else {chain: _size(known[chain]) for chain in jobs}
        return in_order(self.check, work, self._options.processes, on_progress, self._where)

    def _where(self, chain: ChainID) -> tuple[str, str]:
        packed = self._store.layers_by_chain[chain].packed
        return layer_subject(chain), packed.blob.label if packed else self._store.path

    def check(
        self, chain: ChainID, told: Callable[[int], object] = lambda _count: None, *, beside: bool = False
    ) -> LayerVerdict:
        """Check one layer: its blob, and its files where they are unpacked as directories."""
        layer = self._store.layers_by_chain[chain]
        assert layer.packed  # noqa: S101 - of others there is no job
        subject, label = layer_subject(chain), layer.packed.blob.label
        files = LayerFiles(
            self._store.cache.unkept(), self._store.report
        )  # forked processes share no scratch files
        try:
            plain = files.plain(layer.packed.blob, fresh=True)
        except CorruptStore as error:
            return LayerVerdict((from_damage(error, "layer", subject),), proven=False, tar_size=0)
        found: list[Finding] = []
        is_sound = layer.digest is None or plain.digest == layer.digest
        if not is_sound:
            message = "the blob does not hash to its name"
            found.append(
                Finding("layer-altered", "error", subject, label, layer.digest, plain.digest, message)
            )
        if plain.diff_id != layer.diff_id:
            message = "the layer is not the one in the config"
            said = layer.diff_id, plain.diff_id
            found.append(Finding("diff-id-wrong", "error", subject, label, *said, message))
        proven = not found
        for placed in self._store.snapshots.every(chain):
            if placed.snapshotter.is_readable and not placed.snapshotter.is_whole:
                more, same = (
                    self._of_files(layer, placed, plain, told, beside=beside)
                    if is_sound
                    else _passed_over(placed, subject)
                )
                found += more
                proven = proven and same
        return LayerVerdict(found, proven=proven, tar_size=plain.size)

    def _of_files(
        self,
        layer: ContainerdLayer,
        placed: Placed,
        plain: Plain,
        told: Callable[[int], object],
        *,
        beside: bool,
    ) -> tuple[Sequence[Finding], bool]:
        """The differences between a snapshot's files and the tar, and whether all contents are the same."""
        assert layer.packed  # noqa: S101 - it was read
        try:
            diff = placed.snapshotter.tree(placed.snapshot.number)
        except CorruptStore:
            return (), False  # found in its record
        is_base = not placed.snapshot.parent
        with diff:
            tar = BlobTar(layer.packed.blob.label, plain, diff, is_base=is_base)
            try:
                found, checked = self._compare(layer, placed, tar, plain, {}, told, beside=beside)
            except PathRepeated:
                repeated = tar.repeated()
                found, checked = self._compare(layer, placed, tar, plain, repeated, told, beside=beside)
            result = found.result()
            return result if is_base else self._named_fault(layer, tar, diff, result), checked.proven

    def _compare(
        self,
        layer: ContainerdLayer,
        placed: Placed,
        tar: BlobTar,
        plain: Plain,
        repeated: Mapping[bytes, int],
        told: Callable[[int], object],
        *,
        beside: bool,
    ) -> tuple[LayerFindings, LayerCheck]:
        """Compare; `repeated` are the paths that the tar has several times; raises `PathRepeated`."""
        found = LayerFindings(layer_subject(layer.chain_id), tar.diff, list_all=self._options.list_all)
        aspects = self._options.aspects - {"owner"} if self._foreign else self._options.aspects
        attributes = Attributes(
            aspects,
            self._store.dialect,
            in_place=False,
            sees_all=self._sees_all,
            unpacking=Unpacking(copies_up=True),
        )

        def gives(path: bytes) -> Given | None:
            return self._standing.given(placed, path)

        # a base has no marks, as nothing is below it; other layers have each one of their tar
        hiding = Hiding(tar, self._store.dialect, lambda: None, naive=tar.is_base, gives=gives)
        checked = LayerCheck(tar, found, attributes, hiding, told=told, beside=beside, repeated=repeated)
        try:
            checked.run(type(layer.diff_id)(plain.diff_id))
        except CorruptStore as error:
            found.add("tar-malformed", error.path, error.expected, error.found, error.problem)
        except OSError as error:
            found.add("unreadable", b"", None, error.strerror, "the layer cannot be read to its end")
        return found, checked

    def _named_fault(
        self, layer: ContainerdLayer, tar: BlobTar, diff: HostDir, found: Sequence[Finding]
    ) -> list[Finding]:
        """The findings; if containerd's fault is the reason, all missing marks are one finding."""
        lost = [finding for finding in found if finding.code in _MARKS]
        try:
            marks = tar.marks()
        except CorruptStore:
            return list(found)
        count = len(marks.opaque) + len(marks.whiteouts)
        if not lost or self._options.list_all or len(lost) < count:
            return list(found)
        which = f"none of its {count} whiteouts and opaque marks was unpacked"
        message = _LOST_MARKS.format(
            which=which if count > 1 else "its only whiteout or opaque mark was not unpacked"
        )
        hint = "remove the image and pull it again with another containerd; --list-all names every mark"
        fault = Finding(
            "marks-not-unpacked", "error", layer_subject(layer.chain_id), diff.display,
            None, None, message, hint,
        )  # fmt: skip
        return [fault, *(finding for finding in found if finding.code not in _MARKS)]


def _passed_over(placed: Placed, subject: str) -> tuple[Sequence[Finding], bool]:
    """The finding that files are not compared, as their blob is altered."""
    path = placed.snapshotter.path_of(placed.snapshot.number)
    message = "its blob is altered, so the files of the snapshot are not compared"
    return [Finding("not-compared", "warning", subject, path, message=message)], False


def _size(layer: ContainerdLayer) -> int:
    """The bytes to read, as a measure of the time."""
    return max(layer.size or 0, layer.packed.blob.size if layer.packed else 0)
