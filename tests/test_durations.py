"""Lengths of time: what is understood, and what is refused rather than guessed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.clock import format_duration, parse_duration
from flowlet.errors import DurationError, FlowletError

CENTURY = timedelta(days=36525)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("0.5 ms", timedelta(microseconds=500)),
        ("10s", timedelta(seconds=10)),
        ("10 sec", timedelta(seconds=10)),
        ("1.5 seconds", timedelta(seconds=1.5)),
        ("10m", timedelta(minutes=10)),
        ("10 mins", timedelta(minutes=10)),
        ("10 minutes", timedelta(minutes=10)),
        ("1 day", timedelta(days=1)),
        ("2 weeks", timedelta(weeks=2)),
        ("1h30m", timedelta(minutes=90)),
        ("1 hour, 30 minutes", timedelta(minutes=90)),
        ("1 hour and 30 minutes", timedelta(minutes=90)),
        (" 1 Hour 30 MINUTES ", timedelta(minutes=90)),
        ("0s", timedelta(0)),
    ],
)
def test_a_length_of_time_is_read_as_people_write_it(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT10M", timedelta(minutes=10)),
        ("PT0.25S", timedelta(milliseconds=250)),
        ("P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("P2W", timedelta(weeks=2)),
        ("P0D", timedelta(0)),
    ],
)
def test_iso_8601_is_read_up_to_weeks(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "90",
        "soon",
        "10 parsecs",
        "1 month",
        "1h30",
        "1h,",
        "1h, and 30m",
        "1h and",
        "1.5.5h",
        "10 mm",
        "-5s",
        "+5s",
        "1e3s",
        "٣ minutes",
        "12345678901s",
        "P",
        "PT",
        "P1DT",
        "PT10",
        "P1Y",
        "P1M",
        "PT1H PT1H",
    ],
)
def test_a_text_that_is_not_understood_in_full_is_refused(text: str) -> None:
    with pytest.raises(DurationError, match="is not a duration. Write it like '10 minutes'"):
        parse_duration(text)


@pytest.mark.parametrize(
    "value", ["36526 days", "999999999 weeks", "999999999w 999999999w", CENTURY + timedelta.resolution]
)
def test_a_length_above_a_hundred_years_is_refused(value: str | timedelta) -> None:
    with pytest.raises(DurationError, match="is not between zero and a hundred years"):
        parse_duration(value)


def test_a_negative_timedelta_is_refused() -> None:
    with pytest.raises(DurationError, match="is not between zero and a hundred years"):
        parse_duration(timedelta(seconds=-1))


@pytest.mark.parametrize("value", [90, 1.5, None, b"10s"])
def test_what_is_no_text_is_refused_with_its_type(value: object) -> None:
    with pytest.raises(DurationError, match=f"is a {type(value).__name__}, not a duration"):
        parse_duration(value)  # type: ignore[arg-type] # what a caller without a type checker may pass


def test_a_fault_is_both_a_value_error_and_one_of_flowlets() -> None:
    assert issubclass(DurationError, ValueError)
    assert issubclass(DurationError, FlowletError)


@given(st.timedeltas(min_value=timedelta(0), max_value=CENTURY))
def test_a_timedelta_is_passed_through(value: timedelta) -> None:
    assert parse_duration(value) == value


@given(st.timedeltas(min_value=timedelta(0), max_value=CENTURY))
def test_what_is_spoken_is_understood(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


@given(st.text(max_size=40) | st.from_regex(r"P?T?(\d{1,12}[a-zA-Z., ]{0,4}){1,3}", fullmatch=True))
def test_any_text_is_either_read_or_refused(text: str) -> None:
    try:
        read = parse_duration(text)
    except DurationError:
        return

    assert timedelta(0) <= read <= CENTURY


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (timedelta(0), "0 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(minutes=90), "1 hour 30 minutes"),
        (timedelta(milliseconds=1500), "1 second 500 milliseconds"),
    ],
)
def test_a_length_of_time_is_said_as_people_say_it(value: timedelta, expected: str) -> None:
    assert format_duration(value) == expected
