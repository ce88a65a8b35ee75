"""What is said of an argument too many: what the command takes, and which one may be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

__all__ = ["advice"]

_OF_ONE = {
    "containers": "`layerfs inspect {}` shows one",
    "doctor": "`layerfs verify {}` checks one image",
    "du": "`layerfs inspect --size {}` is about one",
}
"""For commands about the whole store, what is about one thing."""


def advice(context: click.Context, message: str, words: Sequence[str]) -> str:
    """The end of click's message about arguments too many.

    Args:
        context: of the command.
        message: click's, which names them.
        words: behind the command's name, as typed.
    """
    name = context.info_name or ""
    first = message.partition("(")[2].rstrip(")").split(" ")[0]
    shown = context.command.collect_usage_pieces(context)[1:]  # the first is for all options
    takes = " ".join(shown) or "no NAME"
    if len(shown) == 1 and not shown[0].endswith("..."):
        takes = f"one {shown[0].strip('[]')}: ask for each by itself"
    if name == "dockerfile" and {"-f", "--force"} & set(words):
        return "; -f is --force here: no Dockerfile is read, one is made of the history. -o FILE writes it"
    if first.startswith("/") and any("IMAGE" in text or "NAME" in text for text in shown):
        return f"; {name} takes no PATH. Of one path, `layerfs blame NAME {first}` tells the layers"
    other = f"; {_OF_ONE[name].format(first)}" if name in _OF_ONE else ""
    return f"; {name} takes {takes}{other}"
