"""The commands that `layerfs explain NAME` prints, pasted into a shell as they are printed."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.command import layerfs
from tests.support.processes import Running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Explained", "Pasted", "explained", "pasted", "pasted_and_mounted", "proofs_of", "script_of"]

_COMMAND = "   $ "
_SHELL = ("sh", "-e")
_APART = ("unshare", "--mount", *_SHELL)
_WIDTH = 80
_HARMLESS = b"tar: Ignoring unknown extended header keyword"
_READY = "the tree is mounted"


class Explained(NamedTuple):
    """A walk as it is printed, and as JSON.

    Attributes:
        text: the lines for people.
        document: the JSON object.
        code: the exit code.
        stderr: what was said besides.
    """

    text: str
    document: dict[str, Any]
    code: int
    stderr: str

    @property
    def script(self) -> str:
        """What a reader pastes."""
        return script_of(self.text)

    @property
    def values(self) -> list[str]:
        """What its commands should print."""
        return [value for step in self.document["steps"] if step["command"] for value in step["values"]]

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by the steps' ends."""
        return {step["to"]: step["problem"] for step in self.document["steps"] if step["problem"]}


class Pasted(NamedTuple):
    """A command of `explain NAME PATH`, the value beside it, and what it prints in a shell."""

    command: str
    value: str
    printed: str


def proofs_of(root: Path, name: str, path: str) -> list[Pasted]:
    """The commands about a path, of what decides and of what is hidden; they print no error."""
    words = [name, path] if name else [path]
    found = layerfs(root, "explain", "--format", "json", "--", *words).json
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    proofs = []
    for kind in ("check", "old"):
        if proof := found[kind]:
            done = subprocess.run(
                ["sh"], input=os.fsencode(proof["command"]), capture_output=True, check=True,
                cwd=root.parent, env=environment,
            )  # fmt: skip
            assert done.stderr == b""
            assert proof["command"].isprintable()
            proofs.append(Pasted(proof["command"], proof["value"], os.fsdecode(done.stdout)))
    return proofs


def explained(root: Path | str, *words: str) -> Explained:
    """What `layerfs explain` says of a name, by all that can be checked without a shell.

    No line is wider than a terminal where it can be broken, and the script for people is that of JSON.
    """
    shown = layerfs(root, "explain", *words)
    found = layerfs(root, "explain", "--format", "json", *words)
    assert shown.code == found.code
    assert shown.stderr.count("bug in layerfs") == 0
    document = found.json if found.stdout else {"steps": []}
    wide = [line for line in shown.stdout.splitlines() if len(line) > _WIDTH and " " in line.strip()]
    assert "--no-trunc" in words or wide == []
    assert shown.stdout.replace("\n", "").isprintable()
    commands = [step["command"] for step in document["steps"] if step["command"]]
    assert script_of(shown.stdout) == "".join(f"{line}\n" for line in commands)
    return Explained(shown.stdout, document, shown.code, shown.stderr)


def script_of(text: str) -> str:
    """The lines that are marked as commands."""
    lines = (line for line in text.splitlines() if line.startswith(_COMMAND))
    return "".join(f"{line.removeprefix(_COMMAND)}\n" for line in lines)


def pasted(found: Explained) -> list[str]:
    """What the script prints in a shell, with mounts that nobody else sees; it must not fail."""
    needs_root = any(step["needs_root"] for step in found.document["steps"])
    shell: Sequence[str] = _APART if needs_root else _SHELL
    done = subprocess.run(
        shell, input=os.fsencode(found.script), cwd=_directory(found), capture_output=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith(_HARMLESS)]
    assert (done.returncode, said) == (0, [])
    return done.stdout.decode("ascii").splitlines()


def _directory(found: Explained) -> Path:
    return Path(found.document.get("directory") or "/")


@contextmanager
def pasted_and_mounted(found: Explained) -> Iterator[Path]:
    """The tree that the script mounts, while it is mounted."""
    with Running(_APART, cwd=_directory(found), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdin
        assert shell.stdout
        shell.stdin.write(os.fsencode(f"{found.script}echo {_READY}\n"))
        shell.stdin.flush()
        for line in shell.stdout:
            if line.decode().strip() == _READY:
                break
        else:
            message = "the script failed"
            raise AssertionError(message)
        yield Path(f"/proc/{shell.pid}/root/mnt")
        shell.stdin.close()
