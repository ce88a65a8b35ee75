"""`scale_root`: a data root of millions of entries, in images that share layers, each layer with its archive.

Every image has a layer of its own on three that it shares. Each layer is as large in a small root as in a
large one, so a root grows by layers and images alone, as roots do. Layers of the same depth have the
same paths, those above each other have a tenth of them in common: files replaced, whited out, and
directories made opaque. Files have lengths but no blocks, as what grows is the number of entries: the bytes
are zeros. Of each layer the original tar is hashed to its diff ID, and its `tar-split.json.gz` is written as
vbatts/tar-split does; no entry lies there as a hard link.

Sources: as `rootbuilder`; vbatts/tar-split `tar/storage/{entry,packer}.go`; POSIX ustar.
"""

from __future__ import annotations

import base64
import concurrent.futures
import functools
import gzip
import hashlib
import multiprocessing
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from fastcrc.crc64 import go_iso

from layerfs.ids import DiffID
from tests.support.rootbuilder import RootBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.rootbuilder import BuiltLayer

__all__ = ["SHARED_BY", "Scale", "scale_root"]

SHARED_BY = (50, 10, 2, 1)
"""Of how many images each layer is, base first."""

_PER_DIRECTORY = 100  # entries, with the directory itself
_OWN_PART = 100  # the layer of one image alone has so many times fewer
_COMMON = 10  # of a layer's directories one in so many is in the layer below too
_LINKS = 20  # of a directory's files one in so many is a symbolic link
_LONGEST = 900  # bytes of a file
_TARGET = "module_00.py"
_OPAQUE = ".wh..wh..opq"
_TIME = 1_700_000_000  # the first layer's, in seconds
_BLOCK = 512
_LINES = 2000  # compressed at a time


