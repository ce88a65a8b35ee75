"""Engines whose users are not the host's, and engines of naive diff: their intact roots are called intact.

A rootless engine applies archives through overlayfs, makes no devices, and gives every file to a user of
its namespace; one with userns-remap does only the last. What they say inside is what is compared with.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tarfile
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fixtures.archives import Archive, Image, Layer
from tests.support.archives import anonymous, members
from tests.support.command import layerfs, run_bytes
from tests.support.engine import copy_root
from tests.support.namespaced import Range, RemappedEngine, RootlessEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.dockerd

OWNERS, SPELLED, OPAQUE, NOTHING, ODD = "owners:1", "spelled:1", "opaque:1", "nothing:1", "odd:1"
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
NAMED = {"etc/shadow": (0, 42), "srv/www": (33, 33), "srv/nobody": (65534, 65534), "srv/high": (1234, 5678)}


def _owners() -> list[bytes]:
    """Files of several users, and one with a capability."""
    layer = Layer().dir("etc/").dir("srv/", uid=33, gid=33)
    for name, (uid, gid) in NAMED.items():
        layer.file(name, b"x", uid=uid, gid=gid)
    layer.symlink("srv/link", "www", uid=33, gid=33)
    layer.file("srv/able", b"x", 0o755, xattrs={"security.capability": CAPABILITY})
    return [layer.done(), Layer().dir("srv/", uid=33, gid=33).whiteout("srv/high").done()]


def _spelled() -> list[bytes]:
    """A path spelled in several ways, which tar-split tells apart."""
    layer = Layer().dir("./").dir("./etc/", mtime=1, mode=0o700).file("./etc/two", b"2")
    return [layer.dir("/etc/").file("/etc/one", b"1").file("/etc/two", b"2", uid=33, gid=33).done()]


def _opaque() -> list[bytes]:
    below = Layer().dir("d/").file("d/gone").dir("d/deep/").file("d/deep/gone").done()
    return [below, Layer().opaque("d/").file("d/new").dir("d/deep/").file("d/deep/new").done()]


def _nothing() -> list[bytes]:
    """Marks of what never was."""
    above = Layer().dir("d/").whiteout("d/nothere").opaque("fresh/").whiteout("fresh/neither").done()
    return [Layer().dir("d/").file("d/x").done(), above]


def _odd() -> list[bytes]:
    """What naive diff makes otherwise: only an engine that applies it loads this."""
    base = (
        Layer()
        .dir("dir/", mtime=5)
        .file("dir/a")
        .file("file", b"below")
        .file("change")
        .dir("gone/")
        .file("gone/x")
    )
    base.dir("implied/", mode=0o700, uid=33).file("implied/a").file("no/header/below")
    upper = Layer().dir("change/").file("change/now").whiteout("gone").dir("gone/").file("gone/again")
    upper.file("implied/deep/b").link("dir/linked", "file").dir("new/").dir("new/er/").file("new/er/file")
    top = Layer().node("null", tarfile.CHRTYPE, 1, 3).add("fifo", tarfile.FIFOTYPE).dir("./", mode=0o711)
    return [base.done(), upper.done(), top.whiteout("dir/linked").file("high", uid=60000, gid=60000).done()]


IMAGES = {OWNERS: _owners(), SPELLED: _spelled(), OPAQUE: _opaque(), NOTHING: _nothing(), ODD: _odd()}


class Namespace(NamedTuple):
    """An engine that ran: its data root, what it saved of each image, and of containers of them exported."""

    root: Path
    images: list[str]
    saved: dict[str, bytes]
    exported: dict[str, bytes]


def _engine(kind: str, place: Path) -> RemappedEngine | RootlessEngine:
    if kind == "remapped":
        return RemappedEngine(place)
    ranges = (
        [Range(0, 200_000, 65_536)] if kind == "rootless" else [Range(0, 1000, 1), Range(1, 100_000, 65_536)]
    )
    return RootlessEngine(place, ranges)


@pytest.fixture(scope="module", params=["remapped", "rootless", "rootless of a user"])
def namespace(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Namespace:
    """An engine of each kind has loaded every image, and made a container of each."""
    place = tmp_path_factory.mktemp("namespace")
    images = [name for name in IMAGES if name != ODD or request.param != "remapped"]
    with _engine(request.param, place / "root") as engine:
        for name in images:
            archive = place / "archive.tar"
            archive.write_bytes(Archive([Image([name], IMAGES[name], None)]).done())
            engine.load(archive)
        saved, exported = {}, {}
        for name in images:
            saved[name] = engine.cli_bytes("save", name)
            container = engine.cli("create", name, "/none").strip()
            exported[name] = engine.cli_bytes("export", container)
    return Namespace(engine.images_root, images, saved, exported)


def test_nothing_is_found(namespace: Namespace) -> None:
    """Not a word of damage about a root that its engine has just written, from any command that judges."""
    found = layerfs(namespace.root, "verify", "--all")
    assert (found.code, found.stderr) == (0, "")
    assert ": 0 errors, 0 warnings, 0 notes; " in found.stdout
    assert layerfs(namespace.root, "doctor", "--severity", "warning") == (0, "nothing found\n", "")


def test_owners_are_those_inside(namespace: Namespace) -> None:
    """Every listing has the archive's owners; with --userns none the disk's, and by a map those it says."""
    for arguments in (("ls", "-R"), ("stat", "--format", "json"), ("find",)):
        rows = {
            str(row["path"]).strip("/"): (row["uid"], row["gid"]) for row in _rows(namespace.root, *arguments)
        }
        assert rows.items() >= {name: NAMED[name] for name in NAMED if name != "srv/high"}.items()
    outside = _disk(namespace.root, "srv/www")
    none = layerfs(namespace.root, "--userns", "none", "ls", "--format", "json", OWNERS, "/srv/www").json
    assert (none[0]["uid"], none[0]["gid"]) == (outside.st_uid, outside.st_gid) != (33, 33)
    given = layerfs(
        namespace.root, "--userns", f"33:{outside.st_uid}:1", "ls", "--format", "json", OWNERS, "/srv"
    ).json
    assert {row["name"]: row["uid"] for row in given if row["name"] in ("www", "nobody")} == {
        "www": 33,
        "nobody": 65534,  # as the kernel shows whoever is in no range
    }


def _rows(root: Path, command: str, *options: str) -> list[dict[str, object]]:
    paths = [f"/{name}" for name in NAMED if name != "srv/high"] if command == "stat" else []
    form = [] if "--format" in options else ["--format", "json"]
    name = [OWNERS, *paths] if command == "stat" else [OWNERS, "/"]
    found = layerfs(root, command, *options, *form, *name)
    assert (found.code, found.stderr) == (0, "")
    return list(found.json)


def _disk(root: Path, name: str) -> os.stat_result:
    """A file of the layers, as it lies on disk."""
    (found,) = (root / "overlay2").glob(f"*/diff/{name}")
    return found.lstat()


def test_layers_are_exported_as_the_engine_saves_them(namespace: Namespace) -> None:
    """Each layer is the archive that was loaded, byte for byte, as it is in what the engine itself saves."""
    for name in namespace.images:
        theirs = {
            content for member, content in members(namespace.saved[name]) if member.name.endswith(".tar")
        }
        for number, tar in enumerate(IMAGES[name], 1):
            ours = run_bytes(namespace.root, "export", "--format", "layer", "--layer", str(number), name)
            assert (ours.code, ours.stderr) == (0, "")
            assert ours.stdout == tar
            assert tar in theirs
        whole = run_bytes(namespace.root, "export", "--salvage", name)
        assert (whole.code, whole.stderr) == (0, "")


def test_trees_are_exported_as_the_engine_does(namespace: Namespace) -> None:
    """A tree has the owners and capabilities that `docker export` writes, the container's own files aside."""
    for name in namespace.images:
        ours = run_bytes(namespace.root, "export", "--format", "rootfs", name)
        assert (ours.code, ours.stderr) == (0, "")
        assert _entries(ours.stdout) == _entries(anonymous(namespace.exported[name]))


