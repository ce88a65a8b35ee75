from __future__ import annotations

import datetime as dt
import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from layerfs_cli.units import age, clock, ellipsis, human_duration, human_size, local_rfc3339, rfc3339
from tests.support.docker_client import docker, image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NANO = 10**9
ZONES = ("UTC", "Asia/Kolkata", "America/St_Johns", "Africa/Abidjan", "America/Sao_Paulo", "Etc/GMT+12")
MINUTE, HOUR, DAY = 60, 3600, 86400
EDGES = (1, 2, MINUTE, 2 * MINUTE, HOUR, 3 * HOUR // 2, 48 * HOUR, 14 * DAY, 60 * DAY, 365 * DAY, 730 * DAY)

near_powers = st.builds(
    lambda power, offset: max(10**power + offset, 0), st.integers(0, 18), st.integers(-600, 600)
)
sizes = st.lists(st.one_of(near_powers, st.integers(0, 2**63 - 1)), min_size=60, max_size=60)
# letters whose width every version of Unicode tells alike
characters = st.one_of(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E),
    st.characters(min_codepoint=0x400, max_codepoint=0x44F),
    st.characters(min_codepoint=0x4E00, max_codepoint=0x9F00),
    st.characters(min_codepoint=0xFF21, max_codepoint=0xFF5A),
)
words = st.text(characters, min_size=30, max_size=60)


