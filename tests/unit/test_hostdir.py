"""The door to the evidence: nothing is followed, nothing but files and directories is opened."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from layerfs import syscalls
from layerfs.errors import TreeError
from layerfs.hostdir import HostDir, Refused, TooLarge
from layerfs.pool import Pool, PooledDir
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(params=["openat2", "by component"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HostDir]:
    """A directory with a hostile neighbourhood, through the system call and without it."""
    if request.param == "by component":
        monkeypatch.setattr(syscalls, "openat2", syscalls._open_by_component)
    inside = tmp_path / "root"
    (inside / "a/b").mkdir(parents=True)
    (inside / "a/b/file").write_bytes(b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (inside / "link").symlink_to(tmp_path)
    (inside / "a/up").symlink_to("..")
    (inside / "a/b/leaf").symlink_to(tmp_path / "secret")
    os.mkfifo(inside / "a/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{os.open(inside / 'a', os.O_PATH)}/socket")
    with HostDir.open(inside) as opened:
        yield opened


def test_what_is_inside_is_read(place: HostDir) -> None:
    """Files and directories are reached at any depth."""
    assert place.read("a/b/file", 10) == b"inside"
    assert sorted(place.subdir("a/b").names()) == [b"file", b"leaf"]
    assert place.readlink("a/up") == b".."
    assert place.lstat("a/b/file").st_size == 6


@pytest.mark.parametrize(
    "path",
    ["link/secret", "a/b/leaf", "../secret", "a/../../secret", "a/up/../secret", "/etc/passwd", "link", ".."],
)
def test_no_way_leads_out(place: HostDir, path: str) -> None:
    """Links, parents and absolute paths are refused wherever they stand in a path."""
    attempts: list[Callable[[], object]] = [lambda: place.read(path, 100), lambda: place.subdir(path)]
    for attempt in attempts:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - which errno it is, is checked below
            attempt()
        assert caught.value.errno in (errno.ELOOP, errno.EXDEV, errno.ENOTDIR, errno.EINVAL, errno.ENOENT)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("path", ["a/fifo", "a/socket"])
def test_what_is_no_file_is_never_opened(place: HostDir, path: str) -> None:
    """A FIFO or socket is refused by its type, at once."""
    with pytest.raises(Refused):
        place.open_file(path)


def test_size_is_capped(place: HostDir) -> None:
    """A file larger than its reader allows is refused."""
    assert place.read("a/b/file", 6) == b"inside"
    with pytest.raises(TooLarge):
        place.read("a/b/file", 5)


def test_depth_is_no_limit(place: HostDir) -> None:
    """Paths longer than PATH_MAX are walked in pieces."""
    fd, name = os.dup(place.fd), "d" * 200
    for _ in range(30):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    path = "/".join([name] * 30)
    assert place.subdir(path).names() == [b"file"]
    assert place.read(path + "/file", 1) == b""


def test_access_times_stay(place: HostDir) -> None:
    """Reading as the owner leaves the access time as it was."""
    os.utime("a/b/file", ns=(1, 2), dir_fd=place.fd)
    before = place.lstat("a/b/file").st_atime_ns
    place.read("a/b/file", 10)
    assert place.lstat("a/b/file").st_atime_ns == before == 1


# -- a mount of our own --------------------------------------------------------------------------

_AS_NOBODY = """
import os, sys
from layerfs.hostdir import HostDir
os.setgroups([]); os.setgid(65534); os.setuid(65534)
directory = HostDir(int(sys.argv[1]), "top")
assert directory.sealed() is directory
print(directory.names())
"""


@pytest.mark.kernel
def test_a_sealed_directory_is_the_same_and_takes_nothing(tmp_path: Path) -> None:
    """It shows what is there, links and depths too; nothing can be made, changed or removed through it."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").write_text("x")
    (tmp_path / "a/link").symlink_to("b")
    sealed = HostDir.open(tmp_path).sealed().subdir(b"a")
    assert (sealed.read(b"b/f", 9), sealed.readlink(b"link"), sorted(sealed.names())) == (
        b"x",
        b"b",
        [b"b", b"link"],
    )
    assert sealed.lstat(b"b/f").st_ino == (tmp_path / "a/b/f").stat().st_ino
    assert sealed.display == f"{tmp_path}/a"
    with pytest.raises(OSError, match="Read-only file system"):
        os.mkdir(b"new", dir_fd=sealed.fd)
    with pytest.raises(OSError, match="Read-only file system"):
        os.open(b"b/f", os.O_WRONLY, dir_fd=sealed.fd)
    with pytest.raises(OSError, match="Read-only file system"):
        os.unlink(b"link", dir_fd=sealed.fd)


