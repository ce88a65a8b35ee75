"""A damaged containerd root: what is intact is shown as ever, what is lost is named, nothing ends in a bug.

Every damage is done to a real store, every command is asked, and the answers must be those of the intact
store (which other suites compare with the kernel and a real Engine) but for what the damage took.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.command import Output, run_bytes
from tests.support.containerdroots import ContainerdRoot
from tests.support.samples import unpack_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Key = Callable[[ContainerdRoot], str]

pytestmark = pytest.mark.root

IMAGE, CONTAINER, ELSE = "multi:1", "changed", "dockertypes:1"
NAME = "docker.io/library/multi:1"
DAMAGED, CORRUPT = 1, 5
JSON = ("--format", "json")

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "images": ("images", *JSON),
    "layers": ("layers", *JSON),
    "du": ("du", *JSON),
    "containers": ("containers", "--size", *JSON),
    "inspect": ("inspect", IMAGE),
    "ls": ("ls", "-laR", IMAGE),
    "cat": ("cat", IMAGE, "/etc/passwd"),
    "waste": ("waste", IMAGE),
    "explain": ("explain", IMAGE, "/etc/passwd"),
    "whois": ("whois", IMAGE),
    "timeline": ("timeline", IMAGE),
    "hashes": ("hashes", IMAGE),
    "find": ("find", "--all", "passwd", *JSON),
    "export": ("export", IMAGE),
    "container": ("ls", "-laR", CONTAINER),
    "diff": ("diff", CONTAINER),
    "else hashes": ("hashes", ELSE),
    "else container": ("ls", "-laR", "idle"),
}
"""What is asked, by names for it; `else` is of an image and a container that share but the base.

`verify` and `doctor` are asked in tests/cli/test_containerd_doctor.
"""


class Damage(NamedTuple):
    """A way in which a root may be damaged.

    Attributes:
        do: does it.
        lost: the names of commands of which something cannot be answered then.
        told: what must be said by each command that needs what is damaged.
    """

    do: Callable[[ContainerdRoot], object]
    lost: tuple[str, ...] = ()
    told: str = ""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> ContainerdRoot:
    """A data root of Docker 29."""
    top = unpack_sample("docker29-containerd", tmp_path_factory.mktemp("damage"))
    return ContainerdRoot(top, "containerd/daemon", "moby")


@pytest.fixture(scope="module")
def right(root: ContainerdRoot) -> Mapping[str, Output]:
    """What the commands answer while it is intact."""
    return {name: run_bytes(root.top, *arguments) for name, arguments in COMMANDS.items()}


# -- what there is ---------------------------------------------------------------------------------


def chains(root: ContainerdRoot) -> list[str]:
    """The chain IDs of the image's layers, base first, as the snapshotter has them below each other."""
    found = [key for key in root.keys_below(root.container(CONTAINER)) if key.startswith("sha256:")]
    return found[::-1]


def layer(number: int) -> Callable[[ContainerdRoot], str]:
    """The key of the image's layer of this number."""
    return lambda root: chains(root)[number - 1]


def init(root: ContainerdRoot) -> str:
    """The key of what the Engine made of a container before it ran."""
    return f"{root.container(CONTAINER)}-init"


def writable(root: ContainerdRoot) -> str:
    """The key of the container's own layer."""
    return root.container(CONTAINER)


# -- what is done ----------------------------------------------------------------------------------


def no_snapshot(key: Key) -> Callable[[ContainerdRoot], None]:
    """The snapshotter has no record of a key."""

    def do(root: ContainerdRoot) -> None:
        name = root.name(key(root))
        root.edit_snapshots(lambda tree: tree[b"snapshots"].pop(name))

    return do


def no_meta(key: Key) -> Callable[[ContainerdRoot], None]:
    """The namespace has no record of a key."""

    def do(root: ContainerdRoot) -> None:
        of = key(root).encode()
        root.edit_meta(lambda tree: tree[b"snapshots"][b"overlayfs"].pop(of))

    return do


def set_snapshot(key: Key, field: bytes, value: bytes) -> Callable[[ContainerdRoot], None]:
    """Another value in the snapshotter's record of a key."""

    def do(root: ContainerdRoot) -> None:
        name = root.name(key(root))
        root.edit_snapshots(lambda tree: tree[b"snapshots"][name].update({field: value}))

    return do


def loop(key: Key, parent: Key) -> Callable[[ContainerdRoot], None]:
    """A snapshot stands on another that stands on it."""

    def do(root: ContainerdRoot) -> None:
        name, below = root.name(key(root)), root.name(parent(root))
        root.edit_snapshots(lambda tree: tree[b"snapshots"][name].update({b"parent": below}))

    return do


def no_directory(key: Key) -> Callable[[ContainerdRoot], None]:
    """The files of a snapshot are gone."""
    return lambda root: root.remove(root.directory(key(root)))


def blob(which: str, damage: Callable[[bytes], bytes | None]) -> Callable[[ContainerdRoot], None]:
    """Other bytes in a blob of the image, or none; `which` is manifest, config, or the number of a layer."""

    def do(root: ContainerdRoot) -> None:
        path = root.blob(root.digest_of(NAME, which))
        found = damage(path.read_bytes())
        root.remove(path) if found is None else root.write(path, found)

    return do


def every(*actions: Callable[[ContainerdRoot], object]) -> Callable[[ContainerdRoot], None]:
    """Several at once."""

    def do(root: ContainerdRoot) -> None:
        for action in actions:
            action(root)

    return do


