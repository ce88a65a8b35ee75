"""containerd stores made to harm: names that lead out, links and pipes for files, documents without end."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile.test_names import _has_no_power
from tests.support.command import layerfs
from tests.support.containerdbuilder import BuiltSnapshot, ContainerdBuilder
from tests.support.hostility import EVIL
from tests.support.layouts import OCI, layer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.support.command import Result

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

OUTSIDE = "what lies outside of the store"
SOUND = (0, 1, 2, 3, 4, 5, 6)
COMMANDS = """
images -a --digests
images -a --format json
containers -a --size
layers
history app:1
dockerfile app:1
dockerfile box
inspect app:1
inspect box
ls -lR app:1 /
ls -lR box /
cat app:1 /file
find box
find --all
diff box
timeline --all
whois app:1 box
du
system df -v
export app:1 -o -
""".strip().splitlines()


def _fill(content: bytes) -> Callable[[Path], object]:
    return lambda tree: (tree / "file").write_bytes(content)


def _store(path: Path, namespace: str = "default", snapshotter: str = "overlayfs") -> ContainerdBuilder:
    """An image `app:1` of two layers, and a container `box` on it."""
    builder = ContainerdBuilder(path, namespace, snapshotter)
    base = builder.layer(None, layer_of({"file": b"base", "old": b"x"}), _fill(b"base"))
    top = builder.layer(base, layer_of({"file": b"top"}), _fill(b"top"))
    builder.image(["docker.io/library/app:1"], [base, top])
    builder.container("box", "docker.io/library/app:1", top)
    return builder


def _asked(root: Path, commands: Sequence[str] = COMMANDS) -> list[Result]:
    """What commands say; none of it is an error of ours, a control character, or from outside."""
    found = [layerfs(root, *command.split()) for command in commands]
    for command, done in zip(commands, found, strict=True):
        assert done.code in SOUND, (command, done.stderr)
        assert not re.search(r"Traceback|\[Errno|bug in layerfs", done.stderr), (command, done.stderr)
        assert OUTSIDE not in done.stdout + done.stderr, command
        _has_no_power(done.stderr)
        if not command.startswith("export"):
            _has_no_power(done.stdout)
    return found


SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs"
PLACES = {
    "snapshot": f"{SNAPSHOTS}/snapshots/2",
    "fs": f"{SNAPSHOTS}/snapshots/2/fs",
    "file": f"{SNAPSHOTS}/snapshots/2/fs/file",
    "snapshots": f"{SNAPSHOTS}/snapshots",
    "snapshotter": SNAPSHOTS,
    "metadata.db": f"{SNAPSHOTS}/metadata.db",
    "blobs": "io.containerd.content.v1.content/blobs",
    "sha256": "io.containerd.content.v1.content/blobs/sha256",
    "content": "io.containerd.content.v1.content",
    "meta.db": "io.containerd.metadata.v1.bolt/meta.db",
    "bolt": "io.containerd.metadata.v1.bolt",
    "blob": "",  # the blob of the manifest
}
"""What something else is put in place of."""


@pytest.mark.parametrize("what", ["link", "FIFO"])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_followed_or_waited_for(tmp_path: Path, place: str, what: str) -> None:
    """A link to the same thing outside of the store, or a pipe: refused or passed over, in words."""
    builder = _store(tmp_path / "root")
    root = builder.finish()
    manifest = next(iter(builder.space[b"images"].values()))[b"target"][b"digest"].decode()
    path = root / (PLACES[place] or f"io.containerd.content.v1.content/blobs/{manifest.replace(':', '/')}")
    outside = tmp_path / "outside"
    path.rename(outside)
    for file in [outside, *outside.rglob("file")]:
        if file.name == "file" or place == "file":
            file.write_text(OUTSIDE)
    if what == "link":
        path.symlink_to(outside)
    else:
        os.mkfifo(path)
    _asked(root)


def test_numbers_keys_and_digests_lead_nowhere(tmp_path: Path) -> None:
    """Nothing that a database says is a path: not with `..`, not with slashes, not beyond 64 bits."""
    builder = _store(tmp_path / "root")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_text(OUTSIDE)
    (tmp_path / "secret/status").write_text(json.dumps({"Version": OUTSIDE, "Reason": OUTSIDE}))
    images, target = (
        builder.space[b"images"],
        {b"mediatype": f"{OCI}.manifest.v1+json".encode(), b"size": b"\2"},
    )
    for number, digest in enumerate(
        ("../../secret/file", "sha256:../../../../secret/file", "sha256:" + "A" * 64, "")
    ):
        images[b"out:%d" % number] = {b"target": {**target, b"digest": digest.encode()}}
    for key in ("../../../secret", "/etc/passwd", "a/b/c", "..", "."):
        made = builder.snapshot(key, None)
        builder.space[b"containers"][key.encode()] = {
            b"image": b"docker.io/library/app:1", b"snapshotter": b"overlayfs", b"snapshotKey": key.encode(),
            b"labels": {b"io.cri-containerd.kind": b"container"},
        }  # fmt: skip
        builder.records[made.name.encode()][b"id"] = b"\xff" * 9 + b"\1"
    root = builder.finish()
    images_listed, *_ = _asked(root)
    assert "app" in images_listed.stdout
    for key in ("../../../secret", "a/b/c", "sha256:../../../../secret/file"):
        for command in ("ls", "inspect", "diff", "find"):
            found = layerfs(root, command, key)
            assert found.code in (1, 2, 3, 4, 5), (command, key, found)
            assert OUTSIDE not in found.stdout + found.stderr


def test_names_have_no_power(tmp_path: Path) -> None:
    """Images, labels, containers, keys of snapshots and media types with all that could forge a line."""
    builder = _store(tmp_path / "root")
    found = builder.manifest([], author=EVIL, comment=EVIL, config={"Labels": {EVIL: EVIL}, "Cmd": [EVIL]})
    name = EVIL.replace("\ud800", "\udcff")
    builder.name(found, "docker.io/library/evil:1", name, labels={name: name})
    odd = builder.blob(b"{}", "application/json")
    builder.name({**odd, "mediaType": f"application/{name[:3]}"}, f"odd{name}")
    raw = name.encode("utf-8", "surrogateescape")
    builder.container(name, "docker.io/library/evil:1", None, labels={raw: raw})
    builder.snapshot(f"key {name}", None, active=True)
    builder.records[raw] = {b"id": raw}
    builder.space[b"images"][b"no" + raw] = {b"target": raw}
    builder.space[b"containers"][b"no" + raw] = {b"spec": raw, b"createdat": raw}
    root = builder.finish()
    images, *_ = _asked(root)
    assert "evil" in images.stdout
    for command in (
        ["inspect", name],
        ["ls", name],
        ["history", "evil:1"],
        ["whois", name],
        ["--namespace", name, "images"],
    ):
        done = layerfs(root, *(word.replace("\0", "") for word in command))
        assert done.code in SOUND, done
        _has_no_power(done.stdout + done.stderr)


def _many_layers(builder: ContainerdBuilder) -> dict[str, Any]:
    layers = [BuiltSnapshot("", "", builder.path, f"sha256:{k:064x}", {"mediaType": f"{OCI}.layer.v1.tar",
              "digest": f"sha256:{k:064x}", "size": 1}) for k in range(4200)]  # fmt: skip
    return builder.manifest(layers)


def _deep(builder: ContainerdBuilder) -> dict[str, Any]:
    found = builder.manifest([])
    for _ in range(40):
        found = builder.index([found])
    return found


def _bushy(builder: ContainerdBuilder) -> dict[str, Any]:
    found = builder.manifest([])
    for depth in range(30):
        found = builder.index([found] * 20, annotations={"depth": str(depth)})
    return found


def _wide(builder: ContainerdBuilder) -> dict[str, Any]:
    return builder.index(
        [
            {"mediaType": f"{OCI}.manifest.v1+json", "digest": f"sha256:{k:064x}", "size": 1}
            for k in range(6000)
        ]
    )


def _huge(builder: ContainerdBuilder) -> dict[str, Any]:
    return builder.blob(b"[" * (1 << 16) + b" " * (1 << 22), f"{OCI}.manifest.v1+json")


def _lying(builder: ContainerdBuilder) -> dict[str, Any]:
    """A descriptor whose digest and size are of no blob that is there."""
    found = builder.manifest([])
    path = builder.path / "io.containerd.content.v1.content/blobs" / found["digest"].replace(":", "/")
    path.write_bytes(json.dumps({"config": found, "layers": [found] * 3}).encode())
    return {**found, "size": -5}


@pytest.mark.parametrize("make", [_many_layers, _deep, _bushy, _wide, _huge, _lying])
def test_documents_without_end_are_named(
    tmp_path: Path, make: Callable[[ContainerdBuilder], dict[str, Any]]
) -> None:
    """An image that asks for too much is refused or empty, in words; the others are listed as ever."""
    builder = _store(tmp_path / "root")
    builder.name(make(builder), "docker.io/library/huge:1")
    root = builder.finish()
    images, *_ = _asked(root, ("images", "layers", "du", "find --all", "timeline --all"))
    assert re.search(r"^app +1 ", images.stdout, re.MULTILINE)
    for command in (["ls", "huge:1"], ["history", "huge:1"], ["inspect", "huge:1"], ["find", "huge:1"]):
        found = layerfs(root, *command)
        assert found.code in SOUND
        assert "bug" not in found.stderr, found.stderr


OTHERS = (
    "btrfs",
    "zfs",
    "blockfile",
    "devmapper",
    "erofs",
    "stargz",
    "nydus",
    "soci",
    "overlaybd",
    "x\x1b[1m",
)


@pytest.mark.parametrize("name", OTHERS)
def test_layers_of_other_snapshotters_are_read_from_their_blobs(tmp_path: Path, name: str) -> None:
    """What their directories hold is never taken for a layer; that is said once, and so is a lost blob."""
    builder = _store(tmp_path / "root", snapshotter=name)
    root = builder.finish()
    shown = ascii(name)[1:-1]
    said = f"the files of the snapshotter {shown} cannot be read: its layers are read from their blobs"
    for command, answer in ((["cat", "app:1", "/file"], "top"), (["ls", "app:1"], "file\nold\n")):
        found = layerfs(root, *command)
        assert (found.code, found.stdout) == (0, answer), found.stderr
        assert found.stderr.count(said) == 1
    refused = layerfs(root, "ls", "box")
    assert refused.code == 5
    assert f"the files of the snapshotter {shown} cannot be read" in refused.stderr
    blob = hashlib.sha256(layer_of({"file": b"top"})).hexdigest()
    (root / "io.containerd.content.v1.content/blobs/sha256" / blob).unlink()
    lost = layerfs(root, "ls", "app:1")
    assert lost.code == 5
    assert f"the files of the snapshotter {shown} cannot be read, and its blob is not" in lost.stderr
    _asked(root)
