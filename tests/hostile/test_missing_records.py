"""One lost record denies nothing that stands elsewhere: every record, every command, alone and in pairs.

The answers must be those of the same command on the intact root, which other suites compare with the
kernel and a real Engine.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import tarfile
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fixtures.unpack import unpack
from layerfs_cli.main import COMMANDS
from tests.support.command import Output, layerfs, run_bytes
from tests.support.planting import placed_layers
from tests.support.records import DAMAGES, Record, damaged
from tests.support.storekinds import STORE_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.storekinds import StoreKind

pytestmark = pytest.mark.root

IMAGE, CONTAINER, NUMBER, DEPTH = "demo:1.0", "changed", 4, 6
DAMAGED, UNKNOWN, CORRUPT, GONE = 1, 3, 5, 4
JSON = ("--format", "json")

NAMES = ("diff", "parent", "cache-id", "size", "tar-split.json.gz", "link", "lower", "l")

WRONG = [
    (name, damage)
    for name, damage in itertools.product(NAMES, [*DAMAGES][1:])
    if (name, damage) != ("size", "another's")  # only counting tells: `doctor` and `verify` do
]

NOT_ASKED = {
    "mount": "tests/fuse: it serves the tree that `ls` and `cat` read",
    "umount": "reads no root",
    "explore": "tests/cli/test_explore: it shows what the other commands print",
    "mount-helper": "reads no root",
    "cache": "reads no root",
    "stores": "counts what others list",
    "completion": "reads no root",
    "verify": "judges the records themselves: see below",
    "doctor": "judges the records themselves: tests/hostile/test_doctor",
    "cp": "writes files: see below",
    "report": "tells which records it read, and what doctor finds: tests/hostile/test_report",
}


CONTENTS = (
    ("cat", "{tagged}", "/etc/motd"),
    ("hashes", "{tagged}"),
    ("find", "{tagged}"),
    ("find", "{tagged}@2"),
    ("cat", "{container}", "/etc/motd"),
    ("find", "{container}"),
    ("grep", "-I", "o", "{tagged}"),
    ("export", "--format", "rootfs", "{tagged}", "-o", "-"),
)
LISTINGS = (("images",), ("containers",), ("layers",), ("history", "{tagged}"), ("find", "--all", "motd"))
PACKED = ("export", "{tagged}", "-o", "-")


by_files = pytest.mark.parametrize("kind", STORE_KINDS[:1], ids=lambda kind: kind.name)
"""Of overlay2 every record is said twice, so that every answer stays the same."""


class Store(NamedTuple):
    """A store whose records are damaged and put back, and its answers while it is intact."""

    root: Path
    records: Mapping[str, Record]
    right: dict[tuple[str, ...], Output]

    def ask(self, *arguments: str) -> Output:
        """What a command answers now."""
        return run_bytes(self.root, *arguments)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Store]:
    """A store of each kind that has its records in files, by its name."""
    return {kind.name: _store(kind, tmp_path_factory.mktemp("records")) for kind in STORE_KINDS[:1]}


def _store(kind: StoreKind, place: Path) -> Store:
    root = kind.make_shallow(place)
    store = Store(root, kind.records(root, IMAGE, NUMBER), {})
    store.right.update((arguments, store.ask(*arguments)) for arguments in _commands(root))
    return store


def _commands(root: Path) -> list[tuple[str, ...]]:
    """Every command that reads layers, of the image, of it as of its layers, of the layer, of a container."""
    layer = placed_layers(root, IMAGE)[NUMBER - 1]
    below, alone = f"{IMAGE}@{NUMBER - 1}", ("--layer", str(NUMBER))
    return [
        ("images", *JSON),
        ("images", "--usage", *JSON),
        ("history", IMAGE, *JSON),
        ("dockerfile", IMAGE),
        ("layers", IMAGE, *JSON),
        ("layers", *JSON),
        ("chain-id", IMAGE),
        ("inspect", IMAGE, layer.chain_id),
        ("inspect", "--size", CONTAINER),
        ("containers", "--size", *JSON),
        ("logs", "-t", CONTAINER),
        ("logs", "--all", *JSON),
        ("du", *JSON),
        ("du", "--what-if", IMAGE, *JSON),
        ("ls", "-laR", IMAGE),
        ("ls", "-laR", below),
        ("ls", "-laR", CONTAINER),
        ("ls", "-laR", layer.chain_id),
        ("ls", "-laR", layer.directory.name),
        ("ls", "-laR", *alone, IMAGE),
        ("tree", IMAGE),
        ("stat", IMAGE, "/etc/motd"),
        ("cat", IMAGE, "/etc/motd"),
        ("cat", CONTAINER, "/etc/motd"),
        ("hashes", IMAGE),
        ("diff", IMAGE, CONTAINER),
        ("diff", below, IMAGE),
        ("diff", CONTAINER),
        ("diff", layer.chain_id),
        ("changes", IMAGE, *JSON),
        ("blame", IMAGE, "/etc/motd"),
        ("blame", "--all", "/etc/motd"),
        ("deleted", IMAGE),
        ("find", IMAGE),
        ("find", "--all", "motd", *JSON),
        ("grep", "-e", "o", "--all", "--include", "motd", *JSON),
        ("grep", "-I", "-e", "o", "--all-versions", IMAGE),
        ("waste", IMAGE),
        ("explain", IMAGE, "/etc/motd"),
        ("explain", CONTAINER, "/etc"),
        ("whois", layer.chain_id),
        ("timeline", IMAGE),
        ("export", "--format", "rootfs", IMAGE, "-o", "-"),
        ("export", "--format", "rootfs", CONTAINER, "-o", "-"),
        ("export", "--format", "layer", *alone, IMAGE, "-o", "-"),
        ("export", "--salvage", IMAGE, "-o", "-"),
        ("export", IMAGE, "-o", "-"),
    ]


FEW = (
    ("ls", "-laR", IMAGE),
    ("ls", "-laR", CONTAINER),
    ("cat", IMAGE, "/etc/motd"),
    ("inspect", "--size", CONTAINER),
    ("export", IMAGE, "-o", "-"),
)
"""Commands for what is tried in many ways."""

NEEDED: dict[frozenset[str], Callable[[tuple[str, ...]], bool]] = {
    frozenset({"tar-split.json.gz"}): lambda command: command[0] == "export" and "rootfs" not in command,
    frozenset({"size", "tar-split.json.gz"}): lambda command: command[0] in ("inspect", "export"),
    frozenset({"link", "l"}): lambda command: command[0] == "inspect",
}
"""What nothing else tells: the original tar without tar-split data, the size without both, a short name."""


def _cannot_be_known(names: tuple[str, ...], command: tuple[str, ...]) -> bool:
    return any(needed <= set(names) and of(command) for needed, of in NEEDED.items())


def _check(store: Store, names: tuple[str, ...], command: tuple[str, ...]) -> None:
    """The answer is the right one; what is wrong is named, and every line said once."""
    right, found = store.right[command], store.ask(*command)
    lines = found.stderr.splitlines()
    assert len(lines) == len(set(lines))
    assert "bug in layerfs" not in found.stderr
    if _cannot_be_known(names, command):
        assert found.code in (DAMAGED, CORRUPT), (command, found.stderr)
        return
    assert found.code in (right.code, DAMAGED), (command, found.stderr)
    assert found.stdout == right.stdout, (command, found.stderr)
    if found.stderr:
        own = (store.records[name].path for name in names)
        assert all(any(str(path) in line for path in own) for line in lines), (command, found.stderr)


def test_every_command_is_asked(stores: Mapping[str, Store]) -> None:
    """Each command is among those that are asked, or it is said why not."""
    asked = {command[0] for store in stores.values() for command in store.right}
    assert asked | NOT_ASKED.keys() == COMMANDS.keys()


@by_files
@pytest.mark.parametrize("name", NAMES)
def test_missing_record_changes_no_answer(stores: Mapping[str, Store], kind: StoreKind, name: str) -> None:
    """Without a record every command answers as before, wherever another record tells the same."""
    store = stores[kind.name]
    with damaged([store.records[name]], DAMAGES["missing"]):
        for command in store.right:
            _check(store, (name,), command)


@by_files
@pytest.mark.parametrize(("name", "damage"), WRONG)
def test_wrong_record_changes_no_answer(
    stores: Mapping[str, Store], kind: StoreKind, name: str, damage: str
) -> None:
    """A record that is empty, garbage, another layer's or unreadable is taken for none."""
    store = stores[kind.name]
    with damaged([store.records[name]], DAMAGES[damage]):
        for command in FEW:
            _check(store, (name,), command)


