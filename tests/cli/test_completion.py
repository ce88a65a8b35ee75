"""Completion: what a shell is told, and what bash then types."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.shell_completion import ShellComplete

from layerfs_cli.main import COMMANDS, Behind, cli, load
from tests.support.command import layerfs

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERFS = str(Path(sys.executable).with_name("layerfs"))


def _offered(root: Path, line: str, **environment: str) -> list[str]:
    """What the command offers bash for a line with the cursor at its end."""
    done = subprocess.run(
        [LAYERFS],
        env={
            **os.environ,
            "LAYERFS_ROOT": str(root),
            "_LAYERFS_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [line for line in done.stdout.split("\n") if line]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("layerfs um", ["plain,umount"]),
        ("layerfs stat --der", ["plain,--dereference"]),
        ("layerfs cat base", ["plain,base:1"]),
        ("layerfs cat base:", ["plain,1"]),
        ("layerfs cat localhost:5000/team/t", ["plain,5000/team/tagged:2"]),
        ("layerfs cat demo:latest /etc/mo", ["plain,/etc/motd"]),
        ("layerfs ls demo:latest /et", ["plain,/etc/"]),
        ("layerfs stat demo:latest /etc/motd /et", ["plain,/etc/"]),
        ("layerfs stat --type container chang", ["plain,changed"]),
        ("layerfs mount demo:latest /m", ["dir,/m"]),
        ("layerfs --root /m", ["file,/m"]),
        ("layerfs ls --root /m", ["file,/m"]),
        ("layerfs ls --us", ["plain,--userns"]),
        ("layerfs ls --bolt-state=p", ["plain,previous"]),
        ("layerfs image ls --platf", ["plain,--platform"]),
        ("layerfs ls --userns none --us", []),
        ("layerfs cat no-such-image /", []),
        ("layerfs cat demo:latest /none/x", []),
        (r"layerfs ls lab/names:1 /\ spa", [r"plain,/\ spaces\ /"]),
        ("layerfs sys", ["plain,system"]),
        ("layerfs image ", ["plain,ls", "plain,history", "plain,inspect"]),
        ("layerfs image ls --fi", ["plain,--filter"]),
        ("layerfs cat demo:", ["plain,latest", "plain,/"]),
        ("layerfs cat demo:/et", ["plain,/etc/"]),
        ("layerfs cat demo@3:/root/pass", ["plain,/root/password.txt"]),
        ("layerfs cat demo:/etc/motd demo:/et", ["plain,/etc/"]),
        ("layerfs cat demo:/etc/motd /et", ["plain,/etc/"]),
        ("layerfs blame changed:/et", ["plain,/etc/"]),
        ("layerfs cp ch", ["plain,changed"]),
        ("layerfs cp changed:/et", ["plain,/etc/"]),
        ("layerfs cp demo:/etc ./ou", ["file,./ou"]),
        ("layerfs diff demo@", ["plain,1", "plain,6"]),
        ("layerfs mount demo@", ["plain,1", "plain,6"]),
        ("layerfs history f30", ["plain,f30982bad869", "plain,f30982:latest"]),
        ("layerfs ls sha256:f30", ["plain,f30982bad869e1ec35f1e78f87990d359eb6084b6b7d9de31d8f3ef12786b87c"]),
        ("layerfs ls c45", ["plain,c45729cff4a8"]),
        ("layerfs ps --filter st", ["plain,status="]),
        ("layerfs ps --filter status=", ["plain,exited", "plain,running"]),
        ("layerfs ps --filter=status=ex", ["plain,exited"]),
        ("layerfs ps --filter ancestor=de", ["plain,demo:1.0"]),
        ("layerfs ps --filter volume=", ["plain,data"]),
        ("layerfs images --filter dangling=", ["plain,true", "plain,false"]),
        ("layerfs images --filter label=org.example.ro", ["plain,org.example.role=base"]),
        ("layerfs images --filter label=org.example.role=ba", ["plain,base"]),
    ],
)
def test_offers_what_fits(dataroot_path: Path, line: str, offered: list[str]) -> None:
    """Commands, options, references, containers and paths are offered, from where bash goes on typing."""
    found = _offered(dataroot_path, line)
    assert set(offered) <= set(found) if offered else found == []


def _options(words: list[str]) -> set[str]:
    """The options that are offered behind some words."""
    return {item.value for item in ShellComplete(cli, {}, "layerfs", "").get_completions(words, "--")}


@pytest.mark.parametrize("command", COMMANDS)
def test_global_options_behind_every_command(command: str) -> None:
    """What may stand before a command's name is offered behind it too, once, and is not in each help."""
    before = _options([]) - {"--version"}
    assert {"--userns", "--platform", "--verbose"} < before
    assert before <= _options([command])
    shown = set(re.findall(r"^  (?:-., )?(--[\w-]+)", layerfs("/", command, "--help").stdout, re.MULTILINE))
    own = {text for option in load(command).params for text in option.opts if not isinstance(option, Behind)}
    assert "--help" in shown
    assert shown & before <= own | {"--help"}


