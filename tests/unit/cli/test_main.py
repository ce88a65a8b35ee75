"""The frame of the command: its table, its root, its exit codes, and what it says on standard error."""

from __future__ import annotations

import errno
import inspect
import itertools
import logging
import os
import pkgutil
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import layerfs_cli.commands
from layerfs import errors
from layerfs_cli.main import COMMANDS, EXIT_CODES, cli, load, run
from layerfs_cli.options import DEFAULT_ROOT, root_option, selected_root
from layerfs_cli.spellings import GROUPS, WORDS
from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Probe = Callable[[Callable[[str], int | None]], None]

LAYERFS = [sys.executable, "-c", "from layerfs_cli.main import main; main()"]


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Probe]:
    """Adds the command `probe`, which calls a function with its `--root`."""

    def add(action: Callable[[str], int | None]) -> None:
        @click.command("probe")
        @root_option
        @click.pass_context
        def command(context: click.Context) -> int | None:
            """Probe."""
            return action(selected_root(context))

        def get_command(_context: click.Context, name: str) -> click.Command | None:
            return command if name == "probe" else None

        monkeypatch.setattr(cli, "get_command", get_command)

    yield add
    assert not logging.getLogger("layerfs").handlers


def _raise(error: BaseException) -> Callable[[str], int | None]:
    def action(_root: str) -> int | None:
        raise error

    return action


@pytest.mark.parametrize("name", COMMANDS)
def test_table_tells_what_the_command_tells(name: str) -> None:
    """The help of the table is the first line of the command's own, under the command's own name."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert COMMANDS[name] == inspect.cleandoc(command.help or "").splitlines()[0].removesuffix(".")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_shows_examples_that_it_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help of every command contains examples of it, and no word of them is wrong usage."""
    taken: list[dict[str, object]] = []
    monkeypatch.setattr(load(name), "callback", lambda **arguments: taken.append(arguments))
    examples = list(_examples(name))
    for words in examples:
        assert layerfs(Path("/"), *words) == (0, "", ""), words
    assert len(taken) == len(examples) > 0