@by_files
@pytest.mark.parametrize("names", [*itertools.combinations(NAMES, 2)], ids="+".join)
def test_two_missing_records_change_no_answer(
    stores: Mapping[str, Store], kind: StoreKind, names: tuple[str, str]
) -> None:
    """Two lost records of one layer change no answer either, but for what only the two tell."""
    store = stores[kind.name]
    with damaged([store.records[name] for name in names], DAMAGES["missing"]):
        for command in FEW[1:]:
            _check(store, names, command)


@by_files
@pytest.mark.parametrize("name", NAMES)
def test_top_layer_is_found_by_its_files(stores: Mapping[str, Store], kind: StoreKind, name: str) -> None:
    """The uppermost layer of an image that no container has is known without the record, too."""
    store = stores[kind.name]
    records = kind.records(store.root, "lab/types:1", 1)
    right = store.ask("ls", "-laR", "lab/types:1")
    with damaged([records[name]] if records[name].path.exists() else [], DAMAGES["missing"]):
        found = store.ask("ls", "-laR", "lab/types:1")
    assert (found.stdout, found.code in (0, DAMAGED)) == (right.stdout, True)


@by_files
@pytest.mark.parametrize("name", NAMES)
def test_salvage_drops_no_layer_that_is_there(
    stores: Mapping[str, Store], kind: StoreKind, name: str
) -> None:
    """`export --salvage` never takes a layer for lost whose files are there."""
    store = stores[kind.name]
    for damage in ("missing", "another's"):
        with damaged([store.records[name]], DAMAGES[damage]):
            found = store.ask("export", "--salvage", IMAGE, "-o", "-")
        assert "is lost" not in found.stderr
        assert _paths(found.stdout) == _paths(store.right["export", IMAGE, "-o", "-"].stdout)


