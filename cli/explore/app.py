"""The browser: which screen is open, the work beside it, and the way back to the terminal."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from textual.app import App
from textual.binding import Binding

from .imagescreen import ImageScreen
from .overlays import CompareScreen
from .reader import Reader
from .rootscreen import RootScreen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.binding import BindingType

    from layerfs.store import Store

    from .opening import Stack
    from .reader import Answer

    Explain: TypeAlias = Callable[[Stack, bytes], Sequence[str]]

__all__ = ["Explorer", "explore"]


class Explorer(App[None], inherit_bindings=False):
    """Shows one store.

    Attributes:
        reader: the work beside the screen.
        root_words: the options of a command line that choose this store.
        explain: the lines of why a path is there, or not.
    """

    ENABLE_COMMAND_PALETTE = False
    TITLE = "layerfs"
    CSS = "Screen { background: ansi_default; color: ansi_default; }"
    ESCAPE_TO_MINIMIZE: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        # also while something is typed, where these keys would be those of the line
        Binding("ctrl+c", "leave", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
    ]

    def __init__(
        self,
        store: Store,
        stack: Stack | None,
        root_words: Sequence[str],
        reopen: Callable[[], Store],
        explain: Explain,
    ) -> None:
        """Show a store, or something in it at once.

        Args:
            store: the store.
            stack: what to open first, if anything.
            root_words: the options that choose the store.
            reopen: reads the store anew.
            explain: gives the lines of why a path is there, or not.
        """
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.store = store
        self.root_words = root_words
        self.reader = Reader(self)
        self._stack = stack
        self._reopen = reopen
        self.explain = explain
        self._root_screen = RootScreen(store)

    @property
    def depth(self) -> int:
        """How many screens lie over each other."""
        return len(self.screen_stack) - 1

    def on_mount(self) -> None:
        """Open the first screen."""
        self.push_screen(self._root_screen)
        if self._stack is not None:
            self.open_image(self._stack)

    def action_leave(self) -> None:
        """Quit at once."""
        self.exit()

    def open_image(self, stack: Stack) -> None:
        """Show an image."""
        self.push_screen(ImageScreen(stack))

    def open_comparison(self, before: Stack, after: Stack) -> None:
        """Show what differs between two images."""
        self.push_screen(CompareScreen(before, after))

    def reopen(self) -> None:
        """Read the store anew."""

        def answer(store: Store) -> None:
            self.store = store
            self._root_screen.renew(store)

        self.reader.ask("reopen", lambda _ticket: self._reopen(), answer, self._root_screen.tell)

    def on_answer(self, message: Answer) -> None:
        """Take the end of some work."""
        message.deliver()


def explore(
    store: Store,
    stack: Stack | None,
    root_words: Sequence[str],
    reopen: Callable[[], Store],
    explain: Explain,
) -> None:
    """Run the browser until its user leaves it; the terminal is as before, however that ends."""
    app = Explorer(store, stack, root_words, reopen, explain)
    logger = logging.getLogger("layerfs")
    before = logger.propagate, logger.handlers[:]
    logger.handlers[:] = [logging.NullHandler()]  # a line on standard error would tear the screen
    ended = signal.signal(signal.SIGTERM, lambda *_: app.exit(return_code=128 + signal.SIGTERM))
    hung_up = signal.signal(signal.SIGHUP, lambda *_: app.exit(return_code=128 + signal.SIGHUP))
    try:
        app.run()
    finally:
        signal.signal(signal.SIGTERM, ended)
        signal.signal(signal.SIGHUP, hung_up)
        logger.propagate, logger.handlers[:] = before
    if app.return_code:
        raise SystemExit(app.return_code)
