"""What `layerfs doctor` says could be done, carried out for a real containerd: all is well then.

Each defect is in an image of its own, so that one containerd tells of many. Those after which containerd
could not remove what is left of the snapshots are mended with the directory of their snapshotter.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from fixtures.archives import Layer
from layerfs.stores.containerd.checks.remedies import REMEDIES, remedy_of
from tests.support.boltfiles import page_size, patched
from tests.support.command import layerfs
from tests.support.containerd import running
from tests.support.containerdbuilder import time_bytes
from tests.support.containerdroots import ContainerdRoot
from tests.support.layouts import Layout, as_tar
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.support.boltfiles import Tree
    from tests.support.containerd import Containerd

    Damage = Callable[[ContainerdRoot, str], object]

pytestmark = [pytest.mark.containerd, pytest.mark.kernel, pytest.mark.root]


# -- defects -----------------------------------------------------------------------------------------


def _blob(which: str, damage: Callable[[Path], object]) -> Damage:
    """Damage a blob of the image: `manifest`, `config`, or a layer's by its number."""
    return lambda root, name: damage(root.blob(root.digest_of(name, which)))


def _directory(damage: Callable[[Path], object]) -> Damage:
    """Damage the directory of its second layer."""
    return lambda root, name: damage(root.directory(root.layers(name)[1]))


def _record(number: int, change: Callable[[Tree, bytes], object]) -> Damage:
    """Change the snapshotter's record of a layer, which is second of the arguments of `change`."""

    def do(root: ContainerdRoot, name: str) -> None:
        key = root.name(root.layers(name)[number - 1])
        root.edit_snapshots(lambda tree: change(tree[b"snapshots"], key))

    return do


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xff" * path.stat().st_size)


def _replaced(path: Path) -> None:
    shutil.rmtree(path)
    path.write_bytes(b"")


def _no_file(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _no_entry(which: str) -> Damage:
    """The blob is there, but the namespace has no record of it."""

    def do(root: ContainerdRoot, name: str) -> None:
        digest = root.digest_of(name, which).encode()
        root.edit_meta(lambda space: space[b"content"][b"blob"].pop(digest))

    return do


def _altered(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"linux", b"linuy"))


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def _wrong_parent(tree: Tree, key: bytes) -> None:
    tree[key][b"parent"] = b"default/1/none"


def _label(root: ContainerdRoot, name: str) -> None:
    digest = root.digest_of(name, "2").encode()

    def change(space: Tree) -> None:
        space[b"content"][b"blob"][digest][b"labels"][b"containerd.io/uncompressed"] = b"sha256:" + b"0" * 64

    root.edit_meta(change)


def _discarded(root: ContainerdRoot, name: str) -> None:
    digest = root.digest_of(name, "2")
    root.edit_meta(lambda space: space[b"content"][b"blob"].pop(digest.encode()))
    root.blob(digest).unlink()


def _unpackless(root: ContainerdRoot, name: str) -> None:
    """Neither the blob nor the snapshots."""
    for key in reversed(root.layers(name)):
        shutil.rmtree(root.directory(key))
    keys = [root.name(key) for key in root.layers(name)]

    def change(tree: Tree) -> None:
        for key in keys:
            del tree[b"snapshots"][key]
        links = tree[b"parents"]
        for link in [link for link, value in links.items() if value in keys]:
            del links[link]

    root.edit_snapshots(change)
    chain = root.layers(name)
    root.edit_meta(lambda space: [space[b"snapshots"][b"overlayfs"].pop(key.encode()) for key in chain])
    root.blob(root.digest_of(name, "2")).unlink()


AGAIN: dict[str, tuple[str, Damage]] = {
    "nomanifest": ("image-missing", _blob("manifest", lambda path: path.unlink())),
    "noconfig": ("image-missing", _blob("config", lambda path: path.unlink())),
    "otherconfig": ("image-altered", _blob("config", _altered)),
    "garbage": ("image-altered", _blob("manifest", _garbage)),
    "longer": ("size-differs", _blob("config", _longer)),
    "noblob": ("blob-missing", _blob("2", lambda path: path.unlink())),
    "nolayer": ("layer-missing", _unpackless),
    "altered": ("layer-altered", _blob("2", _garbage)),
    "discarded": ("blob-discarded", _discarded),
    "label": ("uncompressed-wrong", _label),
    "active": ("snapshot-uncommitted", _record(2, lambda tree, key: tree[key].update({b"kind": b"\2"}))),
    "nofiles": ("directory-missing", _directory(shutil.rmtree)),
    "file": ("directory-malformed", _directory(_replaced)),
    "nofile": ("image-malformed", _blob("manifest", _no_file)),
    "noblobfile": ("blob-malformed", _blob("2", _no_file)),
    "unrecorded": ("blob-unrecorded", _no_entry("manifest")),
    "noentry": ("blob-discarded", _no_entry("3")),
    "content": ("content-altered", _directory(lambda path: (path / "fs/etc/upper").write_bytes(b"another"))),
}
"""By image its defect: it is removed, and imported again."""

