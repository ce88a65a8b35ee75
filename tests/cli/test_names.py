"""Every kind of name given to every command that takes a name: the answer is the thing's, or a refusal.

What the names are is read from the files of the root. A command asked by any name of a thing answers as when
it is asked by the ID in full.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from layerfs_cli.main import COMMANDS
from tests.support.command import layerfs
from tests.support.fixture import private_copy
from tests.support.storekinds import STORE_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.storekinds import StoreKind
    from tests.support.things import Thing

CONTAINER = "changed"
ALL = frozenset({"container", "image", "layer", "bare"})
OWNERS = frozenset({"container", "image"})

USES: Mapping[str, tuple[list[str], frozenset[str]]] = {
    "blame": (["{}", "/etc"], OWNERS),
    "cat": (["{}", "/etc/motd"], ALL),
    "chain-id": (["{}"], frozenset({"image"})),
    "changes": (["{}"], OWNERS),
    "cp": (["{}:/no-such", "{out}"], ALL),
    "deleted": (["{}"], OWNERS),
    "diff": (["{}"], ALL),
    "dockerfile": (["{}"], OWNERS),
    "du": (["--what-if", "{}"], OWNERS),
    "explain": (["--format", "{{.verdict}} {{.components}}", "{}", "/etc/motd"], OWNERS),
    "export": (["--format", "oci", "--all-tags", "{}"], frozenset({"image"})),
    "find": (["{}"], ALL),
    "grep": (["-c", "o", "{}"], ALL),
    "hashes": (["{}"], ALL),
    "history": (["{}"], OWNERS),
    "inspect": (["{}"], ALL),
    "layers": (["{}"], OWNERS),
    "logs": (["--format", "json", "{}"], frozenset({"container"})),
    "ls": (["-lR", "{}"], ALL),
    "mount": (["{}", "{out}/none"], ALL),
    "report": (["--reproducible", "-o", "-", "{}"], OWNERS),
    "stat": (["{}", "/"], ALL),
    "timeline": (["{}"], OWNERS),
    "tree": (["{}"], ALL),
    "verify": (["--quick", "{}"], frozenset({"image", "layer"})),
    "waste": (["--format", "json", "{}"], OWNERS),
    "whois": (["--format", "json", "{}"], ALL),
}
"""How each command is asked, and what for: `bare` is a layer without a record."""

NAMELESS = {
    "cache",
    "stores",
    "images",
    "containers",
    "umount",
    "doctor",
    "completion",
    "version",
    "ps",
    "image",
    "container",
}
NAMELESS |= {"system", "mount-helper", "explore"}
"""Commands that take no name of a thing in a root, are others' spellings, or need a terminal."""


@pytest.fixture(scope="module", params=STORE_KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> StoreKind:
    """Each kind of store."""
    found: StoreKind = request.param
    return found


@pytest.fixture(scope="module")
def root(kind: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of each kind."""
    return kind.make_shallow(tmp_path_factory.mktemp("names"))


@pytest.fixture(scope="module")
def things(kind: StoreKind, root: Path) -> list[Thing]:
    """One of each kind, with every name it has."""
    return kind.things(root)


def test_every_command_is_asked() -> None:
    """A command that is not here would not be shown to know the names."""
    assert set(COMMANDS) <= set(USES) | NAMELESS


@pytest.mark.parametrize("command", USES)
def test_every_name_with_every_command(root: Path, things: list[Thing], command: str, tmp_path: Path) -> None:
    """Any name gives what the ID in full gives; what a command is not for is refused, and nothing shown."""
    words, kinds = USES[command]

    def ask(name: str) -> tuple[int, str, str]:
        filled = [word.replace("{out}", str(tmp_path)).replace("{}", name) for word in words]
        done = layerfs(root, command, *filled)
        said = "" if done.code in (0, 1) else done.stderr.splitlines()[-1]
        return done.code, _anonymous(done.stdout), said if "no such" not in said else "no such"

    for thing in things:
        if command == "chain-id" and thing.kind == "layer":
            continue  # it takes diff IDs as such, also of other roots
        names = thing.names
        if command == "whois" and thing.kind == "container":
            names = names[1:]  # its ID may also be the name of its layer
        expected = ask(names[0])
        if thing.kind in kinds:
            assert expected[0] not in (3, 70), (thing, expected)
        else:
            assert expected[:2] in ((2, ""), (3, ""), (4, "")), (thing, expected)
        for name in names[1:]:
            found = ask(name)
            assert found[:2] == expected[:2], (name, found)


def _anonymous(text: str) -> str:
    """An answer without the name it was asked by, and how that was understood."""
    return re.sub(r'"(thing|meaning|name)": "[^"]*"', "", text)


@pytest.fixture(scope="module")
def twins(kind: StoreKind, root: Path, things: list[Thing], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root in which the container's name is the image's too."""
    copy = private_copy(root, tmp_path_factory.mktemp("twins") / "root")
    kind.name_image(copy, CONTAINER, things[1].names[0])
    return copy


@pytest.mark.parametrize("command", ["ls", "inspect", "diff", "export", "tree", "hashes"])
def test_a_name_of_a_container_and_an_image(twins: Path, things: list[Thing], command: str) -> None:
    """The container is taken, and one line says so; both ways to the image that the line names work."""
    words = ["--format", "rootfs"] if command == "export" else []
    both, alone = (layerfs(twins, command, *words, name) for name in (CONTAINER, things[0].names[0]))
    assert (both.code, both.stdout) == (alone.code, alone.stdout)
    (line,) = set(both.stderr.splitlines()) - set(alone.stderr.splitlines())
    assert f"{CONTAINER} is a container and an image" in line
    wanted = layerfs(twins, command, *words, things[1].names[0]).stdout
    for way in ([f"{CONTAINER}:latest"], ["--type", "image", CONTAINER]):
        found = layerfs(twins, command, *words, *way)
        assert (found.stdout, found.stderr) == (wanted, "")


def test_a_command_about_images_takes_the_image(twins: Path, things: list[Thing]) -> None:
    """`history`, `chain-id` and archives of images ask for nothing else, and so have nothing to say."""
    for words in (["history"], ["chain-id"], ["export", "--all-tags", "--format", "docker-archive"]):
        found, wanted = (layerfs(twins, *words, name) for name in (CONTAINER, things[1].names[0]))
        assert found == wanted
        assert (found.code, found.stderr) == (0, "")


@pytest.mark.parametrize("command", ["ls", "tree", "hashes", "diff", "find", "waste", "deleted", "blame"])
def test_a_layers_number_asks_for_an_image(twins: Path, command: str) -> None:
    """`NAME@N` can only be of an image: it is the image's, also where a container has the name."""
    found, wanted = (layerfs(twins, command, f"{name}@2") for name in (CONTAINER, f"{CONTAINER}:latest"))
    assert (found.code, found.stderr) == (wanted.code, wanted.stderr) == (wanted.code, "")
    assert found.stdout == wanted.stdout