def _paths(archive: bytes) -> list[set[str]]:
    """The files in each layer of a docker-archive, base first."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as outer:

        def member(name: str) -> bytes:
            opened = outer.extractfile(name)
            assert opened
            return opened.read()

        (manifest,) = json.loads(member("manifest.json"))
        found = []
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(member(layer))) as inner:
                found.append({item.name.strip("./") for item in inner if not item.isdir()})
        return found


@by_files
@pytest.mark.parametrize("name", NAMES)
def test_verify_names_the_record_and_no_file(stores: Mapping[str, Store], kind: StoreKind, name: str) -> None:
    """`verify` finds the record, and calls no file of any layer altered or missing."""
    store = stores[kind.name]
    with damaged([store.records[name]], DAMAGES["missing"]):
        found = layerfs(store.root, "verify", "--jobs", "1", IMAGE, *JSON)
    assert found.code == 1
    paths = {row["path"] for row in found.json if row["severity"] == "error"}
    path = str(store.records[name].path)
    if name == "l":
        path = str(store.records["link"].path.parent.parent / "l" / store.records["l"].path.name)
    assert paths == {path}


@by_files
def test_copy_of_a_layer_without_its_record(
    stores: Mapping[str, Store], kind: StoreKind, tmp_path: Path
) -> None:
    """`cp` copies what the layer has, whichever of its records is lost."""
    store = stores[kind.name]
    right = store.right["cat", IMAGE, "/etc/motd"].stdout
    for name, record in store.records.items():
        with damaged([record], DAMAGES["missing"]):
            assert layerfs(store.root, "cp", f"{IMAGE}:/etc/motd", str(tmp_path / name)).code in (0, DAMAGED)
        assert (tmp_path / name).read_bytes() == right


# -- the other kinds -----------------------------------------------------------------------------


@pytest.fixture(scope="module", params=STORE_KINDS[1:], ids=lambda kind: kind.name)
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of another kind, in which some of what is recorded is recorded once."""
    kind: StoreKind = request.param
    root = kind.make(tmp_path_factory.mktemp("other"))
    store = Store(root, kind.records(root, kind.tagged, 2), {})
    for words in (*CONTENTS, *LISTINGS, PACKED):
        command = tuple(word.format(**kind.names) for word in words)
        store.right[command] = store.ask(*command)
        assert store.right[command].code in (0, DAMAGED)
    return store


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_one_record_tells_is_told_by_others_or_missed(other: Store, damage: str) -> None:
    """Contents are the same or refused with the record's name, and a listing never ends in an error."""
    for name in other.records:
        _check_other(other, name, damage)