ANEW: dict[str, tuple[str, Damage]] = {
    "norecord": ("snapshot-unrecorded", _record(2, lambda tree, key: tree.pop(key))),
    "nobase": ("snapshot-unrecorded", _record(1, lambda tree, key: tree.pop(key))),
    "parent": ("parent-wrong", _record(2, _wrong_parent)),
    "nodatabase": ("database-missing", lambda root, _: (root.snapshotter / "metadata.db").unlink()),
}
"""Likewise, with the directory of the snapshotter moved away first."""


def _archive(images: Iterable[str]) -> bytes:
    """An archive of images, with three layers each that no other has."""
    layout = Layout()
    for image in images:
        files = ("base", "upper", "top")
        layers = [Layer().dir("etc").file(f"etc/{name}", image.encode()).done() for name in files]
        layout.name(layout.image(layers), _name(image))
    return as_tar(layout.done())


def _name(image: str) -> str:
    return f"docker.io/library/{image}:1"


def _rows(root: Path) -> list[dict[str, Any]]:
    """What is found."""
    found: list[dict[str, Any]] = layerfs(root, "doctor", "--verify", "--format", "json").json
    return found


def _codes(root: Path) -> set[str]:
    return {row["code"] for row in _rows(root)}


@pytest.mark.parametrize("defects", [AGAIN, ANEW], ids=["again", "anew"])
def test_images_come_back(tmp_path: Path, defects: dict[str, tuple[str, Damage]]) -> None:
    """Every defect is found; after its remedy nothing is, and each image is mounted with its own files."""
    archive = tmp_path / "images.tar"
    archive.write_bytes(_archive(defects))
    with running(tmp_path) as engine:
        engine.ctr("images", "import", str(archive))
    root = ContainerdRoot(engine.root, ".", "default")
    targets = {image: root.target(_name(image)) for image in defects}
    rows: list[dict[str, Any]] = []
    for image, (code, damage) in defects.items():
        if code == "database-missing":  # which hides all else
            rows += _rows(root.path)
        damage(root, _name(image))
    rows += _rows(root.path)
    for image, (code, _) in defects.items():
        concerned = [row for row in rows if row["subject"] == "root" or _concerns(row, targets[image])]
        assert code in {row["code"] for row in concerned}, image
        words = "with its directory moved away" if defects is ANEW else "remove every image that needs it"
        assert words in remedy_of(code).suggestion, code
    if defects is ANEW:
        root.snapshotter.rename(tmp_path / "away")
    with running(tmp_path) as engine:
        for image in defects:
            engine.ctr("images", "rm", "--sync", _name(image))
        assert _codes(root.path) == set()
        engine.ctr("images", "import", str(archive))
        assert _codes(root.path) == set()
        for image in defects:
            _is_mounted(engine, image, tmp_path / "mnt")


def _concerns(row: dict[str, Any], target: str) -> bool:
    return f"image {target}" in (row["subject"], *row["affects"])


def _is_mounted(engine: Containerd, image: str, place: Path) -> None:
    with engine.mounted(_name(image), place):
        found = {path.name: path.read_text() for path in (place / "etc").iterdir()}
    assert found == dict.fromkeys(("base", "upper", "top"), image)


# -- containers, and what waits to be collected --------------------------------------------------------


def _forgotten(root: ContainerdRoot, key: str) -> None:
    """Neither database has the snapshot."""
    name = root.name(key)

    def change(tree: Tree) -> None:
        del tree[b"snapshots"][name]
        links = tree[b"parents"]
        for link in [link for link, value in links.items() if value == name]:
            del links[link]

    root.edit_snapshots(change)
    root.edit_meta(lambda space: space[b"snapshots"][b"overlayfs"].pop(key.encode()))


CONTAINERS: dict[str, tuple[str, Damage]] = {
    "forgotten": ("container-missing", _forgotten),
    "filesgone": ("directory-missing", lambda root, key: shutil.rmtree(root.directory(key))),
    "filesnone": ("directory-malformed", lambda root, key: _replaced(root.directory(key))),
}
"""By container its defect."""


