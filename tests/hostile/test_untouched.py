"""The evidence stays as it is: not a byte, a name, or a time below the root changes, whatever is run.

Every command has its invocations in `INVOCATIONS`; a new one must be added there. After each, all that a
write or a read could change is compared; after the last, every byte.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs_cli.main import COMMANDS
from layerfs_cli.spellings import GROUPS
from tests.support.browsing import browse
from tests.support.command import layerfs
from tests.support.images import image_of
from tests.support.kernel import private_dir
from tests.support.layerspec import Dir, File, LayerSpec, Symlink, materialise_stack
from tests.support.layouts import Layout, as_directory, as_tar, layer_of
from tests.support.mounts import KERNEL, served
from tests.support.storekinds import STORE_KINDS, each_kind
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.browsing import Browser
    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.root

NAMES = ("{image}", "{other}", "{odd}", "{container}")
INVOCATIONS: Mapping[str, list[list[str]]] = {
    "images": [["-a", "--usage", "--digests"]],
    "containers": [["--size"]],
    "explore": [[], ["{image}"]],
    "history": [["--layers", "{image}"], ["{container}"]],
    "dockerfile": [["{container}"], ["--context", "{out}/context", "--full", "{image}"]],
    "layers": [[], ["{image}"], ["--digests", "{container}"]],
    "chain-id": [["--steps", "{image}"]],
    "inspect": [[name] for name in NAMES],
    "logs": [["-t", "{container}"], ["--all", "--tail", "5"], ["--all", "--host-root", "{out}"]],
    "du": [[], ["--layers"], ["--what-if", "{image}"]],
    "diff": [["{image}@2", "{image}"], ["{image}", "{other}"], ["{container}"], ["--stat", "{image}"]],
    "changes": [["{image}"], ["--layer", "2", "{image}"], ["{container}"]],
    "waste": [["--all"], ["--duplicates", "--all"], *([name] for name in NAMES[:-1])],
    "blame": [
        ["{image}", "/etc/motd"],
        ["--all", "/etc/motd"],
        *(["-R", "--hidden", "--no-trunc", name] for name in NAMES),
    ],
    "deleted": [*(["--no-trunc", name] for name in NAMES), ["--recover", "{out}/deleted", "{container}"]],
    "ls": [["-lR", name] for name in NAMES],
    "tree": [[name] for name in NAMES],
    "stat": [["{image}", "/etc/motd", "/bin/sh"]],
    "cat": [["{image}", "/etc/motd", "/bin/fx"]],
    "cp": [["--specials", name + ":/", f"{{out}}/cp-{number}"] for number, name in enumerate(NAMES)],
    "hashes": [["{image}"], ["--all-versions", "{container}"]],
    "timeline": [["--all", "--sha256"], ["--bodyfile", "--md5", "{image}", "{container}"]],
    "find": [
        *([name, "-live", "-deleted", "-ls"] for name in NAMES),
        ["--all", "-ls", "--sha256", "0" * 64],
        ["--all"],
    ],
    "grep": [
        ["--everything", "-c", "root", "{image}"],
        ["-o", "b.n", "{container}", "/etc"],
        ["--all", "--configs", "a"],
    ],
    "explain": [
        *([name, "/etc/motd"] for name in NAMES),
        *(["-v", name] for name in NAMES),
        ["--format", "json", "-v", "{container}", "/"],
        *(["--topic", word] for word in ("whiteout", "copy-up", "shared-size", "missing")),
    ],
    "whois": [["{image}", "{container}"]],
    "verify": [["--all"]],
    "doctor": [[]],
    "report": [
        ["--all", "--verify", "--reproducible", "-o", "-"],
        ["-o", "{out}/report.html", "{image}", "{container}"],
    ],
    "export": [["{image}", "-o", "-"]],
    "mount": [
        *(["--driver", driver, "{image}", "{mnt}"] for driver in ("native", "fusepy", "kernel")),
        ["--no-passthrough", "{container}", "{mnt}"],
        ["--layer", "2", "{image}", "{mnt}"],
        ["--all", "{mnt}"],
    ],
    "umount": [],  # ends each of these
    "mount-helper": [[]],
    "cache": [[]],
    "stores": [[]],
    "completion": [["bash"]],
    "system": [["df"], ["df", "-v"]],
}
"""What each command is run with: names of the kind of store; `{out}` to write to, `{mnt}` to mount on."""

FINDINGS = ("diff", "verify", "doctor")
"""What finds something in the recorded root, and says so with its exit code."""

_NO_NAMES: Mapping[str, str] = {}

LAYERFS = str(Path(sys.executable).with_name("layerfs"))


def _commands() -> list[list[str]]:
    return [
        [verb, *words]
        for verb, calls in INVOCATIONS.items()
        if verb in (*COMMANDS, *GROUPS)
        for words in calls
    ]


def test_every_command_is_run() -> None:
    """A command that is not run here would not be shown to leave the evidence alone."""
    assert set(COMMANDS) <= set(INVOCATIONS)


# -- what a root is ------------------------------------------------------------------------------


def _entries(root: Path) -> Iterator[tuple[bytes, os.stat_result]]:
    """Every entry and the root itself, found without an access that would be noted."""
    yield b"", root.lstat()
    pending = [b""]
    while pending:
        directory = pending.pop()
        fd = os.open(os.path.join(os.fsencode(root), directory), os.O_RDONLY | os.O_DIRECTORY | os.O_NOATIME)
        try:
            for name in os.listdir(fd):
                path = os.path.join(directory, os.fsencode(name))
                status = os.lstat(name, dir_fd=fd)
                yield path, status
                if stat.S_ISDIR(status.st_mode):
                    pending.append(path)
        finally:
            os.close(fd)


def _state(root: Path) -> dict[bytes, tuple[object, ...]]:
    """All attributes and times of each entry."""
    return {
        path: (
            status.st_mode, status.st_nlink, status.st_uid, status.st_gid, status.st_size, status.st_ino,
            status.st_mtime_ns, status.st_ctime_ns, status.st_atime_ns,
        )
        for path, status in _entries(root)
    }  # fmt: skip


def _contents(root: Path) -> dict[bytes, str]:
    """The digest of every file's bytes."""
    found: dict[bytes, str] = {}
    for path, status in _entries(root):
        if stat.S_ISREG(status.st_mode):
            fd = os.open(os.path.join(os.fsencode(root), path), os.O_RDONLY | os.O_NOATIME | os.O_NOFOLLOW)
            with os.fdopen(fd, "rb") as file:
                found[path] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _age(root: Path) -> None:
    """Give everything an access time so old that `relatime` would renew it at the first access."""
    for path, status in list(_entries(root)):
        place = os.path.join(os.fsencode(root), path)
        os.utime(place, ns=(10**18, status.st_mtime_ns), follow_symlinks=False)