def _check_other(other: Store, name: str, damage: str) -> None:
    with damaged([other.records[name]], DAMAGES[damage]):
        for command, right in other.right.items():
            found = other.ask(*command)
            said = (name, damage, command, found.stderr)
            assert found.code in (right.code, DAMAGED, CORRUPT), said
            assert len(found.stderr.splitlines()) == len(set(found.stderr.splitlines())), said
            assert command not in LISTINGS or found.code in (right.code, DAMAGED), said
            if (name, damage) == ("snapshot", "another's") and command[0] in ("images", "history"):
                continue  # its size is the other's: only counting tells
            if found.code == right.code and command[0] not in ("export", "layers"):
                assert found.stdout == right.stdout, said
            elif found.code != right.code and (name, damage) != (
                "tar-split",
                "another's",
            ):  # names a file of it
                assert str(other.records[name].path) in found.stderr, said
            if (
                command[0] in ("cat", "hashes", "find")
                and (name in READ_FROM_ELSEWHERE or ("blob" in other.records and name == "directory"))
                and damage != "another's"
            ):
                assert (found.code, found.stdout) in ((0, right.stdout), (DAMAGED, right.stdout)), said


READ_FROM_ELSEWHERE = ("meta", "snapshot", "blob", "link", "lower", "l", "tar-split")
"""What contents can do without, as a layer is there twice, or its record says the same."""


# -- containers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"garbage"], ids=["missing", "empty", "garbage"])
@pytest.mark.parametrize("name", ["mount-id", "init-id", "parent"])
def test_container_is_known_by_its_own_directories(
    stores: Mapping[str, Store], name: str, content: bytes | None
) -> None:
    """A container's mount record is told by its directories, their `lower`, and its image."""
    store = stores["overlay2"]
    right = store.right["ls", "-laR", CONTAINER].stdout
    (config,) = (
        path
        for path in (store.root / "containers").glob("*/config.v2.json")
        if json.loads(path.read_bytes())["Name"] == f"/{CONTAINER}"
    )
    path = store.root / "image/overlay2/layerdb/mounts" / config.parent.name / name
    kept = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    try:
        found = store.ask("ls", "-laR", CONTAINER)
    finally:
        path.write_bytes(kept)
    assert (found.code, found.stdout) == (DAMAGED, right)
    assert str(path) in found.stderr


def test_container_on_layers_that_nothing_names(stores: Mapping[str, Store], tmp_path: Path) -> None:
    """With no layer known at all a container still shows its tree, by its own `lower`."""
    store = stores["overlay2"]
    layers = store.root / "image/overlay2/layerdb/sha256"
    layers.rename(tmp_path / "away")
    try:
        found = store.ask("ls", "-laR", CONTAINER)
    finally:
        (tmp_path / "away").rename(layers)
    assert (found.code, found.stdout) == (DAMAGED, store.right["ls", "-laR", CONTAINER].stdout)


# -- images --------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["config", "directory"])
def test_lost_config_is_named_by_all_who_need_it(
    stores: Mapping[str, Store], tmp_path: Path, lost: str
) -> None:
    """A name whose image lost its config is no unknown one; all say so, and nothing becomes an orphan."""
    store = stores["overlay2"]
    configs = store.root / "image/overlay2/imagedb/content/sha256"
    (image,) = store.ask("images", "--no-trunc", "-q", "lab/types:1").stdout.decode().split()
    gone = configs / image.removeprefix("sha256:") if lost == "config" else configs.parent.parent
    named = gone if lost == "config" else configs
    gone.rename(tmp_path / "away")
    try:
        for command in ("ls", "tree", "history", "inspect", "layers", "whois", "diff", "export", "waste"):
            for name in ("lab/types:1", image, image[7:19]):
                found = store.ask(command, name)
                assert (found.code, str(named) in found.stderr) == (CORRUPT, True), (command, found)
        for listing in (("images",), ("layers",), ("du",), ("find", "--all", "x"), ("waste", "--all")):
            found = store.ask(*listing)
            assert (found.code, str(named) in found.stderr) == (DAMAGED, True), listing
        assert store.ask("verify", "--all", "--quick").code == DAMAGED
        rows = layerfs(store.root, "doctor", "--quick", *JSON).json
    finally:
        (tmp_path / "away").rename(gone)
    codes = {row["code"] for row in rows}
    assert "name-dangling" in codes
    assert ("store-missing" in codes) == (lost == "directory")
    assert codes.isdisjoint({"layer-orphaned", "directory-orphaned"})


