"""The options of find(1) that `layerfs find` does not have, each with what to use instead.

Unknown options are found before click parses them, as click would take `-print` for `-p -r -i …`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FindCommand"]

_MOUNT = "mount the tree with `layerfs mount` and use find(1) there"
_OPERATORS = f"there are no operators, and all tests given must hold; search twice, or {_MOUNT}"
_RUN = (
    "nothing is run; give the paths on with `-print0 | xargs -0 layerfs cat NAME`, copy files out with "
    f"`layerfs cp`, or {_MOUNT}"
)
_PRUNE = "name the start paths that are wanted, or filter with -path or -regex"
_PRINTF = "use --format, such as --format '{{.Path}} {{.Size}}'"
_FILE = "write to standard output, and redirect that"
_TIMES = "images keep times of modification alone: use -mtime, -mmin, -newer or -newermt; `stat` shows others"
_ONE = "a tree is one file system: leave it out"

_INSTEAD = {
    **dict.fromkeys(("!", "(", ")", ",", "-a", "-and", "-o", "-or", "-not", "-true", "-false"), _OPERATORS),
    ".": "a tree has no working directory: leave it out, or name a start path such as /etc",
    "-print": "paths are printed anyway: leave it out",
    **dict.fromkeys(("-exec", "-execdir", "-ok", "-okdir"), _RUN),
    "-prune": _PRUNE,
    "-quit": "use `| head -n 1`",
    "-delete": "nothing is ever removed from a data root",
    "-printf": _PRINTF,
    "-fprintf": f"{_PRINTF}, and redirect standard output",
    **dict.fromkeys(("-fprint", "-fprint0", "-fls"), _FILE),
    **dict.fromkeys(("-amin", "-anewer", "-atime", "-cmin", "-cnewer", "-ctime", "-used"), _TIMES),
    **dict.fromkeys(("-follow", "-L", "-H"), f"links are never followed: {_MOUNT}"),
    "-P": "links are never followed: leave it out",
    **dict.fromkeys(("-mount", "-xdev", "-fstype"), _ONE),
    **dict.fromkeys(("-noleaf", "-warn", "-nowarn"), "leave it out"),
    **dict.fromkeys(("-ignore_readdir_race", "-noignore_readdir_race"), "leave it out"),
    **dict.fromkeys(
        ("-d", "-depth"), "directories come before what is in them; `| sort -r` turns that round"
    ),
    "-daystart": "count from now with -mtime, or name a day with -newermt",
    "-regextype": "the syntax of -regex is Python's: leave it out",
    "-files0-from": "name the start paths behind NAME",
    "-wholename": "use -path",
    "-iwholename": "use -ipath",
    "-links": f"use --format '{{{{.NLink}}}}\\t{{{{.Path}}}}', or {_MOUNT}",
    **dict.fromkeys(("-inum", "-samefile"), "use --format '{{.Inode}}\t{{.Path}}'"),
    **dict.fromkeys(("-lname", "-ilname"), "use -type l --format '{{.Target}}\t{{.Path}}'"),
    **dict.fromkeys(("-nouser", "-nogroup"), "use -uid or -gid"),
    **dict.fromkeys(("-readable", "-writable", "-executable"), "use -perm, such as -perm /a+x"),
    "-xtype": f"use -type; to follow links, {_MOUNT}",
    "-context": _MOUNT,
}


class FindCommand(click.Command):
    """The command `find`, whose options have one dash and several letters."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse the first unknown option as a whole word; then parse as click does."""
        for word in self._unknown(ctx, args):
            if word in _INSTEAD:
                raise click.UsageError(f"{word}: {_INSTEAD[word]}", ctx)
            if word.startswith("-newer"):
                raise click.UsageError(f"{word}: {_TIMES}", ctx)
            import difflib

            alike = [name for name in self._options(ctx) if name.startswith("--") or word[:2] != "--"]
            raise click.NoSuchOption(word, possibilities=difflib.get_close_matches(word, alike), ctx=ctx)
        return super().parse_args(ctx, args)

    def _unknown(self, ctx: click.Context, args: list[str]) -> Iterator[str]:
        """Each word that is neither an option, nor the value of one, nor an argument."""
        options = self._options(ctx)
        words = iter(args)
        for word in words:
            name, assigned, _ = word.partition("=")
            option = options.get(name if word.startswith("--") else word)
            if word == "--":
                return
            if option:
                if not (option.is_flag or option.count or assigned):
                    next(words, None)
            elif word in _INSTEAD or (word.startswith("-") and word != "-"):
                yield name if word.startswith("--") else word

    def _options(self, ctx: click.Context) -> dict[str, click.Option]:
        return {
            name: parameter
            for parameter in self.get_params(ctx)
            if isinstance(parameter, click.Option)
            for name in parameter.opts
        }
