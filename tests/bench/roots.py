"""The data roots that are measured: many images, and one image with many files.

Both are made once and kept in `.bench/`; removing that directory is all it takes to have them made anew.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layerfs import DataRoot
from tests.support.rootbuilder import RootBuilder, many_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["BIG_FILE", "IMAGE", "IMAGES", "MEASURED_IMAGE", "TreeRoot", "images_root", "tree_root"]

IMAGES = 1000
MEASURED_IMAGE = "registry.example:5000/team-5/app-100:1.0"
"""An image of the big root whose history is asked for."""

IMAGE = "bench:1"
BIG_FILE = "big-file"

_SPACE_NEEDED = 2 << 30
_FILES_PICKED = 28_000
_FILE_LIMIT = 256 << 10
_SOURCE = "/usr"
_QUOTAS = {"lib": (14_000, 150 << 20), "share": (14_000, 100 << 20), "include": (4_000, 50 << 20)}
"""Files and bytes taken at most of each directory of `/usr`."""
_INSTALLED_LAYERS = 6
_BIG_SIZE = 256 << 20


def images_root(place: Path) -> Path:
    """A data root with `IMAGES` images."""
    return _once(place / f"images-{IMAGES}", lambda path: many_images(path, IMAGES))


@dataclass(frozen=True, slots=True)
class TreeRoot:
    """The data root of one image with many files.

    Attributes:
        path: the data root.
        layers: the layers' `diff/` directories, uppermost first.
    """

    path: Path
    layers: tuple[Path, ...]


def tree_root(place: Path) -> TreeRoot:
    """A data root whose one image, `IMAGE`, holds a good part of this machine's `/usr`; needs root."""
    path = _once(place / "tree", _build_tree)
    root = DataRoot.open(path)
    chain = root.chain(root.image(IMAGE))
    return TreeRoot(path, tuple(path / "overlay2" / layer.cache_id / "diff" for layer in reversed(chain)))


def _once(path: Path, build: Callable[[Path], object]) -> Path:
    """`path`, built beside its place and moved there when it is complete."""
    if not path.exists():
        unfinished = path.with_name(path.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        free = shutil.disk_usage(unfinished).free
        if free < _SPACE_NEEDED:
            raise RuntimeError(f"{path.parent}: {free >> 20} MiB free, {_SPACE_NEEDED >> 20} are needed")
        build(unfinished)
        unfinished.rename(path)
    return path


def _build_tree(path: Path) -> None:
    """Six layers as if packages had been installed one after the other, one upgrade, one removal."""
    picked = list(_pick())
    builder = RootBuilder(path)
    # a machine with a small /usr holds it several times
    homes = [f"usr-{number}" for number in range(-(-_FILES_PICKED // len(picked)))]
    top = None
    for number in range(_INSTALLED_LAYERS):
        names = [name for name in picked if _layer_of(name) == number]
        top = builder.layer(top, lambda diff, names=names: _install(diff, homes, names))  # type: ignore[misc]
    top = builder.layer(top, lambda diff: _upgrade(diff / homes[0], picked))
    top = builder.layer(top, lambda diff: _remove(diff / homes[0], picked))
    builder.image(top, IMAGE, config={"created": "2024-01-01T00:00:00Z"})
    builder.finish()


def _pick() -> Iterator[str]:
    """Files and symbolic links below `/usr`, relative to it, in a fixed order and within the quotas."""
    for top, (count, size) in _QUOTAS.items():
        files = itertools.islice(_files(Path(_SOURCE, top)), count)
        left = size
        for entry in files:
            left -= entry.stat(follow_symlinks=False).st_size
            if left < 0:
                break
            yield os.path.relpath(entry.path, _SOURCE)


def _files(directory: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        elif entry.is_symlink() or (entry.is_file() and entry.stat().st_size <= _FILE_LIMIT):
            yield entry


def _layer_of(name: str) -> int:
    """What lies together is installed together; so directories near the top merge several layers."""
    return zlib.crc32("/".join(name.split("/")[:3]).encode(errors="surrogateescape")) % _INSTALLED_LAYERS


def _install(diff: Path, homes: Iterable[str], names: list[str]) -> None:
    """Copy files, with the directories above them, links and owners."""
    parents = {str(parent) for name in names for parent in Path(name).parents}
    listed = b"\0".join(os.fsencode(name) for name in [*sorted(parents), *names])
    pack = ["tar", "-C", _SOURCE, "--null", "--no-recursion", "--files-from=-", "--create"]
    archive = subprocess.run(pack, input=listed, stdout=subprocess.PIPE, check=True).stdout
    for home in homes:
        (diff / home).mkdir()
        subprocess.run(["tar", "-C", diff / home, "-xpf", "-"], input=archive, check=True)


def _upgrade(home: Path, names: list[str]) -> None:
    """Replace every twentieth file by a longer one."""
    for name in names[::20]:
        source = Path(_SOURCE, name)
        if not source.is_symlink():
            _make_parents(home, name)
            (home / name).write_bytes(source.read_bytes() + b"upgraded\n")


def _remove(home: Path, names: list[str]) -> None:
    """Empty every hundredth deep directory, white out every thirtieth file elsewhere, add the big file."""
    emptied = sorted({str(Path(name).parent) for name in names if name.count("/") > 3})[::100]
    for name in emptied:
        _make_parents(home, name + "/only-this")
        os.setxattr(home / name, "trusted.overlay.opaque", b"y")
        (home / name / "only-this").write_text("all that was here before is hidden\n")
    for name in names[7::30]:
        # the kernel lists a whiteout where there is nothing to hide, and then does not find it
        if not any(str(parent) in emptied for parent in Path(name).parents):
            _make_parents(home, name)
            os.mknod(home / name, 0o600 | stat.S_IFCHR, os.makedev(0, 0))
    block = os.urandom(1 << 20)
    with (home.parent / BIG_FILE).open("wb") as big:
        for _ in range(_BIG_SIZE >> 20):
            big.write(block)


def _make_parents(home: Path, name: str) -> None:
    """The directories above `name`, as they are in `/usr`."""
    for parent in reversed(Path(name).parents):
        if not (home / parent).is_dir():
            (home / parent).mkdir(parents=True)
            shutil.copystat(Path(_SOURCE, parent), home / parent)
