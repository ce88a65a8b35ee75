r"""Completion in bash, zsh and fish: click's, adapted to how these shells split and replace words.

Bash splits `nginx:latest` into three words and replaces only the last. So the whole line is split here, by a
shell's rules, and only the part of each answer is printed that bash will replace. After an answer that the
user will continue (a directory, a name up to its colon, a filter up to its value) there is no space; fish
does that by itself. A shell replaces the whole of `--option=value`, so the answer has the option too.

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
    """The text for the whole word: click completes only the value of `--option=value`."""
    option, equals, _ = typed.partition("=")
    value = str(item.value)
    is_value = typed.startswith("-") and equals and not value.startswith(typed)
    return f"{option}={value}" if is_value else value


class BashWithColons(BashComplete):
    """Bash: answers the function in `source_template`."""

    name = "bash"
    source_template = _BASH
    _typed = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and what is typed of the one it is in."""
        words = split_arg_string(os.environ["COMP_WORDS"] + _CURSOR)
        self._typed = words[-1].removesuffix(_CURSOR)
        return words[1:-1], self._typed

    def format_completion(self, item: CompletionItem) -> str:
        """One answer: its kind, and the text for the part of the word that bash replaces."""
        breaks = [char for char in _BREAKS if char in os.environ.get("COMP_WORDBREAKS", _BREAKS)]
        kept = max((self._typed.rfind(char) + 1 for char in breaks), default=0)
        value = _whole(self._typed, item)
        seen_whole = value.startswith(self._typed[:kept])
        quoted = _SPECIAL.sub(r"\\\1", value[kept:] if seen_whole else value)
        return f"{item.type},{quoted}"


class ZshWithoutSpaces(ZshComplete):
    """Zsh: as in click, with another function in the shell."""

    name = "zsh"
    source_template = _ZSH
    _typed = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and what is typed of the one it is in."""
        words, self._typed = super().get_completion_args()
        return words, self._typed

    def format_completion(self, item: CompletionItem) -> str:
        """One answer, in three lines."""
        return f"{item.type}\n{_whole(self._typed, item)}\n_"


class FishWithOptions(FishComplete):
    """Fish: as in click, but values after an equals sign are completed too."""

    name = "fish"
    _typed = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and what is typed of the one it is in."""
        words, self._typed = super().get_completion_args()
        return words, self._typed

    def format_completion(self, item: CompletionItem) -> str:
        """One answer, in one line."""
        return f"{item.type},{_whole(self._typed, item)}"


def register() -> None:
    """Replace click's own completions."""
    add_completion_class(BashWithColons)
    add_completion_class(ZshWithoutSpaces)
    add_completion_class(FishWithOptions)
