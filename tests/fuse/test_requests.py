"""Single requests to a mount that comparing whole trees does not make."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from layerfs.views.fuse.driver import MountOptions
from layerfs.views.fuse.mountpoint import find_mount
from tests.support.kernel import overlay_mount
from tests.support.layerspec import Dir, File, LayerSpec, Meta, materialise_stack
from tests.support.mounts import KERNEL, served
from tests.support.processes import Running
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.fuse, pytest.mark.root]

MANY = 10_000
BIG = [
    LayerSpec(Dir({b"many": Dir({b"%06d" % number: File() for number in range(0, MANY, 2)})})),
    LayerSpec(Dir({b"many": Dir({b"%06d" % number: File() for number in range(1, MANY, 2)})})),
]
STACK = [
    LayerSpec(Dir({b"dir": Dir({b"upper": File(b"upper")})})),
    LayerSpec(
        Dir(
            {
                b"data": File(bytes(range(256)) * 4096, hole=1 << 20),
                b"dir": Dir({b"lower": File(b"lower")}),
                b"marked": File(meta=Meta(xattrs={b"user.empty": b"", b"user.long": b"v" * 100})),
                b"doomed": File(b"doomed"),
                b"other": File(b"other"),
            }
        )
    ),
]


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """The directories of the stack, uppermost first."""
    return materialise_stack(STACK, tmp_path)


@pytest.fixture
def mounted(layers: list[Path], tmp_path: Path, variant: str) -> Iterator[Path]:
    """A mount of the stack."""
    with served(union_of(layers), tmp_path / "m", variant) as mountpoint:
        yield mountpoint


def _getxattr(path: Path, name: bytes, size: int) -> tuple[int, int]:
    """What getxattr(2) returns for a buffer of this size, and its errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(max(size, 1))
    return libc.getxattr(os.fsencode(path), name, buffer if size else None, size), ctypes.get_errno()


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The directories of a stack with a merged directory of ten thousand entries."""
    return materialise_stack(BIG, tmp_path_factory.mktemp("big"))


def test_big_directory_can_be_read_twice(big: list[Path], tmp_path: Path, variant: str) -> None:
    """A merged directory of ten thousand entries lists each once, and again after a rewind."""
    wanted = sorted(f"{number:06}" for number in range(MANY))
    with served(union_of(big), tmp_path / "m", variant) as mounted:
        fd = os.open(mounted / "many", os.O_RDONLY)
        try:
            assert sorted(os.listdir(fd)) == wanted
            with os.scandir(fd) as listing:  # begins anew, and stops on the way
                assert next(listing).name in wanted
            assert sorted(os.listdir(fd)) == wanted
        finally:
            os.close(fd)


def test_reads_at_any_offset(mounted: Path, layers: list[Path]) -> None:
    """A read gives what a read of the backing file gives: in holes, across them, at and past the end."""
    ours, theirs = os.open(mounted / "data", os.O_RDONLY), os.open(layers[1] / "data", os.O_RDONLY)
    try:
        size = os.fstat(theirs).st_size
        for offset in (0, 1, 4095, (1 << 20) - 3, (1 << 20) + 77_777, size - 5, size, size + 9):
            for length in (1, 10, 5000, 300_000):
                assert os.pread(ours, length, offset) == os.pread(theirs, length, offset)
        assert os.fstat(ours).st_blocks == os.fstat(theirs).st_blocks
    finally:
        os.close(ours)
        os.close(theirs)


def test_eight_processes_read_at_once(mounted: Path, layers: list[Path]) -> None:
    """Processes that read everything at the same time all get every byte right."""

    def start(*places: Path) -> Running:
        command = 'for place; do (cd "$place" && find . -type f -exec sha256sum {} +); done | sort'
        return Running(["sh", "-c", command, "sh", *places], stdout=subprocess.PIPE)

    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(start(mounted)) for _ in range(8)]
        answers = [reader.communicate()[0] for reader in readers]
    with start(*layers) as reader:
        expected = reader.communicate()[0]
    assert {reader.returncode for reader in readers} == {0}
    assert set(answers) == {expected}
    assert len(expected.splitlines()) == 6


def test_attribute_buffers_follow_the_manual(mounted: Path) -> None:
    """Sizes can be asked for, a short buffer is ERANGE, an empty value is a value, an absent one ENODATA."""
    marked = mounted / "marked"
    assert _getxattr(marked, b"user.long", 0)[0] == 100
    assert _getxattr(marked, b"user.long", 100)[0] == 100
    assert _getxattr(marked, b"user.long", 99) == (-1, errno.ERANGE)
    assert _getxattr(marked, b"user.empty", 0)[0] == 0
    assert os.getxattr(marked, "user.empty") == b""
    assert _getxattr(marked, b"user.none", 0) == (-1, errno.ENODATA)
    assert set(os.listxattr(marked)) == {"user.empty", "user.long"}
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.listxattr(os.fsencode(marked), ctypes.create_string_buffer(5), 5) == -1
    assert ctypes.get_errno() == errno.ERANGE


@pytest.mark.parametrize(
    "attempt",
    [
        lambda top: (top / "other").write_bytes(b"x"),
        lambda top: (top / "new").touch(),
        lambda top: (top / "new").mkdir(),
        lambda top: (top / "other").unlink(),
        lambda top: (top / "other").rename(top / "else"),
        lambda top: (top / "other").chmod(0o777),
        lambda top: os.utime(top / "other"),
        lambda top: os.setxattr(top / "other", "user.x", b""),
        lambda top: (top / "link").symlink_to("other"),
    ],
)
def test_nothing_can_be_written(mounted: Path, attempt: Callable[[Path], None]) -> None:
    """Every change is refused by the kernel as on any read-only file system."""
    with pytest.raises(OSError, match="Read-only") as refused:
        attempt(mounted)
    assert refused.value.errno == errno.EROFS


def test_missing_name_is_not_found(mounted: Path) -> None:
    """A name that is not there is ENOENT, and below a file ENOTDIR."""
    with pytest.raises(FileNotFoundError):
        (mounted / "none").lstat()
    with pytest.raises(NotADirectoryError):
        (mounted / "other" / "none").lstat()


def test_file_removed_from_a_layer_fails_alone(mounted: Path, layers: list[Path], variant: str) -> None:
    """When the evidence changes under a mount, what is gone gives an error, and all else goes on.

    Who lists it for the kernel knows that it should be there; the kernel itself keeps no such list.
    """
    assert "doomed" in os.listdir(mounted)  # not looked up by itself, as that may open it ahead
    (layers[1] / "doomed").unlink()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - at open or at read, as the mode has it
        (mounted / "doomed").read_bytes()
    assert caught.value.errno == (errno.ENOENT if variant in KERNEL else errno.EIO)
    assert (mounted / "other").read_bytes() == b"other"
    assert sorted(os.listdir(mounted / "dir")) == ["lower", "upper"]


def test_open_file_survives_its_removal(mounted: Path, layers: list[Path], variant: str) -> None:
    """A file that was open before it was removed from its layer can still be read to its end.

    The price of not being asked to open: then a file that nobody has read yet may be gone, but never wrong.
    """
    with (mounted / "doomed").open("rb") as file:
        (layers[1] / "doomed").unlink()
        try:
            found: object = file.read()
        except OSError as error:
            found = error.errno
    assert found in ((b"doomed", errno.EIO) if variant == "native" else (b"doomed",))


@pytest.mark.parametrize("source", ["a,b", "a b\\c", "日本\n語", "\udcff", "#x", "opaque,allow_other,suid"])
def test_source_is_shown_unharmed(layers: list[Path], tmp_path: Path, variant: str, source: str) -> None:
    """The mount table shows the name of the image byte for byte, and no part of it acts as an option."""
    with served(union_of(layers), tmp_path / "m", variant, MountOptions(source)) as mounted:
        found = find_mount(mounted)
        assert found is not None
        assert found.is_ours
        assert (found.name, found.fs_type) == (source, "overlay" if variant in KERNEL else "fuse.layerfs")
        flags = os.statvfs(mounted).f_flag
        assert flags & os.ST_RDONLY
        assert flags & os.ST_NOSUID
        assert flags & os.ST_NODEV


@pytest.mark.kernel
def test_trusted_attributes_are_roots_alone(tmp_path: Path, variant: str) -> None:
    """Another user sees the attribute names that overlayfs would let them see, and root all of them."""
    meta = Meta(xattrs={b"trusted.secret": b"1", b"user.open": b"2"})
    layers = materialise_stack([LayerSpec(Dir({b"f": File(meta=meta)}))], tmp_path)
    program = "import os; print(os.listxattr('f'))"

    def listed(place: Path, *prefix: str) -> str:
        command = [*prefix, sys.executable, "-c", program]
        return subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout

    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    options = MountOptions("test", allow_other=True)
    with served(union_of(layers), tmp_path / "m", variant, options) as ours, overlay_mount(layers) as theirs:
        assert listed(ours, *user) == listed(theirs, *user)
        assert listed(ours) == listed(theirs)


@pytest.mark.parametrize("stacked", [False, True], ids=["plain file system", "overlayfs"])
def test_the_kernel_reads_files_itself_also_on_an_overlayfs(tmp_path: Path, *, stacked: bool) -> None:
    """With passthrough the server reads no data, even of layers in a container, on an overlayfs."""
    size = 4 << 20
    below = [tmp_path / "1", tmp_path / "2"]
    for number, place in enumerate(below):
        (place / "layer").mkdir(parents=True)
        (place / "layer" / f"file{number}").write_bytes(os.urandom(size))
    with contextlib.ExitStack() as stack:
        top = stack.enter_context(overlay_mount(below)) if stacked else below[0]
        others = set(_children())
        mounted = stack.enter_context(served(union_of([top / "layer"]), tmp_path / "m", "native+passthrough"))
        (server,) = set(_children()) - others
        before = _bytes_read(server)
        for file in mounted.iterdir():
            assert file.read_bytes() == (top / "layer" / file.name).read_bytes()
        assert _bytes_read(server) - before < size // 4


def _children() -> list[int]:
    """The processes that this one started and that go on."""
    return [
        int(number)
        for task in Path("/proc/self/task").iterdir()
        for number in (task / "children").read_text().split()
    ]


def _bytes_read(process: int) -> int:
    """The bytes that a process read by system calls, from whatever."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{process}/io").read_text().splitlines())
    return int(fields["rchar"])
