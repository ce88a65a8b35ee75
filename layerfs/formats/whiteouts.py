"""The overlay dialects: which extended attributes are marks, and how plain ones are escaped.

A dialect is the prefix overlayfs keeps for itself: `trusted.overlay.`, or `user.overlay.` when
mounted with `userxattr`. Every name below the active prefix is hidden from users, known or not; a
stored `<prefix>overlay.NAME` is an escaped `<prefix>NAME` and is presented as that.

Source: Linux `fs/overlayfs/xattrs.c`, `fs/overlayfs/overlayfs.h`.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["OPAQUE", "TRUSTED", "USER", "Dialect"]

OPAQUE = b"y"
"""The one value of the opaque mark that hides lower layers; `x` and the rest do not."""

_ESCAPE = b"overlay."
_BOOKKEEPING = frozenset({b"origin", b"impure", b"nlink", b"upper", b"uuid", b"protattr"})


class Dialect(NamedTuple):
    """One prefix and the names below it."""

    prefix: bytes

    @property
    def opaque(self) -> bytes:
        """On a directory: nothing below merges, if the value is `OPAQUE`."""
        return self.prefix + b"opaque"

    @property
    def redirect(self) -> bytes:
        """On a directory or metacopy file: where it goes on in lower layers."""
        return self.prefix + b"redirect"

    @property
    def metacopy(self) -> bytes:
        """On a regular file: attributes only, the data are below."""
        return self.prefix + b"metacopy"

    @property
    def whiteout(self) -> bytes:
        """On an empty regular file: a whiteout."""
        return self.prefix + b"whiteout"

    def private(self, stored: bytes) -> bool:
        """Whether a stored attribute is overlayfs's own: hidden and meaningful."""
        return stored.startswith(self.prefix) and not stored.startswith(self.prefix + _ESCAPE)

    def is_bookkeeping(self, stored: bytes) -> bool:
        """Whether it is what overlayfs notes on the entries of an upper layer, which changes nothing seen."""
        return stored.startswith(self.prefix) and stored[len(self.prefix) :] in _BOOKKEEPING

    def tells_of_copies(self, stored: bytes) -> bool:
        """Whether overlayfs noted that something was copied up: the layer was written through a mount."""
        return stored in (self.prefix + b"origin", self.prefix + b"impure")

    def presented_name(self, stored: bytes) -> bytes | None:
        """The name under which users see a stored attribute; None for a private one."""
        if not stored.startswith(self.prefix):
            return stored
        if not stored.startswith(self.prefix + _ESCAPE):
            return None
        return self.prefix + stored[len(self.prefix) + len(_ESCAPE) :]

    def stored_name(self, presented: bytes) -> bytes:
        """The name under which an attribute that users see is stored."""
        if not presented.startswith(self.prefix):
            return presented
        return self.prefix + _ESCAPE + presented[len(self.prefix) :]


TRUSTED = Dialect(b"trusted.overlay.")
USER = Dialect(b"user.overlay.")
