"""What each finding in a containerd root means, and what could be done about it.

What was not carried out for a real engine says so.

Sources: containerd `core/metadata/gc.go`, `core/metadata/db.go`, `plugins/snapshots/overlay/overlay.go`.
"""

from __future__ import annotations

from layerfs.model import Remedy

__all__ = ["REMEDIES", "remedy_of"]

_AGAIN = "remove every image that needs it (`ctr images rm --sync`), then pull or import them again"
_ANEW = (
    "start the engine on the snapshotter with its directory moved away; remove all images on it, "
    "then pull or import them again"
)
_ELSEWHERE = "start the engine on a new root, pull or import all images and create all containers again there"
_BY_DATABASE = f"of a snapshotter: {_ANEW}; of meta.db: {_ELSEWHERE}"
_PREVIOUS = "look at the older state with --bolt-state previous; copy the root again"
_COLLECTED = "the next garbage collection removes it"
_NOTHING = "none needed"
_UNKNOWN = "Docker or Kubernetes may not know the container, or its state"
_MADE_AGAIN = "remove the container, then create it again (not tried)"
_CREATE = "remove the container (`ctr containers rm`), then create it again"

REMEDIES = {
    # -- databases
    "database-missing": Remedy(
        "missing", "makes it anew, empty",
        "no snapshot can be made where a directory has its number, or another its name", _BY_DATABASE,
    ),
    "database-malformed": Remedy(
        "damaged", "does not start, or refuses what is in it", "it may end when it is asked",
        f"look at the older state with --bolt-state previous; {_BY_DATABASE}",
    ),
    "database-state-lost": Remedy(
        "damaged", "starts with the other state", "what was done last may be lost", _NOTHING
    ),
    # -- images
    "image-missing": Remedy("missing", "", "the image cannot be used", _AGAIN),
    "image-malformed": Remedy(
        "damaged", "", "the image cannot be used", _AGAIN + "; one whose digest is right was made like that"
    ),
    "image-altered": Remedy("damaged", "", "the image is not what its digest says", _AGAIN),
    "size-differs": Remedy("damaged", "", "the image is not what its digest says", _AGAIN),
    # -- blobs
    "layer-missing": Remedy("missing", "", "the image cannot be run or exported", _AGAIN),
    "blob-missing": Remedy("missing", "", "exports and pushes that need it fail", _AGAIN),
    "blob-malformed": Remedy("damaged", "", "exports and pushes that need it fail", _AGAIN),
    "blob-unrecorded": Remedy(
        "missing", "", "the image cannot be used; a blob that nobody has is collected", _AGAIN
    ),
    "blob-discarded": Remedy(
        "stale", "", "the image runs, but cannot be exported or pushed: as with discard_unpacked_layers",
        _AGAIN + "; `layerfs export --salvage` makes tars of the snapshots",
    ),
    "blob-unclaimed": Remedy("orphaned", "", _COLLECTED, _NOTHING),
    "uncompressed-wrong": Remedy("damaged", "", "another layer may be taken for this one", _AGAIN),
    # -- snapshots
    "snapshot-unrecorded": Remedy("missing", "", "the snapshots above it cannot be used", _ANEW),
    "snapshot-uncommitted": Remedy("half-written", "", "the image cannot be used", _AGAIN),
    "snapshot-unnamed": Remedy("orphaned", "", _COLLECTED, _NOTHING),
    "snapshot-orphaned": Remedy("orphaned", "", _COLLECTED, _NOTHING),
    "snapshot-unclaimed": Remedy("orphaned", "", "", "repair what is damaged, then look again"),
    "parent-wrong": Remedy("damaged", "", "snapshots above it see other layers, or cannot be used", _ANEW),
    "directory-missing": Remedy("missing", "", "the snapshots above it cannot be used", _AGAIN),
    "directory-malformed": Remedy("damaged", "", "the snapshots above it cannot be used", _AGAIN),
    "directory-orphaned": Remedy("orphaned", "", "the snapshotter's cleanup removes it", _NOTHING),
    # -- containers, leases, leftovers
    "container-missing": Remedy("missing", "", "the container cannot be used", _CREATE),
    "container-malformed": Remedy(
        "damaged", "", "if its record is cut, no container of its namespace can be listed, nor it removed",
        _ELSEWHERE,
    ),
    "container-notes-missing": Remedy("missing", "", _UNKNOWN, _MADE_AGAIN),
    "container-notes-malformed": Remedy("damaged", "", _UNKNOWN, _MADE_AGAIN),
    "record-missing": Remedy("missing", "", "", _PREVIOUS),
    "record-malformed": Remedy("damaged", "", "", _PREVIOUS),
    "record-altered": Remedy("damaged", "", "", _PREVIOUS),
    "record-wrong": Remedy("damaged", "", "", _PREVIOUS),
    "lease-expired": Remedy("stale", "", _COLLECTED, _NOTHING),
    "ingest-left": Remedy(
        "half-written", "", "the download goes on where it ended, or is collected", _NOTHING
    ),
    "temporary-left": Remedy("leftover", "", "the snapshotter's cleanup removes it", _NOTHING),
}  # fmt: skip

_CONTENTS = Remedy("damaged", "", "containers get what is there", "see docs/verify.md; " + _AGAIN)
_OF_CONTAINERS = {code: Remedy(REMEDIES[code].group, "", REMEDIES["container-missing"].later, _CREATE)
                  for code in ("directory-missing", "directory-malformed")}  # fmt: skip
"""What is another where it is a container's own."""
_UNREADABLE = Remedy("unreadable", "", "", "run as root, or as the owner of the copy")


def remedy_of(code: str, subject: str = "") -> Remedy:
    """What a code means; one that is not in the table is of the comparison of files with blobs."""
    if code.endswith("-unreadable"):
        return _UNREADABLE
    if subject.startswith("container ") and code in _OF_CONTAINERS:
        return _OF_CONTAINERS[code]
    return REMEDIES.get(code, _CONTENTS)
