"""Textual's driver for a page of the web, which also ends when nobody is at the other end any more."""

from __future__ import annotations

from textual.drivers.web_driver import WebDriver
from textual.events import AppFocus
from textual.messages import ExitApp

from .theme import PALETTE

__all__ = ["Driver"]


class Driver(WebDriver):
    """Speaks packets on standard input and output."""

    def start_application_mode(self) -> None:
        """Begin, with colours that can be read, and with the keys, which a page has until it says else."""
        super().start_application_mode()
        for number, colour in PALETTE.values():
            self.write(f"\x1b]4;{number};#{colour}\x07")
        self._app.call_later(self._app.post_message, AppFocus())  # behind Textual's own `AppBlur`

    def run_input_thread(self) -> None:
        """Read what comes; its end is the end of the app."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._app.post_message(ExitApp())
