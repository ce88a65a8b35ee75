"""An overlay2 data root, and archives, in which every place that holds a string holds a hostile one.

The places are found, not listed: every text and every key of every JSON document, every small file of the
engine's, and a name in every directory. What an engine reads as a number, a time or an ID is made hostile in
copies of its document, one a copy, so that the other texts are still read.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

from fixtures.archives import Layer as FixtureLayer
from tests.support.layouts import OCI, Layout, as_tar, digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = [
    "EVIL",
    "EVIL_NAME",
    "FORGED",
    "HOSTILE_CONTAINER",
    "IMAGE_TEXTS",
    "add_entries",
    "add_names",
    "copy_containers",
    "hostile_archive",
    "hostile_copies",
    "hostile_layout",
    "hostile_overlay2",
    "hostile_tars",
    "one_of_each_kind",
]

FORGED = "FORGED"
"""What a line must not begin with: it stands behind every kind of line end."""

EVIL = FORGED.join(("e\x1b[31mv\r", "\n", "\x85", "\u2028", "|\t", "\x9b\u202e\u200b\x7f\x00\ud800\"',<b>"))
"""Everything that could forge a row, move a cursor, turn text around, or be no character at all."""

EVIL_NAME = (
    EVIL.replace("\x00", "")
    .replace("\ud800", "\udcff\udced")
    .replace("/", "")
    .encode("utf-8", "surrogateescape")
)
"""The same as a name of a file."""

_NAME = os.fsdecode(EVIL_NAME)
_KEY = EVIL.replace("\x00", "").replace("\ud800", "")  # of a PAX record: characters alone

HOSTILE_CONTAINER = hashlib.sha256(b"container 0").hexdigest()
"""The ID of the container all of whose texts are hostile; `copy_containers` makes it first."""

_TREES = frozenset((b"diff", b"work", b"merged", b"fs"))
"""Directories with what is in images and containers, which is not the engine's own."""

_IDENTITY = re.compile(r"(sha256:)?[0-9a-f]{64}|\d{4}-\d\d-\d\dT.*")
_KINDS = ("bind", "volume", "tmpfs", "linux", "amd64", "layers", "overlay2", "local", "rprivate")

Path_ = tuple[Any, ...]


def hostile_overlay2(root: Path) -> None:
    """Make every string of a data root hostile; `root` is the test's own, and must be writable."""
    _images(root)
    _containers(root)
    _repositories(root)
    for diff in _diffs(root):
        add_entries(diff)
    _records(root)
    add_names(root)


def hostile_archive(path: Path) -> None:
    """Write a docker-archive of images `evil:N` as in a root; `evil:0` is called `changed` too."""
    layers = {f"{number}/{_KEY}/layer.tar": tar for number, tar in enumerate(hostile_tars())}
    members, rows = dict(layers), []
    for number, document in enumerate(_configs(list(layers.values()))):
        members[f"{number}-{_KEY}.json"] = json.dumps(document).encode()
        tags = [f"evil:{number}", EVIL, f"evil:{EVIL}", *(["changed"] if number == 0 else [])]
        rows.append({"Config": f"{number}-{_KEY}.json", "RepoTags": tags, "Layers": list(layers), EVIL: EVIL})
    members["manifest.json"] = json.dumps(rows).encode()
    members["repositories"] = json.dumps({EVIL: {EVIL: EVIL}}).encode()
    members[_NAME] = b""
    path.write_bytes(as_tar(members))


def hostile_layout(path: Path) -> None:
    """The same as a tar of an OCI layout."""
    layout, tars = Layout(), hostile_tars()
    for number, document in enumerate(_configs(tars)):
        config = layout.document(document, f"{OCI}.config.v1+json", annotations={EVIL: EVIL})
        layers = [layout.blob(tar, f"{OCI}.layer.v1.tar", annotations={EVIL: EVIL}) for tar in tars]
        manifest = {"schemaVersion": 2, "config": config, "layers": layers, EVIL: EVIL}
        found = layout.document(manifest, f"{OCI}.manifest.v1+json")
        for name in (f"evil:{number}", EVIL, *(["changed"] if number == 0 else [])):
            layout.name(found, name)
    layout.name(layout.blob(b"?", EVIL), EVIL)
    path.write_bytes(as_tar(layout.done()))


def hostile_tars() -> list[bytes]:
    """The tars of two layers with hostile names, targets and attributes."""
    base, upper = FixtureLayer(), FixtureLayer()
    base.dir("etc").file("etc/motd", b"1", uname=_NAME, gname=_NAME).file("gone", b"x")
    upper.dir("etc").file("etc/motd", b"2").whiteout("gone")
    for layer in (base, upper):
        layer.dir(_NAME).file(f"{_NAME}/{_NAME}", b"x", xattrs={f"user.{_KEY}": EVIL_NAME})
        layer.symlink(f"{_NAME}-link", _NAME).link(f"{_NAME}-also", f"{_NAME}/{_NAME}")
    return [base.done(), upper.done()]