def _examples(name: str) -> Iterator[list[str]]:
    """The words of each example behind `layerfs`, as a shell takes them, to where another command begins."""
    _, _, after = (load(name).help or "").partition("Example")
    for line in after.partition(":")[2].strip().splitlines():
        given = re.sub(r"\$\((?!layerfs)[^)]*\)", "0" * 64, line)
        if ours := re.search(r"(^ *|\()layerfs (.*)", given):
            lexer = shlex.shlex(ours[2], posix=True, punctuation_chars="|&<>)")
            lexer.whitespace_split = True
            words = list(itertools.takewhile(lambda word: word[0] not in "|&<>)", lexer))
            if name in words:  # `deleted` goes on with `cat`
                yield words


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS), ["system", "df"], ["image", "ls"]])
def test_option_without_its_value_is_told_with_the_usage(words: list[str]) -> None:
    """Whatever option lacks its value, the usage line is there, as in every other error of usage."""
    command = load({"system": "system-df", "image": "images"}.get(words[0], words[0])) if words else cli
    names = [
        name
        for option in command.params
        if isinstance(option, click.Option) and not option.is_flag
        if not option._flag_needs_value  # `--topic` alone has a meaning
        for name in option.opts
    ]
    for name in names:
        usage, _, _, problem = layerfs(Path("/"), *words, name).stderr.splitlines()
        assert usage.startswith(f"Usage: {' '.join(['layerfs', *words])} [OPTIONS]")
        assert problem == f"Error: Option {name!r} requires an argument."


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS), ["system", "df"], ["image"]])
def test_help_fits_a_terminal(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No line of any help is wider than 80 columns, where that is all there is."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = layerfs(Path("/"), *words, "--help").stdout.splitlines()
    assert [line for line in lines if len(line) > 80] == []


def test_table_has_every_command() -> None:
    """No command's module is missing from the table, or from that of Docker's words."""
    modules = {
        module.name.replace("_", "-") for module in pkgutil.iter_modules(layerfs_cli.commands.__path__)
    }
    spelled = {*WORDS.values(), *(ours[0] for seconds in GROUPS.values() for ours in seconds.values())}
    assert modules == {*COMMANDS, *spelled}


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`layerfs --help` shows each name of the table."""
    assert run(["--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2].split()
    assert set(COMMANDS) <= set(listed)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--nonsense"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong command line exits with 2 and says so on standard error only."""
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Usage:" in said.err


@pytest.mark.parametrize(
    ("before", "environment", "after", "expected"),
    [
        (None, None, None, DEFAULT_ROOT),
        (None, "/e", None, "/e"),
        ("/b", "/e", None, "/b"),
        (None, "/e", "/a", "/a"),
        ("/b", "/e", "/a", "/a"),
    ],
)
def test_root_is_the_nearest_given(
    probe: Probe,
    monkeypatch: pytest.MonkeyPatch,
    before: str | None,
    environment: str | None,
    after: str | None,
    expected: str,
) -> None:
    """After the command's name wins over before it, that over LAYERFS_ROOT, that over Docker's own place."""
    if environment:
        monkeypatch.setenv("LAYERFS_ROOT", environment)
    seen: list[str] = []
    probe(seen.append)
    given_before = ["--root", before] if before else []
    given_after = ["--root", after] if after else []
    assert run([*given_before, "probe", *given_after]) == 0
    assert seen == [expected]


GLOBAL = {
    "root": ("--root", "/elsewhere"),
    "metadata": ("--metadata", "tar-split"),
    "userns": ("--userns", "231072"),
    "bolt_state": ("--bolt-state", "previous"),
    "additional_store": ("--additional-store", "/elsewhere"),
    "store": ("--store", "containerd"),
    "namespace": ("--namespace", "all"),
    "platform": ("--platform", "linux/arm64"),
    "cache_dir": ("--cache-dir", "/cache"),
    "no_cache": ("--no-cache",),
    "largest_layer": ("--largest-layer", "1k"),
    "decoder_memory": ("--decoder-memory", "1k"),
    "verbose": ("--verbose",),
}


def test_no_global_option_is_left_out() -> None:
    """All that may stand before a command's name is in the table."""
    options = (option for option in cli.params if isinstance(option, click.Option))
    assert GLOBAL.keys() == {option.name for option in options if not option.is_eager}


@pytest.mark.parametrize("words", GLOBAL.values(), ids=" ".join)
@pytest.mark.parametrize("name", COMMANDS)
def test_global_option_is_the_same_before_and_behind_the_name(
    name: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command takes each of them in both places, as the same choice; behind the name it overrules."""
    monkeypatch.setenv("LAYERFS_USERNS", "none")
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(load(name), "callback", lambda **_: seen.append(_choices()))
    monkeypatch.setattr(load(name), "params", [item for item in load(name).params if not item.required])
    assert layerfs("/", *words, name).code == layerfs("/", name, *words).code == 0
    assert layerfs("/", "--userns", "1000", "--cache-dir", "/other", name, *words).code == 0
    before, behind, overruled = seen
    assert before == behind == {**before, **{key: overruled[key] for key in _chosen(words)}}


def _chosen(words: tuple[str, ...]) -> list[str]:
    return [f"layerfs.{words[0].removeprefix('--')}"]


def _choices() -> dict[str, object]:
    meta = click.get_current_context().meta
    return {key: value for key, value in meta.items() if key.startswith("layerfs.")}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ImageNotFound("x"), 3),
        (errors.AmbiguousName("x", ["xa", "xb"]), 3),
        (errors.ContainerdMissing("x"), 4),
        (errors.DigestMismatch("file", "x"), 5),
        (errors.PathNotFound(b"x"), 6),
        (errors.UnsupportedOverlay(b"x"), 6),
        (errors.MountFailed("x"), 7),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (PermissionError(13, "no"), 74),
        (ZeroDivisionError("x"), 70),
        (click.exceptions.Exit(1), 1),
    ],
)
def test_failure_has_its_exit_code(
    probe: Probe,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    """Each kind of failure exits with its documented code, and never with a traceback."""
    probe(_raise(error))
    assert run(["probe"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_exit_code_table_names_the_engine_s_classes() -> None:
    """Every top-level class of the engine's errors has a code of its own, and no other name has one."""
    top = {kind.__name__ for kind in errors.LayerfsError.__subclasses__()}
    assert top == set(EXIT_CODES)
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)


def test_error_is_one_line_and_a_hint(probe: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    """An error is one line, whatever control characters it quotes, and its hint another."""
    probe(_raise(errors.ImageNotFound("no image \x1b[31m\n\udcff\u202e é", hint="look\x07 again")))
    run(["probe"])
    expected = "layerfs: error: no image \\x1b[31m\\n\\xff\\u202e é\nlayerfs: hint: look\\x07 again\n"
    assert capsys.readouterr().err == expected


def test_traceback_is_shown_on_request(
    probe: Probe,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LAYERFS_DEBUG shows where an error came from."""
    monkeypatch.setenv("LAYERFS_DEBUG", "1")
    probe(_raise(ZeroDivisionError("x")))
    assert run(["probe"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_warning_is_said_once(probe: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    """A warning of the engine appears once, however often it is logged, and is no failure."""

    def warn(_root: str) -> None:
        for name in ("a", "b", "a"):
            logging.getLogger("layerfs.stores.docker").warning("odd \x1b%s", name)
        logging.getLogger("layerfs.stores.docker").debug("detail")

    probe(warn)
    assert run(["probe"]) == 0
    assert capsys.readouterr().err == "layerfs: warning: odd \\x1ba\nlayerfs: warning: odd \\x1bb\n"
    assert run(["--verbose", "probe"]) == 0
    assert "layerfs: debug: detail" in capsys.readouterr().err


@pytest.mark.parametrize(("result", "expected"), [(None, 1), (0, 1), (1, 1), (2, 2)])
def test_damage_makes_success_a_finding(probe: Probe, result: int | None, expected: int) -> None:
    """A command that reported damage does not exit as if its answer were whole."""

    def report_damage(_root: str) -> int | None:
        logging.getLogger("layerfs.stores.docker.dataroot").warning("damaged", extra={"damage": True})
        return result

    probe(report_damage)
    assert run(["probe"]) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_shell_code(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The code printed for each shell asks this very command."""
    assert run(["completion", shell]) == 0
    assert "_LAYERFS_COMPLETE" in capsys.readouterr().out


def test_shell_completes_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the shell's code asks is answered with the names of commands, and nothing on standard error."""
    monkeypatch.setenv("_LAYERFS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "layerfs comp")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert run([]) == 0
    assert capsys.readouterr() == ("plain,completion\n", "")


def test_closed_pipe_is_quiet() -> None:
    """`layerfs … | true` says nothing and exits as a command killed by SIGPIPE does in a shell."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*LAYERFS, "completion", "fish"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_full_disk_is_an_error() -> None:
    """Output that cannot be written is an error in one line, and what to do in another."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*LAYERFS, "completion", "fish"], stdout=full, stderr=subprocess.PIPE, check=False, text=True
        )
    assert done.returncode == 74
    error, hint = done.stderr.splitlines()
    assert error == f"layerfs: error: standard output: {os.strerror(errno.ENOSPC)}"
    assert hint.startswith("layerfs: hint: ")


def test_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` and the package's metadata agree."""
    from importlib.metadata import version

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"layerfs {version('layerfs')}\n"


@pytest.mark.parametrize("arguments", [["--version"], ["images", "--nonsense"], ["iamges"]])
def test_module_is_the_command(arguments: list[str]) -> None:
    """`python -m layerfs` says and exits as `layerfs`, under that name."""
    script = str(Path(sys.executable).with_name("layerfs"))
    as_module, as_script = (
        subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        for command in ([sys.executable, "-m", "layerfs"], [script])
    )
    assert as_module.returncode == as_script.returncode
    assert (as_module.stdout, as_module.stderr) == (as_script.stdout, as_script.stderr)
    assert "layerfs" in as_script.stdout + as_script.stderr
