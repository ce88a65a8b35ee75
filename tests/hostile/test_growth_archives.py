"""Work follows the bytes of an archive, whatever it holds more of: counted as in `test_growth`."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from fixtures.archives import Layer
from tests.hostile.test_growth import LIMIT
from tests.support.command import layerfs
from tests.support.growth import growth_of_steps, steps
from tests.support.layouts import Layout, as_tar, digest, layer_of

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from pathlib import Path

BASE = layer_of({"file": b"content", "etc/passwd": b"root"})

COMMANDS = """
images
images -a --format json
history app:1
dockerfile --full app:1
layers app:1
ls -lR app:1 /
find app:1
changes app:1
blame --recursive app:1 /
waste app:1
deleted app:1
hashes app:1
verify app:1
whois app:1
timeline --sha256 app:1
chain-id app:1
explain -v app:1
export app:1 -o {new}
""".strip().splitlines()


def _docker(
    layers: list[bytes], configs: list[dict[str, object]], names: list[list[str]]
) -> dict[str, bytes]:
    """The members of a docker archive whose images have the same layers."""
    members = {f"{number}.tar": layer for number, layer in enumerate(layers)}
    rows: list[dict[str, object]] = []
    for number, (config, tags) in enumerate(zip(configs, names, strict=True)):
        rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
        members[f"{number}.json"] = json.dumps(
            {"os": "linux", "architecture": "amd64", "rootfs": rootfs, **config}
        ).encode()
        rows.append(
            {"Config": f"{number}.json", "RepoTags": tags, "Layers": [f"{k}.tar" for k in range(len(layers))]}
        )
    return members | {"manifest.json": json.dumps(rows).encode()}


def _members(count: int) -> dict[str, bytes]:
    """Files, links, marks and directories, in both of two layers."""
    base, upper = Layer(), Layer()
    base.file("first", b"content")
    for number in range(count):
        base.file(f"file-{number}", b"content").link(f"also-{number}", "first")
        base.symlink(f"link-{number}", "first").file(f"gone-{number}/below", b"x")
        upper.file(f"file-{number}", b"another").whiteout(f"gone-{number}").opaque(f"new-{number}")
    return _docker([base.done(), upper.done()], [{}], [["app:1"]])


def _layers(count: int) -> dict[str, bytes]:
    """Layers on each other, as many as there may be at most, and files in each."""
    layers = [BASE, *(layer_of({f"file-{number}": b"x"}) for number in range(count))]
    return _docker(layers, [{}], [["app:1"]])


def _images(count: int) -> dict[str, bytes]:
    """Images of one manifest, with a name each, and names of one."""
    configs: list[dict[str, object]] = [{}]
    configs += [{"author": str(number)} for number in range(count)]
    names = [["app:1", *(f"app:n{k}" for k in range(count))], *([f"other:{k}"] for k in range(count))]
    return _docker([BASE], configs, names)


def _indexes(count: int) -> dict[str, bytes]:
    """Indexes in each other, and beside each other, each with images of its own."""
    layout = Layout()
    layout.name(layout.image([BASE]), "docker.io/library/app:1")
    for number in range(count):
        found = layout.image([BASE], author=str(number))
        for _ in range(3):
            found = layout.index([found, found])
        layout.name(found, f"docker.io/library/other:{number}")
    return layout.done()


def _records(count: int) -> dict[str, bytes]:
    """PAX records of one member, and names that each bring a record to the inode of another."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        first = tarfile.TarInfo("first")
        first.pax_headers = {f"SCHILY.xattr.user.n{number}": "v" for number in range(count)}
        tar.addfile(first)
        tar.addfile(tarfile.TarInfo("other"))
        for number in range(count):
            link = tarfile.TarInfo(f"name-{number}")
            link.type, link.linkname = tarfile.LNKTYPE, "other"
            link.pax_headers = {f"SCHILY.xattr.user.m{number % 5}": "v"}
            tar.addfile(link)
    return _docker([buffer.getvalue()], [{}], [["app:1"]])


GROWN: dict[str, tuple[int, Callable[[int], dict[str, bytes]]]] = {
    "members": (20, _members),
    "layers": (12, _layers),
    "images": (20, _images),
    "indexes": (20, _indexes),
    "PAX records": (20, _records),
}
"""What grows: from how many on, and the members of the archive."""


CASES = [(what, command) for what in GROWN for command in COMMANDS]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """An archive that has so many of something; each is written once."""
    directory = tmp_path_factory.mktemp("grown")

    def written(what: str, count: int) -> Path:
        path = directory / f"{what}-{count}.tar"
        if not path.exists():
            path.write_bytes(as_tar(GROWN[what][1](count)))
        return path

    return written


@pytest.mark.parametrize(("what", "command"), CASES)
def test_a_command_does_work_as_there_is_more_in_an_archive(
    archive: Callable[[str, int], Path], what: str, command: str, tmp_path: Path
) -> None:
    """Whatever grows in an archive, a command's work grows alike, and never with its square."""
    new = itertools.count()

    def run(count: int) -> Counter[str]:
        words = command.format(new=tmp_path / f"new{next(new)}").split()
        path = archive(what, count)
        codes: list[int] = []
        counted = steps(lambda: codes.append(layerfs(path, "--no-cache", *words).code))
        assert codes[0] in (0, 1), command
        return counted

    run(0)  # what is imported now is not counted below
    found = growth_of_steps(run, GROWN[what][0])
    assert found.ratio < LIMIT, found.what
