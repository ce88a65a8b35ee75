"""Docker's words for commands that have another name here, such as `ps`, `image ls`, `system df`.

Source: docker/cli `cli/command/commands`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["ABSENT", "CHANGING", "GROUPS", "INSTEAD", "MEANT", "WORDS", "SpelledGroup", "answer"]

WORDS: Mapping[str, str] = {"ps": "containers", "version": "version", "help": "help"}
"""The commands for single words of Docker's."""

GROUPS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "image": {
        "ls": ("images",),
        "list": ("images",),
        "history": ("history",),
        "inspect": ("inspect", "--type", "image"),
    },
    "container": {
        "ls": ("containers",),
        "list": ("containers",),
        "ps": ("containers",),
        "inspect": ("inspect", "--type", "container"),
        "logs": ("logs",),
    },
    "system": {"df": ("system-df",)},
}
"""The commands, with options, for two words of Docker's."""


MEANT: Mapping[str, str] = {
    "log": "history",
    "show": "inspect",
    "search": "find",
    "save": "export",
    "browse": "explore",
    "check": "verify",
    "copy": "cp",
    "df": "du",
    "dive": "explore",
    "extract": "cp",
    "fsck": "doctor",
    "list": "images",
    "topic": "explain --topic",
    "topics": "explain --topic",
    "why": "explain",
}
"""Words of other programs (docker, git), and the command that is meant by whoever types them here."""

INSTEAD: Mapping[str, str] = {
    "build": "`layerfs dockerfile IMAGE` shows the steps of an image",
    "exec": "`layerfs cat`, `ls` and `find` read its files",
    "import": "`layerfs ls ./FILE.tar:/` reads an archive as it is",
    "load": "`layerfs --root FILE.tar images` reads an archive as it is",
    "prune": "`layerfs system df` shows what could be freed",
    "pull": "`layerfs --root FILE images` reads what docker save or skopeo wrote",
    "rm": "`layerfs du --what-if NAME` shows what that would free",
    "rmi": "`layerfs du --what-if NAME` shows what that would free",
    "run": "`layerfs mount NAME DIR` shows its files",
    "start": "`layerfs mount NAME DIR` shows its files",
}
"""For some of those, what can be done here."""

ABSENT: Mapping[str, str] = {
    "info": "`layerfs stores` lists stores, `layerfs system df` what is in one",
    "network": "networks are no part of the store",
    "stats": "nothing runs here; `layerfs containers --size` shows sizes",
    "top": "nothing runs here; `layerfs containers` lists containers",
    "volume": "`layerfs system df -v` lists volumes",
    "volumes": "`layerfs system df -v` lists volumes",
}
"""Words of Docker's for what is no command here, and what there is."""

CHANGING = frozenset({
    "attach", "build", "commit", "compose", "create", "exec", "import", "kill", "load", "login", "pause",
    "prune", "pull", "push", "rename", "restart", "rm", "rmi", "run", "start", "stop", "tag", "update",
})  # fmt: skip
"""Docker's commands that change something or run a program, which nothing here does."""


def answer(word: str) -> str:
    """The end of the error for a word of Docker's or git's that is no command here; empty for any other."""
    if word in MEANT:
        return f"; perhaps you mean `layerfs {MEANT[word]}`"
    if word in ABSENT:
        return f"; {ABSENT[word]}"
    if word not in CHANGING:
        return ""
    what = f". {INSTEAD[word]}" if word in INSTEAD else ""
    return f"; layerfs only reads: it runs, fetches and changes nothing{what}"


class SpelledGroup(click.Group):
    """The first of two words."""

    def __init__(self, name: str, load: Callable[[str], click.Command]) -> None:
        """Group commands, which `load` imports."""
        super().__init__(name, help=f"What Docker calls `{name} …`.", add_help_option=True)
        self._words = GROUPS[name]
        self._load = load

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The second words."""
        return list(self._words)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command for a second word."""
        return self._load(self._words[cmd_name][0]) if cmd_name in self._words else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, and its arguments behind the options that the words stand for."""
        if args[0] not in self._words and not args[0].startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"No such command {args[0]!r}; known: {', '.join(self._words)}{answer(args[0])}.")
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, [*self._words.get(args[0], ("",))[1:], *rest]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the second words."""
        with formatter.section("Commands"):
            formatter.write_dl([(word, self._means(word, *ours)) for word, ours in self._words.items()])

    def _means(self, word: str, name: str, *options: str) -> str:
        """The command for a second word, or, if that has no other name, what it does."""
        if name == f"{self.name}-{word}":
            return self._load(name).get_short_help_str(100)
        return " ".join(["layerfs", name, *options])
