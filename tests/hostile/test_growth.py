"""Work and memory follow the bytes that are read, whatever they say: counted at a size and at four times it.

Every command runs on roots that grow in many directions at once (`support.growing`); every parser is given
inputs that grow in one. Linear is 4, sorting a little more, a loop in a loop 16. `support.growth` says what
is not counted.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import struct
import tarfile
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from layerfs.formats import layerfiles, tarheader, tarsplit
from layerfs.formats.bolt import Database, buffer_reader, open_bolt
from layerfs.formats.buildkit import parse_snapshots
from layerfs.formats.containerconfig import parse_container_config
from layerfs.formats.errors import FormatError
from layerfs.formats.imageconfig import parse_image_config
from layerfs.formats.repositories import parse_repositories
from layerfs.stores.docker.overlay2 import MAX_STACK
from layerfs.tree.originals import Originals
from tests.support.bolt import PAGE, bolt_database, bolt_file, bolt_tree, leaf
from tests.support.command import layerfs
from tests.support.growing import GROWN, container, nested
from tests.support.growth import growth_of_memory, growth_of_steps, peak, steps
from tests.support.rootbuilder import RootBuilder
from tests.support.storekinds import STORE_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command import Result
    from tests.support.storekinds import StoreKind

LIMIT = 7
"""Between 4 and 16; of sorting, and of what is done once in a while, a little more than 4."""

MEMORY_LIMIT = 9
"""Likewise; a table that grows is there twice for a moment."""

# -- commands ------------------------------------------------------------------------------------

SIZE = 20

COMMANDS = """
images
images -a --digests --format json
history app:1
dockerfile --full app:1
dockerfile --context {new} app:1
layers
inspect app:1
inspect box
containers -a --size
du
ls -lR app:1 /
--metadata tar-split ls -lR app:1 /
tree app:1
find app:1
find app:1 -deleted
find --all
stat app:1 /
hashes --all-versions app:1
diff app:1 box
changes app:1
blame --all /file
blame --recursive app:1 /
waste --all
waste --duplicates app:1
whois app:1
verify --all --jobs 1
doctor
timeline --all
chain-id app:1
cp app:1:/ {new}
explain -v app:1
deleted app:1 --recover {new}
export --salvage app:1 -o {new}
export --format rootfs app:1 -o {new}
""".strip().splitlines()


@pytest.fixture(scope="module", params=[(kind, name) for kind in STORE_KINDS for name in GROWN[kind.name]])
def grown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A root that grows, of each kind of store, by its size; each is written once."""
    kind: StoreKind = request.param[0]
    made: dict[int, Path] = {}

    def root(size: int) -> Path:
        if size not in made:
            made[size] = tmp_path_factory.mktemp("grown") / "root"
            GROWN[kind.name][request.param[1]](made[size], size)
        return made[size]

    return root


@pytest.mark.root
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_work_as_there_is_more_in_a_root(
    grown: Callable[[int], Path], command: str, tmp_path: Path
) -> None:
    """Whatever grows in a root, a command's work grows alike, and never with its square."""
    new = itertools.count()

    def ask(size: int) -> None:
        words = command.format(new=tmp_path / f"new{next(new)}").split()
        # done, damage found, not in this kind; neither misused nor a bug
        assert layerfs(grown(size), *words).code in (0, 1, 4, 5, 6)

    def run(size: int) -> Counter[str]:
        grown(size)  # to write it is not counted
        return steps(lambda: ask(size))

    ask(0)  # what is imported now is not counted below
    found = growth_of_steps(run, SIZE)
    assert found.ratio < LIMIT, found.what


# -- parsers -------------------------------------------------------------------------------------


def _json(**keys: Any) -> bytes:
    return json.dumps(keys).encode()


def _nulls(count: int) -> dict[str, None]:
    return {f"key-{number}": None for number in range(count)}


def _container(**keys: Any) -> bytes:
    return _json(ID="0" * 64, **keys)


