"""What each finding in a graph root means, and what could be done about it.

What Podman does was tried with 4.3, for about 27 damages, those of the common codes. The others are by the
source, as is all that 4.3 does not have (composefs, several stores, table of contents, `system check`).

Sources: containers/storage `store.go`, `layers.go`, `images.go`, `check.go`, `drivers/overlay/overlay.go`.
"""

from __future__ import annotations

from layerfs.model import Remedy

__all__ = ["REMEDIES", "remedy_of"]

_AGAIN = (
    "remove the containers and images that need it (`podman rmi -f`; since Podman 5.4 also `podman system "
    "check --repair --force`), then pull or load these again"
)
_LOAD = "pull or load the image again"
_LISTING = "`podman images` fails as a whole; what is mounted or started needs no more than the layers"
_EMPTIED = (
    "4.3 takes it for an empty list, and overwrites it when it writes next; later ones refuse the store"
)
_RESTORE = "copy the root before Podman writes to it; restore the file from a backup"
_CONTAINER = "take what is needed out with `layerfs cp`, then remove the container and create it again"
_NO_MOUNT = "what stands on it cannot be mounted or started; loading it again does not mend it"
_NOTHING = "none needed"
_SPACE = "takes space for ever"
_BY_HAND = "remove it by hand while no engine runs"
# An image store keeps the layers, and the graph root that made them keeps the headers of their tars.
_HEADERS_OF = (
    "of an image store: name the graph root that uses it (`--additional-store`), where they lie; otherwise "
)
_LAYERS_OF = (
    "if an image store belongs to this root, name it (`--additional-store`), as these are its layers' "
    "headers; otherwise "
)

