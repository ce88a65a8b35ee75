"""`NAME:/PATH` and `NAME PATH` are the same to every command that takes both, whatever the NAME is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click
import pytest

from layerfs_cli.main import COMMANDS, cli
from layerfs_cli.places import split_place
from tests.support.command import layerfs, run_bytes
from tests.support.storekinds import STORE_KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.storekinds import StoreKind

ONE_PATH = ("blame", "explain", "tree")
NO_PATH_NEEDED = ("blame", "deleted", "explain", "hashes", "ls", "tree")
BOTH_FORMS = ("blame", "cat", "deleted", "explain", "hashes", "ls", "stat", "tree")
NAMES = ("{image}", "{tagged}", "{image}@2", "{hosted}", "{odd}", "{container}", "{id}", "{layer}")
PATHS = {"cat": ("/etc/issue", "/etc/passwd"), "blame": ("/",), "explain": ("/etc",), "tree": ("/etc",)}
DIRECTORIES = ("/etc", "/")


class Store(NamedTuple):
    """A store of each kind, only read, and what stands for names in it."""

    root: Path
    names: Mapping[str, str]

    def named(self, name: str) -> str:
        """A kind of name in the spelling of this store."""
        return name.format(**self.names)


@pytest.fixture(scope="module", params=STORE_KINDS, ids=lambda kind: kind.name)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of each kind."""
    kind: StoreKind = request.param
    root = kind.make_shallow(tmp_path_factory.mktemp("store"))
    ids = {thing.kind: thing.names[0] for thing in kind.things(root)}
    return Store(root, {**kind.names, "id": ids["image"], "layer": ids["layer"]})


def test_commands_of_both_forms_are_those_with_the_argument() -> None:
    """No command that takes a NAME and a PATH is left out here."""
    taking = {
        name
        for name in COMMANDS
        for parameter in cli.get_command(click.Context(cli), name).params  # type: ignore[union-attr]
        if isinstance(parameter, click.Argument) and "NAME:/PATH" in (parameter.metavar or "")
    }
    assert taking - {"cp", "find"} == set(BOTH_FORMS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", BOTH_FORMS)
def test_both_forms_give_the_same_bytes(store: Store, command: str, name: str) -> None:
    """In one word or in two, with one path or more: standard output, errors and exit code are equal."""
    name = store.named(name)
    paths = PATHS.get(command, DIRECTORIES)
    in_two = run_bytes(store.root, command, name, *paths)
    assert run_bytes(store.root, command, *(f"{name}:{path}" for path in paths)) == in_two
    assert run_bytes(store.root, command, f"{name}:{paths[0]}", *paths[1:]) == in_two
    assert in_two.stdout or in_two.stderr or command == "deleted"


@pytest.mark.parametrize("name", NAMES)
def test_start_path_of_find_may_stand_behind_the_name(store: Store, name: str) -> None:
    """`find NAME:/PATH PATTERN` is `find NAME /PATH PATTERN`, and so is a second start path."""
    name = store.named(name)
    in_two = run_bytes(store.root, "find", name, "/etc", "/root", "*")
    assert run_bytes(store.root, "find", f"{name}:/etc", f"{name}:/root", "*") == in_two
    assert run_bytes(store.root, "find", f"{name}:/etc", "/root", "*") == in_two
    assert in_two.stdout or in_two.stderr


def test_path_of_another_tree_is_refused(store: Store) -> None:
    """One command line shows one tree; a word of another is no path in it."""
    refused = layerfs(store.root, "cat", store.named("{image}:/etc/motd"), "base:1:/etc/issue")
    assert (refused.code, refused.stdout) == (2, "")
    assert store.named("base:1:/etc/issue: not in {image}") in refused.stderr


def test_path_may_hold_colons() -> None:
    """The NAME ends at the first `:/`; what follows is the PATH, whatever is in it."""
    assert split_place("demo:/a:/b:c") == ("demo", "/a:/b:c")
    assert split_place("host:5000/x:1@2:/") == ("host:5000/x:1@2", "/")
    assert split_place("host:5000/x:1") == ("host:5000/x:1", None)
    assert split_place(":/etc") == (":/etc", None)


@pytest.mark.parametrize("command", [*BOTH_FORMS, "cp", "find"])
@pytest.mark.parametrize("name", ["{image}", "{tagged}", "{image}@2", "{hosted}", "no-such"])
@pytest.mark.parametrize("path", ["etc/motd", "./etc", "../x", ""])
def test_relative_path_behind_a_colon_is_refused(
    store: Store, tmp_path: Path, command: str, name: str, path: str
) -> None:
    """It is no usage that could be guessed at; the form that is right is shown."""
    name = store.named(name)
    destination = [str(tmp_path / "copy")] if command == "cp" else []
    refused = layerfs(store.root, command, f"{name}:{path}", *destination)
    assert (refused.code, refused.stdout) == (2, "")
    assert f"{name}:/{path}" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [(":/etc",), (":/etc", "/root"), (":etc",)], ids=str)
@pytest.mark.parametrize("command", [*BOTH_FORMS, "cp", "find"])
def test_path_without_a_name_is_refused(
    store: Path, tmp_path: Path, command: str, words: tuple[str, ...]
) -> None:
    """A colon with nothing before it is answered with both forms that may have been meant."""
    destination = [str(tmp_path / "copy")] if command == "cp" else []
    refused = layerfs(store, command, *words, *destination)
    assert (refused.code, refused.stdout) == (2, "")
    assert f"{words[0]}: no NAME before the colon: write NAME:/etc; " in refused.stderr
    assert ", /etc alone" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [name for name in BOTH_FORMS if name not in NO_PATH_NEEDED])
def test_missing_path_is_shown_in_both_forms(store: Store, command: str) -> None:
    """A whole name without a path gets the two ways to write one."""
    name = store.named("{tagged}")
    refused = layerfs(store.root, command, name)
    assert (refused.code, refused.stdout) == (2, "")
    assert f"write {name}:/PATH, or {name} PATH" in refused.stderr


@pytest.mark.parametrize("command", ONE_PATH)
def test_second_path_is_refused_where_one_is_taken(store: Store, command: str) -> None:
    """In both forms, as any argument too many."""
    for words in (("{image}", "/etc", "/root"), ("{image}:/etc", "/root")):
        refused = layerfs(store.root, command, *map(store.named, words))
        assert refused.code == 2
        assert "unexpected extra argument (/root)" in refused.stderr


def test_cp_takes_no_tag_for_a_path(store: Store, tmp_path: Path) -> None:
    """`cp vault:1 DIR` is the image `vault:1` without a path, and never the path `1` of `vault`."""
    refused = layerfs(store.root, "cp", "base:1", str(tmp_path))
    assert (refused.code, refused.stdout) == (2, "")
    assert "base:1: not NAME:/PATH; write base:1:/PATH or base:/1" in refused.stderr
    assert list(tmp_path.iterdir()) == []