def _image(**keys: Any) -> bytes:
    return _json(**{"rootfs": {"diff_ids": []}, **keys})


def _digests(count: int) -> list[str]:
    return [f"sha256:{number:064x}" for number in range(count)]


def _segments(count: int) -> bytes:
    return b'{"type":2,"payload":"AAAA","position":1}\n' * count


def _members(count: int, **attributes: Any) -> bytes:
    """A tar-split of so many members, which differ in their names alone."""
    from tests.support.tarsplit import lines_of

    def infos() -> Any:
        yield tarfile.TarInfo("first"), b""
        for number in range(count):
            info = tarfile.TarInfo(f"{attributes.get('before', '')}{number}")
            info.type, info.linkname = attributes.get("type", tarfile.REGTYPE), attributes.get("linkname", "")
            info.pax_headers = dict.fromkeys(attributes.get("keys", lambda _: ())(number), "v")
            yield info, b""

    return gzip.decompress(lines_of(infos()))


def _originals(lines: bytes) -> Originals:
    return Originals(tarsplit.members(io.BytesIO(lines)), b"trusted.overlay.opaque")


def _header(records: int) -> bytes:
    info = tarfile.TarInfo("name")
    info.pax_headers = {f"SCHILY.xattr.user.{number}": "v" for number in range(records)}
    return info.tobuf(tarfile.PAX_FORMAT)


def _snapshots(count: int) -> dict[bytes, dict[bytes, bytes]]:
    return {b"key %06d" % number: {b"name": b"n" * 80, b"parent": b"p"} for number in range(count)}


def _in_no_order(count: int) -> bytes:
    """A bucket in which one key is not where it belongs."""
    content = bolt_tree({b"v1": dict.fromkeys(_snapshots(count), b"x" * 80)})
    return content.replace(b"key 000001", b"key 999999")


def _same_pages(count: int) -> bytes:
    """Buckets that all lead to the pages of one."""
    one = leaf(4, [(b"k%d" % number, b"v", False) for number in range(10)])
    names = [(b"key %06d" % number, struct.pack("<QQ", 4, 0), True) for number in range(count)]
    top = leaf(5, names)
    return bolt_file([leaf(3, [(b"v1", struct.pack("<QQ", 5, 0), True)]), one, top])


def _names_found(content: bytes) -> list[object]:
    """Each key of the bucket `v1`, asked for by its name, and what is in it."""
    database = Database(*buffer_reader(content), damaged=lambda _: None)
    outer = database.root.bucket(b"v1")
    assert outer is not None
    keys = [key for key, _ in outer.items()]
    return [inner and list(inner.values()) for inner in map(outer.bucket, keys)] + list(
        map(outer.value, keys)
    )


