"""The retry policy: how many attempts follow a failed one, and how long after it."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.errors import DurationError
from flowlet.workflow.retry import Retry


def test_as_many_attempts_follow_the_first_as_the_limit_says() -> None:
    retry = Retry(limit=2)

    assert [retry.may_retry(attempt, OSError()) for attempt in (1, 2, 3)] == [True, True, False]


def test_a_limit_of_zero_makes_the_first_failure_final() -> None:
    assert not Retry(limit=0).may_retry(1, OSError())


def test_no_attempt_follows_an_error_that_is_never_retried() -> None:
    retry = Retry(never=(LookupError,))

    assert not retry.may_retry(1, KeyError("sku"))
    assert retry.may_retry(1, OSError())


def test_linear_delays_grow_evenly_from_the_least_to_the_greatest() -> None:
    retry = Retry(limit=4, min="10s", max="40s", backoff="linear")

    delays = [retry.draw_delay(attempt, Random(1)).total_seconds() for attempt in (1, 2, 3, 4)]

    assert delays == [10, 20, 30, 40]


def test_a_linear_delay_after_the_limit_stays_the_greatest() -> None:
    retry = Retry(limit=4, min="10s", max="40s", backoff="linear")

    assert retry.draw_delay(10**15, Random(1)) == timedelta(seconds=40)


def test_a_single_linear_retry_comes_after_the_least_delay() -> None:
    assert Retry(limit=1, min="10s", max="40s", backoff="linear").draw_delay(1, Random(1)) == timedelta(seconds=10)


@given(attempt=st.integers(1, 10**9), seed=st.integers())
def test_an_exponential_delay_stays_below_its_bounds(attempt: int, seed: int) -> None:
    retry = Retry(min="10s", max="1h")

    delay = retry.draw_delay(attempt, Random(seed)).total_seconds()

    assert 0 <= delay <= min(3600, 10 * 2 ** min(attempt - 1, 20))


def test_exponential_delays_use_the_whole_range() -> None:
    retry, random = Retry(min="10s", max="1h"), Random(1)

    delays = [retry.draw_delay(4, random).total_seconds() for _ in range(1000)]

    assert min(delays) < 4
    assert max(delays) > 76


def test_the_same_draw_gives_the_same_delay() -> None:
    assert Retry().draw_delay(3, Random(7)) == Retry().draw_delay(3, Random(7))


@pytest.mark.parametrize("backoff", ["linear", "exponential"])
def test_attempts_are_counted_from_one(backoff: Any) -> None:
    with pytest.raises(ValueError, match="attempts are counted from 1, but attempt is 0"):
        Retry(backoff=backoff).draw_delay(0, Random(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": -1}, "limit=-1"),
        ({"min": "0s"}, "min must be above zero"),
        ({"min": "2h", "max": "1h"}, "max at least min"),
        ({"backoff": "square"}, "backoff must be 'exponential' or 'linear'"),
        ({"never": [ValueError]}, "never must be a tuple of exception types"),
        ({"never": ValueError}, "never must be a tuple of exception types"),
        ({"never": ("ValueError",)}, "never must be a tuple of exception types"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_where_it_is_written(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Retry(**arguments)


def test_a_delay_that_is_not_a_length_of_time_is_refused_where_it_is_written() -> None:
    with pytest.raises(DurationError, match="'soon' is not a duration"):
        Retry(max="soon")
