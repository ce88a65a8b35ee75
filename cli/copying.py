"""Messages of the commands that copy files out: attributes that were not kept, and reasons of failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .messages import say

if TYPE_CHECKING:
    from layerfs.views.copyout import CopyOut

__all__ = ["reason", "tell_not_kept"]


def tell_not_kept(copy: CopyOut) -> None:
    """Report the attributes that the host refused to set."""
    for what, times in sorted(copy.not_kept.items()):
        say("warning", f"{what} of {times} copies not kept: the host does not let us")


def reason(error: OSError) -> str:
    """The reason of an error, without the file's name."""
    return error.strerror or str(error)