PARSERS: dict[str, tuple[Callable[[Any], object], Callable[[int], Any]]] = {
    "image config, diff IDs": (parse_image_config, lambda n: _image(rootfs={"diff_ids": _digests(n)})),
    "image config, labels": (parse_image_config, lambda n: _image(config={"Labels": _nulls(n)})),
    "image config, history": (parse_image_config, lambda n: _image(history=[{"comment": "c"}] * n)),
    "image config, steps of nothing": (parse_image_config, lambda n: _image(history=[_nulls(20)] * n)),
    "image config, keys": (parse_image_config, lambda n: _image(**_nulls(n))),
    "container config, mounts": (parse_container_config, lambda n: _container(MountPoints=_nulls(n))),
    "container config, labels": (
        parse_container_config,
        lambda n: _container(Config={"Labels": _nulls(n)}),
    ),
    "container config, keys": (parse_container_config, lambda n: _container(**_nulls(n))),
    "container config, arguments": (parse_container_config, lambda n: _container(Args=["a"] * n)),
    "names, repositories of nothing": (parse_repositories, lambda n: _json(Repositories=_nulls(n))),
    "names, of one image": (
        parse_repositories,
        lambda n: _json(Repositories={"a": {f"a:{k}": _digests(1)[0] for k in range(n)}}),
    ),
    "names, that are none": (
        parse_repositories,
        lambda n: _json(Repositories={f"a{k}": {f"{k}?": 1} for k in range(n)}),
    ),
    "lower": (layerfiles.parse_lower, lambda n: b":".join([b"l/" + b"A" * 26] * (n + 1))),
    "bolt, buckets": (
        lambda content: parse_snapshots(open_bolt(*buffer_reader(content))),
        lambda n: bolt_database({f"{k:05}": {"committed": "c"} for k in range(n)}),
    ),
    "bolt, values": (
        lambda content: parse_snapshots(open_bolt(*buffer_reader(content))),
        lambda n: bolt_database({"one": {f"{k:05}": "v" for k in range(n)}}),
    ),
    "bolt, names": (_names_found, lambda n: bolt_tree({b"v1": _snapshots(n)})),
    "bolt, names in no order": (_names_found, _in_no_order),
    "bolt, buckets of the same pages": (_names_found, _same_pages),
    "tar header, attributes": (tarheader.parse, _header),
    "tar-split, segments": (lambda content: list(tarsplit.members(io.BytesIO(content))), _segments),
    "tar-split, members": (lambda content: list(tarsplit.members(io.BytesIO(content))), _members),
    "tar-split, marks": (
        lambda content: tarsplit.archive_marks(io.BytesIO(content)),
        lambda n: _members(n, before=".wh."),
    ),
    "tar-split, empty lines": (
        lambda content: list(tarsplit.members(io.BytesIO(content))),
        lambda n: b"\n" * n,
    ),
    "archive, names of one file": (
        _originals,
        lambda n: _members(n, type=tarfile.LNKTYPE, linkname="first"),
    ),
    "archive, names that each bring an attribute": (
        _originals,
        lambda n: _members(
            n, type=tarfile.LNKTYPE, linkname="first", keys=lambda k: [f"SCHILY.xattr.user.{k}"]
        ),
    ),
    "archive, directories": (_originals, lambda n: _members(n, before="a/b/c/")),
    "archive, symbolic links": (
        _originals,
        lambda n: _members(n, type=tarfile.SYMTYPE, linkname="first"),
    ),
}


@pytest.mark.parametrize("case", PARSERS)
def test_a_parser_does_work_as_there_are_more_bytes(case: str) -> None:
    """Whatever grows in a file, a parser's work grows alike, and so does its memory."""
    parse, make = PARSERS[case]
    made = {size: make(size) for size in (0, 200, 800)}
    parse(made[0])
    work = growth_of_steps(lambda size: steps(lambda: parse(made[size])), 200)
    assert work.ratio < LIMIT, work.what
    memory = growth_of_memory(lambda size: peak(lambda: parse(made[size])), 200)
    assert memory.ratio < MEMORY_LIMIT, memory.what


class _Bytewise:
    """A stream that gives one byte at a time, as unpacking can; counts the bytes that pass."""

    def __init__(self, content: bytes) -> None:
        self._stream = io.BytesIO(content)

    def read(self, _size: int, /) -> bytes:
        return self._stream.read(1)


@pytest.mark.root
def test_copying_goes_from_neighbour_to_neighbour(tmp_path: Path) -> None:
    """However deep directories lie in each other, a copy opens each of them a few times."""

    def opened(depth: int) -> Counter[str]:
        builder = RootBuilder(tmp_path / f"root{depth}")
        builder.image(builder.layer(None, lambda diff: nested(diff, b"d", depth)), "deep:1")
        root, new = builder.finish(), tmp_path / f"new{depth}"
        counted = steps(lambda: layerfs(root, "cp", "deep:1:/", str(new)))
        assert sum(1 for _ in new.rglob("z")) == depth
        return Counter(
            {step: count for step, count in counted.items() if step == "<built-in method posix.open>"}
        )

    opened(1)
    found = growth_of_steps(opened, 50)
    assert found.ratio < LIMIT, found.what