REMEDIES = {
    # -- files of records
    "store-missing": Remedy(
        "missing", "makes it anew, empty", "what was in it is unknown", "copy the root again",
    ),
    "images-malformed": Remedy("damaged", _EMPTIED, "no image is known by name; containers start", _RESTORE),
    "images-missing": Remedy(
        "missing", "takes it for an empty list", "no image is known", f"{_RESTORE}; {_LOAD}",
    ),
    "layers-malformed": Remedy(
        "damaged", _EMPTIED, "no image can be mounted, no container started", _RESTORE,
    ),
    "layers-missing": Remedy(
        "missing", "takes it for an empty list", "no image can be mounted, no container started",
        f"{_RESTORE}; or {_LOAD}",
    ),
    "containers-malformed": Remedy("damaged", _EMPTIED, "no container can be started", _RESTORE),
    "image-record-malformed": Remedy("damaged", "", "the record does not count", _LOAD),
    "layer-record-malformed": Remedy("damaged", "", "the record does not count", _AGAIN),
    "container-record-malformed": Remedy("damaged", "", "the record does not count", _CONTAINER),
    "image-name-twice": Remedy("damaged", "", "the name is the first one's", "`podman tag` the right image"),
    "layer-name-twice": Remedy("damaged", "writes the file anew, with the name at one of them", "", _NOTHING),
    "database-malformed": Remedy(
        "damaged", "may not start", "containers are not known, or not their states",
        "restore the database; `podman ps -a --external` shows what containers/storage has",
    ),
    "database-missing": Remedy(
        "missing", "makes it anew, empty", "containers are not listed; their files stay",
        "restore the database; `podman ps -a --external` shows what containers/storage has",
    ),
    "database-state-lost": Remedy(
        "damaged", "reads the other state", "what was done last may be lost", _NOTHING,
    ),
    "database-wrong": Remedy(
        "half-written", "takes the journal back, or in", "what it says is not in what is shown here",
        "let the engine open a copy of the root",
    ),
    # -- images
    "config-missing": Remedy("missing", "", _LISTING, _LOAD),
    "config-malformed": Remedy("damaged", "", _LISTING, _LOAD),
    "config-altered": Remedy("damaged", "", _LISTING, _LOAD),
    "document-missing": Remedy("missing", "", f"of the manifest: {_LISTING}", _LOAD),
    "document-malformed": Remedy("damaged", "", f"of the manifest: {_LISTING}", _LOAD),
    "document-altered": Remedy("damaged", "", f"of the manifest: {_LISTING}", _LOAD),
    "document-orphaned": Remedy("orphaned", "", _SPACE, _NOTHING),
    "image-id-other": Remedy("stale", "", "", _NOTHING),
    "image-layer-missing": Remedy("missing", "", "the image has no files", _LOAD),
    "image-documents-orphaned": Remedy("orphaned", "", _SPACE, _BY_HAND),
    "mapped-layer-missing": Remedy("stale", "", "the copy is made again when it is wanted", _NOTHING),
    "chain-wrong": Remedy("damaged", "", "containers get other layers, or exports fail", _AGAIN),
    # -- layers
    "layer-missing": Remedy("missing", "", _LISTING, f"{_LOAD}; or name the store that has it"),
    "layer-wrong": Remedy("damaged", "", "what stands on it cannot be used", _AGAIN),
    "layer-unrecorded": Remedy("missing", "", _LISTING, _LOAD),
    "layer-incomplete": Remedy("half-written", "removes it when it writes next", _LISTING, _LOAD),
    "layer-document-missing": Remedy("missing", "", "parts of a later pull are not found here", _AGAIN),
    "layer-id-other": Remedy("stale", "", "", _NOTHING),
    "layer-orphaned": Remedy(
        "orphaned", "", _SPACE, "`podman system check --repair` (5.4, with --max) removes old ones"
    ),
    "layer-unclaimed": Remedy("orphaned", "", "", "repair what is damaged, then look again"),
    "layer-documents-orphaned": Remedy("orphaned", "", _SPACE, _BY_HAND),
    "parent-missing": Remedy(
        "missing", "", "what stands on it cannot be used", f"name its store; or {_AGAIN}",
    ),
    "size-wrong": Remedy("damaged", "", "sizes are wrong, nothing else", _AGAIN),
    "directory-missing": Remedy("missing", "", _NO_MOUNT, _AGAIN),
    "directory-malformed": Remedy("damaged", "", _NO_MOUNT, _AGAIN),
    "directory-orphaned": Remedy(
        "orphaned", "", f"{_SPACE}: also left by containers of a transient store, when the host starts anew",
        f"look into it first, as it may be a lost container's; then {_BY_HAND}",
    ),
    "link-missing": Remedy("missing", "", "nothing: it is made anew when a layer is mounted", _NOTHING),
    "link-malformed": Remedy("damaged", "", "nothing: it is made anew when a layer is mounted", _NOTHING),
    "link-wrong": Remedy("damaged", "", "layers made on it get another's files", _AGAIN),
    "short-link-missing": Remedy("missing", "", "nothing: it is made anew when a layer is mounted", _NOTHING),
    "short-link-wrong": Remedy("damaged", "", "what stands on it gets another's files", _AGAIN),
    "short-link-orphaned": Remedy("orphaned", "", "", _BY_HAND),
    "lower-missing": Remedy("missing", "", "it cannot be mounted by itself; what stands on it can", _AGAIN),
    "lower-malformed": Remedy("damaged", "", "it cannot be mounted by itself, nor exported", _AGAIN),
    "lower-wrong": Remedy("damaged", "", "it is mounted on other layers than its own", _AGAIN),
    "lower-layers-malformed": Remedy("damaged", "", "links that are missing cannot be made anew", _AGAIN),
    "lower-layers-wrong": Remedy("damaged", "", "links that are missing are made to other layers", _AGAIN),
    "tar-split-missing": Remedy(
        "missing", "", "`podman save` and push fail; containers run", _HEADERS_OF + _AGAIN
    ),
    "tar-split-malformed": Remedy("damaged", "", "`podman save` and push fail; containers run", _AGAIN),
    "tar-split-altered": Remedy("damaged", "", "`podman save` and push fail; containers run", _AGAIN),
    "tar-split-orphaned": Remedy("orphaned", "", _SPACE, _LAYERS_OF + _BY_HAND),
    "composefs-missing": Remedy("missing", "", _NO_MOUNT, _AGAIN),
    "composefs-malformed": Remedy("damaged", "", _NO_MOUNT, _AGAIN),
    "toc-missing": Remedy("missing", "", "layerfs cannot show the layer; the engine has its image", _AGAIN),
    "toc-malformed": Remedy("damaged", "", "layerfs cannot show the layer; the engine has its image", _AGAIN),
    # -- containers
    "container-missing": Remedy(
        "missing", "", "the container cannot be started, or is not listed", _CONTAINER,
    ),
    "container-malformed": Remedy("damaged", "", "the container cannot be used, or not in full", _CONTAINER),
    "container-wrong": Remedy("damaged", "", "the container cannot be used", _CONTAINER),
    "container-image-missing": Remedy("missing", "", "the container runs; it cannot be made again", _LOAD),
    "container-directory-orphaned": Remedy("orphaned", "", _SPACE, _BY_HAND),
    # -- the rest
    "record-missing": Remedy("missing", "", "", _RESTORE),
    "record-malformed": Remedy("damaged", "", "", _RESTORE),
    "record-altered": Remedy("damaged", "", "", _RESTORE),
    "record-wrong": Remedy("damaged", "", "", _RESTORE),
    "staging-left": Remedy("leftover", "", "later engines prune it (by the source, not tried)", _BY_HAND),
    "temporary-left": Remedy("leftover", "", "it may be removed when the engine starts", _BY_HAND),
}  # fmt: skip

_CONTENTS = Remedy("damaged", "", "containers get what is there", "see docs/verify.md; " + _AGAIN)
_UNREADABLE = Remedy("unreadable", "", "", "run as root, or as the owner of the copy")
_OF_CONTAINER = (
    "directory-missing",
    "directory-malformed",
    "lower-missing",
    "lower-malformed",
    "lower-wrong",
)
"""What is another where it is a container's own."""


def remedy_of(code: str, subject: str = "") -> Remedy:
    """What a code means; one that is not in the table is of the comparison of files with tars."""
    if code.endswith("-unreadable"):
        return _UNREADABLE
    if code.endswith(("-digest-wrong", "-size-wrong")):
        return REMEDIES["image-record-malformed"]
    found = REMEDIES.get(code, _CONTENTS)
    if subject.startswith("container ") and code in _OF_CONTAINER:
        return Remedy(found.group, "", "the container is listed, and cannot be started", _CONTAINER)
    return found
