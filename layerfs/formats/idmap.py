"""The maps of a user namespace between IDs of users and groups inside and outside.

An engine with `userns-remap`, or a rootless one, unpacks user 33 of an archive as user 100033 of the host.
Docker shows 33, and so does layerfs. A map is a list of ranges, as in user_namespaces(7).

Sources: user_namespaces(7); moby `pkg/idtools/idtools.go` (ToHost, ToContainer).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from layerfs.formats.errors import FormatError

__all__ = [
    "OVERFLOW",
    "SAME",
    "IDMap",
    "IDRange",
    "Owners",
    "check_ranges",
    "nested",
    "parse_owners",
    "shifted",
]

OVERFLOW = 65534
"""The ID that the kernel shows inside for an ID that is not mapped ("nobody")."""

_ALL = (1 << 32) - 1  # the last number is no ID: chown(2) takes it for "leave as it is"
_BASES = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,10}))?")
_RANGES = re.compile(r"[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}(?:,[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10})*")


class IDRange(NamedTuple):
    """`length` IDs: from `inside` on in the namespace, from `outside` on on the host."""

    inside: int
    outside: int
    length: int


class IDMap(NamedTuple):
    """The numbers of users, or of groups.

    Attributes:
        ranges: empty without a namespace; then every ID is mapped to itself.
        whole: whether these are all ranges; if not, an ID outside of them stays as it is.
    """

    ranges: tuple[IDRange, ...] = ()
    whole: bool = True

    def inside(self, outside: int) -> int:
        """The ID inside; `OVERFLOW` for one that is not mapped."""
        for item in self.ranges:
            if 0 <= outside - item.outside < item.length:
                return outside - item.outside + item.inside
        return OVERFLOW if self.ranges and self.whole else outside

    def outside(self, inside: int) -> int | None:
        """The ID outside; None where there is none, or where it is not known."""
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
        """The owner inside, for an owner on the host."""
        return self.users.inside(uid), self.groups.inside(gid)


SAME = Owners(IDMap(), IDMap())
"""The maps without a user namespace."""


def shifted(base: int) -> IDMap:
    """The map that adds `base`; how many IDs the engine was given is not known, so it goes on to the last."""
    return IDMap((IDRange(0, base, _ALL - base),) if base else ())


def parse_owners(text: str) -> Owners:
    """Parse the maps of users and groups that a user typed.

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
    return check_ranges(tuple(IDRange(*map(_number, item.split(":"))) for item in text.split(",")))


def check_ranges(ranges: tuple[IDRange, ...]) -> IDMap:
    """The map of these ranges; raises `FormatError` where a number in one is no ID."""
    if any(
        item.length <= 0 or min(item[:2]) < 0 or max(item.inside, item.outside) + item.length > _ALL
        for item in ranges
    ):
        raise FormatError("not a map of users", expected="ranges of 32-bit numbers")
    return IDMap(ranges)


def nested(inner: Owners, outer: Owners) -> Owners:
    """The maps of a namespace in another: what is outside of `inner` is inside of `outer`.

    Where the two have nothing in common the inner one contradicts, and `outer` stays.
    """
    return Owners(_nested(inner.users, outer.users), _nested(inner.groups, outer.groups))


def _nested(inner: IDMap, outer: IDMap) -> IDMap:
    if not (inner.ranges and outer.ranges):
        return inner if inner.ranges else outer
    found: list[IDRange] = []
    for own in inner.ranges:
        for item in outer.ranges:
            first = max(own.outside, item.inside)
            length = min(own.outside + own.length, item.inside + item.length) - first
            if length > 0:
                at = first - own.outside, first - item.inside
                found.append(IDRange(own.inside + at[0], item.outside + at[1], length))
    return IDMap(tuple(found)) if found else outer


def _number(text: str) -> int:
    number = int(text)
    if number >= _ALL:
        raise FormatError("not a user", expected=f"a number below {_ALL}", found=text)
    return number
