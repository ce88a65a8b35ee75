"""Corners in which programs tell file systems apart: a mount answers as the kernel's overlayfs does."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.kernel import overlay_mount
from tests.support.layerspec import Dir, File, LayerSpec, materialise_stack
from tests.support.mounts import served
from tests.support.treeview import union_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.fuse, pytest.mark.kernel]

MANY = 200
STACK = [
    LayerSpec(Dir({b"dir": Dir({b"%d" % number: File(b"%d" % number) for number in range(MANY)})})),
    LayerSpec(Dir({b"big": File(b"0123" * 4096), b"dir": Dir({b"lower": File(b"lower")})})),
]
LENGTHS = (1, 254, 255, 256, 257, 1000, 1024, 1025, 4000)


def _refusal(call: Callable[[], object]) -> str:
    """The name of the errno that a call ends with; nothing if it succeeds."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def _about_names(place: Path) -> dict[tuple[str, int], str]:
    """What is said of names that are not there, in directories and below a file, by their length."""
    return {
        (directory, length): _refusal((place / directory / ("n" * length)).lstat)
        for directory in ("", "dir", "big", "n" * 256)
        for length in LENGTHS
    }


def test_long_names_are_too_long(tmp_path: Path, variant: str) -> None:
    """A name that no layer could hold is ENAMETOOLONG, before and after its directory was listed."""
    layers = materialise_stack(STACK, tmp_path)
    with overlay_mount(layers) as theirs:
        expected = _about_names(theirs)
    assert {"ENOENT", "ENAMETOOLONG", "ENOTDIR"} == set(expected.values())
    with served(union_of(layers), tmp_path / "m", variant) as ours:
        assert _about_names(ours) == expected
        for directory in (ours, ours / "dir"):
            os.listdir(directory)
        assert _about_names(ours) == expected


# -- file handles --------------------------------------------------------------------------------


class _Handle(ctypes.Structure):
    """`struct file_handle` of open_by_handle_at(2), with room for any."""

    _fields_ = (("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_char * 128))


def _handle(path: Path) -> _Handle:
    handle, mount = _Handle(128), ctypes.c_int()
    libc = ctypes.CDLL(None, use_errno=True)
    at_cwd = -100
    if libc.name_to_handle_at(at_cwd, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount), 0):
        raise OSError(ctypes.get_errno(), "name_to_handle_at")
    return handle


def _read_by_handle(mount: int, handle: _Handle) -> bytes:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.open_by_handle_at(mount, ctypes.byref(handle), os.O_RDONLY)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "open_by_handle_at")
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def test_file_handles_last_or_are_refused(tmp_path: Path, variant: str) -> None:
    """A file handle works after the kernel dropped its caches, or there is none, as in overlayfs."""
    layers = materialise_stack(STACK, tmp_path)
    with overlay_mount(layers) as theirs:
        expected = _refusal(lambda: _handle(theirs / "dir" / "0"))
    with served(union_of(layers), tmp_path / "m", variant) as ours:
        refused = _refusal(lambda: _handle(ours / "dir" / "0"))
        assert refused in ("", expected)
        if refused:
            return
        handles = [_handle(ours / "dir" / str(number)) for number in range(MANY)]
        mount = os.open(ours, os.O_RDONLY)
        try:
            Path("/proc/sys/vm/drop_caches").write_text("3")
            found = [_read_by_handle(mount, handle) for handle in handles]
        finally:
            os.close(mount)
    assert found == [b"%d" % number for number in range(MANY)]


# -- direct input --------------------------------------------------------------------------------


@contextmanager
def _file_system(kind: str, place: Path) -> Iterator[Path]:
    """A new file system in memory."""
    place.mkdir()
    subprocess.run(["mount", "-t", kind, "test", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def _read_directly(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 4096) as page:  # direct input wants an aligned buffer
            return page[: os.readv(fd, [page])]
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", ["ramfs", "tmpfs"])
def test_direct_input_is_the_backing_files(tmp_path: Path, variant: str, kind: str) -> None:
    """O_DIRECT reads what is there; it is EINVAL where the backing file system lacks it, as in overlayfs.

    Where the kernel does not ask us to open, we read for it, which needs no O_DIRECT of the backing file.
    """
    with _file_system(kind, tmp_path / "disk") as disk:
        layers = materialise_stack(STACK, disk)
        with overlay_mount(layers) as theirs:
            expected = _refusal(lambda: _read_directly(theirs / "big"))
        assert expected == "EINVAL" or kind == "tmpfs"  # which has it since Linux 6.6
        with served(union_of(layers), tmp_path / "m", variant) as ours:
            assert (ours / "big").read_bytes() == b"0123" * 4096
            if variant == "native" or not expected:
                assert _read_directly(ours / "big") == b"0123" * 1024
            else:
                assert _refusal(lambda: _read_directly(ours / "big")) == expected
            assert (ours / "dir" / "lower").read_bytes() == b"lower"
