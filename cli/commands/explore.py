"""`layerfs explore`: images, their layers, trees and files, in a browser for the terminal."""

from __future__ import annotations

import functools
import importlib.util
import os
import shlex
import sys
from typing import TYPE_CHECKING

import click

from ..escape import printable
from ..options import root_option, selected_root
from ..stores import find_name, open_root, store_options
from ..subjects import name_argument

if TYPE_CHECKING:
    from layerfs.store import Store

    from ..explore.watching import Watch

__all__ = ["command"]

INSTALL = "pip install 'layerfs[explore]'"


@click.command("explore")
@name_argument()
@root_option
@click.pass_context
def command(ctx: click.Context, name: str | None) -> None:
    """Browse images, their layers, trees and files in the terminal.

    With NAME it opens that image, container or layer at once. It shows the tree as of any layer, what each
    layer did to it, files as text and bytes, their versions, and wasted bytes. `?` shows all keys, q goes
    back and quits. Nothing is written, but what you mark and copy to a new directory.

    It needs a terminal, and Textual: pip install 'layerfs[explore]'.

    \b
    Examples:
      layerfs explore
      layerfs explore nginx:latest
      layerfs explore ./app.tar  # the only image of an archive
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        other = shlex.join(["layerfs", "changes", name] if name is not None else ["layerfs", "images"])
        raise click.UsageError(f"explore needs a terminal; what it shows first, {printable(other)} prints")
    if importlib.util.find_spec("textual") is None:
        raise click.UsageError(f"explore needs Textual, which is not installed: {INSTALL}")
    from layerfs.witness import witnessed

    from ..explore.watching import Watch

    watch = Watch()
    with witnessed(watch.told):
        _explore(ctx, name, watch)


def _explore(ctx: click.Context, name: str | None, watch: Watch) -> None:
    from ..explore.app import explore
    from ..explore.explaining import explained
    from ..explore.keyfile import BadKeyFile, key_file, keys_of_user
    from ..explore.keys import KeyMap
    from ..explore.opening import open_stack

    try:
        keymap = KeyMap(keys_of_user(key_file(os.environ)))
    except BadKeyFile as error:
        raise click.UsageError(printable(str(error))) from error
    words = ["--root", selected_root(ctx)]
    if name is None:
        store, stack = open_root(ctx), None
    else:
        store, inside, _ = find_name(ctx, name)
        stack = open_stack(store, inside)
        if store.path != selected_root(ctx):
            words = ["--root", store.path]

    def reopen() -> Store:
        from layerfs.stores.registry import open_store

        return open_store(store.path, store_options(ctx))

    explore(store, stack, words, reopen, functools.partial(explained, ctx), watch, keymap)
