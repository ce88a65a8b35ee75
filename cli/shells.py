r"""Completion in bash, zsh and fish: click's protocol, made to survive what they do to words.

Bash cuts `nginx:latest` into three words and replaces only the last, so the whole line is split
here, by a shell's rules, and of each answer only what bash will replace is given back. What goes on is
completed without the space that would end it: a directory, a name up to its colon, a filter up to its
value; fish sees by itself that these go on. A shell replaces the whole of `--option=value`, so the option is
given back too.

Source: bash(1), COMP_WORDBREAKS and "Programmable Completion"; zshcompwid(1), compadd.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from click.shell_completion import (
    BashComplete,
    FishComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["BashWithColons", "FishWithOptions", "ZshWithoutSpaces", "register"]

_BASH = """\
%(complete_func)s() {
    local kind value
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                COMPREPLY+=("$value")
                [[ $value != *[/:=] ]] || compopt -o nospace
                ;;
        esac
    done < <(COMP_WORDS=${COMP_LINE:0:COMP_POINT} COMP_WORDBREAKS=$COMP_WORDBREAKS \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local kind value help
    local -a whole begun
    for kind value help in "${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
            %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}"; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain)
                if [[ $value == *[/:=] ]]; then begun+=("$value"); else whole+=("$value"); fi
                ;;
        esac
    done
    (( ! $#whole )) || compadd -U -V unsorted -a whole
    (( ! $#begun )) || compadd -U -S '' -V unsorted -a begun
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_CURSOR = "\x1f"
_BREAKS = "@=:"
_SPECIAL = re.compile(r"([^\w@%+=:,./~-])")


def _whole(typed: str, item: CompletionItem) -> str:
    """What replaces the whole word: of `--option=value` click completes the value alone."""
    option, equals, _ = typed.partition("=")
    value = str(item.value)
    is_value = typed.startswith("-") and equals and not value.startswith(typed)
    return f"{option}={value}" if is_value else value


class BashWithColons(BashComplete):
    """What the function in `source_template` asks."""

    name = "bash"
    source_template = _BASH
    _typed = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and what is typed of the one it is in."""
        words = split_arg_string(os.environ["COMP_WORDS"] + _CURSOR)
        self._typed = words[-1].removesuffix(_CURSOR)
        return words[1:-1], self._typed

    def format_completion(self, item: CompletionItem) -> str:
        """An answer: its kind, and what replaces the part of the word that bash sees."""
        breaks = [char for char in _BREAKS if char in os.environ.get("COMP_WORDBREAKS", _BREAKS)]
        kept = max((self._typed.rfind(char) + 1 for char in breaks), default=0)
        value = _whole(self._typed, item)
        seen_whole = value.startswith(self._typed[:kept])
        quoted = _SPECIAL.sub(r"\\\1", value[kept:] if seen_whole else value)
        return f"{item.type},{quoted}"


class ZshWithoutSpaces(ZshComplete):
    """Click's own, but for the function that asks."""

    name = "zsh"
    source_template = _ZSH
    _typed = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and what is typed of the one it is in."""
        words, self._typed = super().get_completion_args()
        return words, self._typed

    def format_completion(self, item: CompletionItem) -> str:
        """An answer, in three lines."""
        return f"{item.type}\n{_whole(self._typed, item)}\n_"


class FishWithOptions(FishComplete):
    """Click's own, but for values behind an equals sign."""

    name = "fish"
    _typed = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and what is typed of the one it is in."""
        words, self._typed = super().get_completion_args()
        return words, self._typed

    def format_completion(self, item: CompletionItem) -> str:
        """An answer, in a line."""
        return f"{item.type},{_whole(self._typed, item)}"


def register() -> None:
    """Take the place of click's own completions."""
    add_completion_class(BashWithColons)
    add_completion_class(ZshWithoutSpaces)
    add_completion_class(FishWithOptions)
