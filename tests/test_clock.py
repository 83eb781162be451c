"""Time: whole microseconds, one reading for all executors, and a clock that tests move by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.clock import MICROSECONDS_PER_SECOND, StoreClock, VirtualClock, to_datetime, to_microseconds

HOUR = 3600 * MICROSECONDS_PER_SECOND


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_a_moment_survives_being_written_as_microseconds(when: datetime) -> None:
    assert to_datetime(to_microseconds(when)) == when


def test_the_zone_of_a_moment_makes_no_difference() -> None:
    there = datetime(2030, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))

    assert to_microseconds(there) == to_microseconds(datetime(2030, 1, 1, 12, tzinfo=UTC))
    assert to_datetime(to_microseconds(there)).tzinfo is UTC


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone: pass an aware datetime"):
        to_microseconds(datetime(2030, 1, 1))


@given(st.timedeltas())
def test_a_length_of_time_is_exact_to_the_microsecond(length: timedelta) -> None:
    assert timedelta(microseconds=to_microseconds(length)) == length


def test_the_store_clock_goes_on_from_the_reading_it_was_given() -> None:
    clock = StoreClock()
    reading = clock.now() + HOUR

    clock.synchronize(reading)

    assert reading <= clock.now() < reading + HOUR


def test_two_executors_agree_after_a_reading_of_the_same_store() -> None:
    ahead, behind = StoreClock(), StoreClock()
    ahead.synchronize(behind.now() + HOUR)
    reading = behind.now()

    ahead.synchronize(reading)
    behind.synchronize(reading)

    assert abs(ahead.now() - behind.now()) < HOUR // 60


def test_the_measured_time_never_goes_back_when_the_store_does() -> None:
    clock = StoreClock()
    before = clock.monotonic()

    clock.synchronize(0)

    assert clock.monotonic() >= before


async def test_the_store_clock_does_not_wait_for_a_time_that_has_passed() -> None:
    await StoreClock().sleep(-HOUR)


def test_virtual_time_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock(datetime(2030, 1, 1, tzinfo=UTC))

    assert clock.now() == clock.now() == to_microseconds(datetime(2030, 1, 1, tzinfo=UTC))


def test_virtual_time_moves_by_what_it_is_told() -> None:
    clock = VirtualClock()
    now, elapsed = clock.now(), clock.monotonic()

    clock.advance(90 * MICROSECONDS_PER_SECOND)

    assert clock.now() - now == 90 * MICROSECONDS_PER_SECOND
    assert clock.monotonic() - elapsed == 90


def test_virtual_time_does_not_go_back() -> None:
    clock = VirtualClock()

    with pytest.raises(ValueError, match="time can only be advanced"):
        clock.advance(-1)


def test_virtual_time_is_not_moved_by_a_reading_of_the_store() -> None:
    clock = VirtualClock()
    now = clock.now()

    clock.synchronize(0)

    assert clock.now() == now


async def test_to_sleep_in_virtual_time_moves_it() -> None:
    clock = VirtualClock()
    now = clock.now()

    await clock.sleep(1.5)

    assert clock.now() - now == 1.5 * MICROSECONDS_PER_SECOND


def test_to_block_in_virtual_time_moves_it() -> None:
    clock = VirtualClock()
    now = clock.now()

    clock.block(1.5)
    clock.block(-1)

    assert clock.now() - now == 1.5 * MICROSECONDS_PER_SECOND


def test_a_thread_waits_no_longer_than_it_is_told() -> None:
    clock = StoreClock()
    begun = clock.monotonic()

    clock.block(0.01)
    waited = clock.monotonic() - begun
    clock.block(-HOUR)

    assert waited >= 0.01


async def test_to_sleep_until_a_time_that_has_passed_moves_nothing() -> None:
    clock = VirtualClock()
    now = clock.now()

    await clock.sleep(-1)

    assert clock.now() == now
