"""The `layerfs` command: its global options, its commands by name, and what each failure exits with.

The table `COMMANDS` makes `layerfs --help` fast: no command, and so no part of the engine, is
imported before one is run. Used as the entry point of the installed script; `run` is for tests.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, shell_complete

from .archives import archive_options
from .guesses import did_you_mean
from .options import (
    DEFAULT_ROOT,
    additional_store_option,
    bolt_state_option,
    choice,
    complete_path,
    metadata_option,
    namespace_option,
    noted,
    store_option,
    userns_option,
)
from .spellings import GROUPS, WORDS, SpelledGroup, answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .messages import LogToStderr

__all__ = ["COMMANDS", "Behind", "LazyGroup", "cli", "load", "main", "run"]

COMMANDS = {
    "images": "List images, newest first, as `docker images` does",
    "history": "Show the steps that made an image, newest first, as `docker history` does",
    "dockerfile": "Show the history of an image as a Dockerfile, as far as the history tells",
    "layers": "List the layers of an image or container, base first, or all layers of the root",
    "chain-id": "Compute the chain ID of an image's layers, or of diff IDs given base first",
    "inspect": "Show all that is known of images, containers and layers, as `docker inspect` does",
    "containers": "List containers, newest first, as `docker ps --all` does",
    "logs": "Show what containers wrote to standard output and standard error, as `docker logs` does",
    "du": "Show the disk space that images and layers take, share, and would free if removed",
    "mount": "Mount an image, container or layer read-only on a directory, or list what is mounted",
    "umount": "Unmount what `layerfs mount` mounted, also if its server has died",
    "mount-helper": "Let mount(8) and /etc/fstab mount images, by a helper in /sbin",
    "ls": "List directories of an image, container or layer, as ls(1) would in its mount",
    "tree": "Draw a directory of an image, container or layer as a tree",
    "stat": "Show all attributes of files, and which layer supplied them",
    "cat": "Write files of an image, container or layer to standard output, byte for byte",
    "cp": "Copy files and directories of an image, container or layer to the host",
    "export": "Export images for docker load or as OCI layouts, and trees and layers as tars",
    "hashes": "List digests of all files of an image, container or layer, as sha256sum does",
    "diff": "Show the differences between A and B: images, IMAGE@N, containers or layers",
    "changes": "Show what each layer of an image or container did, base first, and the step that made it",
    "blame": "Show which layers of an image or container supplied, changed, hid or revealed a path",
    "deleted": "List the files of an image or container that a later layer hides, and recover them",
    "find": "Find entries by name, attributes or content: in one tree, or in all layers of the root",
    "grep": "Show the lines of files that match a pattern: in one tree, or in all layers of the root",
    "waste": "Show the bytes that an image or container stores and its tree does not show",
    "explain": "Explain how a name leads to directories, why a file is there or not, and what a word means",
    "whois": "Show what an ID, name or path belongs to: its layer, the command that made it, and its users",
    "verify": "Check that images and layers are unchanged since they were pulled or built",
    "doctor": "Find all that is damaged, missing, orphaned, left over, half-written or stale in a data root",
    "report": "Write a page about images and containers: one file for a browser, which needs no network",
    "timeline": "Show when files of all layers, images and containers were made and changed",
    "explore": "Browse images, their layers, trees and files in the terminal",
    "stores": "List every store below a directory: of all engines, in homes, and in volumes of each other",
    "cache": "Show the disk space of the cache of decompressed layers, or clear it",
    "completion": "Print the shell code that completes commands, references and paths",
}
"""Name and first help line of every command, in the order of `--help`; `commands/<name>.py` holds it
as `command`."""

COMPLETION_VARIABLE = "_LAYERFS_COMPLETE"

DESCRIPTORS = 4096

EXTRA = "Got unexpected extra argument"
"""How click begins its error."""

_NEW_OBJECTS = 300_000
"""Objects made until Python looks for cycles: there are hardly any, and looking takes time in long lists."""

FINDINGS = 1
INTERRUPTED = 130
OUTPUT_CLOSED = 141  # 128 + SIGPIPE: what a shell reports of `layerfs … | head`
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
HOST_ERROR = 74  # EX_IOERR: the host refused, for example to take our output
EXIT_CODES = {
    "LookupFailed": 3,
    "DataRootError": 4,
    "CorruptStore": 5,
    "TreeError": 6,
    "MountFailed": 7,
    "HostError": HOST_ERROR,
}
"""By the names of the top-level classes, as the engine's errors are not imported for `--help`."""


