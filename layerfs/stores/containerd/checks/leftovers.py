"""What nothing needs any more in a containerd root, or was left unfinished; it is harmless.

Sources: containerd `plugins/content/local/store.go` (ingest), `plugins/snapshots/overlay/overlay.go` (new-,
Cleanup), `core/metadata/gc.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.analysis.doctor.findings import ROOT, Finding, Found, directory_subject
from layerfs.stores.containerd.content import CONTENT
from layerfs.stores.containerd.layers import Placed
from layerfs.stores.containerd.pins import has_expired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerfs.analysis.doctor.findings import Severity
    from layerfs.stores.containerd.snapshotters import Snapshotter
    from layerfs.stores.containerd.store import ContainerdStore

__all__ = ["leftovers"]

_WORDS = {
    "snapshot-unnamed": "no namespace has this snapshot",
    "snapshot-orphaned": "no image, container, lease or build cache needs this snapshot",
    "snapshot-unclaimed": "nothing needs this snapshot, but records that could are damaged",
    "directory-orphaned": "there is no record of this directory",
    "blob-unclaimed": "no namespace has this blob",
    "lease-expired": "the lease has expired: it keeps nothing any more",
    "ingest-left": "a download that was not finished",
    "temporary-left": "a snapshot that was being made when the engine ended",
}


def leftovers(store: ContainerdStore) -> Iterator[Found]:
    """Every such thing, with the bytes that it takes."""
    for snapshotter in store.snapshotters.values():
        yield from _of_snapshotter(store, snapshotter)
    yield from _orphans(store)
    every = {digest for space in store.every_space for digest in space.blobs}
    for algorithm, name in store.content.files():
        if f"{algorithm}:{name}" not in every:
            yield _found(store, "blob-unclaimed", f"{CONTENT}/blobs/{algorithm}/{name}")
    for name in store.content.ingests():
        yield _found(store, "ingest-left", f"{CONTENT}/ingest/{name}")
    for space in store.spaces:
        for lease in space.leases.values():
            if has_expired(lease):
                path = f"{store.meta_name}: {space.name}: lease {ascii(lease.id)[1:-1]}"
                yield Found(Finding("lease-expired", "note", ROOT, path, message=_WORDS["lease-expired"]))


def _of_snapshotter(store: ContainerdStore, snapshotter: Snapshotter) -> Iterator[Found]:
    named = {meta.name for space in store.every_space for meta in space.snapshots(snapshotter.name).values()}
    for name, snapshot in sorted(snapshotter.all.items()):
        if name not in named:
            place = Placed(snapshotter, snapshot).place
            path = f"{snapshotter.path}/snapshots/{snapshot.number}"
            yield _found(store, "snapshot-unnamed", path, subject=directory_subject(place))
    for snapshot in snapshotter.strays() if snapshotter.has_records else ():
        place = Placed(snapshotter, snapshot).place
        path = f"{snapshotter.path}/snapshots/{snapshot.number}"
        yield _found(store, "directory-orphaned", path, subject=directory_subject(place))
    for left in snapshotter.leftovers():
        path = f"{snapshotter.path}/snapshots/{left.decode('utf-8', 'surrogateescape')}"
        yield _found(store, "temporary-left", path)


def _orphans(store: ContainerdStore) -> Iterator[Found]:
    pinned = store.pinned()
    needed = pinned.places | {layer.cache_id for layer in store.layers_by_chain.values()}
    # whatever could not be read, an image or a lease, might need one
    complete = pinned.complete and not store.damage
    for placed in store.snapshots.all():
        if not placed.snapshot.name or placed.place in needed or store.snapshots.is_unnamed(placed):
            continue
        path = f"{placed.snapshotter.path}/snapshots/{placed.snapshot.number}"
        code = "snapshot-orphaned" if complete else "snapshot-unclaimed"
        yield _found(store, code, path, subject=directory_subject(placed.place))


def _found(store: ContainerdStore, code: str, path: str, *, subject: str = ROOT) -> Found:
    severity: Severity = "note"
    finding = Finding(code, severity, subject, store.directory.name_of(path), message=_WORDS[code])
    return Found(finding, (path.encode("utf-8", "surrogateescape"),))
