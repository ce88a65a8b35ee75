"""What every screen has: where one is, a message line, the keys in the footer, and what each key does."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Input

from ..escape import printable
from ..messages import way_out
from .moves import Moves
from .rowsview import Line, RowsView, Words
from .spans import Span, cut_middle, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    from textual.app import ComposeResult
    from textual.events import Key as Pressed

    from .app import Explorer
    from .reader import Ticket

    _T = TypeVar("_T")

__all__ = ["Place", "command_line"]


class Place(Moves, Screen[None], inherit_bindings=False):
    """A screen with panes of rows; the table of keys says which method `do_…` a key calls."""

    DEFAULT_CSS = """
    Place { background: ansi_default; color: ansi_default; layout: vertical; overflow: hidden; }
    Place #body { height: 1fr; }
    Place RowsView { background: ansi_default; color: ansi_default; }
    Place #about { height: 2; background: ansi_default; color: ansi_default; }
    Place.tall #about { height: 4; }
    Place Line { background: ansi_default; color: ansi_default; }
    Place #typed, Place #typed:focus { display: none; height: 1; border: none; padding: 0;
        background: ansi_default; color: ansi_default; }
    Place.asking #typed, Place.asking #typed:focus { display: block; }
    """
    AUTO_FOCUS = "RowsView"

    def __init__(self) -> None:
        """A screen that says nothing yet."""
        super().__init__()
        self._message = ""
        self._awaited: dict[str, str] = {}
        self._then: Callable[[str], None] = self.say
        self._before: str | None = None

    @property
    def explorer(self) -> Explorer:
        """The app."""
        from .app import Explorer

        assert isinstance(self.app, Explorer)  # noqa: S101 - these screens are of no other app
        return self.app

    # -- what is on it ---------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Where one is, the panes, what is said, the keys."""
        yield Line(id="where")
        yield Line(id="tabs")
        with Horizontal(id="body"):
            yield from self.panes()
        yield Words(id="about")
        yield Line(id="message")
        yield Line(id="keys")
        yield Input(id="typed", compact=True)

    def panes(self) -> Iterator[RowsView]:
        """The lists of this screen."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Draw the frame, then begin to read."""
        self.query_one("#tabs").display = bool(self.tabs())
        self.draw()
        self.call_after_refresh(self.begin)

    def begin(self) -> None:
        """Read what is shown."""

    def where(self) -> Sequence[str]:
        """Where one is: what the first line says, from the root to here."""
        return ()

    def facts(self) -> str:
        """What is right of that."""
        return ""

    def about(self) -> str:
        """The line about what the cursor is on."""
        return ""

    @property
    def view(self) -> RowsView:
        """The pane that has the keys."""
        focused = self.focused
        return focused if isinstance(focused, RowsView) else self.query_one(RowsView)

    @property
    def pane(self) -> str:
        """Its name in the table of keys."""
        return self.view.pane

    def draw(self) -> None:
        """Draw all lines around the panes."""
        width = self.app.size.width
        path = " > ".join(visible(word) for word in self.where())
        facts = "  ".join(filter(None, ("changed: F5" if self.explorer.stale else "", self.facts())))
        room = width - 2 - (len(facts) + 2 if facts and len(facts) < width // 2 else 0)
        words = [Span(f" {cut_middle(path, room)} ", "bar-key")]
        if room < width - 2:
            words.append(
                Span(" " * max(0, width - 2 - len(words[0].text) - len(facts) + 1) + facts + " ", "bar")
            )
        self.query_one("#where", Line).show(*words)
        self.query_one("#about", Words).show(self.about())
        said = next(iter(self._awaited.values()), "") or self._message
        self.query_one("#message", Line).show(Span(said, "error" if self._message else "dim"))
        self._draw_tabs()
        self._draw_keys(width)

    def _draw_tabs(self) -> None:
        spans: list[Span] = []
        for number, name in enumerate(self.tabs(), 1):
            style = "tab-on" if number - 1 == self.tab else "tab"
            spans += [Span(f" {number} {name} ", style, f"tab_{number}"), Span(" ")]
        self.query_one("#tabs", Line).show(*spans)

    def _draw_keys(self, width: int) -> None:
        shown = self.explorer.keymap.footer(self.pane)
        while sum(len(key.shown.split()[0]) + len(key.short) + 3 for key in shown) > width and len(shown) > 1:
            del shown[-2]
        spans: list[Span] = []
        for key in shown:
            spans.append(Span(f" {key.shown.split()[0]}", "bold", key.action))
            spans.append(Span(f" {key.short} ", "", key.action))
        self.query_one("#keys", Line).show(*spans)

    # -- what is said ----------------------------------------------------------------------------

    def copy_path(self, path: bytes) -> None:
        """Copy a path to the clipboard, and show it; not one with bytes that nobody should paste."""
        text = os.fsdecode(path)
        if not text.isprintable():
            self.say("the path holds bytes that should not be pasted: not copied")
            return
        self.app.copy_to_clipboard(text)
        self.say(text)

    def say(self, text: str) -> None:
        """Say something in the message line, until the next key."""
        self._message = text
        self.draw()

    def tell(self, error: Exception) -> None:
        """Say what was refused, and what helps."""
        from layerfs.errors import LayerfsError, reason

        if not isinstance(error, (LayerfsError, OSError, ValueError)):
            raise error
        hint = way_out(error)
        self.say(reason(error) + (f" ({hint})" if hint else ""))

    def ask(
        self,
        work: Callable[[Ticket], _T],
        answer: Callable[[_T], None],
        *,
        key: str,
        awaiting: str = "reading … (Esc: give up)",
        wait: float | None = None,
    ) -> None:
        """Work beside the screen; what is awaited is said until the answer comes."""

        def answered(result: _T) -> None:
            self._awaited.pop(key, None)
            answer(result)
            if self.is_attached:
                self.draw()

        def failed(error: Exception) -> None:
            self._awaited.pop(key, None)
            self.tell(error)

        self._awaited.pop(key, None)
        if awaiting:
            self._awaited[key] = awaiting
        named = (id(self), key)
        if wait is None:
            self.explorer.reader.ask(named, work, answered, failed)
        else:
            self.explorer.reader.ask(named, work, answered, failed, wait=wait)
        self.draw()

    # -- keys ------------------------------------------------------------------------------------

    def on_key(self, event: Pressed) -> None:
        """Do what the table says; a key that it does not have is answered by a line."""
        if self.takes_text(event):
            return
        event.stop()
        event.prevent_default()
        pressed = event.character if event.is_printable and event.key != "space" else event.key
        row = self.explorer.keymap.find(self.pane, pressed or event.key)
        self._message = ""
        if row is None:
            self.say(f"{printable(event.key)} is no key here; ? shows all")
        else:
            self.do(row.action)

    # -- what is typed ---------------------------------------------------------------------------

    def ask_for(self, hint: str, then: Callable[[str], None]) -> None:
        """Let the user type a line, and call `then` with it; `hint` says what is wanted."""
        self._then, self._before = then, self.view.id
        typed = self.query_one("#typed", Input)
        typed.value, typed.placeholder = "", hint
        self.add_class("asking")
        typed.focus()

    def takes_text(self, event: Pressed) -> bool:
        """Whether a key belongs to what is being typed: then only Esc and Ctrl+C are keys of the screen."""
        if not self.has_class("asking") or event.key == "ctrl+c":
            return False
        if event.key == "escape":
            self._typed_enough()
        return True

    def _typed_enough(self) -> None:
        self.remove_class("asking")
        self.query_one(f"#{self._before}" if self._before else RowsView).focus()
        self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Do what was typed for."""
        self._typed_enough()
        self._then(event.value)

    def moved(self, view: RowsView) -> None:
        """The cursor of a pane is on another row."""

    def fit(self) -> None:
        """The terminal has another size."""

    def do(self, action: str) -> None:
        """Do what a key, a click or the help asks for."""
        getattr(self, f"do_{action}")()
        if self.is_current:
            self.draw()

    def on_line_asked(self, message: Line.Asked) -> None:
        """Do what was clicked."""
        self._message = ""
        self.do(message.action)

    def on_rows_view_moved(self, message: RowsView.Moved) -> None:
        """Tell of another row."""
        self.moved(message.view)
        self.draw()

    def on_rows_view_chosen(self, message: RowsView.Chosen) -> None:  # noqa: ARG002 - Textual's
        """Open what was clicked twice."""
        self.do("open")

    def on_descendant_focus(self) -> None:
        """Show the keys of another pane."""
        self.draw()

    def on_resize(self) -> None:
        """Fit the lines."""
        self.set_class(self.app.size.height >= 30, "tall")
        self.fit()
        self.draw()

    def do_back(self) -> None:
        """Give up what is awaited; else go up."""
        if self._awaited:
            self.explorer.reader.cancel_all()
            self._awaited.clear()
            self.say("given up")
        elif self.explorer.depth > 1:
            self.explorer.reader.cancel_all()
            self.explorer.pop_screen()
        else:
            self.say("this is the first screen; q quits")

    def do_back_or_quit(self) -> None:
        """Go up; from the first screen quit."""
        if self.explorer.depth > 1:
            self.explorer.reader.cancel_all()
            self.explorer.pop_screen()
        else:
            self.explorer.exit()

    def do_quit(self) -> None:
        """Quit at once."""
        self.explorer.exit()

    def do_suspend(self) -> None:
        """Back to the shell."""
        self.explorer.action_suspend_process()

    def do_help(self) -> None:
        """Show the keys of this pane."""
        from .overlays import HelpScreen

        self.explorer.push_screen(HelpScreen(self))

    # -- copying to the clipboard ----------------------------------------------------------------

    def command(self) -> Sequence[str]:
        """The words behind `layerfs` that print what this pane shows."""
        return ()

    def do_copy_command(self) -> None:
        """Copy the command, and say it, as a terminal may not take it."""
        line = command_line(self.explorer.root_words, self.command())
        if line is None:
            self.say("a name in it holds bytes that no command line should: not copied")
        else:
            self.app.copy_to_clipboard(line)
            self.say(line)


def command_line(root: Sequence[str], words: Sequence[str]) -> str | None:
    """A command of layerfs as one would type it; None if a name in it is not plainly visible."""
    line = shlex.join(["layerfs", *root, *words])
    return line if line.isprintable() else None
