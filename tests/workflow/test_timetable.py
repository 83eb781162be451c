"""The nominal times of schedules: daylight saving, intervals, and what cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlet.clock import to_microseconds
from flowlet.workflow.schedule import Schedule, find_schedule_faults
from flowlet.workflow.timetable import ANCHOR, Timetable, build_interval_spec

BERLIN = "Europe/Berlin"
SPRING, AUTUMN = "2026-03-28T12:00Z", "2026-10-24T12:00Z"


def list_texts(spec: str, start: str, count: int, *, timezone: str = BERLIN) -> list[str]:
    timetable = Timetable(spec, timezone)
    times = timetable.list_next(to_microseconds(datetime.fromisoformat(start)), count)
    return [timetable.format_time(time) for time in times]


@pytest.mark.parametrize("spec", ["30 2 * * *", "*/15 2 * * *", "0 2,3 * * *"])
def test_times_that_do_not_exist_are_one_time_after_the_gap(spec: str) -> None:
    first, second = list_texts(spec, SPRING, 2)

    assert first == "2026-03-29T03:00+02:00"
    assert second.startswith("2026-03-30T02:")


def test_a_time_that_exists_twice_is_the_first_of_the_two() -> None:
    assert list_texts("30 2 * * *", AUTUMN, 2) == ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]
    assert list_texts("0 */2 * * *", "2026-10-24T23:00Z", 2) == ["2026-10-25T02:00+02:00", "2026-10-25T04:00+01:00"]


def test_the_second_half_of_a_doubled_hour_does_not_go_back_to_the_first() -> None:
    assert list_texts("30 2 * * *", "2026-10-25T01:10Z", 1) == ["2026-10-26T02:30+01:00"]


def test_every_hour_is_every_real_hour() -> None:
    hours = [text[11:] for text in list_texts("0 * * * *", "2026-10-24T23:00Z", 3)]

    assert hours == ["02:00+02:00", "02:00+01:00", "03:00+01:00"]
    assert list_texts("0 * * * *", "2026-03-29T00:00Z", 1) == ["2026-03-29T03:00+02:00"]


def test_midnight_that_does_not_exist_is_the_first_time_after_it() -> None:
    texts = list_texts("0 0 * * *", "2026-04-23T12:00Z", 2, timezone="Africa/Cairo")

    assert texts == ["2026-04-24T01:00+03:00", "2026-04-25T00:00+03:00"]


def test_intervals_are_counted_from_a_monday_at_midnight() -> None:
    weekly = Timetable(build_interval_spec("1 week"))

    assert list_texts(build_interval_spec("15 minutes"), "2026-03-29T00:59Z", 2) == [
        "2026-03-29T03:00+02:00",
        "2026-03-29T03:15+02:00",
    ]
    assert weekly.format_time(weekly.list_next(ANCHOR, 1)[0]) == "1970-01-12T00:00+00:00"
    assert list_texts("every 1 second", SPRING, 1, timezone="UTC") == ["2026-03-28T12:00:01+00:00"]


def test_a_time_that_never_comes_is_none() -> None:
    assert Timetable("0 0 31 12 *").find_next(to_microseconds(datetime(9999, 12, 31, 12, tzinfo=UTC))) is None


@given(
    spec=st.sampled_from(["* * * * *", "*/7 * * * *", "0 3 * * *", "30 2 * * 0", "0 0 1 * *", "every 90 minutes"]),
    start=st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)),
    length=st.timedeltas(timedelta(0), timedelta(days=3)),
)
@settings(max_examples=30)
def test_the_latest_time_is_the_last_of_those_in_between(spec: str, start: datetime, length: timedelta) -> None:
    timetable = Timetable(spec, BERLIN)
    since = timetable.find_next(to_microseconds(start.replace(tzinfo=UTC)))
    assert since is not None
    until = since + to_microseconds(length)

    latest = timetable.find_latest(until, since=since)

    assert latest == timetable.list_between(since, until, limit=10_000)[-1]


@given(text=st.text(st.sampled_from("0123456789*/-,#LW @MONJAN"), max_size=24))
@settings(max_examples=60)
def test_whatever_is_entered_as_cron_is_read_or_refused(text: str) -> None:
    faults = find_schedule_faults(Schedule(text, name="nightly"))

    assert faults.keys() <= {"cron"}
    if not faults:
        times = Timetable(text).list_next(ANCHOR, 3)
        assert times == sorted(set(times))


def test_the_faults_of_a_schedule_name_its_fields_and_their_cure() -> None:
    schedule = Schedule("0 3 * *", name="", timezone="Europe/Berln", overlap="wait", catch_up="all", jitter="2 days")

    faults = find_schedule_faults(schedule)

    assert faults.keys() == {"name", "timezone", "catchUp", "jitter"}
    assert faults["timezone"].endswith("Did you mean 'Europe/Berlin'?")
    assert find_schedule_faults(Schedule("@daily", name="preview"))["name"].startswith("cannot be 'preview'")
    assert "five fields" in find_schedule_faults(Schedule("0 3 * *", name="nightly"))["cron"]
    assert find_schedule_faults(Schedule(name="nightly")).keys() == {"cron"}
    assert find_schedule_faults(Schedule(name="nightly", every="1 minute", jitter="1 minute")).keys() == {"jitter"}
    assert find_schedule_faults(Schedule(name="nightly", every="90 ms")).keys() == {"every"}