@pytest.fixture
def archives(dataroot_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives in the working directory, and no root; a file with a name that could confuse a shell."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAYERFS_CACHE_DIR", str(tmp_path / ".cache"))
    assert layerfs(dataroot_path, "export", "-o", "images.tar", "demo:1.0", "base:1").code == 0
    assert layerfs(dataroot_path, "export", "--format", "oci", "-o", "images/", "demo:1.0").code == 0
    Path("images\nplain,rm").touch()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("layerfs cat docker-a", ["plain,docker-archive:"]),
        ("layerfs diff oc", ["plain,oci:", "plain,oci-archive:"]),
        ("layerfs ls docker-archive:im", ["plain,images/", "plain,images.tar"]),
        ("layerfs ls ./im", ["file,./im"]),
        ("layerfs ls ./images.tar:", ["plain,base:1", "plain,demo:1.0"]),
        ("layerfs ls docker-archive:images.tar:de", ["plain,demo:1.0"]),
        ("layerfs ls ./images.tar:demo:", ["plain,1.0"]),
        ("layerfs history oci:images:", ["plain,demo:1.0"]),
        ("layerfs cat oci:images /etc/mo", ["plain,/etc/motd"]),
        ("layerfs cat ./images.tar:demo:1.0:/etc/mo", ["plain,/etc/motd"]),
        ("layerfs ls ./images@", ["plain,1", "plain,2", "plain,3", "plain,4", "plain,5", "plain,6"]),
        ("layerfs ls ./images:", ["plain,demo:1.0", "plain,/"]),
        ("layerfs ls ./none:", []),
        ("layerfs ls oci:../none/", []),
    ],
)
@pytest.mark.usefixtures("archives")
def test_names_that_carry_their_store(line: str, offered: list[str]) -> None:
    """Transports, files of the host, then what is in them; nothing of a root is needed."""
    assert sorted(_offered(Path("/nowhere"), line)) == sorted(offered)


def test_reference_is_whole_where_colons_do_not_break(dataroot_path: Path) -> None:
    """With colons taken out of COMP_WORDBREAKS bash replaces the whole word, and gets it whole."""
    assert _offered(dataroot_path, "layerfs cat base:", COMP_WORDBREAKS=" \t\n") == ["plain,base:1"]


def test_root_given_on_the_line_counts(dataroot_path: Path, tmp_path: Path) -> None:
    """The data root is the one the line names."""
    assert _offered(tmp_path, f"layerfs --root={dataroot_path} cat base") == ["plain,base:1"]
    assert _offered(tmp_path, f"layerfs cat --root {dataroot_path} base") == ["plain,base:1"]
    assert _offered(tmp_path, "layerfs cat base") == []


@pytest.mark.root
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("web-0/", "plain,web-0/app"),
        ("shop/", "plain,shop/web-0/app"),
        ("web-0/app:/etc/mo", "plain,/etc/motd"),
    ],
)
def test_containers_of_pods_are_offered(sample: Callable[[str], Path], typed: str, offered: str) -> None:
    """The names of Kubernetes' containers behind their pods, once something is typed."""
    assert _offered(sample("containerd-2.1-cri"), f"layerfs cat {typed}") == [offered]
    assert "plain,web-0/app" not in _offered(sample("containerd-2.1-cri"), "layerfs cat ")


def test_earlier_layers_complete_their_own_paths(dataroot_path: Path) -> None:
    """Paths are those of the tree that --up-to chooses."""
    assert _offered(dataroot_path, "layerfs cat --up-to 2 lab/whiteouts:1 /gone-f") == ["plain,/gone-file"]
    assert _offered(dataroot_path, "layerfs cat lab/whiteouts:1 /gone-f") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_printed(shell: str) -> None:
    """Each shell's script defines a completion of `layerfs`."""
    done = subprocess.run([LAYERFS, "completion", shell], capture_output=True, text=True, check=True)
    assert "_LAYERFS_COMPLETE" in done.stdout
    assert f"{shell}_complete" in done.stdout


def _asked(root: Path, shell: str, words: list[str]) -> str:
    """What zsh or fish is told with the cursor at the end of the last word."""
    line = " ".join(words)
    cursor = str(len(words) - 1) if shell == "zsh" else words[-1]
    before = line if shell == "zsh" else line[: -len(words[-1])]
    environment = {"_LAYERFS_COMPLETE": f"{shell}_complete", "COMP_WORDS": before, "COMP_CWORD": cursor}
    done = subprocess.run(
        [LAYERFS],
        env={**os.environ, "LAYERFS_ROOT": str(root), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["layerfs", "cat", "demo:/et"], "demo:/etc/"),
        (["layerfs", "ps", "--filter", "status=ex"], "status=exited"),
        (["layerfs", "ps", "--filter=status=ex"], "--filter=status=exited"),
        (["layerfs", "cat", "demo@2:/root/pa"], None),
        (["layerfs", "cat", "demo@3:/root/pa"], "demo@3:/root/password.txt"),
    ],
)
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_whole_words(
    dataroot_path: Path, shell: str, words: list[str], value: str | None
) -> None:
    """What zsh and fish replace is the whole word, the option before an equals sign included."""
    form = "plain\n{}\n_" if shell == "zsh" else "plain,{}"
    expected = "" if value is None else form.format(value)
    assert _asked(dataroot_path, shell, words).strip() == expected


