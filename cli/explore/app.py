"""The browser: which screen is open, the work beside it, and the way back to the terminal."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from textual.app import App
from textual.binding import Binding

from .imagescreen import ImageScreen
from .keys import KeyMap
from .overlays import CompareScreen
from .place import Place
from .reader import Reader
from .rootscreen import RootScreen
from .spans import is_only_ascii, lacks_utf8, only_ascii

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.binding import BindingType

    from layerfs.store import Store

    from .opening import Stack
    from .reader import Answer
    from .watching import Watch

    Explain: TypeAlias = Callable[[Stack, bytes, int], Sequence[str]]

__all__ = ["Explorer", "explore"]

BETWEEN_LOOKS = 3.0
"""Seconds between two looks at what was read of the root."""


class Explorer(App[None], inherit_bindings=False):
    """Shows one store.

    Attributes:
        reader: the work beside the screen.
        root_words: the options of a command line that choose this store.
        explain: the lines of why a path is there, or not.
        keymap: what keys do.
        stale: whether the root has changed since it was read.
    """

    ENABLE_COMMAND_PALETTE = False
    TITLE = "layerfs"
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    .ascii #left { border-right: ascii ansi_bright_black; }
    .ascii #preview { border-left: ascii ansi_bright_black; }
    """
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
        watch: Watch | None = None,
        keymap: KeyMap | None = None,
    ) -> None:
        """Show a store, or something in it at once.

        Args:
            store: the store.
            stack: what to open first, if anything.
            root_words: the options that choose the store.
            reopen: reads the store anew.
            explain: gives the lines of why a path is there, or not.
            watch: was told of what was read to open the store.
            keymap: what keys do.
        """
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.store = store
        self.root_words = root_words
        self.reader = Reader(self)
        self._stack = stack
        self._reopen = reopen
        self._watch = watch
        self.keymap = keymap or KeyMap()
        self.stale = False
        self.explain = explain
        self._root_screen = RootScreen(store)

    @property
    def depth(self) -> int:
        """How many screens lie over each other."""
        return len(self.screen_stack) - 1

    def on_mount(self) -> None:
        """Open the first screen."""
        self.set_class(is_only_ascii(), "ascii")
        self.push_screen(self._root_screen)
        self.set_interval(BETWEEN_LOOKS, self.look)
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

    def look(self) -> None:
        """Find out whether the root has changed since it was read; say so once."""
        watch, root = self._watch, self.store.path
        if watch is None or self.stale:
            return

        def answer(changed: bool) -> None:
            self.stale = changed
            if changed and isinstance(self.screen, Place):
                self.screen.say("the root has changed since it was read; F5 reads it anew")

        self.reader.ask("watch", lambda _ticket: watch.changed(root), answer, lambda _error: None, wait=0)

    def reopen(self, then: Callable[[Store], None]) -> None:
        """Read the store anew, and call `then` with it."""
        if self._watch:
            self._watch.begin_again()

        def answer(store: Store) -> None:
            self.store = store
            self.stale = False
            self._root_screen.renew(store)
            then(store)

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
    watch: Watch,
    keymap: KeyMap,
) -> None:
    """Run the browser until its user leaves it; the terminal is as before, however that ends."""
    only_ascii(on=lacks_utf8(os.environ))
    app = Explorer(store, stack, root_words, reopen, explain, watch, keymap)
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