def _expire(root: ContainerdRoot, what: bytes, key: bytes) -> None:
    """A lease or a download has been there for too long."""
    past = time_bytes(1_700_000_000)

    def change(space: Tree) -> None:
        if what == b"leases":
            space[b"leases"][key][b"labels"][b"containerd.io/gc.expire"] = b"2023-11-14T22:13:20Z"
        else:
            space[b"content"][b"ingests"][key][b"expireat"] = past

    root.edit_meta(change)


def _unnamed(root: ContainerdRoot) -> None:
    root.edit_meta(lambda space: space[b"snapshots"][b"overlayfs"].pop(b"unnamed"))


def _orphaned(root: ContainerdRoot) -> None:
    """Of a snapshot that `ctr` made nothing says any more that it is to be kept."""
    root.edit_meta(lambda space: space[b"snapshots"][b"overlayfs"][b"orphaned"].pop(b"labels"))


COLLECTED: dict[str, Callable[[ContainerdRoot], object]] = {
    "blob-unclaimed": lambda root: root.blob("sha256:" + "0" * 64).write_bytes(b"x"),
    "snapshot-unnamed": _unnamed,
    "snapshot-orphaned": _orphaned,
    "directory-orphaned": lambda root: (root.snapshotter / "snapshots/999/fs").mkdir(parents=True),
    "temporary-left": lambda root: (root.snapshotter / "snapshots/new-123/fs").mkdir(parents=True),
    "lease-expired": lambda root: _expire(root, b"leases", b"old"),
    "ingest-left": lambda root: _expire(root, b"ingests", b"old"),
}
"""What the next collection removes, by code, and how it comes to be."""


class Repaired(NamedTuple):
    """A containerd that was started again on a root with every defect of these two kinds.

    Attributes:
        before: the codes that were found until then, with whose they are.
    """

    engine: Containerd
    before: set[tuple[str, str]]


@pytest.fixture(scope="module")
def repaired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repaired]:
    """One for all that can be done beside each other."""
    place = tmp_path_factory.mktemp("repaired")
    sample = unpack_sample("containerd-1.6-store", place / "sample")
    program = next(sample.glob("io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs/bin/fx")).read_bytes()
    layout = Layout()
    for image in ("app", "gone"):
        layer = Layer().dir("bin").file("bin/fx", program, mode=0o755).file(f"bin/{image}", b"").done()
        layout.name(layout.image([layer]), _name(image))
    (place / "images.tar").write_bytes(as_tar(layout.done()))
    with running(place) as engine:
        engine.ctr("images", "import", str(place / "images.tar"))
        for container in CONTAINERS:
            _run(engine, container)
        for ref in ("old", "going"):
            _break_off(engine, ref)
        engine.ctr("leases", "create", "--id", "old", "--expires", "1h")
        for key in ("orphaned", "unnamed"):
            engine.ctr("snapshots", "prepare", key)
    root = ContainerdRoot(engine.root, ".", "default")
    assert _codes(root.path) == {"ingest-left"}
    for make in COLLECTED.values():
        make(root)
    before = _found(root.path)
    for container, (_, damage) in CONTAINERS.items():
        damage(root, container)
    before |= _found(root.path)
    with running(place) as engine:
        yield Repaired(engine, before)


def _run(engine: Containerd, container: str) -> None:
    words = ("--null-io", "--cwd", "/")
    engine.ctr("run", *words, _name("app"), container, "/bin/fx", "write", "/x", container)


def _break_off(engine: Containerd, ref: str) -> None:
    """Begin a download of which nothing arrives."""
    words = ["ctr", "--address", str(engine.path / "socket"), "content", "ingest", ref]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as client:
        while ref not in engine.ctr("content", "active"):
            assert client.poll() is None
        client.kill()


def _found(root: Path) -> set[tuple[str, str]]:
    """The codes that are found, with whose they are."""
    rows = layerfs(root, "doctor", "--format", "json").json
    return {(row["code"], row["subject"]) for row in rows}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_is_created_again(repaired: Repaired, container: str) -> None:
    """One whose own files or snapshot are gone is removed and made anew, and is as it was told to be."""
    code, _ = CONTAINERS[container]
    subject = f"container {container}"
    assert (code, subject) in repaired.before
    assert remedy_of(code, subject).suggestion.startswith("remove the container (`ctr containers rm`)")
    repaired.engine.ctr("containers", "rm", container)
    _run(repaired.engine, container)
    assert subject not in {found for _, found in _found(repaired.engine.root)}
    assert layerfs(repaired.engine.root, "cat", container, "/x").stdout == f"{container}\n"


