"""Lengths of time as people say them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.clock import format_duration, parse_duration


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(0), "0 seconds"),
        (timedelta(minutes=2), "2 minutes"),
        (timedelta(hours=1, minutes=30), "1 hour 30 minutes"),
        (timedelta(days=2, seconds=1), "2 days 1 second"),
        (timedelta(milliseconds=1.5), "1.5 milliseconds"),
    ],
)
def test_a_length_of_time_is_said_in_its_units(value: timedelta, text: str) -> None:
    assert format_duration(value) == text


@given(st.integers(0, 10**12))
def test_what_is_said_is_read_as_the_same(microseconds: int) -> None:
    value = timedelta(microseconds=microseconds)

    assert abs(parse_duration(format_duration(value)) - value) <= timedelta(microseconds=1)
