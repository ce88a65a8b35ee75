"""The small files of the data root: what each may hold, by the engine's own rules."""

from __future__ import annotations

import pytest

from layerfs.formats import layerfiles
from layerfs.formats.errors import FormatError
from layerfs.formats.gotime import format_time, parse_time
from layerfs.formats.imageconfig import parse_image_config
from layerfs.formats.repositories import parse_repositories
from layerfs.formats.whiteouts import TRUSTED, USER

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}".encode()


def test_size_takes_no_newline() -> None:
    """The engine trims every file but `size`: there a newline makes the layer fail."""
    assert layerfiles.parse_size(b"8") == 8
    for content in (b"8\n", b" 8", b"", b"0x8", b"8.0", b"9" * 20, b"1_000", "٨".encode()):
        with pytest.raises(FormatError):
            layerfiles.parse_size(content)
    assert layerfiles.parse_diff(DIGEST + b"\n") == DIGEST.decode()
    assert layerfiles.parse_cache_id(b" " + HEX.encode() + b"\n") == HEX


@pytest.mark.parametrize(
    "content", [b"../x", b"/etc", b"l", b".", b"..", b"a/b", b"a\0b", b"", b"\xff", b"-" * 200]
)
def test_cache_id_is_one_harmless_name(content: bytes) -> None:
    """What is not a single harmless path component is no cache ID."""
    with pytest.raises(FormatError):
        layerfiles.parse_cache_id(content)


def test_lower_names_the_layers_below() -> None:
    """`lower` is short links, nearest first; anything else in it is refused."""
    assert layerfiles.parse_lower(b"l/ABC:l/DEF") == ("ABC", "DEF")
    for content in (b"", b"ABC", b"l/", b"l/../x", b"/l/ABC", b"l/ABC:", b"l/abc"):
        with pytest.raises(FormatError):
            layerfiles.parse_lower(content)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("2020-02-29T12:00:00+02:00", 1582970400 * 10**9),
        ("2020-02-29T12:00:00-05:30", 1582997400 * 10**9),
        ("2242-03-16T12:56:32Z", 8589934592 * 10**9),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_times(text: str, nanoseconds: int | None) -> None:
    """Any year and offset is exact; Go's zero time is never."""
    assert parse_time(text) == nanoseconds
    if nanoseconds is not None:
        assert parse_time(format_time(nanoseconds)) == nanoseconds


@pytest.mark.parametrize("text", ["", "now", "2020-02-30T00:00:00Z", "2020-01-01", "2020-01-01T24:00:00Z"])
def test_what_is_no_time(text: str) -> None:
    """A text that Go would not parse is refused."""
    with pytest.raises(FormatError):
        parse_time(text)


def test_config_without_the_optional() -> None:
    """Only rootfs is required; diff_ids may be missing or null, `created` and `history` too."""
    for rootfs in (b"{}", b'{"type":"layers","diff_ids":null}'):
        config = parse_image_config(b'{"rootfs":%s}' % rootfs)
        assert (config.diff_ids, config.history, config.created_ns) == ((), (), None)
    with pytest.raises(FormatError):
        parse_image_config(b"{}")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xef\xbb\xbf{}",
        b'{"rootfs":[]}',
        b'{"rootfs":{"diff_ids":["sha256:x"]}}',
        b'{"rootfs":{"diff_ids":{}}}',
        b'{"rootfs":{},"history":[1]}',
        b'{"rootfs":{},"created":1}',
        b"[" * 100_000,
        b'{"rootfs":{},"x":NaN}',
        b'{"rootfs":{}} x',
    ],
)
def test_config_that_is_none(content: bytes) -> None:
    """A config of the wrong form is refused with its problem named."""
    with pytest.raises(FormatError):
        parse_image_config(content)


def test_inner_key_decides_which_name_a_row_is() -> None:
    """repositories.json: the inner key is the name; keys that are no reference are ignored and told."""
    found = parse_repositories(
        b'{"Repositories":{"other":{"a:1":"%s","A:1":"%s","b:1":"nonsense","c@%s":"%s"}}}'
        % (DIGEST, DIGEST, DIGEST, DIGEST)
    )
    assert [str(row.reference) for row in found.rows] == ["a:1", f"c@{DIGEST.decode()}"]
    assert len(found.problems) == 2


@pytest.mark.parametrize("dialect", [TRUSTED, USER])
def test_attribute_names_survive_the_union(dialect: object) -> None:
    """An attribute asked for by its presented name is stored under the name that is presented so."""
    assert dialect in (TRUSTED, USER)
    for kind in (TRUSTED, USER):
        for name in (
            b"user.a",
            b"trusted.a",
            b"trusted.overlay.a",
            b"user.overlay.a",
            b"security.capability",
        ):
            assert kind.presented_name(kind.stored_name(name)) == name
        assert kind.presented_name(kind.opaque) is None
        assert kind.private(kind.opaque)
        assert not kind.private(kind.stored_name(kind.opaque))