# What C does in one call is not counted as steps. Where these were a loop in a loop, they took minutes.


@pytest.mark.timeout(60)
def test_a_stream_that_gives_single_bytes_is_read_once() -> None:
    """A line without an end is not put together anew with each byte of it."""
    assert list(tarsplit.entries(_Bytewise(b" " * (1 << 20)))) == []


@pytest.mark.timeout(60)
def test_segments_without_a_file_are_joined_once_and_bounded() -> None:
    """Headers in many segments are joined once; more than any writer makes are refused."""
    segment = b'{"type":2,"payload":"%s","position":1}\n' % (b"AAAA" * 40)
    found = tarsplit.members(io.BytesIO(segment * tarsplit.MAX_SEGMENTS))
    assert sum(len(item.payload) for item in found if isinstance(item, tarsplit.Segment)) == (
        tarsplit.MAX_SEGMENTS * 120
    )
    with pytest.raises(FormatError, match="too many tar-split segments"):
        list(tarsplit.members(io.BytesIO(segment * (tarsplit.MAX_SEGMENTS + 1))))


@pytest.mark.root
def test_what_lies_too_deep_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """A directory that no step could reach without its whole way is named; what is beside it is shown."""
    builder = RootBuilder(tmp_path / "root")
    layer = builder.layer()
    nested(layer.diff, b"n" * 250, 150)
    builder.image(layer, "deep:1")
    root, new = builder.finish(), tmp_path / "new"
    for words in (("find", "deep:1"), ("find", "--all"), ("cp", "deep:1:/", str(new)), ("waste", "deep:1")):
        found = layerfs(root, *words)
        assert (found.code, "lies deeper than 32768 bytes" in found.stderr) == (1, True), words
    assert sum(1 for _ in os.fwalk(new)) > 120
    assert layerfs(root, "ls", "deep:1", "/").stdout.split() == ["n" * 250, "z"]


@pytest.mark.root
def test_more_layers_than_overlayfs_stacks_are_refused(tmp_path: Path) -> None:
    """A chain that no kernel mounts is an error that names it, for images and for containers."""
    builder = RootBuilder(tmp_path / "root")
    top = builder.layer()
    for _ in range(MAX_STACK):
        (top.diff.parent / "lower").unlink(missing_ok=True)
        top = builder.layer(top)
    image = builder.image(top, "deep:1")
    container(builder, top, "box", image, {})
    root = builder.finish()
    for name in ("deep:1", "box"):
        found = layerfs(root, "ls", name, "/")
        assert (found.code, "more layers than overlayfs can stack" in found.stderr) == (5, True)
    assert layerfs(root, "images").code == layerfs(root, "layers").code - 1 == 0


@pytest.mark.root
def test_a_database_whose_values_overlap_is_named(tmp_path: Path) -> None:
    """Half a gigabyte that a megabyte says it holds is not read; layers are listed all the same."""
    builder = RootBuilder(tmp_path / "root")
    builder.image(builder.layer(), "app:1")
    root = builder.finish()
    count, size = 500, 1 << 20
    elements = b"".join(
        struct.pack("<IIII", 0, 16 * (count - index), 1, size - 16 * (1 + count) - 1)
        for index in range(count)
    )
    page = struct.pack("<QHHI", 4, 2, count, size // PAGE - 1) + elements
    bucket = leaf(3, [(b"snapshot", struct.pack("<QQ", 4, 0), True)])
    (root / "buildkit").mkdir()
    (root / "buildkit/snapshots.db").write_bytes(bolt_file([bucket, page.ljust(size, b"x")]))
    listed: list[Result] = []
    assert peak(lambda: listed.append(layerfs(root, "layers"))) < 32 << 20
    assert listed[0].code == 1
    assert "snapshots.db: bolt page 4: elements overlap" in listed[0].stderr
    assert len(listed[0].stdout.splitlines()) == 2
