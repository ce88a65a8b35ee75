"""What people do with a directory, done in our mount and in the kernel's: the outputs are the same."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from layerfs.formats.whiteouts import TRUSTED
from layerfs.hostdir import HostDir
from layerfs.tree.overlay import OverlayLayer, RawLayer
from layerfs.tree.union import UnionTree
from tests.support.kernel import overlay_mount
from tests.support.layerspec import Dir, File, LayerSpec, Link, Meta, Symlink, materialise_stack
from tests.support.mounts import eventually, served
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerfs.tree.content import Content

pytestmark = [pytest.mark.fuse, pytest.mark.kernel, pytest.mark.root]

STACK = [
    LayerSpec(
        Dir(
            {
                b"etc": Dir({b"motd": File(b"upper\n"), b"new": File(b"n" * 5000)}),
                b"deep": Dir({b"er": Dir({b"est": File(b"bottom\n", meta=Meta(mode=0o4755))})}),
            }
        )
    ),
    LayerSpec(
        Dir(
            {
                b"etc": Dir({b"motd": File(b"lower\n"), b"passwd": File(b"root:x:0:0\n" * 100)}),
                b"linked": Link(0),
                b"again": Link(0),
                b"to": Symlink(b"etc/motd"),
                b"sparse": File(b"end", hole=1 << 20),
                b"marked": File(b"m", meta=Meta(xattrs={b"user.note": b"kept"}, uid=12, gid=34, mode=0o640)),
            }
        ),
        shared=(File(b"one inode\n"),),
    ),
]

LISTED = "find . -printf '%P %y %m %U %G %n %s %T@ %l\\n' | sort"
DATA = "f = os.open('sparse', 0); print(os.lseek(f, 0, os.SEEK_DATA), os.lseek(f, 0, os.SEEK_HOLE))"
MAPPED = "f = open('etc/passwd', 'rb'); print(bytes(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ))[-20:])"

PAX = "--pax-option=exthdr.name=%d/%f,delete=atime,delete=ctime"  # no process IDs, no access times

COMMANDS = {
    "find": "find . -xdev -printf '%P %y %m %U %G %n %T@ %l\\n' | sort",
    "du": "du -a --apparent-size . | sort -k2 && du -sl .",
    "tar": f"tar --sort=name --xattrs --xattrs-include='*' --numeric-owner {PAX} -c . | sha256sum",
    "rsync": f"rsync -aHAX --numeric-ids --sparse . $OUT && cd $OUT && {LISTED}",
    "diff": "diff -r . $LOWER; echo $?",
    "cp": f"cp -a --reflink=auto --sparse=always . $OUT/c && cd $OUT/c && {LISTED}",
    "getfattr": "getfattr -hRd -m - . | sort",
    "sha256sum": "find . -type f -print0 | sort -z | xargs -0 sha256sum",
    "df": "df --output=size,itotal .",
    "seek": f'python3 -c "import os; {DATA}"',
    "mmap": f'python3 -c "import mmap; {MAPPED}"',
    "write": "touch etc/motd; echo $?; : > new; echo $?; rm -f linked; echo $?; mkdir x; ln linked y; true",
    "access": "[ -w etc/motd ] && echo writable; [ -x deep/er/est ] && echo executable",
}


@pytest.fixture
def both(tmp_path: Path, variant: str) -> Iterator[tuple[Path, Path, Path]]:
    """Our mount, the kernel's, and the lowest layer's directory."""
    layers = materialise_stack(STACK, tmp_path)
    with served(union_of(layers), tmp_path / "m", variant) as ours, overlay_mount(layers) as theirs:
        yield ours, theirs, layers[-1]


@pytest.mark.parametrize("script", COMMANDS.values(), ids=COMMANDS)
def test_tool_sees_what_it_sees_in_the_kernels_mount(
    both: tuple[Path, Path, Path], tmp_path: Path, script: str, variant: str
) -> None:
    """The tool prints the same, complains the same, and ends with the same status."""
    if variant == "fusepy" and script == COMMANDS["seek"]:
        script = "stat -c %s sparse"  # libfuse 2 does not know SEEK_DATA: a file is all data there
    *mounts, lower = both
    results = []
    for number, mounted in enumerate(mounts):
        out = tmp_path / f"out{number}"
        out.mkdir()
        environment = {"PATH": os.environ["PATH"], "OUT": str(out), "LOWER": str(lower), "LC_ALL": "C"}
        done = subprocess.run(
            ["sh", "-c", script], cwd=mounted, env=environment, capture_output=True, text=True, check=False
        )
        results.append((done.returncode, done.stdout, done.stderr.replace(str(out), "$OUT")))
    assert results[0] == results[1]
    assert results[0][1]


def test_git_finds_nothing_changed(tmp_path: Path, variant: str) -> None:
    """A repository inside an image is clean, in the mount as in the layer."""
    repository = tmp_path / "0/repo"
    repository.mkdir(parents=True)
    (repository / "file").write_text("text\n")
    script = "git init -q && git add . && git -c user.name=n -c user.email=e commit -qm one"
    subprocess.run(["sh", "-c", script], cwd=repository, check=True)
    with served(union_of([tmp_path / "0"]), tmp_path / "m", variant) as mounted:
        command = ["git", "-c", "safe.directory=*", "-C", str(mounted / "repo"), "status", "--porcelain"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_program_runs_from_the_mount(tmp_path: Path, variant: str) -> None:
    """A binary is executed, its pages mapped from the mount."""
    layer = tmp_path / "0"
    layer.mkdir()
    shutil.copy(shutil.which("true") or "/bin/true", layer / "true")
    with served(union_of([layer]), tmp_path / "m", variant) as mounted:
        assert subprocess.run([mounted / "true"], check=False).returncode == 0


class SlowDisk:
    """A disk that answers whoever opens a file named `slow` only once it is `released`."""

    def __init__(self, directory: Path) -> None:
        """Lock a file in `directory`; locks of this kind are not inherited by a server."""
        self._asked = directory / "asked"
        self._gate = (directory / "gate").open("wb")
        fcntl.lockf(self._gate, fcntl.LOCK_EX)

    def wait(self) -> None:
        """Come back when it may answer."""
        self._asked.touch()
        with open(self._gate.name, "r+b") as gate:
            fcntl.lockf(gate, fcntl.LOCK_EX)

    def is_asked(self) -> bool:
        """Whether somebody waits, or has waited, for an answer."""
        return self._asked.exists()

    def release(self) -> None:
        """Answer from now on."""
        self._gate.close()


class SlowLayer(OverlayLayer):
    """A layer on a slow disk."""

    def __init__(self, directory: HostDir, disk: SlowDisk) -> None:
        super().__init__(RawLayer(directory), TRUSTED)
        self._disk = disk

    def open(self, path: bytes) -> Content:
        """Open, once the disk answers."""
        if path.endswith(b"slow"):
            self._disk.wait()
        return super().open(path)


@pytest.fixture
def slow_disk(tmp_path: Path) -> Iterator[SlowDisk]:
    """A disk that answers after the test, if not before."""
    disk = SlowDisk(tmp_path)
    yield disk
    disk.release()


@pytest.mark.timeout(60)
def test_one_slow_read_stalls_nobody_else(tmp_path: Path, slow_disk: SlowDisk, variant: str) -> None:
    """While a read waits for the disk, another process lists and reads; then the slow one ends well."""
    content = Dir({b"slow": File(b"late"), b"d": Dir({b"f": File(b"now")})})
    (layer,) = materialise_stack([LayerSpec(content)], tmp_path)
    tree = UnionTree([SlowLayer(HostDir.open(layer), slow_disk)])
    with served(tree, tmp_path / "m", variant) as mounted:
        slow = subprocess.Popen(["cat", mounted / "slow"], stdout=subprocess.PIPE)
        try:
            eventually(slow_disk.is_asked)
            code = "import os, sys; print(os.listdir(sys.argv[1]), open(sys.argv[1] + '/f').read())"
            command = [sys.executable, "-c", code, str(mounted / "d")]
            quick = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
            assert quick.stdout == "['f'] now\n"
            assert slow.poll() is None
            slow_disk.release()
            assert slow.communicate(timeout=30)[0] == b"late"
        finally:
            slow_disk.release()
            slow.kill()
            slow.wait()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("mode", ["native", "native+passthrough"])
def test_killed_reader_does_not_wait_for_the_disk(tmp_path: Path, slow_disk: SlowDisk, mode: str) -> None:
    """A reader that waits for a disk which never answers can be killed; the mount goes on, and ends."""
    (layer,) = materialise_stack([LayerSpec(Dir({b"slow": File(b"late"), b"f": File(b"now")}))], tmp_path)
    tree = UnionTree([SlowLayer(HostDir.open(layer), slow_disk)])
    with served(tree, tmp_path / "m", mode) as mounted:
        reader = subprocess.Popen(["cat", mounted / "slow"], stdout=subprocess.DEVNULL)
        try:
            eventually(slow_disk.is_asked)
            time.sleep(0.2)  # until it waits in its read, not only the server that looked ahead
            reader.kill()
            assert reader.wait(timeout=30) == -signal.SIGKILL
        finally:
            reader.kill()
            reader.wait()
        assert (mounted / "f").read_bytes() == b"now"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_eight_readers_get_no_wrong_byte(tmp_path: Path, variant: str) -> None:
    """Eight processes read random parts of files, dropping what is cached; every byte is right.

    What the kernel has cached does not reach the server, so each file is dropped when it is opened.
    """
    layer = tmp_path / "0"
    layer.mkdir()
    for number in range(40):
        (layer / str(number)).write_bytes(bytes([number, number ^ 0x5A]) * (number * 3000 + 1))
    rounds = 1600 if variant == "native" else 300  # 3 to 5 requests each reach the server
    code = """
import os, random, sys
place = sys.argv[1]
right = [memoryview(bytes([number, number ^ 0x5A]) * (number * 3000 + 1)) for number in range(40)]
for _ in range(int(sys.argv[2])):
    number = random.randrange(40)
    fd = os.open(f"{place}/{number}", os.O_RDONLY)
    size = os.fstat(fd).st_size
    assert size == len(right[number]), (number, size)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    for _ in range(8):  # soon the kernel has all of the file
        offset, length = random.randrange(size), random.randrange(1, 200000)
        found = os.pread(fd, length, offset)
        assert found == bytes(right[number][offset : offset + length]), (number, offset, length, len(found))
    os.close(fd)
"""
    with served(union_of([layer]), tmp_path / "m", variant) as mounted:
        command = [sys.executable, "-c", code, str(mounted), str(rounds)]
        readers = [subprocess.Popen(command) for _ in range(8)]
        try:
            codes = [reader.wait(timeout=150) for reader in readers]
        finally:
            for reader in readers:
                reader.kill()
                reader.wait()
    assert codes == [0] * 8
