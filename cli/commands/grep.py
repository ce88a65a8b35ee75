"""`layerfs grep`: lines of files that match patterns, in one tree or in every layer of a root."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..colors import color_option, colored
from ..emit import emit
from ..grepoptions import Given, grep_options, matcher_for, patterns_of
from ..main import FINDINGS
from ..messages import say
from ..options import choice, exclude_option, format_option, include_option, root_option, type_option
from ..places import Words, complete_words, open_place
from ..progress import clear_bar, progress
from ..rows.entries import Complaints, escaped
from ..rows.matches import Printer, Row, Shown, Source, match_table
from ..rows.searched import Texts, Where, selection_of, texts_in_root, texts_in_tree
from ..stores import open_root
from ..subjects import KINDS, layer_options, open_subject, tree_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from click.shell_completion import CompletionItem

    from layerfs.analysis.grep.lines import Wanted
    from layerfs.analysis.grep.matcher import Matcher
    from layerfs.analysis.grep.searching import Found

__all__ = ["command"]


def _complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Complete NAME and PATH; a PATTERN is not completed."""
    words = context.params.get("words") or ()
    if not (context.params.get("regexp") or context.params.get("file")):
        if not words:
            return []
        words = words[1:]
    return complete_words(context, parameter, words, typed)


@click.command("grep")
@click.argument("words", metavar="PATTERN NAME [PATH]...|--all PATTERN", nargs=-1, shell_complete=_complete)
@click.option("--all", "everywhere", is_flag=True, help="Search every layer of the data root, each once.")
@click.option("--deleted", is_flag=True, help="Search what later layers hide, and only that.")
@click.option(
    "--all-versions", "every", is_flag=True, help="Search what the tree shows, and what layers hide."
)
@click.option("--configs", is_flag=True, help="Search configs too: environment, labels, history, commands.")
@click.option("--everything", is_flag=True, help="The same as --all-versions --configs.")
@include_option
@exclude_option
@grep_options
@color_option
@format_option
@layer_options
@type_option(*KINDS, name="--kind")
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    everywhere: bool,
    deleted: bool,
    every: bool,
    configs: bool,
    everything: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    form: str,
    up_to: int | None,
    layer: int | None,
    kind: str | None,
    **options: Any,
) -> int:
    """Show the lines of files that match a pattern: in one tree, or in all layers of the root.

    NAME is an image, a container or a layer. Files are searched at and below each PATH, as by grep -r in its
    mount. Patterns and options are those of grep(1). Matching takes linear time, so there are no back
    references. `.` is a character of UTF-8 or any other byte; classes and words are ASCII's. Basic and
    extended expressions need RE2: pip install 'layerfs[grep]'.

    --all reads each layer once, however many images use it. What is found is named so that `layerfs cat`
    takes it: `NAME:/PATH`, or `NAME@N:/PATH` and the layer that hides it. --configs also searches the
    configs of images and containers.

    The exit code is 0 if a line fits, 1 if none does or a file cannot be read, 6 if it is a PATH.

    \b
    Examples:
      layerfs grep -i password nginx:latest /etc
      layerfs grep -rn 'listen  *80' nginx /etc/nginx
      layerfs grep -E -o '(AKIA|ASIA)[0-9A-Z]{16}' --everything app:1
      layerfs grep --all -l -F 'BEGIN RSA PRIVATE KEY'
      layerfs grep --all --configs --format json -i token
    """
    given = Given(**options)
    patterns, rest = patterns_of(given, words, str(choice(ctx, "syntax", "")))
    matcher = matcher_for(patterns)
    if (every or everything) and deleted:
        raise click.UsageError("--deleted and --all-versions exclude each other")
    versions = "hidden" if deleted else "all" if every or everything else "shown"
    output = _Output(given, form if ctx.get_parameter_source("form") != ParameterSource.DEFAULT else None)
    complaints = Complaints()
    where = Where(versions, configs or everything, selection_of(include, exclude))
    if not everywhere:
        texts = _in_one(ctx, rest, where, complaints, kind=kind, up_to=up_to, layer=layer)
    elif rest:
        raise click.UsageError(f"Got unexpected extra argument ({rest[0]}); --all takes a PATTERN only")
    elif (up_to, layer, kind) != (None, None, None):
        raise click.UsageError("--up-to, --layer and --kind need a NAME instead of --all")
    else:
        texts = texts_in_root(open_root(ctx), where, complaints)
    fitted = output.show(texts, matcher, complaints)
    if fitted and given.quiet:
        return 0
    return complaints.code or (0 if fitted else FINDINGS)


def _in_one(
    context: click.Context, words: Sequence[str], where: Where, complaints: Complaints, **chosen: Any
) -> Texts:
    """What is searched of the tree that words name; `chosen` are options of `open_subject`."""
    at = open_place(context, Words(tuple(words), "[PATH]..."))
    subject = open_subject(at.store, at.name, **chosen)
    complaints.ask(subject.tree, *map(tree_path, at.paths or ("/",)), follow=True)
    return texts_in_tree(subject, at.paths, where, complaints)


