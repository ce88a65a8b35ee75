"""passwd(5) and subuid(5): which IDs of the host a user has been given for namespaces."""

from __future__ import annotations

from layerfs.formats.idmap import IDMap, IDRange, check_ranges

__all__ = ["homes_of", "map_of"]

_FIELDS, _UID, _HOME = 7, 2, 5  # of a line of passwd
_MOST = 340  # ranges of a map, as many as the kernel takes


def homes_of(passwd: bytes, uid: int) -> list[tuple[str, str]]:
    """The names of the users with this number, each with its home as a path below the top of the system."""
    found = []
    for line in passwd.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.split(":")
        if len(fields) == _FIELDS and fields[_UID] == str(uid):
            home = fields[_HOME].strip("/")
            if home and not {".", "..", ""} & set(home.split("/")):
                found.append((fields[0], home))
    return found


def map_of(content: bytes, user: str, uid: int, root: int) -> IDMap | None:
    """The map in which `root` is 0, and the IDs that a file gives a user are those from 1 on.

    Args:
        content: of subuid or subgid; lines that are no such ranges are passed over, as the tools do.
        user: the user's name.
        uid: the user's number, by which lines may call him, also in subgid.
        root: the number of the user, or of the group, outside.

    Raises:
        FormatError: a range goes beyond the last ID.
    """
    ranges = [IDRange(0, root, 1)]
    at = 1
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        name, _, numbers = line.strip().partition(":")
        first, _, count = numbers.partition(":")
        if name not in (user, str(uid)) or not (_is_number(first) and _is_number(count)):
            continue
        if int(count) and len(ranges) < _MOST:
            ranges.append(IDRange(at, int(first), int(count)))
            at += int(count)
    return check_ranges(tuple(ranges)) if at > 1 else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(1 << 32))