def _entries(archive: bytes) -> dict[str, object]:
    made = {".dockerenv", "dev", "etc", "proc", "sys"}  # by the engine, for a container
    return {
        member.name: (
            member.type,
            member.mode,
            member.uid,
            member.gid,
            member.mtime,
            member.pax_headers,
            content,
        )
        for member, content in members(archive)
        if member.name.split("/")[0] not in made or member.name == "etc/shadow"
    }


def test_a_salvaged_tree_has_the_owners_inside(namespace: Namespace, tmp_path: Path) -> None:
    """A layer whose archive is gone is made anew with the owners that it had, not with those of the host."""
    root = _copied(namespace, tmp_path)
    for record in (root / "image/overlay2/layerdb/sha256").glob("*/tar-split.json.gz"):
        record.unlink()
    found = run_bytes(
        root,
        "--userns",
        _given(namespace.root),
        "export",
        "--salvage",
        "--format",
        "layer",
        "--layer",
        "1",
        OWNERS,
    )
    owners = {member.name: (member.uid, member.gid) for member, _ in members(found.stdout)}
    assert owners.items() >= NAMED.items()


def _given(root: Path) -> str:
    """The map of a root in the words of the option."""
    top = os.stat(next((root / "overlay2").glob("*/diff")))
    others = _disk(root, "srv/www").st_uid - 33 + 1
    return f"0:{top.st_uid}:1,1:{others}:65535"