@pytest.mark.kernel
def test_on_a_sealed_mount_only_files_are_opened(tmp_path: Path) -> None:
    """Also those that are asked for by their own name, which take one open less; a device never opens."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    os.mknod(tmp_path / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    for sealed in (
        HostDir.open(tmp_path).sealed(),
        HostDir.open(tmp_path.parent).sealed().subdir(tmp_path.name),
    ):
        assert sealed.read(b"file", 9) == b"x"
        for name in (b"link", b"fifo", b"device"):
            with pytest.raises(Refused):
                sealed.open_file(name)
        for name in (b"directory", b"", b"."):
            with pytest.raises(IsADirectoryError):
                sealed.open_file(name)
        with pytest.raises(FileNotFoundError):
            sealed.open_file(b"nothing")
        with pytest.raises(PermissionError):
            os.open(b"device", os.O_RDONLY, dir_fd=sealed.fd)


@pytest.mark.kernel
@pytest.mark.parametrize("how", ["sealed", "seen"])
@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFSOCK, stat.S_IFCHR])
def test_what_turns_into_something_else_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: int, how: str
) -> None:
    """A name in a directory in use may be a file when looked at, and another thing when it is opened."""
    file = tmp_path / "file"
    file.write_text("x")
    (tmp_path / "other").write_text("another file")
    look, opened = os.lstat, os.listdir("/proc/self/fd")

    def changing(path: bytes, *, dir_fd: int) -> os.stat_result:
        found = look(path, dir_fd=dir_fd)
        file.unlink()
        if kind == stat.S_IFDIR:
            file.mkdir()
        elif kind == stat.S_IFLNK:
            file.symlink_to("other")
        else:
            os.mknod(file, kind | 0o600, os.makedev(1, 5))
        return found

    with HostDir.open(tmp_path).sealed() as directory:
        monkeypatch.setattr(os, "lstat", changing)
        if how == "seen":
            directory.lstat(b"file")
        opening = directory.open_seen if how == "seen" else directory.open_file
        with pytest.raises(OSError, match=r"is a|symbolic links|denied|No such device"):
            opening(b"file")
        monkeypatch.undo()
    assert len(os.listdir("/proc/self/fd")) == len(opened)


@pytest.mark.kernel
def test_a_link_read_through_a_sealed_directory_keeps_its_access_time(tmp_path: Path) -> None:
    """What readlink(2) notes on any mount but a `noatime` one is not noted."""
    link = tmp_path / "link"
    link.symlink_to("x")
    os.utime(link, ns=(10**18, 10**18), follow_symlinks=False)
    assert HostDir.open(tmp_path).sealed().readlink(b"link") == b"x"
    assert link.lstat().st_atime_ns == 10**18


@pytest.mark.root
def test_without_privilege_a_directory_is_what_it_was(tmp_path: Path) -> None:
    """An ordinary user reads through the mount that is there."""
    (tmp_path / "f").write_text("x")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        command = [sys.executable, "-c", _AS_NOBODY, str(fd)]
        done = subprocess.run(command, pass_fds=[fd], capture_output=True, text=True, check=False)
    finally:
        os.close(fd)
    assert (done.returncode, done.stdout) == (0, "[b'f']\n"), done.stderr


def test_pool_forgets_what_it_gave_back(tmp_path: Path) -> None:
    """A directory that was closed to spare a descriptor can still be asked, and be let go of."""
    (tmp_path / "below").mkdir()
    with HostDir.open(tmp_path) as top:
        pool = Pool(8)
        pooled = [PooledDir(pool, "it", top, top.subdir) for _ in range(4)]
        for directory in pooled:
            assert directory.at(b"below").names() == []
        assert pool.give_back()
        assert pooled[0].names() == [b"below"]
        for directory in pooled:
            directory.close()
        assert not pool.give_back(), "nothing is open any more"


def test_a_directory_is_opened_from_the_one_it_is_in(tmp_path: Path) -> None:
    """If that is open; its name in messages is the same, and it outlives it."""
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/link").symlink_to("b")
    with HostDir.open(tmp_path) as top:
        asked: list[bytes] = []

        def opened(path: bytes) -> HostDir:
            asked.append(path)
            return top.subdir(path)

        pooled = PooledDir(Pool(8), "it", top, opened)
        assert pooled.at(b"a/b/c").names() == []
        assert [name for name, _ in pooled.scan_at(b"a")] == [name for name, _ in pooled.scan_at(b"a")]
        below = pooled.at(b"a/b")
        assert asked == [b"a/b/c", b"a"]
        assert below.display == top.subdir(b"a/b").display
        with pytest.raises(OSError, match=r"directory|symbolic"):
            pooled.at(b"a/link")
        pooled.close()
        assert below.names() == [b"c"]


def test_threads_list_one_directory_whole(tmp_path: Path) -> None:
    """A descriptor has one position, which they do not share."""
    wanted = {f"{number}".encode() for number in range(300)}
    for name in wanted:
        (tmp_path / os.fsdecode(name)).touch()
    with HostDir.open(tmp_path) as directory, ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: [name for name, _ in directory.scan()], range(40)))
    assert all(len(names) == len(wanted) and set(names) == wanted for names in found)


def test_a_directory_that_was_removed_is_not_empty(tmp_path: Path) -> None:
    """The C library lists nothing of it, as of an empty one; also through a mount of our own."""
    (tmp_path / "d").mkdir()
    with HostDir.open(tmp_path / "d") as directory, directory.sealed() as sealed:
        assert [opened.scan() for opened in (directory, sealed)] == [[], []]
        (tmp_path / "d").rmdir()
        for opened in (directory, sealed):
            with pytest.raises(FileNotFoundError, match=str(tmp_path / "d")):
                opened.scan()


def test_a_layer_that_was_removed_is_missed(tmp_path: Path) -> None:
    """What merges with it is not shown without it."""
    layers = [tmp_path / "upper", tmp_path / "lower"]
    for layer in layers:
        (layer / layer.name).mkdir(parents=True)
    tree = union_of(layers)
    assert set(tree.listing(tree.root).names) == {b"upper", b"lower"}
    shutil.rmtree(layers[1])
    with pytest.raises(TreeError, match="No such file"):
        tree.listing(tree.root)
