"""`layerfs diff CONTAINER` beside a real Engine's `docker diff`: the recorded containers, and made ones."""

from __future__ import annotations

import struct
import tarfile
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import EPOCH, Layer
from tests.support.command import layerfs
from tests.support.engine import engine_on_copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.engine import Engine

pytestmark = pytest.mark.dockerd

LETTERS = {0: "C", 1: "A", 2: "D"}
WORDS = {"changed": "C", "added": "A", "deleted": "D"}
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
"""`security.capability` revision 2: CAP_NET_BIND_SERVICE, effective."""
OTHER_CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)

IMAGE = "diff/many:1"
HALF = f"{EPOCH}.5"


def _word(value: bytes) -> str:
    """Bytes as a word that the shell of the images takes."""
    return "".join(f"\\x{byte:02x}" for byte in value)


STEPS = {
    "nothing": "print nothing",
    "root": "chmod 700 / , chown 5:6 / , touch / 5 5",
    "dir-to-file": "rmtree /dir , write /dir now-a-file",
    "dir-to-link": "rmtree /dir , symlink /file /dir",
    "file-to-dir": "rm /file , mkdir /file , write /file/in x , mkdir /file/sub , write /file/sub/x x",
    "there-and-back": "rmtree /dir , write /dir x , rm /dir , mkdir /dir , write /dir/a new",
    "deleted-tree": "rmtree /dir",
    "deleted-in-tree": "rmtree /dir/sub , rm /dir/a",
    "emptied": "rm /dir/a , rm /dir/b , rmtree /dir/sub",
    "recreated": "rmtree /dir , mkdir /dir , write /dir/c c , mkdir /dir/sub , write /dir/sub/y y",
    "recreated-empty": "rmdir /empty , mkdir /empty",
    "recreated-other-mode": "rmdir /empty , mkdir /empty , chmod 700 /empty",
    "recreated-equal": f"rm /file , write /file five , touch /file {EPOCH} 0",
    "same-size-and-time": f"rm /file , write /file FIVE , touch /file {EPOCH} 0",
    "same-size": "write /file FIVE",
    "added": "mkdir /new , mkdir /new/sub , write /new/sub/x x , write /dir/x x , mkfifo /new/fifo",
    "added-and-deleted": "write /x x , rm /x , mkdir /y , rmdir /y , write /dir/x x , rm /dir/x",
    "chmod": "chmod 600 /file , chmod 700 /empty , chmod 750 /dir/sub , chmod 6755 /dir/a",
    "chmod-same": "chmod 644 /file , chmod 755 /empty",
    "chown": "chown 7:0 /file , chown 0:7 /empty , chown 7:7 /link",
    "chown-strips-capability": "chown 0:0 /capable",
    "capability": f"setxattr /file security.capability {_word(CAPABILITY)}",
    "capability-changed": f"setxattr /capable security.capability {_word(OTHER_CAPABILITY)}",
    "capability-same": f"setxattr /capable security.capability {_word(CAPABILITY)}",
    "xattr": "setxattr /file user.note x , setxattr /dir user.note x",
    "times": "touch /file 5 5 , touch /fifo 5 5 , touch /char 5 5",
    "times-not-told": "touch /dir 5 5 , touch /block 5 5",
    "time-without-fraction": f"touch /file {EPOCH} 7 , touch /half {EPOCH} 0",
    "time-with-other-fraction": f"touch /half {EPOCH} 7",
    "time-of-link": "touch /link 5 5",
    "link-target": "rm /link , symlink /fale /link",
    "hard-links": "ln /file /file2 , ln /dir/a /a2 , append /one more , rm /two",
    "hard-link-touched": f"touch /one {EPOCH} 0 , chmod 600 /two",
    "renamed": "mv /file /renamed , mkdir /made , write /made/x x , mv /made /remade , mv /dir/a /dir/b",
    "devices": "rm /char , mknod /char c 1 5 , rm /block , mknod /block c 8 1 , mknod /new-device b 9 9",
    "devices-same": "rm /char , mknod /char c 1 3 , rm /fifo , mkfifo /fifo",
    "socket": "socket /socket , rm /fifo , socket /fifo",
    "names": r"write /raw-\xff\n\e x , rm /dir/a.b , mkdir /.wh..wh.opq , write /.wh.file x , mkdir /sp\sa",
    "many-levels": "mkdir /p , mkdir /p/q , mkdir /p/q/r , mkdir /dir/sub/deep/more , rm /dir/sub/deep/x",
}
"""By name, what is done in a container of the image `IMAGE`, in the words of `fixtures/tool.c`."""


UNNOTICED = {
    *("nothing", "root", "recreated-empty", "recreated-equal", "same-size-and-time", "chmod-same"),
    *("added-and-deleted", "capability-same", "xattr", "times-not-told", "time-without-fraction"),
}
"""Of these Docker tells no change."""


def _image(shell: bytes) -> bytes:
    """The layer that all these steps are done on."""
    layer = Layer().dir("bin").file("bin/fx", shell, 0o755).dir("empty").file("file", b"five\n")
    layer.dir("dir").file("dir/a", b"a\n").file("dir/b", b"b\n").file("dir/a.b", b"a.b\n")
    layer.dir("dir/sub").file("dir/sub/y", b"y\n").dir("dir/sub/deep").file("dir/sub/deep/x", b"x\n")
    layer.symlink("link", "/file").file("one", b"linked\n").link("two", "one")
    layer.file("half", b"x\n", pax={"mtime": HALF})
    layer.file("capable", b"x\n", 0o755, xattrs={"security.capability": CAPABILITY})
    layer.node("char", tarfile.CHRTYPE, 1, 3).node("block", tarfile.BLKTYPE, 8, 1)
    return layer.add("fifo", tarfile.FIFOTYPE, mode=0o644).done()


