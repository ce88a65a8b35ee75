"""`overlay_mount`: the kernel's own overlayfs over given directories, read-only, always unmounted.

Everything lies below the session's directory, where `leftovers` finds what a killed session left.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.leftovers import session_directory
from tests.support.snapshot import Entry, snapshot, without_ghosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.support.snapshot import Snapshot

__all__ = [
    "OracleUnavailable",
    "check_trusted_xattrs",
    "kernel_snapshot",
    "overlay_mount",
    "private_dir",
    "refusals",
]

_MS_RDONLY = 1
_MNT_DETACH = 2
_OPTIONS_LIMIT = os.sysconf("SC_PAGE_SIZE") - 1  # mount(2): the data argument is one page


class OracleUnavailable(RuntimeError):
    """This machine cannot be asked; the message says what it lacks."""


@functools.cache
def _libc(name: str) -> Callable[..., int]:
    function: Callable[..., int] = getattr(ctypes.CDLL(None, use_errno=True), name)
    return function


def _call(name: str, *arguments: object) -> None:
    if _libc(name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def check_trusted_xattrs(directory: Path) -> None:
    """Raise `OracleUnavailable` where `trusted.*` attributes cannot be set below `directory`."""
    try:
        os.setxattr(directory, "trusted.overlay.opaque", b"n")
        os.removexattr(directory, "trusted.overlay.opaque")
    except OSError as error:
        raise OracleUnavailable(
            f"the file system of {directory} does not take trusted.* attributes from this process "
            f"({error.strerror}); run as root with TMPDIR on ext4 or xfs"
        ) from error


@contextmanager
def private_dir() -> Iterator[Path]:
    """A new directory below the session's own, removed at the end."""
    place = session_directory()
    place.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="k-", dir=place) as name:
        yield Path(name)


@contextmanager
def overlay_mount(
    layers: Sequence[str | os.PathLike[str]],
    *,
    userxattr: bool = False,
    metacopy: bool = False,
    redirect: str | None = None,
) -> Iterator[Path]:
    """Mount `layers`, uppermost first, and yield the mount point.

    The kernel refuses a single layer without an upper directory; it gets an empty one below it,
    which changes nothing but the link count of the root.

    Args:
        layers: existing directories; well over 125 are possible.
        userxattr: read `user.overlay.*` marks instead of `trusted.overlay.*`.
        metacopy: accept metacopy files.
        redirect: the `redirect_dir` option (`follow`, `nofollow`); None is the kernel's default.
    """
    with private_dir() as work, ExitStack() as held:
        target, empty = work / "merged", work / "empty"
        target.mkdir()
        empty.mkdir()
        stack = [*layers, empty] if len(layers) == 1 else layers
        # a descriptor's name is short whatever the path, and holds no colon or comma to escape
        descriptors = [os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for layer in stack]
        for descriptor in descriptors:
            held.callback(os.close, descriptor)
        options = ["lowerdir=" + ":".join(f"/proc/self/fd/{number}" for number in descriptors)]
        options += ["userxattr"] * userxattr + ["metacopy=on"] * metacopy
        options += [f"redirect_dir={redirect}"] if redirect else []
        _mount_overlay(target, ",".join(options))
        try:
            yield target
        finally:
            _unmount(target)


def _mount_overlay(target: Path, options: str) -> None:
    if len(options) > _OPTIONS_LIMIT:
        raise OracleUnavailable(f"{options.count(':') + 1} layers do not fit into one page of mount options")
    try:
        _call("mount", b"overlay", os.fsencode(target), b"overlay", _MS_RDONLY, options.encode())
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} (overlay on {target}; dmesg says more)") from error


def _unmount(target: str | os.PathLike[str]) -> None:
    try:
        _call("umount2", os.fsencode(target), 0)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        _call("umount2", os.fsencode(target), _MNT_DETACH)


def kernel_snapshot(layers: Sequence[Path], *, userxattr: bool = False, redirects: bool = False) -> Snapshot:
    """What the kernel shows of the layers; names that it lists but does not find are not there.

    Args:
        layers: uppermost first.
        userxattr: read `user.overlay.*` marks.
        redirects: follow redirects and metacopies, whatever the kernel's defaults.
    """
    redirect = "follow" if redirects else None
    with overlay_mount(layers, userxattr=userxattr, metacopy=redirects, redirect=redirect) as merged:
        found = without_ghosts(snapshot(merged))
    if len(layers) == 1:
        # the empty layer below made the root a merged directory
        found[b""] = replace(found[b""], nlink=layers[0].stat().st_nlink)
    return found


def refusals(entries: Snapshot) -> Snapshot:
    """The entries; of one that fails, only that: the kernel refuses at lookup, we when it is read."""
    refused = Entry(failures=("refused",))
    return {path: refused if entry.failures else entry for path, entry in entries.items()}