def _needs_access_times(place: Path) -> None:
    """Skip where the file system notes no accesses: there nothing would be proved."""
    control = place / "control"
    control.write_text("x")
    os.utime(control, ns=(10**18, 10**18))
    control.read_text()
    if control.stat().st_atime_ns == 10**18:
        pytest.skip("the file system keeps no access times")


# -- running it all ------------------------------------------------------------------------------


def _use(mounted: Path, *, ghosts: bool = False) -> int:
    """Walk a mount, and read all files and links; how many entries there are.

    The kernel's overlayfs lists some whiteouts that it then does not find: `ghosts`.
    """
    number = 0
    for directory, names, files in os.walk(mounted):
        for name in [*names, *files]:
            path = Path(directory, name)
            if ghosts and not os.path.lexists(path):
                continue
            number += 1
            for attribute in os.listxattr(path, follow_symlinks=False):
                os.getxattr(path, attribute, follow_symlinks=False)
            if path.is_symlink():
                path.readlink()
            elif path.is_file():
                path.read_bytes()
    return number


def _run(root: Path, command: list[str], out: Path, mnt: Path, names: Mapping[str, str] = _NO_NAMES) -> None:
    words = [word.format(out=out, mnt=mnt, **names) for word in command]
    if words[0] == "mount":
        subprocess.run([LAYERFS, "--root", root, *words], check=True)
        try:
            used = mnt / "containers" if "--all" in words else mnt  # all would be every layer many times
            assert _use(used, ghosts="kernel" in words) > 0
        finally:
            subprocess.run([LAYERFS, "--root", root, "umount", mnt], check=True)
        return
    if words[0] == "explore":
        browse(root, words[1] if len(words) > 1 else None, _look_around)
        return
    done = layerfs(root, *words)
    assert done.code in ((0, 1) if words[0] in FINDINGS else (0, 1, 6)), (command, done.stderr)


