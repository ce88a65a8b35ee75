"""`--filter`: how names, values and times are read."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from layerfs_cli.filters import Filters, filter_option, labels, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

NANO = 10**9
NOW = 1_600_000_000 * NANO + 123


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[dt.timezone]:
    """A local zone that is not UTC."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "XYZ-5:30")
        time.tzset()
        yield dt.timezone(dt.timedelta(hours=5, minutes=30))
    time.tzset()


def _parsed(*arguments: str) -> Filters | str:
    """What `--filter` makes of a command line, or its complaint."""
    seen: list[Filters] = []

    @click.command()
    @filter_option("label", "until")
    def command(filters: Filters) -> None:
        seen.append(filters)

    result = CliRunner().invoke(command, arguments)
    return seen[0] if result.exit_code == 0 else result.output


def test_filters_collect_by_name() -> None:
    """Names lose case and space, values space; an empty filter is none; repeated ones add up."""
    found = _parsed("-f", " Label = a=b ", "--filter", "label=c", "-f", "", "--filter=until=")
    assert found == {"label": ["a=b", "c"], "until": [""]}
    assert labels(found) == (("a", "b"), ("c", None))


@pytest.mark.parametrize(
    ("given", "complaint"), [("label", "bad format of filter"), ("nil=x", "there are label")]
)
def test_bad_filters_are_refused(given: str, complaint: str) -> None:
    """A filter without a value, or of an unknown name, is a usage error that says so."""
    assert complaint in _parsed("-f", given)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("24h", 86400 * NANO),
        ("1h30m", 5400 * NANO),
        ("1.5h", 5400 * NANO),
        (".5m", 30 * NANO),
        ("90s", 90 * NANO),
        ("+90s", 90 * NANO),
        ("-90s", -90 * NANO),
        ("2000ms", 2 * NANO),
        ("3000000us", 3 * NANO),
        ("3000000µs", 3 * NANO),
        ("4000000000ns", 4 * NANO),
    ],
)
def test_durations_are_before_now(text: str, nanoseconds: int) -> None:
    """A duration in any of Go's units is that long before now, in whole seconds."""
    assert moment({"until": [text]}, "until", NOW) == (NOW - nanoseconds) // NANO * NANO


def test_times_without_zone_are_local(zone: dt.timezone) -> None:
    """Dates and times to the hour, minute or second are local unless they name a zone."""
    local = {
        "2020-02-03": dt.datetime(2020, 2, 3, tzinfo=zone),
        "2020-02-03T04": dt.datetime(2020, 2, 3, 4, tzinfo=zone),
        "2020-02-03T04:05": dt.datetime(2020, 2, 3, 4, 5, tzinfo=zone),
        "2020-02-03T04:05:06": dt.datetime(2020, 2, 3, 4, 5, 6, tzinfo=zone),
        "2020-02-03Z": dt.datetime(2020, 2, 3, tzinfo=dt.UTC),
        "2020-02-03T04:05:06Z": dt.datetime(2020, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
        "2020-02-03T04:05:06+05:30": dt.datetime(2020, 2, 3, 4, 5, 6, tzinfo=zone),
    }
    for text, expected in local.items():
        assert moment({"until": [text]}, "until") == int(expected.timestamp()) * NANO
    assert moment({"until": ["1970-01-01T00:00:01.000000002Z"]}, "until") == NANO + 2


def test_seconds_and_the_earliest_count() -> None:
    """A number is seconds since the epoch; of several times the earliest counts; none is none."""
    assert moment({"until": ["1580515200.5", "1580515201"]}, "until") == 1580515200 * NANO + NANO // 2
    assert moment({"until": ["0"]}, "until") == 0
    assert moment({}, "until") is None


@pytest.mark.parametrize("text", ["", "x", "2020-13-01", "2020-02-30T00:00:00Z", "h", "1h2", "1d", "9" * 40])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Anything else is a usage error that quotes it."""
    with pytest.raises(click.BadParameter, match="until="):
        moment({"until": [text]}, "until")