# -- what is shown -------------------------------------------------------------------------------


class _Output:
    """What is shown of what is found, and how."""

    def __init__(self, given: Given, form: str | None) -> None:
        self._given = given
        self._form = form
        listed = (given.files_with_matches, given.files_without_match, given.count, given.quiet)
        self._lines = not any(listed)
        self._fitted = False

    def wanted(self) -> Wanted:
        """What is to be found out of each text."""
        from layerfs.analysis.grep.lines import Wanted

        given = self._given
        names = given.files_with_matches or given.files_without_match or given.quiet
        near = given.context or 0
        before, after = given.before_context, given.after_context
        chosen = "text" if given.text else "without-match" if given.skip_binary else given.binary_files
        nothing = not self._lines or given.only_matching
        return Wanted(
            invert=given.invert_match,
            most=min(1, 1 if given.max_count is None else given.max_count) if names else given.max_count,
            before=0 if nothing else near if before is None else before,
            after=0 if nothing else near if after is None else after,
            binary=chosen or "binary",
            lines=self._lines,
            spans=self._form is not None or given.only_matching or colored(),
            numbers=self._form is not None or given.line_number,
        )

    def show(self, texts: Texts, matcher: Matcher, complaints: Complaints) -> bool:
        """Print what is found; whether anything was."""
        found = self._found(texts, matcher, complaints)
        if self._form is None or self._given.quiet:
            self._print(texts, found)
        else:
            given = self._given
            table = match_table(
                texts.store, whole=texts.whole, lines=self._lines, counts=given.count and not self._names
            )
            emit(table, self._rows(texts, found), self._form)
        return self._fitted

    @property
    def _names(self) -> bool:
        return self._given.files_with_matches or self._given.files_without_match

    def _found(self, texts: Texts, matcher: Matcher, complaints: Complaints) -> Iterator[Found]:
        from layerfs.analysis.grep.searching import searched

        wanted = self.wanted()
        if texts.whole:
            with progress(texts.found, texts.label, texts.steps) as layers:
                for layer in layers:
                    yield from searched(layer, matcher, wanted, complaints.add)
            return
        shows = sys.stderr.isatty() and not sys.stdout.isatty()
        listed = list(texts.found) if shows else texts.found  # a bar needs to know how many there are
        with progress(listed, texts.label) if shows else nullcontext(listed) as watched:
            yield from searched(watched, matcher, wanted, complaints.add)

    def _of(self, texts: Texts, found: Found) -> Iterator[tuple[Source, Any]]:
        """What there is to show of a text: lines of it, or None for the text itself."""
        if self._lines:
            source: Source | None = None
            for line in found.lines:
                source = source or texts.source(found.text)
                self._fitted = True
                yield source, line
        else:
            for _ in found.lines:
                pass
            count = found.search.count
            if self._given.files_without_match:
                shown = not count and not found.search.failed
            else:
                shown = bool(count) or (self._given.count and not self._names and not found.search.failed)
            self._fitted = self._fitted or (shown if self._given.files_without_match else bool(count))
            if shown and not self._given.quiet:
                yield texts.source(found.text), None
        if found.search.in_pieces:
            say(
                "note",
                f"{escaped(found.text.path)}: has lines of more than 16 MiB, searched in pieces of that size",
            )

    def _rows(self, texts: Texts, found: Iterable[Found]) -> Iterator[Row]:
        for item in found:
            for source, line in self._of(texts, item):
                if line is None:
                    yield Row(source, fitted=item.search.count if self._given.count else None)
                elif not (self._given.only_matching and not line.fits):
                    yield Row(source, line, spans=tuple(line.spans))

    def _print(self, texts: Texts, found: Iterable[Found]) -> None:
        """Print lines as grep(1)."""
        given = self._given
        names = given.with_filename or not (given.no_filename or texts.alone)
        printer = Printer(
            Shown(names, given.line_number, given.byte_offset, given.only_matching, zero=given.null)
        )
        wanted = self.wanted()
        grouped, between = bool(wanted.before or wanted.after), False
        for item in found:
            first = True
            for source, line in self._of(texts, item):
                clear_bar(sys.stdout)
                if line is None:
                    counts = given.count and not self._names
                    _write(printer.count(source, item.search.count) if counts else printer.file(source))
                elif line.text is None:
                    say("note", f"{os.fsdecode(printer.name(source))}: binary file matches")
                    between = True  # as grep has it
                else:
                    if grouped and between and (first or line.apart):
                        _write(printer.separator())
                    for text in printer.line(source, line):
                        _write(text)
                    between, first = True, False
            if self._fitted and given.quiet:
                return


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text)