class LazyGroup(click.Group):
    """Imports the module of a command when it is asked for, and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every command, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of this name, or of this word of Docker's; None when there is no such command."""
        if cmd_name in GROUPS:
            return SpelledGroup(cmd_name, load)
        name = WORDS.get(cmd_name, cmd_name)
        return load(name) if name in COMMANDS or cmd_name in WORDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click; the error for an unknown word suggests commands like it."""
        word = args[0]
        if not ctx.resilient_parsing and not word.startswith("-") and self.get_command(ctx, word) is None:
            advice = answer(word) or did_you_mean(word, (*COMMANDS, *WORDS, *GROUPS))
            ctx.fail(f"No such command {word!r}{advice}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands, without importing them; Docker's words after a first letter; and options."""
        words = (*WORDS, *GROUPS) if incomplete else ()
        found = [CompletionItem(word) for word in (*COMMANDS, *words) if word.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        with formatter.section("Docker's own words are taken too"):
            words = [f"{word} {second}" for word, seconds in GROUPS.items() for second in seconds]
            formatter.write_text(", ".join([*WORDS, *words]))


def load(name: str) -> click.Command:
    """Import `commands/<name>.py` and return its `command`."""
    module = importlib.import_module(f".commands.{name.replace('-', '_')}", __package__)
    command = module.command
    assert isinstance(command, click.Command)  # noqa: S101 - tells mypy what the test of the table proves
    _take_global_options(command)
    _say_usage(command)
    return command


def _say_usage(command: click.Command) -> None:
    """Show the usage line with every error of parsing; click omits it where an option lacks its value."""

    def parse_args(context: click.Context, args: list[str]) -> list[str]:
        words = list(args)  # click takes them out
        try:
            return type(command).parse_args(command, context, args)
        except click.UsageError as error:
            error.ctx = error.ctx or context
            if EXTRA in error.message and type(error) is click.UsageError:
                from .extra import advice

                message = error.message + advice(context, error.message, words)
                raise click.UsageError(message, error.ctx) from error
            raise

    command.parse_args = parse_args  # type: ignore[assignment, method-assign]


class Behind(click.Option):
    """A global option behind a command's name: accepted and completed, but not in the command's help."""

    def __init__(self, option: click.Option, spelled: list[str]) -> None:
        self.__dict__.update(option.__dict__)
        self.opts = spelled  # without what means something else to the command
        self.envvar = self.default = None  # the value given before the name counts

    def get_help_record(self, ctx: click.Context) -> None:
        """None: a line below the options mentions all global options."""


def _take_global_options(command: click.Command) -> None:
    """Let a command accept the global options behind its name; its help says so in one line."""
    taken = {text for option in command.params for text in (*option.opts, *option.secondary_opts)}
    for option in cli.params:
        spelled = [text for text in option.opts if text not in taken]
        if isinstance(option, click.Option) and not option.is_eager and spelled:
            command.params.append(Behind(option, spelled))
    command.epilog = "Options of `layerfs` itself, as --userns or --platform, are taken here too."


def _more_is_said(context: click.Context, _parameter: click.Parameter, typed: bool) -> bool:
    """The callback of `--verbose` behind the command's name, when the log is already shown."""
    log: LogToStderr | None = context.find_root().obj
    if log:
        log.show_all()
    return typed


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option(
    "--root",
    metavar="PATH",
    envvar="LAYERFS_ROOT",
    default=DEFAULT_ROOT,
    show_envvar=True,
    show_default=True,
    shell_complete=complete_path,
    **noted("root"),
    help="What to read: a Docker data root, a containerd root, a graph root of Podman, CRI-O or Buildah "
    "(live, a copy, or the top of a copied system), an archive of docker save, Podman or skopeo, an OCI "
    "layout; - is standard input. Not needed for a NAME that carries its store, as ./app.tar or oci:DIR.",
)
@metadata_option(envvar="LAYERFS_METADATA")
@userns_option(envvar="LAYERFS_USERNS")
@store_option
@namespace_option
@bolt_state_option
@additional_store_option
@archive_options
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    **noted("verbose", _more_is_said),
    help="Show on standard error how answers were found.",
)
@click.version_option(package_name="layerfs", prog_name="layerfs", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """See through stores of Docker, containerd and Podman, and archives, without writing a byte to them."""
    from .messages import LogToStderr

    ctx.obj = ctx.with_resource(LogToStderr(verbose=choice(ctx, "verbose", False)))


_say_usage(cli)


def main() -> None:
    """Run the command line and leave with its exit code."""
    _take_descriptors()
    gc.set_threshold(_NEW_OBJECTS)
    from .streams import prepare

    prepare()
    code = run()
    gc.freeze()  # without this the interpreter would collect garbage once more before it ends
    try:
        _flush()
    except OSError:
        # already reported; the interpreter would report it again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _take_descriptors() -> None:
    """Raise the limit of descriptors as far as allowed: deep images are faster if all files stay open."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (by default this process's) and return its exit code; never raises."""
    try:
        if instruction := os.environ.get(COMPLETION_VARIABLE):
            return _complete(instruction)
        code = _invoke(list(sys.argv[1:] if arguments is None else arguments))
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        _show(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return OUTPUT_CLOSED
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback for a user
        return _report(error)
    return code


def _invoke(arguments: list[str]) -> int:
    """Run the command; returns 1 if it succeeded but damage was reported."""
    with cli.make_context("layerfs", arguments) as context:
        try:
            result = _result(context)
            _flush()
        except (click.ClickException, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 - told while it is known what was told before
            return _report(error)
        log: LogToStderr | None = context.obj
        return result or (FINDINGS if log and log.damage else 0)


def _result(context: click.Context) -> int | None:
    """What the command returns, or gives to `context.exit`."""
    try:
        result: int | None = cli.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    return result


def _complete(instruction: str) -> int:
    """Answer the shell's completion without messages, which would appear in what the user types."""
    import logging

    from .shells import register

    register()
    logging.disable()
    try:
        return shell_complete(cli, {}, "layerfs", COMPLETION_VARIABLE, instruction)
    finally:
        logging.disable(logging.NOTSET)


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _show(error: click.ClickException) -> None:
    """Print click's usage error, with names in it escaped."""
    import io

    from .escape import printable_lines

    said = io.StringIO()
    error.show(said)
    click.echo(printable_lines(said.getvalue()), err=True, nl=False)


def _report(error: Exception) -> int:
    """Print the error in one line, and a hint in another; returns the exit code."""
    from .messages import say, say_error

    if os.environ.get("LAYERFS_DEBUG"):
        sys.excepthook(type(error), error, error.__traceback__)
    for ancestor in type(error).__mro__:
        if ancestor.__module__ == "layerfs.errors" and ancestor.__name__ in EXIT_CODES:
            say_error(error)
            return EXIT_CODES[ancestor.__name__]
    if isinstance(error, OSError):
        say_error(error)
        return HOST_ERROR
    say("error", f"this is a bug in layerfs: {type(error).__name__}: {error}")
    say("hint", "please report it, with what LAYERFS_DEBUG=1 shows")
    return INTERNAL_ERROR
