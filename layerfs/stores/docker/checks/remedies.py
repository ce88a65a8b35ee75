"""A table by code: what a finding means for an Engine, and what an administrator could do.

`at_start` and `later` say what a Docker Engine does with such a data root, as observed with 20.10; empty
means nothing. layerfs itself does nothing of this. `docs/doctor.md` has the same table. Each suggestion was
tried with an Engine, which was sound afterwards: `tests/dockerd/test_remedies.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerfs.model import Remedy

if TYPE_CHECKING:
    from layerfs.model import Finding

__all__ = ["REMEDIES", "remedy_of"]


_DROPPED = "drops the layer and all above it; images on them are not listed"
_NO_LAYER = "containers on it are not listed, and images on it cannot be used"
_AGAIN = "remove the containers and images that need it, then pull or load these again"
_RELOAD = (
    "remove the records, start the Engine, pull or load the images again (no rmi before: it fails); "
    "what is left of the old layers is found then"
)
_CONFIG = "restore the config, or remove it, start the Engine, and pull or load the image again"
_REWRITE = "write the expected value into the file, without a newline"
_PARENT = f"{_REWRITE}; where none is expected, remove the file"
_DIRECTORY_NAME = "write the name of its directory into the file, without a newline"
_GONE = "the container is not listed; its directories stay"
_CONTAINER = "take what is needed out with `layerfs cp`, remove the container's directories, create it again"
_SPACE = "takes space for ever"
_NOTHING = "none needed"


def _dropped(group: str, write: str = "") -> Remedy:
    """The remedy for a layer that is not loaded: write a file, or else pull or load it again."""
    suggestion = f"{write}; or {_RELOAD}" if write else _RELOAD
    return Remedy(group, _DROPPED, _NO_LAYER, suggestion, drops=True, removes="records")


REMEDIES = {
    # -- the whole
    "store-missing": Remedy(
        "missing",
        "makes it anew, empty",
        "without image/ it knows no image and no container; "
        "without overlay2/ it lists them, and inspect, save and create fail",
        "copy the whole data root again",
    ),
    "store-malformed": Remedy("damaged", "refuses to start", "", "copy the whole data root again"),
    # -- names and images
    "names-malformed": Remedy(
        "damaged",
        "refuses to start",
        "",
        "move the file away: images keep their IDs, and can be tagged again",
    ),
    "name-invalid": Remedy("damaged", "ignores the row", "", "remove the row from repositories.json"),
    "name-dangling": Remedy("missing", "", "the name does not resolve", "pull or load the image again"),
    "config-altered": Remedy(
        "damaged",
        "does not load the image",
        "its layers stay and take space",
        _CONFIG,
        removes="path",
    ),
    "config-malformed": Remedy(
        "damaged",
        "does not load the image",
        "its layers stay and take space",
        _CONFIG,
        removes="path",
    ),
    "config-missing": Remedy("missing", "does not know the image", "", "pull or load the image again"),
    "history-wrong": Remedy(
        "damaged", "", "history fails, nothing else", "build the image again: its ID covers its history"
    ),
    "parent-note-malformed": Remedy(
        "damaged", "", "history shows no parents", "remove the file `parent`", removes="path"
    ),
    "tag-time-malformed": Remedy(
        "damaged", "", "inspect fails", "remove the file `lastUpdated`", removes="path"
    ),
    "image-unused": Remedy("orphaned", "", _SPACE, "docker image prune"),
    "metadata-orphaned": Remedy("orphaned", "", _SPACE, "remove the directory", removes="costs"),
    # -- layers' records
    "layer-missing": Remedy(
        "missing",
        "drops all layers above it; images on them are not listed",
        "where an image is listed nevertheless, `system df` fails as a whole",
        _RELOAD,
        drops=True,
        removes="records",
    ),
    "layer-malformed": _dropped("damaged"),
    "diff-missing": _dropped("missing", _REWRITE),
    "diff-malformed": _dropped("damaged", _REWRITE),
    "diff-wrong": Remedy("damaged", "", "save and push fail: could not verify layer data", _REWRITE),
    "size-missing": _dropped("missing", "write the size of diff/ into the file, without a newline"),
    "size-malformed": _dropped("damaged", "write the size of diff/ into the file, without a newline"),
    "size-wrong": Remedy("damaged", "", "sizes are wrong, nothing else", _REWRITE),
    "cache-id-missing": _dropped("missing", _DIRECTORY_NAME),
    "cache-id-malformed": _dropped("damaged", _DIRECTORY_NAME)._replace(
        later="where it is not empty, the layer is loaded, and save fails"
    ),
    "cache-id-wrong": Remedy(
        "damaged",
        "",
        "save fails",
        _REWRITE,
    ),
    "cache-id-shared": Remedy(
        "damaged", "", "one of them shows the other's files, and removing one removes both", _AGAIN
    ),
    "parent-missing": Remedy(
        "missing",
        "loads it as a base layer, and may remove the layer below as unused",
        "sizes are wrong",
        _REWRITE,
    ),
    "parent-malformed": _dropped("damaged", _PARENT),
    "parent-wrong": Remedy(
        "damaged",
        "drops the layer and all above it where no such layer is there, else loads it",
        "sizes are wrong; where it was dropped, nothing on it works: layer does not exist",
        _PARENT,
    ),
    "chain-wrong": Remedy("damaged", "", "save and push fail", _RELOAD, removes="records"),
    "tar-split-missing": Remedy("missing", "", "save and push fail; everything else works", _AGAIN),
    "tar-split-malformed": Remedy("damaged", "", "save and push fail; everything else works", _AGAIN),
    "tar-split-unclosed": Remedy("damaged", "", "save and push fail; everything else works", _AGAIN),
    "layer-altered": Remedy(
        "damaged",
        "",
        "save fails: file integrity checksum failed; containers get the changed files",
        "`layerfs verify` names the files; " + _AGAIN,
    ),
    # -- directories
    "directory-missing": Remedy(
        "missing",
        "lists images on it as ever",
        "save and create fail, and inspect where it is the top layer; history works",
        _AGAIN,
    ),
    "directory-malformed": Remedy(
        "damaged", "lists images on it as ever", "save and create fail, or use what is there instead", _AGAIN
    ),
    "link-missing": Remedy(
        "missing",
        "",
        "nothing new can be created on the layer",
        "write the name of its link in l/ into the file",
    ),
    "link-malformed": Remedy(
        "damaged",
        "",
        "nothing new can be created on the layer",
        "write the name of its link in l/ into the file",
    ),
    "link-wrong": Remedy(
        "damaged",
        "",
        "save fails",
        "write the expected value into the file",
    ),
    "short-link-missing": Remedy(
        "missing", "", "inspect, save and create fail", "make the symbolic link again, to the expected target"
    ),
    "short-link-wrong": Remedy(
        "damaged",
        "",
        "containers get another directory's files, or fail",
        "make the link again, to the expected target",
    ),
    "short-link-absolute": Remedy(
        "damaged",
        "",
        "save and create fail, or use another root's files, wherever the root is not at that place",
        "make the link again, to the expected target",
    ),
    "lower-missing": Remedy(
        "missing",
        "",
        "containers silently see this layer alone; save still succeeds",
        "write l/<short name> of every layer below into the file, joined by colons",
    ),
    "lower-malformed": Remedy(
        "damaged",
        "",
        "inspect, save and create fail",
        "write l/<short name> of every layer below into the file, joined by colons",
    ),
    "lower-wrong": Remedy(
        "damaged",
        "",
        "containers on it see other layers than the image has; save still succeeds",
        "write l/<short name> of every layer below into the file, joined by colons",
    ),
    # -- containers
    "container-config-missing": Remedy("missing", _GONE, "", _CONTAINER, removes="costs"),
    "container-config-malformed": Remedy("damaged", _GONE, "", _CONTAINER, removes="costs"),
    "mount-missing": Remedy("missing", _GONE, "", _CONTAINER, removes="costs"),
    "mount-malformed": Remedy("damaged", _GONE, "", _CONTAINER, removes="costs"),
    "mount-id-missing": Remedy("missing", _GONE, "", _CONTAINER, removes="costs"),
    "mount-id-malformed": Remedy("damaged", _GONE, "", _CONTAINER, removes="costs"),
    "init-id-malformed": Remedy("damaged", _GONE, "", _CONTAINER, removes="costs"),
    "init-id-missing": Remedy(
        "missing", "", "removing the container leaves its -init directory behind", _REWRITE
    ),
    "mount-parent-malformed": Remedy("damaged", _GONE, "", _CONTAINER, removes="costs"),
    "mount-orphaned": Remedy(
        "orphaned",
        "keeps the layers below it",
        _SPACE,
        "remove the mount record and its two directories",
        removes="costs",
    ),
    "container-driver": Remedy(
        "stale",
        "does not list the container",
        "",
        "start it where that driver is used, or remove its directory",
        removes="costs",
    ),
    "container-image-missing": Remedy(
        "stale",
        "",
        "commit fails, nothing else: the layers are held by the container",
        "load or pull the image again, or keep the files: docker export the container, docker import that",
    ),
    "container-dead": Remedy("half-written", "lists it as dead", "", "docker rm it again"),
    "container-stale": Remedy("stale", "notes it as exited, or restarts it by its policy", "", _NOTHING),
    # -- orphans
    "layer-orphaned": Remedy(
        "orphaned",
        "loads it",
        _SPACE + "; no command removes it",
        "remove its record and its directory",
        removes="costs",
    ),
    "layer-unclaimed": Remedy("orphaned", "loads it", "", "repair what is damaged, then look again"),
    "directory-orphaned": Remedy(
        "orphaned", "", _SPACE + "; no command removes it", "remove the directory", removes="costs"
    ),
    "directory-unclaimed": Remedy("orphaned", "", "", "keep it: repair what is damaged, then look again"),
    "directory-unfinished": Remedy(
        "half-written", "", _SPACE + "; no command removes it", "remove the directory", removes="costs"
    ),
    "short-link-orphaned": Remedy("orphaned", "", "", "remove the link", removes="costs"),
    "distribution-orphaned": Remedy("orphaned", "", "none: a cache of pulls and pushes", _NOTHING),
    "distribution-malformed": Remedy(
        "damaged", "", "a pull reads the layer again", "remove the file", removes="path"
    ),
    "buildkit-malformed": Remedy(
        "damaged", "refuses to start", "", "move buildkit/ away: the build cache is lost, images are not"
    ),
    "buildkit-state-lost": Remedy("damaged", "starts with the other state", "", _NOTHING),
    # -- leftovers
    "removing-left": Remedy(
        "leftover",
        "ignores it",
        "is removed when the Engine stops",
        "remove both directories",
        removes="costs",
    ),
    "transaction-left": Remedy(
        "half-written", "ignores it", _SPACE, "remove it, and the directory it names", removes="costs"
    ),
    "temporary-left": Remedy("leftover", "ignores it", _SPACE, "remove the file", removes="costs"),
    "probe-left": Remedy("leftover", "ignores it", _SPACE, "remove the directory", removes="costs"),
    "driver-left": Remedy(
        "leftover",
        "ignores it if it is told to use overlay2; where it is not told, it may refuse to start",
        _SPACE,
        "remove it, if no Engine is to use that driver here again",
        removes="costs",
    ),
    "version-left": Remedy("leftover", "ignores it", _SPACE, "remove it", removes="costs"),
    "containerd-left": Remedy(
        "leftover",
        "does not use both: `docker info` tells which",
        _SPACE + " as long as it is not used",
        "remove the directory, if the Engine is to stay with overlay2; it is made again, empty",
        removes="path",
    ),
    "download-left": Remedy("leftover", "removes it", "", _NOTHING),
    "work-left": Remedy("leftover", "", "is cleared by the next mount", _NOTHING),
    "merged-left": Remedy("leftover", "", "is used by the next mount", _NOTHING),
    "merged-copied": Remedy(
        "leftover",
        "",
        "is hidden by the next mount, and takes space",
        "remove what is in it; copy with one-file-system",
    ),
    "entry-unknown": Remedy("leftover", "ignores it", "", "find out whose it is"),
}

_CONTENTS = Remedy(
    "damaged",
    "",
    "containers get what is there; save fails where a file's content is another",
    "see docs/verify.md; " + _AGAIN,
)
_UNREADABLE = Remedy("unreadable", "", "", "run as root, or as the owner of the copy")


def remedy_of(finding: Finding) -> Remedy:
    """The remedy of a finding; other codes are those of the comparison with a layer's archive."""
    return _UNREADABLE if finding.unread else REMEDIES.get(finding.code, _CONTENTS)
