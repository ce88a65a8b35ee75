"""verify beside a real Engine: what it writes is clean, and what it refuses to save is found."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Layer
from tests.support.command import layerfs
from tests.support.engine import Engine, EngineError, copy_root
from tests.support.planting import PLANTS, placed_layers

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.dockerd, pytest.mark.slow]

CLEAN, FOUND = 0, 1
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
NOBODY = 0xFFFFFFFF


def _acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _odd_layer() -> bytes:
    """Members whose headers are not what comes to lie on disk."""
    default = _acl((1, 7, NOBODY), (2, 5, 1234), (4, 5, NOBODY), (16, 5, NOBODY), (32, 0, NOBODY))
    plain = _acl((1, 6, 7), (4, 4, 8), (32, 4, 9))
    layer = Layer().file("one", b"x" * 10, 0o4755, uid=1, xattrs={"user.first": b"1"})
    layer.add("two", tarfile.LNKTYPE, linkname="one", mode=0o2711, uid=2, gid=3, mtime=5)
    layer.file("capable", b"c", 0o755, xattrs={"security.capability": CAPABILITY})
    layer.add("less", tarfile.LNKTYPE, linkname="capable", mode=0o755)
    layer.file("weak", b"w", 0o755)
    layer.add("more", tarfile.LNKTYPE, linkname="weak", xattrs={"security.capability": CAPABILITY})
    layer.symlink("link", "one", uid=4, mtime=-7).add("link2", tarfile.LNKTYPE, linkname="link", uid=5)
    layer.symlink("named", "one", xattrs={"user.refused": b"1", "trusted.kept": b"1"})
    layer.dir("acl", xattrs={"system.posix_acl_default": default}).file("acl/inherits", b"1", 0o640)
    layer.dir("acl/below").file("no-acl", b"1", 0o604, xattrs={"system.posix_acl_access": plain})
    layer.file("acl-of-mode", b"1", 0o654, xattrs={"system.posix_acl_access": default})
    layer.file("not/there/before", b"implied").whiteout("gone/x").whiteout("p").dir("p").file("p/q", b"q")
    layer.dir("real").symlink("real/up", "..").symlink("way", "real").file("way/through", b"t")
    layer.file("../above", b"a").dir("../").opaque("opaque").opaque("")
    layer.file("early", b"", mtime=-1).file("late", b"", mtime=20_000_000_000).symlink(
        "l", "x", mtime=20_000_000_000
    )
    layer.file("fraction", b"f", pax={"mtime": "1700000000.000000001"}).dir("d", pax={"mtime": "1.5"})
    layer.file("nobody", b"n", uid=2**32 - 2).dir("set", 0o7777).add("fifo", tarfile.FIFOTYPE, mode=0o6640)
    layer.node("zero", tarfile.CHRTYPE, 0, 0, 0o644).node("disk", tarfile.BLKTYPE, 4095, 1048575)
    return layer.done()


def test_what_an_engine_writes_is_clean(tmp_path: Path) -> None:
    """An Engine's own layers, of odd archives, of a container and of a build, give no finding at all."""
    base = Layer().dir("bin").file("bin/sh", b"#!", 0o755).done()
    with Engine(tmp_path / "root") as engine:
        engine.import_tar(_odd_layer(), "odd:1")
        engine.import_tar(base, "base:1")
        engine.cli("create", "--name", "made", "base:1", "/bin/sh")
        (tmp_path / "file").write_bytes(b"copied")
        engine.cli("cp", str(tmp_path / "file"), "made:/file")
        engine.cli("commit", "made", "committed:1")
        context = tmp_path / "context"
        context.mkdir()
        (context / "Dockerfile").write_text(
            "FROM base:1\nCOPY Dockerfile /x/\nLABEL a=b\nCOPY --chown=5 . /y/\n"
        )
        engine.build(context, "--tag", "built:1")
        result = layerfs(engine.root, "verify", "--all", "--format", "json")
        assert (result.json, result.stderr, result.code) == ([], "", CLEAN)


def test_what_an_engine_refuses_to_save_is_found(dataroot_path: Path, tmp_path: Path) -> None:
    """For every kind of tampering: where docker save fails, and where it notices nothing, verify tells."""
    with Engine(copy_root(dataroot_path, tmp_path / "root")) as engine:
        sound = {image: _saves(engine, image) for image in {plant.image for plant in PLANTS.values()}}
        assert sum(sound.values()) > len(sound) / 2
        seen = set()
        for name, plant in PLANTS.items():
            if not sound[plant.image]:
                continue
            layer = placed_layers(engine.root, plant.image)[plant.layer - 1]
            backup = tmp_path / "backup"
            subprocess.run(["cp", "-a", layer.diff, backup], check=True)
            plant.tamper(layer.diff)
            saves = _saves(engine, plant.image)
            assert (name, saves) == (name, plant.saves)
            result = layerfs(engine.root, "verify", "--strict", plant.image)
            assert (name, result.code) == (name, FOUND)
            seen.add(saves)
            shutil.rmtree(layer.diff)
            subprocess.run(["cp", "-a", backup, layer.diff], check=True)
            shutil.rmtree(backup)
        assert seen == {True, False}


def _saves(engine: Engine, image: str) -> bool:
    try:
        engine.cli_bytes("save", image)
    except EngineError:
        return False
    return True
