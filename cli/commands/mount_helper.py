"""`layerfs mount-helper`: what mount(8) needs to mount images, also from /etc/fstab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import click

from ..options import choice, one_of
from ..rootonly import changeable

__all__ = ["command"]

PLACE = "/sbin/mount.fuse.layerfs"
"""The path at which mount(8) looks for the helper of the type fuse.layerfs."""

_OURS = "# Written by `layerfs mount-helper --install`"
_ANOTHER = "install layerfs where only root can write, as with `python3 -m venv /opt/layerfs`"
_LONGEST_SHEBANG = 126  # bytes, on kernels before 5.1 (execve(2))

_MODULES = ("layerfs", "layerfs_cli", "click", "fastcrc", "fuse", "tabulate")
_PROBE = """
import importlib.util, json, sys
import layerfs_cli.mounthelper
specs = [importlib.util.find_spec(name) for name in sys.argv[1:]]
print(json.dumps([*sys.path, *(s.origin for s in specs if s), *(p for s in specs if s
    for p in s.submodule_search_locations or ())]))
"""


@click.command("mount-helper")
@click.option("--install", **one_of("action"), help=f"Write it to {PLACE}.")
@click.option("--remove", **one_of("action"), help="Remove it from there.")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Let mount(8) and /etc/fstab mount images, by a helper in /sbin.

    Without an option the helper is printed: a small program that mount(8) looks for. It runs this Python,
    isolated from the environment (-I). As mount(8) runs it as root, it is not installed where anyone but
    root could change that Python or layerfs.

    \b
    Examples:
      layerfs mount-helper --install
      mount -t fuse.layerfs nginx:latest /mnt -o root=/evidence/docker,up-to=3
      echo 'nginx:latest /mnt fuse.layerfs noauto,users,noexec 0 0' >> /etc/fstab
    """
    from layerfs.errors import MountFailed

    action = choice(ctx, "action")
    if action is None:
        click.echo(_program(), nl=False)
        return
    try:
        click.echo(_install() if action == "install" else _remove())
    except OSError as error:
        raise MountFailed(f"{error.filename or PLACE}: {error.strerror}") from error


def _program() -> str:
    return f"#!{sys.executable} -I\n{_OURS}\nfrom layerfs_cli.mounthelper import main\n\nmain()\n"


def _install() -> str:
    """Write the helper; returns a message; raises `MountFailed` if that would be unsafe or useless."""
    from layerfs.errors import MountFailed

    if os.geteuid() != 0:
        raise MountFailed(f"{PLACE}: only root can write it", hint="run as root")
    interpreter = sys.executable
    if not os.path.isabs(interpreter) or len(interpreter) > _LONGEST_SHEBANG or len(interpreter.split()) != 1:
        raise MountFailed(f"{interpreter!r}: no kernel runs a program by such an interpreter", hint=_ANOTHER)
    if problem := changeable(_parts(interpreter)):
        raise MountFailed(f"{problem}, and mount(8) would run it as root", hint=_ANOTHER)
    _check_replaceable()
    _write(_program().encode())
    return f"wrote {PLACE}, which runs {interpreter}"


def _remove() -> str:
    """Remove the helper, if it is there and one of layerfs; returns a message."""
    _check_replaceable()
    try:
        os.unlink(PLACE)
    except FileNotFoundError:
        return f"{PLACE} is not there: nothing to remove"
    return f"removed {PLACE}"


def _parts(interpreter: str) -> list[str]:
    """The files and directories that the helper runs: its interpreter, and where that loads modules from."""
    from layerfs.errors import MountFailed

    done = subprocess.run(  # noqa: S603 - the Python that runs this
        [interpreter, "-I", "-c", _PROBE, *_MODULES], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MountFailed(
            f"{interpreter} -I does not find layerfs: {done.stderr.strip().rpartition(chr(10))[2]}",
            hint=_ANOTHER,
        )
    parts: list[str] = json.loads(done.stdout)
    configuration = os.path.join(sys.prefix, "pyvenv.cfg")  # it names the Python of a virtual environment
    return [interpreter, configuration, *(part for part in parts if os.path.isabs(part))]


def _check_replaceable() -> None:
    """Raise `MountFailed` if there is another file at the path."""
    from layerfs.errors import MountFailed

    try:
        fd = os.open(PLACE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    with os.fdopen(fd, "rb") as file:
        if _OURS.encode() not in file.read(4096):
            raise MountFailed(
                f"{PLACE}: is there, and not by layerfs", hint="remove it yourself, if you mean it"
            )


def _write(program: bytes) -> None:
    """Install the program atomically."""
    directory = os.path.dirname(PLACE)
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".layerfs-", delete=False) as file:
        try:
            file.write(program)
            file.flush()
            os.fchmod(file.fileno(), 0o755)
            os.replace(file.name, PLACE)
        except BaseException:
            os.unlink(file.name)
            raise