@pytest.mark.parametrize("damage", ["missing", "garbage"])
@pytest.mark.parametrize("kind_of_record", ["image", "container"])
def test_damage_is_told_once(stores: Mapping[str, Store], kind_of_record: str, damage: str) -> None:
    """Whatever a damaged config keeps a command from, its file stands in one line, in full."""
    store = stores["overlay2"]
    (image,) = store.ask("images", "--no-trunc", "-q", IMAGE).stdout.decode().split()
    (container,) = (
        store.ask("containers", "--no-trunc", "-q", "-f", f"name={CONTAINER}").stdout.decode().split()
    )
    configs = {
        "image": store.root / "image/overlay2/imagedb/content/sha256" / image.removeprefix("sha256:"),
        "container": store.root / "containers" / container / "config.v2.json",
    }
    path = configs[kind_of_record]
    asked = [
        *store.right,
        *((command, name) for command in ("inspect", "layers", "whois") for name in (image, image[7:19])),
        *(
            (command, name)
            for command in ("history", "inspect", "layers", "whois")
            for name in (container, CONTAINER)
        ),
        ("inspect", IMAGE, image, CONTAINER),
        ("waste", "--all"),
        ("system", "df", "-v"),
    ]
    told = 0
    with damaged([Record(path, path)], DAMAGES[damage]):
        for command in asked:
            lines = [line for line in store.ask(*command).stderr.splitlines() if str(path) in line]
            assert len(lines) <= 1, (command, lines)
            told += len(lines)
    assert told > len(asked) / 4


