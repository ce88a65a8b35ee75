"""What commands that copy out say of it: what was not kept, and why something is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .messages import say

if TYPE_CHECKING:
    from layerfs.views.copyout import CopyOut

__all__ = ["reason", "tell_not_kept"]


def tell_not_kept(copy: CopyOut) -> None:
    """Sum up the attributes that the host did not let us keep."""
    for what, times in sorted(copy.not_kept.items()):
        say("warning", f"{what} of {times} copies not kept: the host does not let us")


def reason(error: OSError) -> str:
    """Why something was not done, without the name it was done to."""
    return error.strerror or str(error)
