"""`NAME:/PATH` and `NAME PATH` are the same to every command that takes both, whatever the NAME is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from layerfs import DataRoot
from layerfs_cli.main import COMMANDS, cli
from layerfs_cli.places import split_place
from tests.support.command import layerfs, run_bytes
from tests.support.storekinds import STORE_KINDS

if TYPE_CHECKING:
    from pathlib import Path

ONE_PATH = ("blame", "tree")
NO_PATH_NEEDED = ("blame", "deleted", "hashes", "ls", "tree")
BOTH_FORMS = ("blame", "cat", "deleted", "hashes", "ls", "stat", "tree")
NAMES = (
    "demo",
    "demo:1.0",
    "demo@3",
    "localhost:5000/team/tagged:2",
    "lab/whiteouts:1",
    "changed",
    "ID",
    "LAYER",
)
PATHS = {"cat": ("/etc/issue", "/etc/passwd"), "blame": ("/",), "tree": ("/etc",)}
DIRECTORIES = ("/etc", "/")


@pytest.fixture(scope="module", params=STORE_KINDS, ids=lambda kind: kind.name)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of each kind, only read."""
    made: Path = request.param.make(tmp_path_factory.mktemp("store"))
    return made


def _name(root: DataRoot, name: str) -> str:
    """A kind of name in the spelling of this root."""
    image = root.image("demo")
    return {"ID": image.id, "LAYER": root.chain(image)[-1].chain_id}.get(name, name)


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
def test_both_forms_give_the_same_bytes(store: Path, command: str, name: str) -> None:
    """In one word or in two, with one path or more: standard output, errors and exit code are equal."""
    name = _name(DataRoot.open(store), name)
    paths = PATHS.get(command, DIRECTORIES)
    in_two = run_bytes(store, command, name, *paths)
    assert run_bytes(store, command, *(f"{name}:{path}" for path in paths)) == in_two
    assert run_bytes(store, command, f"{name}:{paths[0]}", *paths[1:]) == in_two
    assert in_two.stdout or in_two.stderr or command == "deleted"


@pytest.mark.parametrize("name", NAMES)
def test_start_path_of_find_may_stand_behind_the_name(store: Path, name: str) -> None:
    """`find NAME:/PATH PATTERN` is `find NAME /PATH PATTERN`, and so is a second start path."""
    name = _name(DataRoot.open(store), name)
    in_two = run_bytes(store, "find", name, "/etc", "/root", "*")
    assert run_bytes(store, "find", f"{name}:/etc", f"{name}:/root", "*") == in_two
    assert run_bytes(store, "find", f"{name}:/etc", "/root", "*") == in_two
    assert in_two.stdout or in_two.stderr


def test_path_of_another_tree_is_refused(store: Path) -> None:
    """One command line shows one tree; a word of another is no path in it."""
    refused = layerfs(store, "cat", "demo:/etc/motd", "base:1:/etc/issue")
    assert (refused.code, refused.stdout) == (2, "")
    assert "base:1:/etc/issue: not in demo" in refused.stderr


def test_path_may_hold_colons() -> None:
    """The NAME ends at the first `:/`; what follows is the PATH, whatever is in it."""
    assert split_place("demo:/a:/b:c") == ("demo", "/a:/b:c")
    assert split_place("host:5000/x:1@2:/") == ("host:5000/x:1@2", "/")
    assert split_place("host:5000/x:1") == ("host:5000/x:1", None)
    assert split_place(":/etc") == (":/etc", None)


@pytest.mark.parametrize("command", [*BOTH_FORMS, "cp", "find"])
@pytest.mark.parametrize("name", ["demo", "demo:1.0", "demo@2", "localhost:5000/team/tagged:2", "no-such"])
@pytest.mark.parametrize("path", ["etc/motd", "./etc", "../x", ""])
def test_relative_path_behind_a_colon_is_refused(
    store: Path, tmp_path: Path, command: str, name: str, path: str
) -> None:
    """It is no usage that could be guessed at; the form that is right is shown."""
    destination = [str(tmp_path / "copy")] if command == "cp" else []
    refused = layerfs(store, command, f"{name}:{path}", *destination)
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
def test_missing_path_is_shown_in_both_forms(store: Path, command: str) -> None:
    """A whole name without a path gets the two ways to write one."""
    refused = layerfs(store, command, "demo:1.0")
    assert (refused.code, refused.stdout) == (2, "")
    assert "write demo:1.0:/PATH, or demo:1.0 PATH" in refused.stderr


@pytest.mark.parametrize("command", ONE_PATH)
def test_second_path_is_refused_where_one_is_taken(store: Path, command: str) -> None:
    """In both forms, as any argument too many."""
    for words in (("demo", "/etc", "/root"), ("demo:/etc", "/root")):
        refused = layerfs(store, command, *words)
        assert refused.code == 2
        assert "unexpected extra argument (/root)" in refused.stderr


def test_cp_takes_no_tag_for_a_path(store: Path, tmp_path: Path) -> None:
    """`cp vault:1 DIR` is the image `vault:1` without a path, and never the path `1` of `vault`."""
    refused = layerfs(store, "cp", "base:1", str(tmp_path))
    assert (refused.code, refused.stdout) == (2, "")
    assert "base:1: not NAME:/PATH; write base:1:/PATH or base:/1" in refused.stderr
    assert list(tmp_path.iterdir()) == []
