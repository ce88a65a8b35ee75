"""Docker's own words for commands, what is said of words that mean nothing; `system df` of damaged roots."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from layerfs_cli.main import COMMANDS
from layerfs_cli.spellings import ABSENT, CHANGING, GROUPS, INSTEAD, MEANT, WORDS
from tests.support.command import layerfs

if TYPE_CHECKING:
    from pathlib import Path

SPELLINGS: dict[tuple[str, ...], tuple[str, ...]] = {(word,): (ours,) for word, ours in WORDS.items()}
SPELLINGS |= {
    (word, second): tuple(ours) for word, seconds in GROUPS.items() for second, ours in seconds.items()
}
ARGUMENTS = {
    "containers": ["--size", "--format", "json"],
    "images": ["-a", "--no-trunc"],
    "history": ["demo", "--no-trunc"],
    "inspect": ["demo"],
}


@pytest.mark.parametrize("words", [words for words, ours in SPELLINGS.items() if ours[0] in ARGUMENTS])
def test_word_of_docker_is_the_command(dataroot_path: Path, words: tuple[str, ...]) -> None:
    """The same answer, errors and exit code as the command that it stands for, with all its options."""
    command, *options = SPELLINGS[words]
    given = ARGUMENTS[command]
    assert layerfs(dataroot_path, *words, *given) == layerfs(dataroot_path, command, *options, *given)
    assert layerfs(dataroot_path, *words, "--help").stdout.startswith(f"Usage: layerfs {' '.join(words)} ")


def test_layer_where_none_is_taken(dataroot_path: Path) -> None:
    """A name of a layer is told to be one, by whichever of its IDs, in full or not."""
    layer = layerfs(dataroot_path, "layers", "demo", "--format", "json").json[2]
    for name in (layer["diff_id"], layer["cache_id"][:12], layer["link"]):
        done = layerfs(dataroot_path, "layers", name)
        assert done.code == 3
        assert "hint: there is a layer of that name; here only containers and images are taken" in done.stderr


def test_ps_takes_dockers_options(dataroot_path: Path) -> None:
    """`ps` lists all, as nothing runs; `-a` is taken."""
    everything = layerfs(dataroot_path, "containers")
    assert everything.stdout.count("\n") > 5
    assert layerfs(dataroot_path, "ps") == layerfs(dataroot_path, "ps", "-a") == everything


def test_words_about_one_kind_ask_for_that_kind(dataroot_path: Path) -> None:
    """`image inspect` knows no container, and `container inspect` no image."""
    assert layerfs(dataroot_path, "image", "inspect", "changed").code == 3
    assert layerfs(dataroot_path, "container", "inspect", "demo").code == 3
    assert layerfs(dataroot_path, "container", "inspect", "changed").json[0]["Name"] == "/changed"


def test_version_is_that_of_the_option(dataroot_path: Path) -> None:
    """`version` says what `--version` says."""
    assert layerfs(dataroot_path, "version").stdout == layerfs(dataroot_path, "--version").stdout != ""


@pytest.mark.parametrize("words", [[], ["ls"], ["image", "ls"], ["system", "df"]])
def test_help_is_that_of_the_option(dataroot_path: Path, words: list[str]) -> None:
    """`help WORDS` says what `WORDS --help` says."""
    assert layerfs(dataroot_path, "help", *words) == layerfs(dataroot_path, *words, "--help")
    assert layerfs(dataroot_path, "help", *words, "nonsense").code in (0, 2)


@pytest.mark.parametrize("word", GROUPS)
def test_help_of_a_first_word_names_what_there_is(dataroot_path: Path, word: str) -> None:
    """Whatever command of ours it names can be called so."""
    listed = layerfs(dataroot_path, word, "--help").stdout.partition("Commands:\n")[2]
    assert re.findall(r"^  (\w+)", listed, re.MULTILINE) == list(GROUPS[word])
    for line in listed.splitlines():
        _, ours, command = line.partition("  layerfs ")
        assert not ours or layerfs(dataroot_path, *command.split(), "--help").code == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["help", "lss"], 2, "No such command 'lss'; did you mean ls"),
        (["cp", "demo:/etc"], 2, "Missing argument 'DEST'"),
        (["find", "demo", ".", "-name", "motd"], 2, ".: a tree has no working directory"),
        (["iamges"], 2, "No such command 'iamges'; did you mean images"),
        (["unmount"], 2, "did you mean umount"),
        (["image", "lss"], 2, "No such command 'lss'; known: ls, list, history, inspect."),
        (["qqqq"], 2, "No such command 'qqqq'\n"),
        (["show", "demo"], 2, "No such command 'show'; perhaps you mean `layerfs inspect`\n"),
        (
            ["run", "demo"],
            2,
            "No such command 'run'; layerfs only reads: it runs, fetches and changes nothing. `layerfs mount",
        ),
        (["logs", "-f", "changed"], 2, "--follow: layerfs reads what is there now"),
        (["container", "lgs", "changed"], 2, "known: ls, list, ps, inspect, logs."),
        (["image", "rm", "demo"], 2, "`layerfs du --what-if NAME` shows what that would free."),
        (
            ["ls", "demo:etc"],
            3,
            "hint: did you mean demo or demo:1.0? A path behind a colon begins with a slash: demo:/etc\n",
        ),
        (["ls", "demo/etc"], 3, "hint: did you mean demo? A path is behind a colon: demo:/etc\n"),
        (["cat", "/etc/motd"], 2, "; if /etc/motd is the PATH, NAME:/etc/motd\n"),
        (["explain", "demo", "/etc", "/opt"], 2, "(/opt); explain takes one PATH: ask for each by itself\n"),
        (
            ["history", "demo", "/etc"],
            2,
            "history takes no PATH. Of one path, `layerfs blame NAME /etc` tells",
        ),
        (["changes", "demo", "base:1"], 2, "(base:1); changes takes one NAME: ask for each by itself\n"),
        (["doctor", "demo"], 2, "(demo); doctor takes no NAME; `layerfs verify demo` checks one image\n"),
        (["diff", "a", "b", "c"], 2, "(c); diff takes A [B]\n"),
        (
            ["dockerfile", "-f", "Dockerfile", "demo"],
            2,
            "-f is --force here: no Dockerfile is read, one is made",
        ),
        (["dockerfile", "-f", "demo"], 2, "-f is --force, for -o FILE: no Dockerfile is read, one is made"),
        (["images", "--filter", "danglin=true"], 2, "did you mean dangling?"),
        (["ps", "--filter", "anc=x"], 2, "invalid filter 'anc': there are ancestor"),
        (["history", "dmeo"], 3, "hint: did you mean demo?"),
        (["history", "base"], 3, "hint: did you mean base:1?"),
        (["history", "demo:1.1"], 3, "hint: did you mean demo:1.0"),
        (["ls", "chnged"], 3, "hint: did you mean changed"),
        (["cat", "Demo:/etc/motd"], 3, "hint: did you mean demo"),
        (["waste", "crshed"], 3, "hint: did you mean crashed"),
        (["images", "--filter", "since=dmeo"], 3, "hint: did you mean demo?"),
        (["ls", "qqqq"], 3, "hint: `layerfs images -a`, `layerfs containers` and `layerfs layers` list"),
        (["verify", "qqqq"], 3, "hint: `layerfs images -a` and `layerfs layers` list"),
        (["chain-id", "qqqq"], 3, "hint: `layerfs images -a` lists"),
        (["chain-id", "changed"], 3, "hint: there is a container of that name; here only images are"),
        (["verify", "changed"], 3, "hint: there is a container of that name; here only images and layers"),
        (["containers", "-f", "since=demo"], 3, "hint: there is an image of that name; here only containers"),
        (["ls", "--type", "layer", "demo"], 3, "hint: there is an image of that name; here only layers"),
        (["ls", "q" * 100_000], 3, "hint: `layerfs images -a`"),
        (["explain", "demo/etc/passwd"], 3, "or behind a colon: demo:/etc/passwd\n"),
        (["ls", "demo:1.0/etc/passwd"], 2, "begins with a slash: demo:1.0:/etc/passwd\n"),
        (["cat", "demo/etc/passwd"], 2, "Missing argument 'PATH': write demo:/etc/passwd\n"),
        (["cat", "demo:1.0/etc/passwd"], 2, "begins with a slash: demo:1.0:/etc/passwd\n"),
        (["cat", "nginx/etc/passwd"], 2, "Missing argument 'PATH': write nginx/etc/passwd:/PATH, or"),
        (["ls", "localhost:5000/team/demo:1.0/etc"], 2, "slash: localhost:5000/team/demo:1.0:/etc\n"),
        (["stat", "changed/etc"], 2, "write changed:/etc\n"),
        (["ls", "nginx/etc/passwd"], 3, "hint: `layerfs images -a`"),
        (["explain", "whiteouts"], 3, "hint: the word is a topic: `layerfs explain --topic whiteout`\n"),
        (
            ["explain"],
            2,
            "Missing argument 'NAME'. To explain a word: --topic WORD; --topic alone lists them.\n",
        ),
        (["history", "demo@3"], 3, "hint: @3 is for commands that show a tree; here say demo\n"),
        (["dockerfile", "demo@3"], 3, "hint: @3 is for commands that show a tree; here say demo\n"),
        (["history", "dmeo@3"], 3, "hint: did you mean demo?"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_what_is_unknown_is_told_with_what_is_like_it(
    dataroot_path: Path, words: list[str], code: int, said: str
) -> None:
    """A command, a filter or a name that is not there: the exit code as ever, and the nearest that is."""
    found = layerfs(dataroot_path, *words)
    assert (found.code, found.stdout) == (code, "")
    assert said in found.stderr


@pytest.fixture
def damaged(copy: Path) -> Path:
    """A root of the test's own."""
    return copy