class Scale(NamedTuple):
    """How large a root is.

    Attributes:
        images: how many.
        entries: in each layer that images share, about.
    """

    images: int
    entries: int

    def layers(self) -> Iterator[tuple[int, int]]:
        """The depth and the number at that depth of every layer, lower ones first."""
        for depth, shared_by in enumerate(SHARED_BY):
            yield from ((depth, number) for number in range(-(-self.images // shared_by)))


class _Made(NamedTuple):
    """A layer's directory, and what its engine would note of it."""

    diff: Path
    split: Path
    diff_id: DiffID
    size: int


def scale_root(path: Path, scale: Scale, processes: int = 2) -> int:
    """Write a data root; gives the number of entries in all layers, without the layers' own roots."""
    unsorted = path.with_name(path.name + ".layers")
    unsorted.mkdir(parents=True)
    places = list(scale.layers())
    with concurrent.futures.ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context("fork")
    ) as pool:
        made = dict(zip(places, pool.map(functools.partial(_layer, unsorted, scale), places), strict=True))
    builder = RootBuilder(path)
    built: dict[tuple[int, int], BuiltLayer] = {}
    for number in range(scale.images):
        top: BuiltLayer | None = None
        for depth, shared_by in enumerate(SHARED_BY):
            place = (depth, number // shared_by)
            if place not in built:
                built[place] = _put(builder, top, made[place])
            top = built[place]
        builder.image(top, f"scale:{number}", config={"comment": str(number)})
    builder.finish()
    unsorted.rmdir()
    return sum(count_entries(scale, depth) for depth, _ in places)


def _put(builder: RootBuilder, below: BuiltLayer | None, made: _Made) -> BuiltLayer:
    """Add a layer that is written already."""

    def move(diff: Path) -> None:
        diff.rmdir()
        made.diff.rename(diff)

    layer = builder.layer(below, move, made.diff_id, size=made.size)
    made.split.rename(builder.record(layer) / "tar-split.json.gz")
    return layer


# -- what is in a layer --------------------------------------------------------------------------


@functools.cache
def _directories(scale: Scale, depth: int) -> dict[str, list[str]]:
    """The names in each directory of the layers of a depth, as in the tar: `.wh.` ones are marks.

    The first of a directory is the mark of an opaque one; directories above come first, without names.
    """
    every = max(scale.entries // _PER_DIRECTORY, 1)
    count = every if depth < len(SHARED_BY) - 1 else max(every // _OWN_PART, 1)
    common = max(count // _COMMON, 1) if depth else 0
    first = depth * every - common
    found: dict[str, list[str]] = {"lib/": []}
    for number in range(first, first + count):
        group = f"lib/{number // 100:03}/"
        found.setdefault(group, [])
        below = number < first + common
        names = [".wh..wh..opq"] if below and number % 3 == 0 else []
        for index in range(_PER_DIRECTORY - 1):
            hides = below and number % 3 != 0 and index % 9 == 1
            names.append(f"{'.wh.' if hides else ''}module_{index:02}.py")
        found[f"{group}package-{number:05}/"] = names
    return found


def count_entries(scale: Scale, depth: int) -> int:
    """The entries of a layer of a depth, whiteouts too; not its root."""
    directories = _directories(scale, depth)
    return len(directories) + sum(name != _OPAQUE for names in directories.values() for name in names)


def _layer(place: Path, scale: Scale, which: tuple[int, int]) -> _Made:
    """Write a layer's directory and its archive's records; called in a process of its own."""
    depth, number = which
    diff = place / f"{depth}-{number}"
    time = _TIME + number
    archive = _Archive(diff.with_suffix(".gz"), time)
    diff.mkdir(mode=0o755)
    for directory, names in _directories(scale, depth).items():
        (diff / directory).mkdir(mode=0o755)
        archive.add(directory, b"5", 0o755)
        os.chdir(diff / directory)  # the process is our own, and paths are short so
        for index, name in enumerate(names):
            if name == _OPAQUE:
                os.setxattr(".", "trusted.overlay.opaque", b"y")
                archive.add(directory + name, b"0", 0o644)
            elif name.startswith(".wh."):
                os.mknod(name.removeprefix(".wh."), stat.S_IFCHR, 0)
                archive.add(directory + name, b"0", 0o644)
            elif index % _LINKS == 1:
                os.symlink(_TARGET, name)
                os.utime(name, (time, time), follow_symlinks=False)
                archive.add(directory + name, b"2", 0o777, link=_TARGET)
            else:
                length = (index * 37 + number) % _LONGEST + 1
                os.mknod(name, stat.S_IFREG | 0o644)
                os.truncate(name, length)
                os.utime(name, (time, time))
                archive.add(directory + name, b"0", 0o644, length)
    for directory in reversed(_directories(scale, depth)):  # what was made in it changed its time
        os.utime(diff / directory, (time, time))
    return _Made(diff, archive.path, archive.close(), archive.size)


class _Archive:
    """The tar of a layer as it is hashed and noted, and never written.

    Attributes:
        path: the file of tar-split.
        size: what the engine notes as the layer's.
    """

    def __init__(self, path: Path, time: int) -> None:
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        self._stream = gzip.GzipFile(path, "wb", compresslevel=1, mtime=0)
        self._time = b"%011o\0" % time
        self._lines: list[bytes] = []
        self._position = 0
        self._padding = b""

    def add(self, name: str, kind: bytes, mode: int, length: int = 0, link: str = "") -> None:
        """Add a member; its content is so many zeros."""
        raw = name.encode()
        header = self._padding + self._header(raw, kind, mode, length, link.encode())
        content = bytes(length)
        self._digest.update(header)
        self._digest.update(content)
        self._padding = bytes(-length % _BLOCK)
        self._note(header)
        noted = b'"size":%d,"payload":"%s"' % (length, _checksum(length)) if length else b'"payload":null'
        line = b'{"type":1,"name":"%s",%s,"position":%d}\n' % (raw, noted, self._position)
        self._lines.append(line)
        self._position += 1
        self.size += length + len(link)

    def _header(self, name: bytes, kind: bytes, mode: int, length: int, link: bytes) -> bytes:
        """A header of ustar: owned by root, its checksum counted with spaces in its own place."""
        before = (
            name.ljust(100, b"\0") + b"%07o\0" % mode + b"0000000\0" * 2 + b"%011o\0" % length + self._time
        )
        behind = kind + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(247)
        return before + b"%06o\0 " % (sum(before) + sum(behind) + 8 * ord(" ")) + behind

    def _note(self, segment: bytes) -> None:
        packed = base64.b64encode(segment)
        self._lines.append(b'{"type":2,"payload":"%s","position":%d}\n' % (packed, self._position))
        self._position += 1
        if len(self._lines) > _LINES:
            self._flush()

    def _flush(self) -> None:
        self._stream.write(b"".join(self._lines))
        self._lines.clear()

    def close(self) -> DiffID:
        """Write the end; the sha256 of all."""
        end = self._padding + bytes(2 * _BLOCK)
        self._digest.update(end)
        self._note(end)
        self._flush()
        self._stream.close()
        return DiffID.from_hex(self._digest.hexdigest())


@functools.cache
def _checksum(length: int) -> bytes:
    return base64.b64encode(go_iso(bytes(length)).to_bytes(8))
