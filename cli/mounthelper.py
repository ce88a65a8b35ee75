"""What mount(8) runs for `-t fuse.layerfs`, also from /etc/fstab: it translates to `layerfs mount`.

Called as `mount.fuse.layerfs NAME DIR [-sfnv] [-o OPTIONS]`. mount(8) adds `rw` or `ro` to the options, keeps
quotes and backslashes, and also passes on the options that it handles itself. If NAME is a file in its
working directory, it passes an absolute path.

Sources: mount(8) "External helpers"; libmount `context_mount.c` (exec_helper), `optstr.c`.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import click

from .main import INTERNAL_ERROR, INTERRUPTED, load, run
from .messages import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["helper", "layerfs_words", "main"]

_OPTION = re.compile(r'(?:[^",\\]|\\.|"[^"]*"|["\\])+', re.DOTALL)
_KEPT_TOGETHER = re.compile(r'"([^"]*)"|\\([,\\])', re.DOTALL)

_NOT_FOR_MOUNT = ("foreground", "form", "help")
"""Options of `layerfs mount` that cannot be used here."""

_UNDERSTOOD = frozenset(
    {
        "defaults", "auto", "noauto", "nofail", "_netdev", "user", "users", "nouser", "owner", "noowner",
        "group", "nogroup", "rw", "ro", "suid", "nosuid", "dev", "nodev", "sync", "async", "dirsync",
        "silent", "loud", "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime",
        "strictatime", "nostrictatime", "lazytime", "nolazytime", "mand", "nomand", "iversion", "noiversion",
        "comment", "default_permissions",
    }
)  # fmt: skip
"""Options of every mount, which are ignored: mounts are always read-only, without devices and set-user-ID."""

_NO_NAME = ("none", "layerfs")
"""What stands in the place of a NAME where there is none."""

_MOUNT_USAGE, _MOUNT_BUG, _MOUNT_INTERRUPTED, _MOUNT_FAILED = 1, 4, 8, 32  # exit codes of mount(8)
_EXIT_CODES = {
    0: 0,
    1: 0,  # mounted, with a warning
    2: _MOUNT_USAGE,
    INTERNAL_ERROR: _MOUNT_BUG,
    INTERRUPTED: _MOUNT_INTERRUPTED,
}


class BadOption(ValueError):
    """An option of mount(8) that is not understood; the message says what is wrong."""


def main() -> None:
    """Run the helper on this process's arguments, and leave with an exit code of mount(8)."""
    from .streams import prepare

    prepare()
    try:
        code = helper.main(prog_name="mount.fuse.layerfs", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = _MOUNT_USAGE
    except click.Abort:
        code = _MOUNT_INTERRUPTED
    sys.exit(code)


@click.command("mount.fuse.layerfs", add_help_option=False)
@click.argument("name")
@click.argument("directory", metavar="DIR")
@click.option("-o", "options", multiple=True, metavar="OPTIONS", help="As `layerfs mount --OPTION`.")
@click.option("-s", "sloppy", is_flag=True, help="Pass over unknown options.")
@click.option("-f", "fake", is_flag=True, help="Check the options, and mount nothing.")
@click.option("-n", is_flag=True, expose_value=False, help="Ignored: nothing is written to mtab.")
@click.option("-v", "verbose", is_flag=True, help="As `layerfs --verbose`.")
@click.option("-t", "fs_type", expose_value=False, metavar="TYPE", help="Ignored.")
def helper(name: str, directory: str, options: Sequence[str], sloppy: bool, fake: bool, verbose: bool) -> int:
    """Mount NAME on DIR for mount(8)."""
    try:
        words = layerfs_words(name, directory, ",".join(options), sloppy=sloppy)
    except BadOption as error:
        say("error", f"{directory}: {error}")
        return _MOUNT_USAGE
    if fake:
        return 0
    return _EXIT_CODES.get(run([*["--verbose"] * verbose, *words]), _MOUNT_FAILED)


def layerfs_words(name: str, directory: str, options: str, *, sloppy: bool = False) -> list[str]:
    """The command line of `layerfs` for the arguments of mount(8).

    Raises:
        BadOption: an option is unknown (unless `sloppy`), or a value is missing or too much.
    """
    words, noexec, named = [], False, False
    for key, value in _split(options):
        if key in ("exec", "noexec"):
            noexec = key == "noexec"
        elif key == "name" and value:
            name, named = value, True
        elif option := _options_of_mount().get(key.replace("_", "-")):
            words.append(_word(option, key, value))
        elif key == "remount":
            raise BadOption("an image cannot be mounted anew with other options: umount it first")
        elif not (key in _UNDERSTOOD or key.startswith(("x-", "X-")) or sloppy):
            known = sorted([*_options_of_mount(), "name", "exec"])
            raise BadOption(f"unknown option {key!r}; there are {', '.join(known)}")
    if "--all" in words:
        if named or name not in _NO_NAME:
            raise BadOption(f"all mounts the whole store: say none in place of the name {name}")
        return ["mount", *words, "--", directory]
    if not named and os.path.isabs(name) and os.path.lexists(name):
        raise BadOption(
            f"{name} is a path on this host: mount(8) makes one of a NAME that exists where it was typed; "
            "say -o name=NAME"
        )
    return ["mount", *words, *["--noexec"] * noexec, "--", name, directory]


def _split(options: str) -> Iterator[tuple[str, str | None]]:
    """The keys and values; a comma in quotes, or behind a backslash, is part of a value."""
    for item in _OPTION.findall(options):
        key, equals, value = item.partition("=")
        yield key, _KEPT_TOGETHER.sub(lambda found: found[1] or found[2] or "", value) if equals else None


def _options_of_mount() -> dict[str, click.Option]:
    """Every long option of `layerfs mount` without its dashes."""
    return {
        text.removeprefix("--"): option
        for option in load("mount").params
        if isinstance(option, click.Option) and option.name not in _NOT_FOR_MOUNT
        for text in (*option.opts, *option.secondary_opts)
        if text.startswith("--")
    }


def _word(option: click.Option, key: str, value: str | None) -> str:
    dashed = "--" + key.replace("_", "-")
    if option.is_flag and value is not None:
        raise BadOption(f"option {key!r} takes no value")
    if not option.is_flag and value is None:
        raise BadOption(f"option {key!r} needs a value")
    return dashed if value is None else f"{dashed}={value}"
