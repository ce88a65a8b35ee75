"""`formats.subid`: the lines of passwd and subuid that are of one user."""

from __future__ import annotations

import pytest

from layerfs.formats.errors import FormatError
from layerfs.formats.idmap import IDRange
from layerfs.formats.subid import homes_of, map_of
from layerfs.stores.places import homes


def test_ranges_follow_each_other() -> None:
    """The IDs of all ranges of a user, by name or number, are those from 1 on, in the order of the lines."""
    found = map_of(b"ann:100000:10\nbob:5:5\n1000:300000:5\nann:x:1\nann:7\n# ann:1:1\n", "ann", 1000, 1000)
    assert found
    assert found.ranges == (IDRange(0, 1000, 1), IDRange(1, 100000, 10), IDRange(11, 300000, 5))
    assert (found.inside(1000), found.inside(300000), found.inside(5)) == (0, 11, 65534)


def test_nobody_and_too_much() -> None:
    """Who has no range has no map; a range beyond the last ID is refused."""
    assert map_of(b"bob:5:5\nann:100:0\n", "ann", 1000, 1000) is None
    with pytest.raises(FormatError):
        map_of(b"ann:4294967290:65536\n", "ann", 1000, 1000)


def test_homes() -> None:
    """Every user of a number has a home; one that leads elsewhere is none."""
    passwd = (
        b"ann:x:1000:1000::/home/ann:/bin/sh\ntoo:x:1000:1::/srv/too:\nup:x:1000:1::/home/../etc:\nann:x:1000"
    )
    assert homes_of(passwd, 1000) == [("ann", "home/ann"), ("too", "srv/too")]
    assert homes_of(passwd, 1) == []


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\r"])
def test_only_a_newline_ends_a_line(mark: str) -> None:
    """As for the C library: a user's words may hold what other programs take for the end of a line."""
    line = f"alice:x:1000:1000:Al{mark}ice:/home/alice:/bin/sh\n".encode()
    assert homes_of(line, 1000) == [("alice", "home/alice")]
    assert [person.home for person in homes(line)] == ["home/alice"]