def test_the_next_collection_removes_it(repaired: Repaired) -> None:
    """What needs nothing to be done is gone as soon as an image is removed; a download can go on before."""
    engine = repaired.engine
    assert set(COLLECTED) <= {code for code, _ in repaired.before}
    assert {remedy_of(code).suggestion for code in COLLECTED} == {"none needed"}
    words = ["ctr", "--address", str(engine.path / "socket"), "content", "ingest", "going"]
    subprocess.run(words, input=b"whole", check=True)
    engine.ctr("images", "rm", "--sync", _name("gone"))
    assert not set(COLLECTED) & _codes(engine.root)


# -- databases -----------------------------------------------------------------------------------------


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _state_lost(path: Path) -> None:
    """Another transaction's number in the newest state."""
    content = path.read_bytes()
    size = page_size(content)
    newest = max((0, size), key=lambda at: content[at + 64 : at + 72][::-1])
    path.write_bytes(patched(content, newest + 64, b"\xff"))


def _spec(path: Path) -> None:
    """The record of a container cannot be read: nothing that containerd has removes it."""
    root = ContainerdRoot(path.parents[1], ".", "default")
    root.edit_meta(lambda space: space.update({b"containers": {b"bad": {b"spec": b"\x0a\x7fx"}}}))


ROOT, SNAPSHOTTER, NONE = "on a new root", "with its directory moved away", "none needed"
DATABASES: dict[str, tuple[str, str, Callable[[Path], object], str]] = {
    "no meta.db": ("meta.db", "database-missing", Path.unlink, ROOT),
    "half of meta.db": ("meta.db", "database-malformed", _half, ROOT),
    "meta.db of another": ("meta.db", "container-malformed", _spec, ROOT),
    "older meta.db": ("meta.db", "database-state-lost", _state_lost, NONE),
    "half of metadata.db": ("metadata.db", "database-malformed", _half, SNAPSHOTTER),
}
"""By name the database, what is found, what is done to it, and what the remedy says of it."""


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The place of a containerd with one image, and its archive."""
    place = tmp_path_factory.mktemp("intact")
    (place / "images.tar").write_bytes(_archive(["app"]))
    with running(place) as engine:
        engine.ctr("images", "import", str(place / "images.tar"))
    return place


@pytest.mark.parametrize("name", DATABASES)
def test_a_database_is_made_anew(intact: Path, tmp_path: Path, name: str) -> None:
    """What a damaged database needs is a new root, or a new directory of the snapshotter, or nothing."""
    database, code, damage, words = DATABASES[name]
    place = tmp_path / "place"
    subprocess.run(["cp", "-a", intact, place], check=True)
    root = ContainerdRoot(place / "root", ".", "default")
    damage(root.meta if database == "meta.db" else root.snapshotter / "metadata.db")
    assert code in _codes(root.path)
    assert words in remedy_of(code).suggestion
    if words == ROOT:
        root.path.rename(tmp_path / "away")
    elif words == SNAPSHOTTER:
        root.snapshotter.rename(tmp_path / "away")
    with running(place) as engine:
        if words == SNAPSHOTTER:
            engine.ctr("images", "rm", "--sync", _name("app"))
        engine.ctr("images", "import", str(intact / "images.tar"))
        assert _codes(root.path) == set()
        assert engine.ctr("containers", "ls", "-q") == ""
        _is_mounted(engine, "app", tmp_path / "mnt")


NOT_CARRIED_OUT = {
    "container-notes-missing": "of Docker's and of Kubernetes' containers alone, which have no engine here",
    "container-notes-malformed": "likewise",
    "snapshot-unclaimed": "it is found beside another, whose remedy is carried out: see `nomanifest`",
    "record-missing": "the evidence is copied again: nothing is done to an engine",
    "record-malformed": "likewise",
    "record-altered": "likewise",
    "record-wrong": "likewise",
}
"""The codes whose remedy is nothing that an engine could be given, with the reason."""


def test_every_remedy_is_carried_out() -> None:
    """Each code has its defect here, or a reason why there is nothing to carry out."""
    tried = {code for table in (AGAIN, ANEW, CONTAINERS) for code, _ in table.values()}
    tried |= {code for _, code, _, _ in DATABASES.values()} | set(COLLECTED)
    assert tried | set(NOT_CARRIED_OUT) == {*REMEDIES, "content-altered", "layer-altered"}
    assert not tried & set(NOT_CARRIED_OUT)
