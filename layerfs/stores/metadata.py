"""Where modes, owners, times, extended attributes, devices and marks of unpacked layers are taken from."""

from __future__ import annotations

import enum

__all__ = ["Metadata"]


class Metadata(enum.StrEnum):
    """The source of modes, owners, times, extended attributes, devices and marks."""

    AUTO = "auto"
    """The disk, unless it is found to be a copy that lost them."""

    DISK = "disk"
    TAR_SPLIT = "tar-split"
