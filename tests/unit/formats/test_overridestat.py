"""Attributes of an entry kept in an extended attribute."""

from __future__ import annotations

import stat

import pytest

from layerfs.formats.errors import FormatError
from layerfs.formats.overridestat import OverrideStat, parse_override_stat


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0:0:755", OverrideStat(0, 0, 0o755)),
        (b"1000:7:0644", OverrideStat(1000, 7, 0o644)),
        (b"4294967294:1:7777", OverrideStat(4294967294, 1, 0o7777)),
        (b"0:0:755:dir", OverrideStat(0, 0, 0o755, stat.S_IFDIR)),
        (b"0:0:644:file", OverrideStat(0, 0, 0o644, stat.S_IFREG)),
        (b"0:0:777:symlink", OverrideStat(0, 0, 0o777, stat.S_IFLNK)),
        (b"0:0:600:pipe", OverrideStat(0, 0, 0o600, stat.S_IFIFO)),
        (b"0:0:600:socket", OverrideStat(0, 0, 0o600, stat.S_IFSOCK)),
        (b"0:6:660:block-8-1", OverrideStat(0, 6, 0o660, stat.S_IFBLK, (8, 1))),
        (b"0:0:666:char-1-3", OverrideStat(0, 0, 0o666, stat.S_IFCHR, (1, 3))),
    ],
)
def test_values_of_every_type(value: bytes, expected: OverrideStat) -> None:
    """Owner, permissions, and the type where there is one."""
    assert parse_override_stat(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0:0",
        b"0:0:8",
        b"-1:0:644",
        b"+1:0:644",
        b" 0:0:644",
        b"0:0:644\n",
        b"4294967295:0:644",
        b"0:99999999999:644",
        b"0:0:10000",
        b"0:0:100644",
        b"0:0:644:door",
        b"0:0:644:",
        b"0:0:644:char",
        b"0:0:644:char-1",
        b"0:0:644:file-1-3",
        b"0:0:644:char-1-3-5",
        b"0:0:644:char-4096-0",
        b"0:0:644:block-0-1048576",
        "0:0:64\N{ARABIC-INDIC DIGIT FOUR}".encode(),
        b"0" * 1_000_000,
    ],
)
def test_nothing_else_is_taken(value: bytes) -> None:
    """Whatever is no such value is refused, and the message shows no more than its beginning."""
    with pytest.raises(FormatError) as caught:
        parse_override_stat(value)
    assert len(str(caught.value.found)) < 300
