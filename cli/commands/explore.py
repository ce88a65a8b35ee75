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
from ..options import options_again, root_option, selected_root
from ..stores import find_name, open_root, store_options
from ..subjects import name_argument

if TYPE_CHECKING:
    from layerfs.store import Store

    from ..explore.opening import Stack
    from ..explore.watching import Watch

__all__ = ["command"]

INSTALL = "pip install 'layerfs[explore]'"
INSTALL_WEB = "pip install 'layerfs[web]'"
WEB_PACKAGES = {"textual": "Textual", "aiohttp": "aiohttp", "textual_serve": "textual-serve"}


@click.command("explore")
@name_argument()
@click.option(
    "--web", is_flag=True, help="Show it in a web browser on this machine, at an address that is printed."
)
@root_option
@click.pass_context
def command(ctx: click.Context, name: str | None, web: bool) -> None:
    """Browse images, their layers, trees and files in the terminal.

    With NAME it opens that image, container or layer at once. It shows the tree as of any layer, what each
    layer did to it, files as text and bytes, their versions, and wasted bytes. `?` shows all keys, q goes
    back and quits. Nothing is written, but what you mark and copy to a new directory.

    It needs a terminal, and Textual: pip install 'layerfs[explore]'. With --web it needs no terminal, but
    pip install 'layerfs[web]': it prints an address of this machine, of which nobody else knows the secret
    part, and ends when its tab is closed. Whoever has the address sees what you may read of the root.

    \b
    Examples:
      layerfs explore
      layerfs explore nginx:latest
      layerfs explore ./app.tar  # the only image of an archive
      layerfs explore --web nginx:latest
    """
    if web:
        _serve(ctx, name)
        return
    from ..web.session import DRIVER

    if os.environ.get("TEXTUAL_DRIVER") != DRIVER and not (sys.stdin.isatty() and sys.stdout.isatty()):
        other = shlex.join(["layerfs", "changes", name] if name is not None else ["layerfs", "images"])
        raise click.UsageError(f"explore needs a terminal; what it shows first, {printable(other)} prints")
    if importlib.util.find_spec("textual") is None:
        raise click.UsageError(f"explore needs Textual, which is not installed: {INSTALL}")
    from layerfs.witness import witnessed

    from ..explore.watching import Watch

    watch = Watch()
    with witnessed(watch.told):
        _explore(ctx, name, watch)


def _serve(ctx: click.Context, name: str | None) -> None:
    """Serve the same in a web browser: each tab is this command in a process of its own."""
    lacking = [said for module, said in WEB_PACKAGES.items() if importlib.util.find_spec(module) is None]
    if lacking:
        raise click.UsageError(f"--web needs {' and '.join(lacking)}, not installed: {INSTALL_WEB}")
    if "-" in (selected_root(ctx), (name or "").rpartition(":")[2]):  # no tag begins so
        raise click.UsageError("--web cannot read standard input: each tab reads the root anew")
    # a name that is not there is said here, not on a page
    store = _opened(ctx, name)[0]
    import asyncio

    from ..web.front import serve

    def say(address: str) -> None:
        click.echo(address)
        click.echo(
            f"Whoever has this address sees what you may read of {printable(store.path)}. "
            "It ends 10 seconds after its tab, or with Ctrl-C."
        )

    words = [*options_again(ctx, of_a_run=True), "explore", *(() if name is None else ("--", name))]
    # -P: no module is taken from the current directory, which may be somebody else's
    ctx.exit(asyncio.run(serve([sys.executable, "-P", "-m", "layerfs", *words], say)))


def _explore(ctx: click.Context, name: str | None, watch: Watch) -> None:
    from ..explore.app import explore
    from ..explore.explaining import explained
    from ..explore.keyfile import BadKeyFile, key_file, keys_of_user
    from ..explore.keys import KeyMap

    try:
        keymap = KeyMap(keys_of_user(key_file(os.environ)))
    except BadKeyFile as error:
        raise click.UsageError(printable(str(error))) from error
    store, stack = _opened(ctx, name)
    words = ["--root", selected_root(ctx) if name is None else store.path]

    def reopen() -> Store:
        from layerfs.stores.registry import open_store

        return open_store(store.path, store_options(ctx))

    explore(store, stack, words, reopen, functools.partial(explained, ctx), watch, keymap)


def _opened(ctx: click.Context, name: str | None) -> tuple[Store, Stack | None]:
    """The store, and what is opened of it at once."""
    from ..explore.opening import open_stack

    if name is None:
        return open_root(ctx), None
    store, inside, _ = find_name(ctx, name)
    return store, open_stack(store, inside)
