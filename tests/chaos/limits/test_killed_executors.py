"""A limit and a breaker over four executors that are killed, in small; and what the rules find in made-up attempts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.limits.attempts import SECOND, Attempt, ClosedTime, count_most, find_breaker_faults, find_excess
from tests.chaos.limits.killed_executors import LimitedPlan, run_limited

pytestmark = pytest.mark.timeout(180)

SMALL = LimitedPlan(seconds=2, kill_seconds=1.0, closed_seconds=2.5)


async def test_a_limit_and_a_breaker_hold_while_executors_are_killed_and_the_limit_is_lowered(
    database_url: str, tmp_path: Path
) -> None:
    result = await run_limited(database_url, tmp_path, SMALL)

    assert not result.faults
    assert result.kill_count > 3
    assert count_most(one for one in result.attempts if one.state == "enter") == 10
    assert result.failure_count >= 3
    assert {one.outcome for one in result.attempts} >= {"end", "fail"}


def test_an_attempt_beyond_the_limit_is_found_and_one_admitted_before_it_was_lowered_is_not() -> None:
    running = [Attempt("enter", began, 20 * SECOND, "end") for began in range(3)]
    late = Attempt("enter", 10 * SECOND, 11 * SECOND, "killed")

    assert not list(find_excess([*running, late], [(0, 4)]))
    assert not list(find_excess([*running, late], [(0, 4), (10 * SECOND - 5, 2)]))
    assert list(find_excess([*running, late], [(0, 4), (5 * SECOND, 2)])) == [
        ("the limit of 'enter'", "an attempt began as the 4th, and 2 may run")
    ]


def test_attempts_behind_an_open_breaker_are_found() -> None:
    closed = ClosedTime(0, 10 * SECOND)
    failing = [Attempt("call", place, place + 1, "fail") for place in range(3)]
    probes = [Attempt("call", second * SECOND, second * SECOND + 9, "fail") for second in range(2, 10)]
    options = {"failure_count": 3, "pause": SECOND}

    assert not list(find_breaker_faults([*failing, *probes], closed, **options))
    crowd = [Attempt("call", 3 * SECOND + place, 4 * SECOND, "fail") for place in range(3)]
    assert list(find_breaker_faults([*failing, *probes, *crowd], closed, **options))
    assert not list(find_breaker_faults(failing[:2], closed, **options))
