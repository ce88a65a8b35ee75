"""A list of any length that draws only the lines that are seen: `RowsView`, over a `RowModel`.

The lists of Textual hold an object of their own for each row; a hundred thousand take seconds. Here a row is
asked for when its line is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBarRender
from textual.widget import Widget

from .spans import Span, is_only_ascii, strip, width_of, wrapped
from .theme import CURSOR, CURSOR_ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.events import Click
    from textual.strip import Strip

__all__ = ["Line", "RowModel", "RowsView", "TextRows", "Words"]


class RowModel(Protocol):
    """What a `RowsView` shows."""

    def __len__(self) -> int:
        """How many rows there are."""

    def heading(self, width: int) -> Sequence[Span]:
        """The line above the rows; none for an empty sequence."""

    def row(self, index: int, width: int) -> Sequence[Span]:
        """One row, laid out for a width."""


class TextRows:
    """Lines of text as rows."""

    def __init__(self, lines: Sequence[str], style: str = "") -> None:
        """Show `lines`."""
        self._lines = lines
        self._style = style

    def __len__(self) -> int:
        """How many lines."""
        return len(self._lines)

    def heading(self, width: int) -> Sequence[Span]:  # noqa: ARG002 - it has none
        """None."""
        return ()

    def row(self, index: int, width: int) -> Sequence[Span]:  # noqa: ARG002 - lines are cut where drawn
        """One line."""
        return (Span(self._lines[index], self._style),)


class Line(Widget):
    """One line of spans; a click on a span with an action asks the screen for it."""

    DEFAULT_CSS = "Line { height: 1; }"

    class Asked(Message):
        """A span with an action was clicked."""

        def __init__(self, action: str) -> None:
            """Ask for an action of the screen."""
            super().__init__()
            self.action = action

    def __init__(self, spans: Sequence[Span] = (), *, id: str | None = None) -> None:  # noqa: A002 - Textual's
        """Show `spans`."""
        super().__init__(id=id)
        self.spans = tuple(spans)

    def show(self, *spans: Span) -> None:
        """Show other spans."""
        if spans != self.spans:
            self.spans = spans
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line."""
        if y or not self.spans:
            return strip((), self.size.width)
        rest = self.size.width - width_of(self.spans)
        filled = Span(" " * rest, "bar") if rest > 0 and self.spans[-1].style.startswith("bar") else Span("")
        return strip((*self.spans, filled), self.size.width)

    def on_click(self, event: Click) -> None:
        """Ask for what was clicked."""
        at = 0
        for span in self.spans:
            at += width_of((span,))
            if event.x < at:
                if span.action:
                    self.post_message(self.Asked(span.action))
                return


class Words(Widget):
    """A text over as many lines as the widget has; what does not fit ends in an ellipsis."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's
        """No text."""
        super().__init__(id=id)
        self.text = ""

    def show(self, text: str) -> None:
        """Show another text."""
        if text != self.text:
            self.text = text
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line."""
        lines = wrapped(self.text, self.size.width, self.size.height)
        return strip((Span(lines[y]),) if y < len(lines) else (), self.size.width)


class PlainBar(ScrollBarRender):
    """A scroll bar that is drawn in whole cells, by colour alone."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8


class RowsView(ScrollView, can_focus=True, inherit_bindings=False):
    """The rows of a model, one of which the cursor is on."""

    DEFAULT_CSS = """RowsView { overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;
        scrollbar-color: ansi_bright_black; scrollbar-color-hover: ansi_bright_black;
        scrollbar-color-active: ansi_bright_black; scrollbar-background: ansi_default;
        scrollbar-background-hover: ansi_default; scrollbar-background-active: ansi_default; }"""

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, view: RowsView) -> None:
            """Tell of `view`."""
            super().__init__()
            self.view = view

    class Chosen(Message):
        """A row was clicked twice."""

        def __init__(self, view: RowsView) -> None:
            """Tell of `view`."""
            super().__init__()
            self.view = view

    def __init__(self, pane: str, *, id: str | None = None, keys: bool = True) -> None:  # noqa: A002 - Textual's
        """A list without rows; `pane` is its name in the table of keys, if it can be given the keys."""
        super().__init__(id=id)
        self.can_focus = keys
        self.pane = pane
        self.model: RowModel = TextRows(())
        self.cursor = 0

    def on_mount(self) -> None:
        """Draw the scroll bar with letters that the terminal has."""
        if is_only_ascii():
            self.vertical_scrollbar.renderer = PlainBar  # type: ignore[misc]

    def show(self, model: RowModel, cursor: int = 0) -> None:
        """Show another model, with the cursor on a row."""
        self.model = model
        self.changed(cursor)

    def changed(self, cursor: int | None = None) -> None:
        """Draw anew, as the model has other rows now."""
        self.virtual_size = Size(max(self.size.width, 1), len(self.model) + self._top)
        self.refresh()
        self.move_to(self.cursor if cursor is None else cursor)

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, or the nearest there is, and show it."""
        index = max(0, min(index, len(self.model) - 1))
        moved = index != self.cursor
        self.cursor = index
        if self.size.height:
            self.bring_into_view()
        if moved:
            self.refresh()
        self.post_message(self.Moved(self))

    def bring_into_view(self) -> None:
        """Scroll as far as is needed to see the cursor."""
        page = self.page
        first = round(self.scroll_y)
        if self.cursor < first:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= first + page:
            self.scroll_to(y=self.cursor - page + 1, animate=False, immediate=True)

    @property
    def _top(self) -> int:
        """The lines of the heading."""
        return 1 if self.model.heading(max(self.size.width, 1)) else 0

    @property
    def page(self) -> int:
        """How many rows are seen at once."""
        return max(self.size.height - self._top, 1)

    def on_resize(self) -> None:
        """Keep the cursor in view."""
        self.virtual_size = Size(max(self.size.width, 1), len(self.model) + self._top)
        self.bring_into_view()

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        width = self.scrollable_content_region.width
        heading = self.model.heading(width)
        if heading:
            if y == 0:
                return strip(heading, width)
            y -= 1
        index = round(self.scroll_y) + y
        if index >= len(self.model):
            return strip((), width)
        style = None
        if index == self.cursor and self.can_focus:
            style = CURSOR if self.has_focus else CURSOR_ELSEWHERE
        return strip(self.model.row(index, width), width, style)

    def on_focus(self) -> None:
        """Show the cursor as that of the pane with the keys."""
        self.refresh()

    def on_blur(self) -> None:
        """Show the cursor as that of another pane."""
        self.refresh()

    def on_click(self, event: Click) -> None:
        """Put the cursor where the mouse is; a double click opens."""
        index = round(self.scroll_y) + event.y - self._top
        if 0 <= index < len(self.model) and event.y >= self._top and self.can_focus:
            self.focus()
            self.move_to(index)
            if event.chain == 2:
                self.post_message(self.Chosen(self))
