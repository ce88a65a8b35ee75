"""Tar headers as written: read by our own parser, by the standard library, and by GNU tar."""

from __future__ import annotations

import io
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerfs.formats.tarheader import BLOCK, Header, parse
from layerfs.formats.tarpack import END, pack, padding

NAMES = st.lists(
    st.binary(min_size=1, max_size=150).filter(lambda name: not set(name) & {0, 0x2F}), min_size=1, max_size=4
).map(b"/".join)
SECOND = 1_000_000_000

headers = st.builds(
    Header,
    name=NAMES,
    type=st.sampled_from([b"0", b"1", b"2", b"3", b"4", b"6"]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, (1 << 32) - 1),
    gid=st.integers(0, (1 << 32) - 1),
    size=st.just(0),
    mtime_ns=st.integers(-(1 << 62), 1 << 62),
    linkname=st.one_of(st.just(b""), NAMES),
    device=st.just((0, 0)),
    xattrs=st.dictionaries(
        st.sampled_from([b"security.capability", b"user.x"]), st.binary(min_size=1, max_size=30), max_size=2
    ),
)


@given(headers, st.tuples(st.integers(0, 4095), st.integers(0, (1 << 20) - 1)), st.integers(0, 1 << 40))
def test_what_is_written_is_read(header: Header, device: tuple[int, int], size: int) -> None:
    """Every header that is written says, when it is read, what was to be written."""
    header = header._replace(
        device=device if header.type in b"34" else (0, 0), size=size if header.type == b"0" else 0
    )
    raw = pack(header)
    assert len(raw) % BLOCK == 0
    assert parse(raw) == header


@pytest.mark.parametrize("length", [*range(95, 105), *range(150, 160), 250, 255, 256, 257, 300, 1000])
@pytest.mark.parametrize("kind", [b"0", b"5"])
def test_other_readers_agree(length: int, kind: bytes) -> None:
    """Names of every length, with and without records, are what tarfile and GNU tar read."""
    names = [(b"d" * 49 + b"/") * (length // 50) + b"x" * (length % 50), b"y" * min(length, 255)]
    slash = b"/" if kind == b"5" else b""
    made = [Header(name.rstrip(b"/") + slash, kind, 0o644, 5, 1 << 22, 0, length * SECOND) for name in names]
    archive = b"".join(map(pack, made)) + END
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = [(member.name.encode(), member.uid, member.gid, member.mtime) for member in tar]
    assert found == [(item.name.rstrip(b"/"), 5, 1 << 22, length) for item in made]
    listed = subprocess.run(["tar", "-t"], input=archive, capture_output=True, check=True)
    assert listed.stdout.splitlines() == [item.name for item in made]
    assert listed.stderr == b""


def test_a_plain_header_is_one_block() -> None:
    """Records are written only where a field has no room."""
    plain = Header(b"a/b", b"0", 0o100644, 1000, 1000, 10, 1_700_000_000 * SECOND)
    assert len(pack(plain)) == BLOCK
    assert len(pack(plain._replace(mtime_ns=plain.mtime_ns + 1))) == 3 * BLOCK
    assert len(pack(plain._replace(name=b"d" * 90 + b"/" + b"f" * 90))) == BLOCK


def test_a_long_name_is_cut_where_it_fits() -> None:
    """Of several slashes the last one is taken that leaves the front of a name no longer than 155 bytes."""
    fitting: list[tuple[int, ...]] = [(155, 10), (120, 35, 10), (54, 100, 100), (1, 100)]
    too_long: list[tuple[int, ...]] = [(156, 10), (155, 101), (101,)]
    for parts in (*fitting, *too_long):
        name = b"/".join(b"x" * length for length in parts)
        blocks = 1 if parts in fitting else 3
        assert len(pack(Header(name, b"0", 0o644, 0, 0, 0, 0))) == blocks * BLOCK


def test_a_device_without_room_is_refused() -> None:
    """A device number that no tar can hold is an error, not another device."""
    with pytest.raises(ValueError, match="room for the device"):
        pack(Header(b"a", b"3", 0o600, 0, 0, 0, 0, device=(1 << 21, 0)))


def test_padding_fills_a_block() -> None:
    """Content and padding together are whole blocks."""
    assert [len(padding(size)) for size in (0, 1, 511, 512, 513)] == [0, 511, 1, 0, 511]