async def _look_around(at: Browser) -> None:
    """Open what is under the cursor, go over to the tree, and into a file where there is one."""
    await at.press("enter", "tab", "end", "enter", "v", "escape", "W")


def _changes(before: dict[bytes, tuple[object, ...]], after: dict[bytes, tuple[object, ...]]) -> object:
    return {
        path: (before.get(path), after.get(path))
        for path in {*before, *after}
        if before.get(path) != after.get(path)
    }


@each_kind
@pytest.mark.fuse
@pytest.mark.timeout(900)
def test_nothing_changes(kind: StoreKind) -> None:
    """After each command every entry has its attributes and times, access times included, and its bytes."""
    with private_dir() as place:
        _needs_access_times(place)
        (place / "root").mkdir()
        root = kind.make_shallow(place / "root")
        (place / "out").mkdir()
        (place / "mnt").mkdir()
        contents = _contents(root)
        _age(root)
        before = _state(root)
        assert len(before) > 200
        for command in filter(kind.can, _commands()):
            _run(root, command, place / "out", place / "mnt", kind.names)
            assert _changes(before, _state(root)) == {}, command
        assert _contents(root) == contents


ARCHIVES = ("layout", "layout.tar", "layout.tar.gz")
IN_ARCHIVES = [
    *(
        ["images", "-a"],
        ["history", "app:1"],
        ["layers", "app:1"],
        ["inspect", "app:1"],
        ["chain-id", "app:1"],
    ),
    *(["ls", "-lR", "app:1"], ["tree", "app:1"], ["find", "app:1", "-ls"], ["cat", "app:1", "/file"]),
    *(["grep", "-v", "x", "app:1"], ["grep", "--all", "-l", ""]),
    *(["stat", "app:1", "/file"], ["hashes", "app:1"], ["diff", "app:1@1", "app:1"], ["changes", "app:1"]),
    *(["blame", "-R", "app:1"], ["waste", "app:1"], ["deleted", "app:1"], ["timeline", "app:1"]),
    ["report", "--all", "-o", "-"],
    *(["explain", "app:1", "/file"], ["explain", "-v", "app:1"], ["verify", "--all"], ["whois", "app:1"]),
    *(["cp", "app:1:/", "{out}/cp-{store}"],),
    *(["export", "app:1", "-o", "{out}/export-{store}"], ["mount", "app:1", "{mnt}"]),
    ["dockerfile", "app:1", "--context", "{out}/context-{store}"],
]
"""What archives are asked; `{store}` is the name of one."""


@pytest.mark.fuse
def test_nothing_of_an_archive_changes() -> None:
    """A layout, a tar and a compressed one keep all attributes and times, access times too, and bytes."""
    with private_dir() as place:
        _needs_access_times(place)
        layout = Layout()
        layers = [layer_of({"file": b"x", "old": b"y"}), layer_of({"file": b"z"}, whiteouts=["old"])]
        layout.name(layout.image(layers), "docker.io/library/app:1")
        evidence = place / "evidence"
        as_directory(layout.done(), evidence / ARCHIVES[0])
        (evidence / ARCHIVES[1]).write_bytes(as_tar(layout.done()))
        (evidence / ARCHIVES[2]).write_bytes(gzip.compress(as_tar(layout.done())))
        (place / "out").mkdir()
        (place / "mnt").mkdir()
        contents = _contents(evidence)
        _age(evidence)
        before = _state(evidence)
        for store in ARCHIVES:
            for command in IN_ARCHIVES:
                words = [word.replace("{store}", store) for word in command]
                _run(evidence / store, words, place / "out", place / "mnt")
                assert _changes(before, _state(evidence)) == {}, (store, command)
        assert _contents(evidence) == contents


