"""What is mounted, as `layerfs mount` without a NAME lists it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..emit import emit
from ..table import Column, Table

if TYPE_CHECKING:
    from layerfs.views.fuse.mounted import Served

__all__ = ["list_mounts"]

_INTERNAL = ("user_id=", "group_id=", "lowerdir+=")


def list_mounts(form: str) -> None:
    """Print every layerfs mount of the mount table in the format `form`."""
    from layerfs.views.fuse.mounted import our_mounts

    emit(_TABLE, our_mounts(), form)


def _options(row: Served) -> list[str]:
    """As mount(8) shows them, without whose it is and of which layers."""
    return [option for option in row.mount.options if not option.startswith(_INTERNAL)]


_TABLE: Table[Served] = Table(
    [
        Column("name", lambda row: row.mount.name, "Name", "NAME"),
        Column("mountpoint", lambda row: os.fspath(row.mount.path), "Mountpoint", "MOUNTPOINT"),
        Column("pid", lambda row: row.pid, "PID", "PID"),
        Column("state", lambda row: row.state.value, "State", "STATE"),
        Column("uid", lambda row: row.mount.uid, "UID", "UID"),
        Column("options", _options, "Options", "OPTIONS", lambda row: ",".join(_options(row))),
    ],
    ("Name", "Mountpoint", "PID", "State", "Options"),
)
