"""A real tree as an image of many layers: this machine's `/usr`, loaded by a real Docker Engine.

Six layers as if packages had been installed one after the other, then an upgrade, then a removal with
whiteouts and opaque directories. A machine with a small `/usr` gets it several times.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import tarfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.support.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ARCHIVE",
    "ARCHIVE_BELOW",
    "BIG_FILE",
    "BIG_SIZE",
    "IMAGE",
    "IMAGE_BELOW",
    "load_into_engine",
    "load_into_podman",
    "pack_archive",
    "podman",
    "save_from_engine",
    "to_layout",
    "unpack_layers",
]

IMAGE = "bench:1"
IMAGE_BELOW = "bench:0"
"""The same image without its uppermost layer."""
ARCHIVE = "images.tar"
ARCHIVE_BELOW = "below.tar"
BIG_FILE = "big-file"

_SOURCE = "/usr"
_FILES_WANTED, _BYTES_WANTED = 28_000, 420 << 20
_QUOTAS = {"lib": (14_000, 500 << 20), "share": (14_000, 300 << 20), "include": (4_000, 60 << 20)}
"""Files and bytes taken at most of each directory of `/usr`."""
_FILE_LIMIT = 4 << 20
_INSTALLED_LAYERS = 6
BIG_SIZE = 600 << 20


def pack_archive(path: Path) -> None:
    """Write `ARCHIVE` into a directory, with what `docker save` would have written of two images."""
    staging = path / "staging"
    staging.mkdir()
    layers = list(_layers(staging))
    diff_ids = []
    for layer in layers:
        with layer.open("rb") as stream:
            diff_ids.append("sha256:" + hashlib.file_digest(stream, "sha256").hexdigest())
    manifest = []
    for name, depth in ((IMAGE_BELOW, len(layers) - 1), (IMAGE, len(layers))):
        (staging / f"{depth}.json").write_text(json.dumps(_config(diff_ids[:depth])))
        names = [layer.name for layer in layers[:depth]]
        manifest.append({"Config": f"{depth}.json", "RepoTags": [name], "Layers": names})
    (staging / "manifest.json").write_text(json.dumps(manifest))
    members = ["manifest.json", *(image["Config"] for image in manifest), *(layer.name for layer in layers)]
    subprocess.run(["tar", "-C", staging, "-cf", path / ARCHIVE, *map(str, members)], check=True)
    shutil.rmtree(staging)


def load_into_engine(path: Path, archive: Path) -> None:
    """Have a Docker Engine make the data root `path` of an archive's images; needs root."""
    with Engine(path) as engine:
        engine.load(archive)


def load_into_podman(path: Path, archive: Path) -> None:
    """Have Podman make its own store of the same images."""
    subprocess.run([*podman(path), "load", "--input", archive], stdout=subprocess.DEVNULL, check=True)


def save_from_engine(path: Path, archive: Path) -> None:
    """Have an Engine load images, and save each as `ARCHIVE` and `ARCHIVE_BELOW`; needs root."""
    with Engine(path / "root") as engine:
        engine.load(archive)
        engine.cli("save", "--output", path / ARCHIVE, IMAGE)
        engine.cli("save", "--output", path / ARCHIVE_BELOW, IMAGE_BELOW)
    shutil.rmtree(path / "root")


def to_layout(path: Path, archive: Path) -> None:
    """Have skopeo make an OCI layout of an archive's image, named `IMAGE`."""
    source, target = f"docker-archive:{archive}:{IMAGE}", f"oci:{path}:{IMAGE}"
    subprocess.run(["skopeo", "copy", "--quiet", source, target], check=True)


def unpack_layers(path: Path, archive: Path) -> None:
    """The layers of an archive's image as files into a directory, base first by their names."""
    with tarfile.open(archive) as saved:
        (image,) = json.loads(_member(saved, "manifest.json").read())
        for number, layer in enumerate(image["Layers"]):
            with (path / f"{number:02}.tar").open("wb") as target:
                shutil.copyfileobj(_member(saved, layer), target)


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        raise RuntimeError(f"{name}: no file in the archive")
    return found


def podman(store: Path) -> list[str]:
    """The beginning of a command of Podman on a store of our own."""
    places = ["--root", str(store / "root"), "--runroot", str(store / "run")]
    return ["podman", *places, "--storage-driver", "overlay"]


def _config(diff_ids: list[str]) -> dict[str, object]:
    """The config of an image of these layers."""
    created = "2024-01-01T00:00:00Z"
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": created,
        "config": {},
        "history": [{"created": created, "created_by": f"layer {number}"} for number in range(len(diff_ids))],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }


def _layers(staging: Path) -> Iterator[Path]:
    """The layers' archives, base first."""
    picked = list(_pick())
    size = sum(Path(_SOURCE, name).lstat().st_size for name in picked)
    copies = max(-(-_FILES_WANTED // len(picked)), -(-_BYTES_WANTED // size))
    homes = [f"usr-{number}" for number in range(copies)]
    for number in range(_INSTALLED_LAYERS):
        names = [name for name in picked if _layer_of(name) == number]
        archive = staging / f"{number}.tar"
        for home in homes:
            _add_installed(archive, home, names)
        yield archive
    for name, change in (("upgrade", _upgrade), ("removal", _remove)):
        changed = staging / name / homes[0]
        changed.mkdir(parents=True)
        change(changed, picked)
        archive = staging / f"{name}.tar"
        subprocess.run(["tar", "-C", staging / name, "-cf", archive, "."], check=True)
        yield archive


def _add_installed(archive: Path, home: str, names: list[str]) -> None:
    """Append files of `/usr` as below `home`, with the directories above them, links and owners."""
    parents = {str(parent) for name in names for parent in Path(name).parents}
    listed = b"\0".join(os.fsencode(name) for name in [*sorted(parents), *names])
    # S: what symbolic links point to stays as it is
    rename = f"--transform=s,^,{home}/,S"
    add: list[str | Path] = [
        "tar",
        "-C",
        _SOURCE,
        "--null",
        "--no-recursion",
        "--files-from=-",
        rename,
        "-rf",
        archive,
    ]
    subprocess.run(add, input=listed, check=True)


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
        (home / name / "only-this").write_text("all that was here before is hidden\n")
        (home / name / ".wh..wh..opq").touch()
    for name in names[7::30]:
        # the kernel lists a whiteout where there is nothing to hide, and then does not find it
        if not any(str(parent) in emptied for parent in Path(name).parents):
            _make_parents(home, name)
            (home / name).with_name(".wh." + Path(name).name).touch()
    block = os.urandom(1 << 20)
    with (home.parent / BIG_FILE).open("wb") as big:
        for _ in range(BIG_SIZE >> 20):
            big.write(block)


def _make_parents(home: Path, name: str) -> None:
    """The directories above `name`, as they are in `/usr`."""
    for parent in reversed(Path(name).parents):
        if not (home / parent).is_dir():
            (home / parent).mkdir(parents=True)
            shutil.copystat(Path(_SOURCE, parent), home / parent)
