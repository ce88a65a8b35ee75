"""Commands that are printed to be pasted into a shell.

A name of an image is hostile: what is printed holds no control byte, so a terminal shows all of it, and a
shell takes every name as one word, whatever it holds.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["pasted", "quoted"]

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._,+=@:-")


def quoted(word: str | bytes) -> str | None:
    """A word as a shell takes it; None where it can be written only by `pasted`.

    That is a word with a byte or a character that is not plainly visible.
    """
    from layerfs.formats import shelltext

    text = word if isinstance(word, str) else word.decode("utf-8", "surrogateescape")
    return shelltext.quoted(text) if text.isprintable() else None


def pasted(*words: str | bytes) -> str:
    r"""A command line; words that `quoted` cannot write come to the command through printf and xargs.

    `sh` has no `$'…'`, and `$(…)` loses line feeds at the end.
    """
    written = [quoted(word) for word in words]
    if None not in written:
        return " ".join(word for word in written if word is not None)
    first = next(index for index, word in enumerate(written) if word is None)
    before = " ".join(word for word in written[:first] if word is not None)
    return f"printf '{_octal(words[first:])}' | xargs -0 {before}"


def _octal(words: Sequence[str | bytes]) -> str:
    """Words for printf, each ended by a NUL."""
    raw = b"".join((os.fsencode(word) if isinstance(word, str) else word) + b"\0" for word in words)
    return "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in raw)
