"""The dialects of overlayfs: which extended attributes are its marks, and how those of users are escaped.

A dialect is the prefix that overlayfs keeps for itself: `trusted.overlay.`, or `user.overlay.` when mounted
with `userxattr`. Every attribute with this prefix is hidden from users, also unknown ones. A stored
`<prefix>overlay.NAME` is an escaped `<prefix>NAME`, and users see it under that name.

Source: Linux `fs/overlayfs/xattrs.c`, `fs/overlayfs/overlayfs.h`.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["OPAQUE", "TRUSTED", "USER", "Dialect"]

OPAQUE = b"y"
"""The only value of the opaque mark that hides lower layers; others, such as `x`, do not."""

_ESCAPE = b"overlay."
_BOOKKEEPING = frozenset({b"origin", b"impure", b"nlink", b"upper", b"uuid", b"protattr"})


class Dialect(NamedTuple):
    """One prefix and the names below it."""

    prefix: bytes

    @property
    def opaque(self) -> bytes:
        """On a directory: nothing of lower layers is merged into it, if the value is `OPAQUE`."""
        return self.prefix + b"opaque"

    @property
    def redirect(self) -> bytes:
        """On a directory or metacopy file: its path in lower layers."""
        return self.prefix + b"redirect"

    @property
    def metacopy(self) -> bytes:
        """On a regular file: it has only attributes; the data are in a lower layer."""
        return self.prefix + b"metacopy"

    @property
    def whiteout(self) -> bytes:
        """On an empty regular file: it is a whiteout."""
        return self.prefix + b"whiteout"

    def private(self, stored: bytes) -> bool:
        """Whether a stored attribute is overlayfs's own, and so hidden from users."""
        return stored.startswith(self.prefix) and not stored.startswith(self.prefix + _ESCAPE)

    def is_bookkeeping(self, stored: bytes) -> bool:
        """Whether it is a note of overlayfs on an entry of an upper layer that changes nothing for users."""
        return stored.startswith(self.prefix) and stored[len(self.prefix) :] in _BOOKKEEPING

    def tells_of_copies(self, stored: bytes) -> bool:
        """Whether overlayfs writes it on copied-up entries: then the layer was written through a mount."""
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