@pytest.fixture
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Puts this process in a time zone until the test ends."""

    def set_to(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield set_to
    monkeypatch.undo()
    time.tzset()


@settings(max_examples=8)
@given(sizes)
@example([0, 999, 1000, 999499, 999500, 999999, 10**6, 2**63 - 1])
def test_sizes_as_docker_prints_them(numbers: list[int]) -> None:
    """Sizes of images read as `docker images` prints them, to three digits."""
    answers = {"/images/json": [image(Size=number) for number in numbers]}
    printed = docker(answers, "images", "--format", "{{.Size}}").stdout.splitlines()
    assert [human_size(number) for number in numbers] == printed


@settings(max_examples=8)
@given(sizes)
def test_sums_as_docker_prints_them(numbers: list[int]) -> None:
    """Sizes to four digits read as `docker system df -v` prints those of volumes."""
    volumes = [
        {"Name": str(number), "Driver": "local", "UsageData": {"Size": number, "RefCount": 0}}
        for number in numbers
    ]
    answers = {"/system/df": {"LayersSize": 0, "Volumes": volumes}}
    printed = docker(answers, "system", "df", "-v", "--format", "{{range .Volumes}}{{.Size}} {{end}}").stdout
    assert [human_size(number, 4) for number in numbers] == printed.split()


@settings(max_examples=5)
@given(st.lists(st.integers(-(2**36), 2**36), min_size=40, max_size=40))
@example([edge + step for edge in EDGES for step in (-1, 0, 1)] + [HOUR // 2, 300 * 365 * DAY, -DAY])
def test_ages_as_docker_prints_them(spans: list[int]) -> None:
    """Ages read as `docker images` prints them, from the future to beyond Go's longest duration."""
    now = int(time.time())
    answers = {"/images/json": [image(Created=now - span) for span in spans]}
    before = time.time_ns()
    printed = docker(answers, "images", "--format", "{{.CreatedSince}}").stdout.splitlines()
    after = time.time_ns()
    assert len(printed) == len(spans)
    for span, words in zip(spans, printed, strict=True):
        then = (now - span) * NANO
        assert words in {age(then, instant) for instant in range(before, after + NANO, NANO // 20)}


@pytest.mark.parametrize("zone", ZONES)
def test_clock_as_docker_prints_it(set_zone: Callable[[str], None], zone: str) -> None:
    """CreatedAt reads as `docker images` prints it, in the zone of the reader."""
    times = [-62135596800 + DAY, -(10**9), 0, 951782400, 1700000000, 1720000000, 4102444800]
    answers = {"/images/json": [image(Created=then) for then in times]}
    printed = docker(answers, "images", "--format", "{{.CreatedAt}}", zone=zone).stdout.splitlines()
    set_zone(zone)
    # before 1970 zones had odd seconds, which the C library and Go round each in its own way
    told = [clock(then * NANO + 5) for then in times]
    assert told[2:] == printed[2:]
    if zone == "UTC":
        assert told == printed


@pytest.mark.parametrize("zone", ZONES)
def test_local_times_as_docker_history_prints_them(set_zone: Callable[[str], None], zone: str) -> None:
    """Times of `docker history --human=false` are those of `local_rfc3339`."""
    times = [0, 951782400, 1700000000, 1720000000]
    answers = {"/images/x/history": [_step(Created=then) for then in times]}
    arguments = ("history", "--human=false", "--format", "{{.CreatedAt}}", "x")
    printed = docker(answers, *arguments, zone=zone).stdout.splitlines()
    set_zone(zone)
    assert [local_rfc3339(then * NANO) for then in times] == printed


@settings(max_examples=8)
@given(st.lists(words, min_size=20, max_size=20))
@example(["x" * 45, "x" * 46, "界" * 22, "界" * 23, "x" + "界" * 22, "x" + "界" * 23, "", "界x" * 15])
def test_ellipsis_as_docker_cuts(texts: list[str]) -> None:
    """Text is cut to a width as `docker history` cuts what created a layer."""
    answers = {"/images/x/history": [_step(CreatedBy=text) for text in texts]}
    printed = docker(answers, "history", "--format", "{{json .CreatedBy}}", "x").stdout.splitlines()
    assert [ellipsis(text, 45) for text in texts] == [json.loads(line) for line in printed]


def _step(**facts: object) -> dict[str, object]:
    return {"Id": f"sha256:{'a' * 64}", "Created": 1, "CreatedBy": "", "Size": 1, "Comment": ""} | facts


@given(st.datetimes(), st.integers(0, 999))
def test_rfc3339_says_the_instant(moment: dt.datetime, beyond: int) -> None:
    """RFC 3339 text names the instant to the nanosecond, without trailing zeros."""
    moment = moment.replace(tzinfo=dt.UTC)
    span = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    micros = (span.days * DAY + span.seconds) * 10**6 + span.microseconds
    text = rfc3339(micros * 1000 + beyond)
    assert text is not None
    whole, _, fraction = text.removesuffix("Z").partition(".")
    assert dt.datetime.fromisoformat(whole + "+00:00") == moment.replace(microsecond=0)
    assert int(fraction.ljust(9, "0")) == moment.microsecond * 1000 + beyond
    assert not fraction.endswith("0")


@pytest.mark.parametrize("seconds", [2**40, -(2**40), 2**63 - 1, -(2**63)])
def test_times_no_calendar_has(seconds: int) -> None:
    """A file's time may be any number of seconds; its year has as many digits as date(1) gives it."""
    if abs(seconds) == 2**40:
        command = ["date", "--utc", f"--date=@{seconds}", "+%Y-%m-%dT%TZ"]
        assert rfc3339(seconds * NANO) == subprocess.check_output(command, text=True).strip()
    assert "\n" not in clock(seconds * NANO)
    assert age(seconds * NANO).endswith(" ago")


def test_unknown_times() -> None:
    """What nobody knows has no time, and Docker's word for its age."""
    assert rfc3339(None) is None
    assert age(None) == "N/A"


@given(st.floats(0, 10**11), st.floats(0, 10**11))
def test_longer_spans_never_read_shorter(one: float, other: float) -> None:
    """Of two spans the longer one does not read as less."""
    shorter, longer = sorted((one, other))
    assert _rank(human_duration(shorter)) <= _rank(human_duration(longer))


def _rank(words: str) -> tuple[int, int]:
    units = ("than", "second", "minute", "hour", "days", "weeks", "months", "years")
    number = next((int(word) for word in words.split() if word.isdigit()), 1)
    return next(rank for rank, unit in enumerate(units) if unit in words), number