@pytest.mark.fuse
def test_umount_completes_what_is_mounted(
    dataroot_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mount points of layerfs, in full or from here, and no other directory."""
    (tmp_path / "empty").mkdir()
    mountpoint = tmp_path / "mounted here"
    mountpoint.mkdir()
    assert layerfs(dataroot_path, "mount", "demo", str(mountpoint)).code == 0
    monkeypatch.chdir(tmp_path)
    try:
        quoted = str(mountpoint).replace(" ", "\\ ")
        assert _offered(dataroot_path, f"layerfs umount {tmp_path}/") == [f"plain,{quoted}"]
        assert _offered(dataroot_path, "layerfs umount mou") == [r"plain,mounted\ here"]
        assert _offered(dataroot_path, "layerfs umount e") == []
    finally:
        assert layerfs(dataroot_path, "umount", str(mountpoint)).code == 0


def _terminal(root: Path, *command: str) -> tuple[int, int]:
    """A shell on a terminal of its own: its process and the terminal."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(LAYERFS_ROOT=str(root), PS1="ready> ", TERM="dumb", HISTFILE="/dev/null")
        os.environ["PATH"] = f"{Path(LAYERFS).parent}:{os.environ['PATH']}"
        os.execvp(command[0], command)  # noqa: S606 - the child of the terminal
    return child, terminal


def _read_until(terminal: int, wanted: bytes) -> bytes:
    """What the terminal shows up to `wanted`; pytest's own limit ends a wait in vain."""
    shown = b""
    while wanted not in shown:
        shown += os.read(terminal, 1024)
    return shown


def test_bash_types_it(dataroot_path: Path) -> None:
    """In a real bash, TAB completes a tag behind its colon and then a path, slash by slash."""
    child, terminal = _terminal(dataroot_path, "bash", "--norc", "--noprofile", "-i")
    try:
        _read_until(terminal, b"ready> ")
        os.write(terminal, b"source <(layerfs completion bash); echo so''urced\n")
        _read_until(terminal, b"\r\nsourced")
        os.write(terminal, b"layerfs cat demo:la\t")
        _read_until(terminal, b"cat demo:latest ")
        os.write(terminal, b"/et\tmot\t")
        assert b"/etc/motd " in _read_until(terminal, b"motd ")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


@pytest.mark.zsh
def test_zsh_types_it(dataroot_path: Path) -> None:
    """In a real zsh, TAB completes a filter, its value, and a path behind a name, slash by slash."""
    child, terminal = _terminal(dataroot_path, "zsh", "-f", "-i")
    try:
        _read_until(terminal, b"ready> ")
        os.write(
            terminal, b"autoload -U compinit; compinit -D; source <(layerfs completion zsh); echo so''urced\n"
        )
        _read_until(terminal, b"\r\nsourced")
        os.write(terminal, b"layerfs ps --filter sta\t")
        _read_until(terminal, b"status=")
        os.write(terminal, b"exi\t")
        _read_until(terminal, b"exited ")
        os.write(terminal, b"\x15layerfs cat demo:/et\t")
        _read_until(terminal, b"demo:/etc/")
        os.write(terminal, b"mot\t")
        assert b"motd " in _read_until(terminal, b"motd ")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


@pytest.mark.fish
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("layerfs cat demo:/etc/mo", "demo:/etc/motd"),
        ("layerfs ps --filter status=exi", "status=exited"),
        ("layerfs umo", "umount"),
    ],
)
def test_fish_types_it(dataroot_path: Path, tmp_path: Path, typed: str, completed: str) -> None:
    """What a real fish completes a line to, by the code that is printed for it."""
    program = f'layerfs completion fish | source; complete --do-complete "{typed}"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", program],
        env={
            **os.environ,
            "LAYERFS_ROOT": str(dataroot_path),
            "PATH": f"{Path(LAYERFS).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [completed]


def test_every_format_is_completed() -> None:
    """Whatever has --format has its names for the shell, and takes each of them."""
    asked = 0
    for name in COMMANDS:
        command = load(name)
        option = next((item for item in command.params if "--format" in item.opts), None)
        if option is None:
            continue
        context = click.Context(command)
        found = [item.value for item in option.shell_complete(context, "")]
        assert found, name
        assert found[0] in [item.value for item in option.shell_complete(context, found[0])]
        for value in found:
            assert option.process_value(context, value) is not None
        asked += 1
    assert asked > 15