@pytest.mark.fuse
@pytest.mark.kernel
@pytest.mark.parametrize("way", KERNEL)
def test_kernels_own_mount_notes_no_access(way: str) -> None:
    """However the kernel is given the layers: what is read through its overlayfs keeps all times."""
    below = Dir({b"d": Dir({b"f": File(b"x"), b"link": Symlink(b"f")})})
    above = Dir({b"d": Dir({b"g": File(b"y")}), b"alone": Dir({b"h": File(b"z")})})
    with private_dir() as place:
        _needs_access_times(place)
        evidence = place / "evidence"
        evidence.mkdir()
        layers = materialise_stack([LayerSpec(above), LayerSpec(below)], evidence)
        contents = _contents(evidence)
        _age(evidence)
        before = _state(evidence)
        for stack, number in ((layers, 6), (layers[:1], 4)):
            with served(union_of(stack), place / "m", way) as mounted:
                assert _use(mounted) == number
            assert _changes(before, _state(evidence)) == {}
        assert _contents(evidence) == contents


@each_kind
@pytest.mark.fuse
@pytest.mark.kernel
@pytest.mark.timeout(900)
def test_nothing_changes_below_a_read_only_bind_mount(kind: StoreKind) -> None:
    """On a read-only mount every command does its work, and the root behind it stays as it is."""
    with private_dir() as place:
        _needs_access_times(place)
        for name in ("root", "out", "mnt", "bound"):
            (place / name).mkdir()
        root = kind.make_shallow(place / "root")
        contents = _contents(root)
        _age(root)
        before = _state(root)
        subprocess.run(["mount", "--bind", root, place / "bound"], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", place / "bound"], check=True)
            for command in filter(kind.can, _commands()):
                _run(place / "bound", command, place / "out", place / "mnt", kind.names)
                assert _changes(before, _state(root)) == {}, command
        finally:
            subprocess.run(["umount", "--lazy", place / "bound"], check=True)
        assert _contents(root) == contents


@pytest.mark.kernel
@pytest.mark.parametrize("place", ["overlay2", "overlay2/{layer}", "overlay2/{layer}/diff"])
def test_what_is_mounted_in_the_root_is_read(tmp_path: Path, place: str) -> None:
    """A layer, or all of them, that a host has mounted from elsewhere is the one that is read, links too."""
    spec = LayerSpec(Dir({b"f": File(b"here"), b"link": Symlink(b"f")}))
    root, (layer,) = image_of(tmp_path / "root", spec)
    target = root / place.format(layer=layer.diff.parent.name)
    shutil.copytree(target, tmp_path / "elsewhere", symlinks=True)
    for path in (tmp_path / "elsewhere").rglob("f"):
        path.write_text("there")
    subprocess.run(["mount", "--bind", tmp_path / "elsewhere", target], check=True)
    try:
        _age(tmp_path / "elsewhere")
        before = _state(tmp_path / "elsewhere")
        assert layerfs(root, "cat", "test:1", "/link").stdout == "there"
        assert _state(tmp_path / "elsewhere") == before
    finally:
        subprocess.run(["umount", "--lazy", target], check=True)


# -- the terminal --------------------------------------------------------------------------------

CONTROL = bytes(range(32)).replace(b"\n", b"").replace(b"\t", b"") + b"\x7f"
RAW = ("cat", "completion", "cp", "export", "grep", "hashes", "mount")
"""What writes bytes as they are, or needs a place."""


@pytest.mark.parametrize("command", [found for found in _commands() if found[0] not in RAW], ids=" ".join)
def test_no_control_byte_reaches_a_terminal(shallow_path: Path, tmp_path: Path, command: list[str]) -> None:
    """Tables never carry a control character, whatever names and histories the root holds."""
    names = {**STORE_KINDS[0].names, "odd": "lab/names:1"}
    command = [word.format(out=tmp_path, **names) for word in command]
    found = layerfs(shallow_path, *command)
    assert not set(found.stdout.encode("utf-8", "surrogateescape")) & set(CONTROL)
    assert not set(found.stderr.encode("utf-8", "surrogateescape")) & set(CONTROL)