def test_lost_record_of_a_layer_is_named_by_every_listing(
    stores: Mapping[str, Store], tmp_path: Path
) -> None:
    """A layer of an image that has no record at all is not passed over; what tells of it is used."""
    store = stores["overlay2"]
    for image, number, known in ((IMAGE, NUMBER, True), ("lab/types:1", 4, False)):
        record = placed_layers(store.root, image)[number - 1].record
        right = store.ask("layers", "--no-trunc", "-q").stdout
        record.rename(tmp_path / "away")
        try:
            for listing in (("layers", "--no-trunc", "-q"), ("du",), ("find", "--all", "motd"), ("images",)):
                found = store.ask(*listing)
                assert (found.code, str(record) in found.stderr) == (DAMAGED, True), listing
            listed = store.ask("layers", "--no-trunc", "-q").stdout
        finally:
            (tmp_path / "away").rename(record)
        assert (sorted(listed.split()) == sorted(right.split())) == known


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A root without `image/`."""
    root = unpack(tmp_path_factory.mktemp("half"))
    shutil.rmtree(root / "image")
    return Store(root, {}, {})


# -- halves --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("half", "arguments", "code"),
    [
        ("image", ("images",), GONE),
        ("image", ("layers",), GONE),
        ("image", ("du",), GONE),
        ("image", ("verify", "--all"), GONE),
        ("image", ("doctor", "--quick"), GONE),
        ("image", ("waste", "--all"), GONE),
        ("image", ("blame", "--all", "/etc/motd"), GONE),
        ("image", ("chain-id", IMAGE), GONE),
        ("image", ("inspect", IMAGE, CONTAINER), DAMAGED),
        ("image", ("containers",), DAMAGED),
        ("image", ("find", "--all", "motd"), DAMAGED),
        ("overlay2", ("verify", "--all"), GONE),
        ("overlay2", ("doctor", "--quick"), GONE),
        ("overlay2", ("ls", IMAGE), GONE),
        ("overlay2", ("export", IMAGE, "-o", "-"), GONE),
        ("overlay2", ("images",), DAMAGED),
        ("overlay2", ("layers",), DAMAGED),
        ("overlay2", ("history", IMAGE), DAMAGED),
        ("overlay2", ("containers",), DAMAGED),
    ],
)
def test_half_a_root_says_what_is_gone(
    stores: Mapping[str, Store], tmp_path: Path, half: str, arguments: tuple[str, ...], code: int
) -> None:
    """Without `image/` or `overlay2/` that is said once; exit 4 where nothing can be answered, else 1."""
    store = stores["overlay2"]
    (store.root / half).rename(tmp_path / "away")
    try:
        found = layerfs(store.root, *arguments)
    finally:
        (tmp_path / "away").rename(store.root / half)
    assert found.code == code
    assert f"{store.root}/{half}: the directory is missing" in found.stderr
    assert f"{store.root}/{half}/" not in found.stdout + found.stderr, "no path below what is not there"
    assert "0 errors" not in found.stdout
    assert "remove the directory" not in found.stdout, "nothing shows that a directory is not needed"
    assert (code == GONE) == (not found.stdout.strip() or arguments[0] == "doctor")


LOOKING = (
    *("ls", "cat", "tree", "stat", "find", "hashes", "diff", "blame", "deleted", "waste", "timeline"),
    *("history", "inspect", "whois", "changes", "mount", "export"),
)
"""Commands that take a name."""


@pytest.mark.parametrize(
    "name", [IMAGE, "demo", f"{IMAGE}@2", "nothing", "0123456789ab", f"sha256:{'0' * 64}"]
)
def test_no_name_is_unknown_where_the_names_are_gone(half: Store, tmp_path: Path, name: str) -> None:
    """Without `image/` nobody can tell whether there is such an image or layer: exit 4, and what is gone."""
    gone = f"cannot be told without {half.root}/image"
    for command in LOOKING:
        rest = {"mount": (tmp_path,), "cat": ("/etc/motd",), "stat": ("/",)}.get(command, ())
        found = half.ask(command, name, *map(str, rest))
        assert (found.code, gone in found.stderr) == (GONE, True), (command, found.stderr)
        assert found.stdout.strip() in (b"", b"[]")


def test_containers_names_are_not_gone(half: Store) -> None:
    """Who asks for a container that is not there is told so: their names are in `containers/`."""
    assert half.ask("ls", "--type", "container", "nothing").code == UNKNOWN


CONTAINERS = ("changed", "deep", "odd", "clean", "links", "mounts", "created", "crashed", "zero", "orphan")


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_are_read_without_their_records(half: Store, dataroot_path: Path, name: str) -> None:
    """A container is found by name, ID and its beginning, its layers by their time: the same tree."""
    store = Store(dataroot_path, {}, {})
    (container,) = (
        path.parent.name
        for path in (store.root / "containers").glob("*/config.v2.json")
        if json.loads(path.read_bytes())["Name"] == f"/{name}"
    )
    for called in (name, container, container[:12]):
        found = half.ask("ls", "-laR", called)
        assert (found.code, found.stdout) == (DAMAGED, store.ask("ls", "-laR", called).stdout)
        assert (
            f"{half.root}/overlay2: which layers are a container's is told by when they were made"
            in found.stderr
        )
        assert f"{half.root}/image/" not in found.stderr
    for command in (
        ("hashes",),
        ("diff",),
        ("tree",),
        ("deleted",),
        ("export", "--format", "rootfs", "-o", "-"),
    ):
        assert half.ask(*command, name).stdout == store.ask(*command, name).stdout


def test_containers_made_at_once_are_not_told_apart(half: Store) -> None:
    """Where two layers were made about then, or times were lost, no container gets another's files."""
    known = [half.ask("ls", name).code for name in CONTAINERS]
    assert known == [DAMAGED] * len(CONTAINERS)
    own = half.root / "overlay2" / ("c" * 64)
    inits = [path for path in (half.root / "overlay2").iterdir() if path.name.endswith("-init")]
    times = {path / "link": (path / "link").stat().st_mtime_ns for path in inits}
    first = min(times.values())
    for planted in (own, own.with_name(f"{own.name}-init")):
        (planted / "diff").mkdir(parents=True)
        (planted / "link").write_text("C" * 26)
        os.utime(planted / "link", ns=(first + 1, first + 1))
    try:
        answers = [half.ask("ls", name).code for name in CONTAINERS]
        assert GONE in answers
        for path in times:
            os.utime(path)  # as a copy without times
        assert [half.ask("ls", name).code for name in CONTAINERS] == [GONE] * len(CONTAINERS)
    finally:
        for planted in (own, own.with_name(f"{own.name}-init")):
            shutil.rmtree(planted)
        for path, when in times.items():
            os.utime(path, ns=(when, when))


def test_lost_mount_record_is_told_by_time_as_well(stores: Mapping[str, Store], tmp_path: Path) -> None:
    """With `image/` there and the mount record of one container gone it is the same, and said of it."""
    store = stores["overlay2"]
    right = store.right["ls", "-laR", CONTAINER].stdout
    mounts = store.root / "image/overlay2/layerdb/mounts"
    mounts.rename(tmp_path / "away")
    try:
        found = store.ask("ls", "-laR", CONTAINER)
    finally:
        (tmp_path / "away").rename(mounts)
    assert (found.code, found.stdout) == (DAMAGED, right)
    assert "is used, which was made when the container was" in found.stderr