def _totals(root: Path) -> dict[str, tuple[int | None, int | None]]:
    found = layerfs(root, "system", "df", "--format", "json")
    return {row["type"]: (row["total_count"], row["size"]) for row in found.json}


def test_root_without_volumes_says_that_it_does_not_know(damaged: Path) -> None:
    """A copy made without `volumes/` has no count of them, and not the count 0; the rest is as before."""
    before = _totals(damaged)
    shutil.rmtree(damaged / "volumes")
    assert _totals(damaged) == before | {"Local Volumes": (None, None)}
    assert "Local Volumes   N/A       N/A       N/A       N/A" in layerfs(damaged, "system", "df").stdout


@pytest.mark.parametrize("name", ["metadata_v2.db", "snapshots.db"])
def test_damaged_build_cache_hides_nothing_else(damaged: Path, name: str) -> None:
    """The database is named, the exit code is 1, and images, containers and volumes are counted."""
    before = _totals(damaged)
    (damaged / "buildkit" / name).write_bytes(b"no database" * 100)
    found = layerfs(damaged, "system", "df", "-v")
    assert found.code == 1
    assert f"buildkit/{name}" in found.stderr
    after = _totals(damaged)
    assert after.pop("Build Cache") == (None, None)
    assert after.items() <= before.items()


def test_volume_that_is_a_link_is_not_followed(damaged: Path, tmp_path: Path) -> None:
    """A link in place of a volume's directory leads nowhere: it is named, and its size is unknown."""
    (tmp_path / "secret").write_bytes(b"x" * 1000)
    shutil.rmtree(damaged / "volumes/data/_data")
    (damaged / "volumes/data/_data").symlink_to(tmp_path)
    found = layerfs(damaged, "system", "df", "-v", "--format", "json")
    assert found.code == 1
    assert "volumes/data/_data" in found.stderr
    assert found.json["volumes"] == [{"name": "data", "links": 1, "size": None}]


def test_foreign_words() -> None:
    """None is a command here; each leads to one, or is answered with what layerfs does not do."""
    assert not {*MEANT, *CHANGING, *ABSENT} & {*COMMANDS, *WORDS, *GROUPS}
    assert {meant.split()[0] for meant in MEANT.values()} <= set(COMMANDS)
    assert set(INSTEAD) <= CHANGING
    named = re.findall(r"`layerfs (?:--root \S+ )?(\w+)", " ".join((*INSTEAD.values(), *ABSENT.values())))
    assert set(named) <= {*COMMANDS, *GROUPS}
    assert len(named) > 10
