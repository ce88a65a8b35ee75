"""Users and groups of a user namespace: which number of the host is which inside.

An engine with `userns-remap`, or a rootless one, unpacks the archive's user 33 as the host's 100033. Docker
shows 33, and so do we. A map is a list of ranges, as in uid_map(5).

Sources: user_namespaces(7); moby `pkg/idtools/idtools.go` (ToHost, ToContainer).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from layerfs.formats.errors import FormatError

__all__ = ["OVERFLOW", "SAME", "IDMap", "IDRange", "Owners", "parse_owners", "shifted"]

OVERFLOW = 65534
"""What the kernel shows inside for an ID that has no number there ("nobody")."""

_ALL = (1 << 32) - 1  # the last number is none: to chown(2) it means "leave it"
_BASES = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,10}))?")
_RANGES = re.compile(r"[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}(?:,[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10})*")


class IDRange(NamedTuple):
    """`length` numbers: from `inside` on in the namespace, from `outside` on outside."""

    inside: int
    outside: int
    length: int


class IDMap(NamedTuple):
    """The numbers of users, or of groups.

    Attributes:
        ranges: none is the map of no namespace, in which every number is itself.
        whole: whether these are all; else a number in none of them stays what it is.
    """

    ranges: tuple[IDRange, ...] = ()
    whole: bool = True

    def inside(self, outside: int) -> int:
        """The number inside; `OVERFLOW` for one that has none."""
        for item in self.ranges:
            if 0 <= outside - item.outside < item.length:
                return outside - item.outside + item.inside
        return OVERFLOW if self.ranges and self.whole else outside

    def outside(self, inside: int) -> int | None:
        """The number outside, or None where there is none, or none is known."""
        for item in self.ranges:
            if 0 <= inside - item.inside < item.length:
                return inside - item.inside + item.outside
        return None if self.ranges else inside


class Owners(NamedTuple):
    """The two maps of a namespace."""

    users: IDMap
    groups: IDMap

    @property
    def are_same(self) -> bool:
        """Whether owners are the same inside and outside."""
        return not (self.users.ranges or self.groups.ranges)

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """An owner of the host as the namespace has it."""
        return self.users.inside(uid), self.groups.inside(gid)


SAME = Owners(IDMap(), IDMap())
"""No namespace."""


def shifted(base: int) -> IDMap:
    """The map that adds `base`; how many numbers the engine was given is not known, and does not matter."""
    return IDMap((IDRange(0, base, _ALL - base),) if base else ())


def parse_owners(text: str) -> Owners:
    """The maps that a user wrote.

    Args:
        text: `none`; `BASE` or `UID.GID`, the number of root outside, as the engine names its data root;
            or ranges as `INSIDE:OUTSIDE:COUNT,...` for both, or for users and, behind a slash, for groups.

    Raises:
        FormatError: it is none of these.
    """
    if text == "none":
        return SAME
    if found := _BASES.fullmatch(text):
        return Owners(shifted(_number(found[1])), shifted(_number(found[2] or found[1])))
    users, slash, groups = text.partition("/")
    return Owners(_ranges(users), _ranges(groups if slash else users))


def _ranges(text: str) -> IDMap:
    if not _RANGES.fullmatch(text):
        raise FormatError("not a map of users", expected="BASE, UID.GID or INSIDE:OUTSIDE:COUNT,...")
    ranges = tuple(IDRange(*map(_number, item.split(":"))) for item in text.split(","))
    if any(item.length == 0 or max(item.inside, item.outside) + item.length > _ALL for item in ranges):
        raise FormatError("not a map of users", expected="ranges of 32-bit numbers")
    return IDMap(ranges)


def _number(text: str) -> int:
    number = int(text)
    if number >= _ALL:
        raise FormatError("not a user", expected=f"a number below {_ALL}", found=text)
    return number
