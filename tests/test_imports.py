"""Starting the command stays light: what `--help` imports, and what it must not."""

from __future__ import annotations

import subprocess
import sys

import pytest

LAYERFS = "import sys; from layerfs_cli.main import run; code = run(sys.argv[1:]); "
REPORT = LAYERFS + "print(code, *sys.modules, file=sys.stderr)"

OURS_FOR_HELP = {
    f"layerfs_cli{name}" for name in ("", ".archives", ".guesses", ".main", ".options", ".spellings")
}
HEAVY = {
    *("argparse", "asyncio", "email", "gzip", "hashlib", "importlib.metadata", "json", "logging", "socket"),
    *("sqlite3", "subprocess", "tempfile", "zipfile"),
    *("fuse", "tabulate"),
}


def _modules_after(*arguments: str) -> set[str]:
    """The modules loaded in a new process that has run the command line."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *arguments], capture_output=True, text=True, check=True
    )
    code, *modules = done.stderr.split()
    assert code == "0"
    return set(modules)


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("completion", "bash")])
def test_start_leaves_heavy_modules_alone(arguments: tuple[str, ...]) -> None:
    """Neither tables, nor FUSE, nor slow parts of the standard library load before they are needed."""
    allowed = {"json", "logging", "subprocess"} if arguments[0] == "completion" else set()
    assert _modules_after(*arguments) & (HEAVY - allowed) == set()


def test_help_loads_no_command_and_no_engine() -> None:
    """`layerfs --help` knows every command without importing one."""
    ours = {name for name in _modules_after("--help") if name.split(".")[0] in ("layerfs", "layerfs_cli")}
    assert ours == OURS_FOR_HELP


def test_public_api_loads_no_command_line() -> None:
    """`import layerfs` brings the engine alone: no click, no tables, no FUSE."""
    program = "import sys, layerfs; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"click", "fuse", "layerfs_cli", "tabulate", "layerfs.views"} == set()
