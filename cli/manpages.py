r"""Manual pages, made from the texts of `--help`: `layerfs.1`, and a page for each command.

Run when the package is built (`setup.py`), so that the pages are never outdated. Source: man(7).
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import click

from .main import COMMANDS, cli, load
from .spellings import GROUPS, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["manual_pages"]

EXIT_STATUS = {
    0: "Fine.",
    1: "Done, and there is something: differences, findings, a limit exceeded, damage that leaves the answer "
    "incomplete, a file that could not be read or copied.",
    2: "Wrong usage.",
    3: "No such image, container or layer, or an ambiguous name.",
    4: "No readable store of images, or its kind has no such thing.",
    5: "A file of the data root that is needed is missing or damaged.",
    6: "A path inside the tree is not there, or cannot be read.",
    7: "Mounting or unmounting failed.",
    70: "A bug in layerfs.",
    74: "The host refused, for example as its disk is full.",
    130: "Interrupted.",
    141: "The reader of the output went away.",
}

_NAMES = (
    "A NAME is a container (name, ID), an image (a reference, an ID) or a layer (chain ID, diff ID, cache "
    "ID, short link, digest of its blob), or the beginning of an ID: looked for in this order. IMAGE@N is "
    "the image as of its layer N; layers are numbered from 1, the base. NAME:/PATH is a path in its tree, "
    "and the same as NAME PATH."
)

_CARRIED = (
    "A NAME may carry its store, and then needs no --root: docker-archive:FILE[:REF], oci:DIR[:REF], "
    "oci-archive:FILE[:REF], dir:DIR, a path that begins with /, ./ or ../, as ./app.tar[:REF], or - for "
    "standard input. Without REF the only image is meant. Where --root names a store with one image, no NAME "
    "is needed."
)

_ESCAPES = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
_CODE = re.compile(r"`([^`]+)`")


def manual_pages(version: str) -> dict[str, str]:
    """The text of every page by the name of its file, for this version of layerfs."""
    pages = {"layerfs.1": _main_page(version)}
    pages |= {f"layerfs-{name}.1": _page(name, load(name), version) for name in COMMANDS}
    for word, seconds in GROUPS.items():
        for second, (name, *_) in seconds.items():
            if name not in COMMANDS:
                pages[f"layerfs-{word}-{second}.1"] = _page(f"{word} {second}", load(name), version)
    return pages


def _page(name: str, command: click.Command, version: str) -> str:
    """The page of one command."""
    title, _, rest = inspect.cleandoc(command.help or "").partition("\n\n")
    context = click.Context(command, info_name=f"layerfs {name}", help_option_names=["-h", "--help"])
    sections = {
        "SYNOPSIS": _synopsis(context),
        "DESCRIPTION": [_text(title.rstrip(".") + "."), *_paragraphs(rest)],
        "OPTIONS": [*_options(context), ".PP", _marked(command.epilog or "")],
        "SEE ALSO": [r"\fBlayerfs\fR(1)"],
    }
    return _assembled(f"layerfs-{name.replace(' ', '-')}", title.rstrip("."), sections, version)


def _main_page(version: str) -> str:
    """The page of layerfs, which refers to the others."""
    context = click.Context(cli, info_name="layerfs")
    title = inspect.cleandoc(cli.help or "").rstrip(".")
    words = [*WORDS, *(f"{word} {second}" for word, seconds in GROUPS.items() for second in seconds)]
    sections = {
        "SYNOPSIS": _synopsis(context),
        "DESCRIPTION": [
            _text(_NAMES),
            ".PP",
            _text(_CARRIED),
            ".PP",
            _text(f"Docker's own words are taken too: {', '.join(words)}."),
        ],
        "COMMANDS": [
            line for name, about in COMMANDS.items() for line in _entry(f"layerfs-{name}", about, "(1)")
        ],
        "OPTIONS": _options(context),
        "EXIT STATUS": [line for code, about in EXIT_STATUS.items() for line in _entry(str(code), about)],
        "ENVIRONMENT": [
            *_entry("LAYERFS_ROOT", "The store, as --root."),
            *_entry("LAYERFS_METADATA", "Where attributes come from, as --metadata."),
            *_entry("LAYERFS_DEBUG", "Show where in layerfs an error comes from."),
        ],
    }
    return _assembled("layerfs", title, sections, version)


def _assembled(name: str, title: str, sections: dict[str, list[str]], version: str) -> str:
    lines = [
        f'.TH "{_text(name.upper())}" "1" "" "layerfs {_text(version)}" "layerfs"',
        ".SH NAME",
        rf"{_text(name)} \- {_text(title)}",
    ]
    for heading, content in sections.items():
        lines += [f".SH {heading}", *content]
    return "\n".join(lines) + "\n"


def _synopsis(context: click.Context) -> list[str]:
    pieces = context.command.collect_usage_pieces(context)
    return [rf"\fB{_text(context.info_name or '')}\fR {_text(' '.join(pieces))}"]


def _options(context: click.Context) -> list[str]:
    options = [item for item in context.command.get_params(context) if isinstance(item, click.Option)]
    records = [option.get_help_record(context) for option in options]
    return [line for record in records if record for line in _entry(*record)]


def _entry(term: str, about: str, behind: str = "") -> list[str]:
    """A term and what it means."""
    return [".TP", rf"\fB{_text(term)}\fR{behind}", _marked(about)]


def _paragraphs(text: str) -> Iterator[str]:
    r"""The paragraphs of a help text; a paragraph that begins with click's mark `\b` keeps its lines."""
    for paragraph in filter(None, text.split("\n\n")):
        if paragraph.startswith("\b"):
            yield from (".PP", ".nf", *map(_text, paragraph.removeprefix("\b\n").split("\n")), ".fi")
        else:
            yield from (".PP", _marked(" ".join(paragraph.split())))


def _marked(text: str) -> str:
    """Text as troff, with the parts in backquotes in bold."""
    parts = _CODE.split(text)
    return "".join(rf"\fB{_text(part)}\fR" if at % 2 else _text(part) for at, part in enumerate(parts))


def _text(text: str) -> str:
    """Text with everything escaped that has a meaning in troff."""
    escaped = "".join(_ESCAPES.get(char) or _ascii(char) for char in text)
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def _ascii(char: str) -> str:
    return char if char.isascii() else f"\\[u{ord(char):04X}]"
