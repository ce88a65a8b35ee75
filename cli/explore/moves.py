"""The keys that move: the cursor within a pane, and from tab to tab."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .rowsview import RowsView

__all__ = ["Moves"]


class Moves:
    """What a screen does for keys that move.

    Attributes:
        tab: the number of the tab that is shown, from 0.
    """

    tab = 0

    @property
    def view(self) -> RowsView:
        """The pane that has the keys."""
        raise NotImplementedError

    def tabs(self) -> Sequence[str]:
        """The names of the tabs; none for a screen without."""
        return ()

    def do_up(self) -> None:
        """One line up."""
        self.view.move_to(self.view.cursor - 1)

    def do_down(self) -> None:
        """One line down."""
        self.view.move_to(self.view.cursor + 1)

    def do_page_up(self) -> None:
        """One page up."""
        self.view.move_to(self.view.cursor - self.view.page)

    def do_page_down(self) -> None:
        """One page down."""
        self.view.move_to(self.view.cursor + self.view.page)

    def do_first(self) -> None:
        """To the first line."""
        self.view.move_to(0)

    def do_last(self) -> None:
        """To the last line."""
        self.view.move_to(len(self.view.model) - 1)

    def show_tab(self, number: int) -> None:
        """Show a tab, counted from 0."""
        raise NotImplementedError

    def do_tab_1(self) -> None:
        """The first tab."""
        self.show_tab(0)

    def do_tab_2(self) -> None:
        """The second tab."""
        self.show_tab(1)

    def do_tab_3(self) -> None:
        """The third tab."""
        self.show_tab(2)

    def do_tab_4(self) -> None:
        """The fourth tab."""
        self.show_tab(3)

    def do_tab_5(self) -> None:
        """The fifth tab."""
        self.show_tab(4)

    def do_next_tab(self) -> None:
        """The next tab."""
        self.show_tab((self.tab + 1) % len(self.tabs()))

    def do_previous_tab(self) -> None:
        """The tab before."""
        self.show_tab((self.tab - 1) % len(self.tabs()))