def _copied(namespace: Namespace, tmp_path: Path) -> Path:
    """A copy, under another name than that of its users."""
    return copy_root(namespace.root, tmp_path / "copied")


def test_another_name_says_as_much(namespace: Namespace, tmp_path: Path) -> None:
    """The owners of a root are found under any name of its directory, and nothing is said of it."""
    root = _copied(namespace, tmp_path)
    for arguments in (("ls", "-lnR", OWNERS), ("verify", "--all", "--format", "json"), ("hashes", OWNERS)):
        assert layerfs(root, *arguments) == layerfs(namespace.root, *arguments)


def test_a_copy_without_owners_shows_those_of_the_archives(namespace: Namespace, tmp_path: Path) -> None:
    """A copy that belongs to one user is no namespace: its owners are the archives'."""
    root = _copied(namespace, tmp_path)
    subprocess.run(["chown", "-hR", "1005:1005", root], check=True)
    found = layerfs(root, "ls", "--format", "json", OWNERS, "/srv")
    assert {row["name"]: row["uid"] for row in found.json}["www"] == 33
    assert "owners are not those of the archives" in found.stderr


def test_diffs_and_digests_need_no_map(namespace: Namespace) -> None:
    """What a layer did to owners, and the digests of files, are the same whoever the host's users are."""
    found = layerfs(namespace.root, "diff", "--ignore", "mtime", "--format", "json", OWNERS)
    assert [row["path"] for row in found.json] == ["/srv/high"]
    hashed = layerfs(namespace.root, "hashes", OWNERS)
    assert (hashed.code, hashed.stderr) == (0, "")


def _no_whiteout(diff: Path) -> None:
    """Remove what hides the file below, whatever the engine made of the archive's opaque directory."""
    for name in ("d/gone", "d/deep/gone"):
        (diff / name).unlink(missing_ok=True)
    for name in ("d", "d/deep"):
        for mark in ("trusted.overlay.opaque", "user.overlay.opaque"):
            with suppress(OSError):
                os.removexattr(diff / name, mark)


def _hide(name: str) -> Callable[[Path], None]:
    return lambda diff: os.mknod(diff / name, stat.S_IFCHR)


TAMPERED: dict[str, tuple[str, Callable[[Path], None], set[str], set[str]]] = {
    "no longer hidden": (OPAQUE, _no_whiteout, {"opaque-missing"}, {"opaque-missing"}),
    "hidden": (NOTHING, _hide("d/x"), {"whiteout-extra"}, {"whiteout-extra"}),
    "what never was hidden": (NOTHING, _hide("d/y"), {"whiteout-extra"}, set()),
    "a file more": (OPAQUE, lambda diff: (diff / "d/extra").touch(), {"entry-extra"}, {"entry-extra"}),
    "owner": (OWNERS, lambda diff: os.lchown(diff / "srv", 5, 5), {"owner-altered"}, {"owner-altered"}),
}
"""An image, what is done to its uppermost layer, and what is found where marks are the archive's, or not."""


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_found_all_the_same(namespace: Namespace, tmp_path: Path, how: str) -> None:
    """That marks are judged by what they hide lets no change pass of what is seen."""
    root = _copied(namespace, tmp_path)
    name, tamper, native, naive = TAMPERED[how]
    tamper(_top(root, name))
    found = layerfs(root, "verify", "--ignore", "mtime", "--format", "json", name)
    assert {row["code"] for row in found.json} == (naive if ODD in namespace.images else native)


def _top(root: Path, name: str) -> Path:
    layers = layerfs(root, "layers", "--format", "json", name).json
    return root / "overlay2" / str(layers[-1]["cache_id"]) / "diff"