@pytest.fixture(scope="module")
def own_engine(dataroot_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An Engine in which these tests may make containers."""
    with engine_on_copy(dataroot_path, tmp_path_factory.mktemp("diff")) as engine:
        shell = layerfs(engine.root, "cat", "base:1", "/bin/fx").stdout
        engine.import_tar(_image(shell.encode("utf-8", "surrogateescape")), IMAGE)
        yield engine


def _theirs(engine: Engine, name: str) -> list[tuple[str, str]]:
    changes = engine.changes(name)
    return sorted((str(change["Path"]), LETTERS[change["Kind"]]) for change in changes)


def _ours(engine: Engine, name: str) -> list[tuple[str, str]]:
    """What `diff` tells, once its forms are found to tell the same."""
    found = layerfs(engine.root, "diff", name, "--format", "json")
    assert (found.code, found.stderr) == (int(found.json != []), "")
    paths = [row["path"].encode("utf-8", "surrogateescape") for row in found.json]
    assert paths == sorted(paths)
    listed = layerfs(engine.root, "diff", name, "--name-only", "-z").stdout
    assert listed.encode("utf-8", "surrogateescape") == b"".join(path + b"\0" for path in paths)
    lines = layerfs(engine.root, "diff", name).stdout.splitlines()
    assert [line[0] for line in lines] == [WORDS[row["change"]] for row in found.json]
    # the Engine's JSON has a replacement character for each byte that is no UTF-8
    shown = [path.decode("utf-8", "replace") for path in paths]
    return sorted((path, WORDS[row["change"]]) for path, row in zip(shown, found.json, strict=True))


def _run(engine: Engine, name: str, steps: str, *options: str, image: str = IMAGE) -> None:
    engine.cli("create", "--name", name, "--network", "none", *options, image, "/bin/fx", *steps.split())
    engine.cli("start", name)
    # `run` stays attached, and fails now and then where a container ends as soon as this one
    assert engine.cli("wait", name).strip() == "0"


def test_recorded_containers(engine: Engine) -> None:
    """Of every recorded container that the Engine knows, exactly its changes are told."""
    compared = {}
    for container in engine.containers():
        name = container["Names"][0].removeprefix("/")
        compared[name] = _theirs(engine, name)
        assert _ours(engine, name) == compared[name], name
    assert {"changed", "odd", "links", "deep", "mounts", "created", "zero", "orphan", "crashed"} <= set(
        compared
    )
    assert len([name for name, changes in compared.items() if changes]) >= 8


@pytest.mark.parametrize("name", STEPS)
def test_made_containers(own_engine: Engine, name: str) -> None:
    """Whatever was done in a container, exactly the Engine's changes are told."""
    options = ("--cap-add", "SYS_ADMIN", "--cap-add", "MKNOD", "--security-opt", "apparmor=unconfined")
    _run(own_engine, name, STEPS[name], *options)
    theirs = _theirs(own_engine, name)
    assert _ours(own_engine, name) == theirs
    assert bool(theirs) == (name not in UNNOTICED)


def test_mounts_are_their_mount_points(own_engine: Engine) -> None:
    """Of volumes, binds and tmpfs only the empty mount points are told, whatever was written there."""
    mounts = ("-v", "/anonymous", "-v", "named:/dir/named", "-v", "/srv:/mnt/host:ro", "--tmpfs", "/scratch")
    _run(own_engine, "mounted", "write /anonymous/x x , write /dir/named/x x , write /scratch/x x", *mounts)
    assert _ours(own_engine, "mounted") == _theirs(own_engine, "mounted")
    assert ("/anonymous", "A") in _ours(own_engine, "mounted")


def test_a_container_that_runs(own_engine: Engine) -> None:
    """A live container is read as it is at this moment, also one that was never started or copied into."""
    steps = "write /x x , rm /file , sleep 1000"
    own_engine.cli(
        "run", "--detach", "--name", "living", "--network", "none", IMAGE, "/bin/fx", *steps.split()
    )
    own_engine.cli("exec", "living", "/bin/fx", "append", "/dir/a", "more")
    assert ("/dir/a", "C") in _ours(own_engine, "living")
    assert _ours(own_engine, "living") == _theirs(own_engine, "living")
    own_engine.cli("create", "--name", "unborn", IMAGE, "/bin/fx")
    own_engine.cli("cp", "-", "unborn:/dir", stdin=Layer().file("copied", b"x").done())
    assert _ours(own_engine, "unborn") == _theirs(own_engine, "unborn")
    own_engine.cli("rm", "--force", "living")


def test_sockets_and_layers_of_buildkit(own_engine: Engine) -> None:
    """A socket's time is not told, a FIFO's is; marks of a BuildKit layer below change nothing."""
    steps = "touch /var/socket 5 5 , touch /var/fifo 5 5 , rmtree /srv , append /etc/built x"
    _run(own_engine, "on-buildkit", steps, image="buildkit:latest")
    assert _ours(own_engine, "on-buildkit") == _theirs(own_engine, "on-buildkit")
    assert ("/var/fifo", "C") in _ours(own_engine, "on-buildkit")


def test_changes_of_a_committed_container(own_engine: Engine) -> None:
    """The image committed from a container differs from its own image by what the container changed."""
    _run(own_engine, "to-commit", STEPS["recreated"])
    own_engine.cli("commit", "to-commit", "diff/committed:1")
    found = layerfs(own_engine.root, "diff", "--docker", "diff/committed:1", "--format", "json")
    ours = sorted((row["path"], WORDS[row["change"]]) for row in found.json)
    assert ours == _theirs(own_engine, "to-commit")