def database(content: Callable[[bytes], bytes | None]) -> Callable[[ContainerdRoot], None]:
    """Another metadata.db, or none."""

    def do(root: ContainerdRoot) -> None:
        path = root.snapshotter / "metadata.db"
        found = content(path.read_bytes())
        root.remove(path) if found is None else root.write(path, found)

    return do


def gone(_content: bytes) -> None:
    """Nothing is left."""


def half(content: bytes) -> bytes:
    """The end is lost."""
    return content[: len(content) // 2]


def altered(content: bytes) -> bytes:
    """One bit of a file's content is another, and its length is the same."""
    at = content.rindex(b"\n", 0, 9000) if b"\n" in content[:9000] else len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def garbage(_content: bytes) -> bytes:
    """It is something else."""
    return b"\xff garbage\n"


SIZES = ("images", "du", "layers", "containers", "inspect")
"""Commands that tell the sizes of snapshots, which only their records have."""
PLACES = ("layers", "inspect", "whois", "explain")
"""Commands that tell of directories."""
TIMES = ("ls", "container", "else container", "timeline")
"""Commands that show when the engine made directories which no tar tells of; blobs do not have that."""
OF_CONTAINER = ("du", "containers", "container", "diff", "find")
OF_IMAGE = tuple(name for name in COMMANDS if "else" not in name and name not in ("container", "diff"))
NO_DATABASE = (*SIZES, *PLACES, *TIMES, *OF_CONTAINER, "waste")


def _damages() -> Iterator[tuple[str, Damage]]:
    for content in (gone, half):
        yield f"database {content.__name__}", Damage(database(content), NO_DATABASE, "metadata.db")
    for number in (1, 2, 3):
        at = layer(number)
        yield f"no record of layer {number}", Damage(no_snapshot(at), (*SIZES, "whois"), "no sound record")
        yield f"layer {number} unnamed", Damage(no_meta(at), (), "no record")
        files = Damage(no_directory(at), (*PLACES, *TIMES, "find"), "directory is missing")
        yield f"no files of layer {number}", files
    yield "no record of init", Damage(no_snapshot(init), (), "no sound record")
    yield "no record of container", Damage(no_snapshot(writable), (), "no sound record")
    yield "container unnamed", Damage(no_meta(writable), (), "no record")
    yield "no files of init", Damage(no_directory(init), OF_CONTAINER, "directory is missing")
    yield "no files of container", Damage(no_directory(writable), OF_CONTAINER, "directory is missing")
    for field, value, told in ((b"kind", b"", "no kind"), (b"createdat", b"\1\2", "malformed time")):
        lost = SIZES if field == b"kind" else ()
        yield f"wrong {field.decode()}", Damage(set_snapshot(layer(2), field, value), lost, told)
    yield "layer below itself", Damage(loop(layer(2), layer(2)), (), "below itself")
    yield "layers below each other", Damage(loop(layer(1), layer(3)), (), "below itself")
    yield "container below itself", Damage(loop(writable, writable), (), "below itself")
    for name, key in (("layer", layer(3)), ("container", init)):
        unknown = set_snapshot(key, b"parent", b"moby/9/none")
        yield f"parent of {name} unknown", Damage(unknown, (), "no sound record")
    for damage in (gone, half, garbage, altered):
        which = "manifest" if damage in (gone, half) else "config"
        yield f"{which} {damage.__name__}", Damage(blob(which, damage), OF_IMAGE, "/blobs/sha256/")
        yield f"layer blob {damage.__name__}", Damage(blob("3", damage), ("export",), "/blobs/sha256/")
    discarded = every(*(blob(number, gone) for number in "123"))
    yield "layers discarded", Damage(discarded, ("export",), "not in the content store")
    both = every(no_directory(layer(2)), blob("2", gone))
    yield "no files and no blob", Damage(both, (*OF_IMAGE, "container", "diff"))
    yield "leftovers", Damage(leftovers)


def leftovers(root: ContainerdRoot) -> None:
    """What an engine that was killed leaves, and what waits to be collected: none of it is damage."""
    snapshots, content = root.snapshotter / "snapshots", root.path / "io.containerd.content.v1.content"
    root.make(snapshots / "new-123", "fs", "work")
    root.make(snapshots / "999", "fs", "work")
    root.make(content / "ingest/abc")
    root.write(root.blob("sha256:" + "0" * 64), b"x")


DAMAGES = dict(_damages())


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_hides_nothing_else(root: ContainerdRoot, right: Mapping[str, Output], name: str) -> None:
    """What a damage did not take is answered as ever, and what it took is said, once, with an exit code."""
    damage = DAMAGES[name]
    with root.mended():
        damage.do(root)
        for command, arguments in COMMANDS.items():
            if (name, command) == ("leftovers", "du"):
                continue  # it counts them
            found, wanted = run_bytes(root.top, *arguments), right[command]
            lines = found.stderr.splitlines()
            assert len(lines) == len(set(lines)), (command, lines)
            assert "bug in layerfs" not in found.stderr, (command, found.stderr)
            if found.stdout == wanted.stdout:
                assert found.code in (wanted.code, DAMAGED), (command, found.stderr)
                assert (found.code == wanted.code) == (not found.stderr) or wanted.code, (command, lines)
                continue
            assert command in damage.lost, (command, found.stderr)
            assert found.code in (DAMAGED, CORRUPT), (command, found.stderr)
            assert damage.told in found.stderr, (command, found.stderr)