def _configs(tars: Sequence[bytes]) -> Iterator[Any]:
    """Hostile configs of an image of some layers."""
    steps = [
        {"created": "2026-01-01T00:00:00Z", "created_by": "s", "comment": "c", "author": "a"} for _ in tars
    ]
    rootfs = {"type": "layers", "diff_ids": [digest(tar) for tar in tars]}
    config = {"os": "linux", "architecture": "amd64", "created": steps[0]["created"], "history": steps}
    yield from hostile_copies(config | {"rootfs": rootfs} | IMAGE_TEXTS)


def _leaves(value: Any, at: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every value of a document that is neither an object nor an array."""
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(item, (*at, key))
    else:
        yield at, value


def _set(document: Any, at: Path_, value: Any) -> None:
    for key in at[:-1]:
        document = document[key]
    document[at[-1]] = value


def _is_free(value: Any) -> bool:
    """Whether a text is only shown, as far as its form tells."""
    return isinstance(value, str) and not _IDENTITY.fullmatch(value) and value not in _KINDS


def _keys(document: Any) -> None:
    """A hostile key beside every other, with a value of the same kind."""
    if isinstance(document, dict):
        for value in document.values():
            _keys(value)
        if document:
            document[EVIL] = copy.deepcopy(next(iter(document.values())))
    elif isinstance(document, list):
        for value in document:
            _keys(value)


def hostile_copies(document: Any) -> Iterator[Any]:
    """The document with all free texts and keys hostile; then copies with one other value hostile each."""
    whole = copy.deepcopy(document)
    for at, value in _leaves(document):
        if _is_free(value):
            _set(whole, at, EVIL)
    _keys(whole)
    yield whole
    for at, value in _leaves(document):
        if isinstance(value, str) and not _is_free(value) and all(isinstance(key, str) for key in at):
            damaged = copy.deepcopy(document)
            _set(damaged, at, EVIL)
            yield damaged


IMAGE_TEXTS: dict[str, Any] = {
    "author": "a", "comment": "c", "variant": "v", "os.version": "o", "container": "c", "docker_version": "d",
    "config": {
        "Labels": {"k": "v"}, "User": "u", "WorkingDir": "w", "Volumes": {"/v": {}},
        "ExposedPorts": {"1/tcp": {}},
        "Entrypoint": ["e"], "OnBuild": ["o"], "StopSignal": "s", "Hostname": "h", "Domainname": "d",
        "Shell": ["s"], "Healthcheck": {"Test": ["CMD", "t"]}, "Env": ["A=b"], "Cmd": ["c"],
    },
}  # fmt: skip
"""What an image's config may have: few have all of it."""

_CONTAINER_TEXTS: dict[str, Any] = {
    "Name": "/n", "LogPath": "/l", "HostnamePath": "/h", "HostsPath": "/h", "ResolvConfPath": "/r",
    "MountLabel": "m", "ProcessLabel": "p", "AppArmorProfile": "a", "SeccompProfile": "s",
    "MountPoints": {"/m": {"Type": "bind", "Source": "/s", "Destination": "/m", "Name": "n", "Driver": "d",
                           "Relabel": "z", "Propagation": "p"}},
}  # fmt: skip


def _images(root: Path) -> None:
    """Hostile images on the layers of the image `demo`, and names for them."""
    content = root / "image/overlay2/imagedb/content/sha256"
    names = json.loads((root / "image/overlay2/repositories.json").read_text())
    demo = names["Repositories"]["demo"]["demo:latest"].removeprefix("sha256:")
    config = json.loads((content / demo).read_bytes()) | IMAGE_TEXTS
    for number, document in enumerate(hostile_copies(config)):
        raw = json.dumps(document).encode()
        image = hashlib.sha256(raw).hexdigest()
        (content / image).write_bytes(raw)
        names["Repositories"].setdefault("evil", {})[f"evil:{number}"] = f"sha256:{image}"
    (root / "image/overlay2/repositories.json").write_text(json.dumps(names))


def _containers(root: Path) -> None:
    """Hostile containers beside the container `changed`, on the same layers."""
    mounts = root / "image/overlay2/layerdb/mounts"
    original, copies = copy_containers(root)
    for name in copies:
        shutil.copytree(mounts / original, mounts / name)


def copy_containers(root: Path) -> tuple[str, list[str]]:
    """Write Docker's notes of hostile containers beside those of `changed`; its ID, and theirs."""
    for path in sorted((root / "containers").glob("*/config.v2.json")):
        config = json.loads(path.read_bytes())
        if config["Name"] == "/changed":
            break
    config["Config"]["Labels"] = {"k": "v"}
    names = []
    for number, document in enumerate(hostile_copies(config | _CONTAINER_TEXTS)):
        name = hashlib.sha256(b"container %d" % number).hexdigest()
        names.append(name)
        shutil.copytree(path.parent, root / "containers" / name, symlinks=True)
        if document["ID"] == config["ID"]:
            document["ID"] = name
        (root / "containers" / name / "config.v2.json").write_text(json.dumps(document))
        settings = json.loads((path.parent / "hostconfig.json").read_bytes())
        (root / "containers" / name / "hostconfig.json").write_text(
            json.dumps(next(hostile_copies(settings)))
        )
    return config["ID"], names


def _repositories(root: Path) -> None:
    """Names that are none, of an image and of nothing."""
    path = root / "image/overlay2/repositories.json"
    names = json.loads(path.read_text())
    image = names["Repositories"]["evil"]["evil:0"]
    names["Repositories"][EVIL] = {EVIL: image, f"evil:{EVIL}": image, f"{EVIL}:1": EVIL, "evil:none": EVIL}
    path.write_text(json.dumps(names))


def _records(root: Path) -> None:
    """One file of each kind of the engine's with hostile content."""
    for path in one_of_each_kind(root):
        if path.suffix in (".json", ".db") or "/content/" in str(path):
            continue
        if path.is_symlink():
            path.unlink()
            path.symlink_to(b"../" + EVIL_NAME + b"/diff")
        elif path.is_file():
            path.write_bytes(EVIL.encode("utf-8", "surrogatepass"))


def one_of_each_kind(root: Path) -> list[Path]:
    """One file of each kind of the engine's: the last of its kind, but of no base layer.

    What many layers stand on would make them all unreadable, and their names with them.
    """
    kinds: dict[str, Path] = {}
    for path in sorted(_own_files(root)):
        is_layer = "layerdb/sha256" in str(path) or path.parent.parent == root / "overlay2"
        if not is_layer or (path.parent / "parent").exists() or (path.parent / "lower").exists():
            kinds[re.sub(r"[0-9a-z]{25,64}(-init)?|[A-Z2-7]{26}", "*", str(path.relative_to(root)))] = path
    return list(kinds.values())


def _own_files(root: Path) -> Iterator[Path]:
    """Every file of the engine's own, which is not of an image or a container."""
    for directory, below, names in os.walk(root):
        if "/overlay2/" in directory + "/" and "/image/" not in directory:
            below[:] = [name for name in below if name not in ("diff", "work", "merged")]
        for name in names:
            yield root / directory / name


def add_names(root: Path) -> None:
    """A file and a directory with a hostile name in every directory of the engine's own."""
    for directory, below, _ in list(os.walk(os.fsencode(root))):
        parts = directory.split(b"/")
        if not _TREES.isdisjoint(parts) or EVIL_NAME in parts:
            below.clear()
            continue
        with open(os.path.join(directory, EVIL_NAME), "wb"):
            os.mkdir(os.path.join(directory, EVIL_NAME + b".d"))


def add_entries(directory: Path) -> None:
    """Make hostile entries of every kind in a directory of a layer."""
    place = os.fsencode(directory)
    for name, make in {b"file": os.mknod, b"directory": os.mkdir, b"fifo": os.mkfifo}.items():
        make(os.path.join(place, name + EVIL_NAME))
    os.symlink(EVIL_NAME, os.path.join(place, b"link" + EVIL_NAME))
    for name in (b"file", b"directory"):
        path = os.path.join(place, name + EVIL_NAME)
        os.setxattr(path, b"user." + EVIL_NAME, EVIL_NAME)
        os.setxattr(path, b"trusted.overlay.redirect", b"/" + EVIL_NAME)


def _diffs(root: Path) -> Iterator[Path]:
    """The trees of `changed`, and of a leftover directory, which is made."""
    layerdb = root / "image/overlay2/layerdb"
    for mount_id in layerdb.glob("mounts/*/mount-id"):
        with_config = root / "containers" / mount_id.parent.name / "config.v2.json"
        if with_config.exists() and '"/changed"' in with_config.read_text():
            yield root / "overlay2" / mount_id.read_text() / "diff"
    leftover = root / "overlay2" / hashlib.sha256(b"leftover").hexdigest() / "diff"
    leftover.mkdir(parents=True)
    yield leftover
