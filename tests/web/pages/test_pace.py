"""The pace: which spans are asked for, what is shown of them, and what they are compared with."""

from __future__ import annotations

import pytest

from flowlet.store.reports.throughput import Span
from flowlet.web.pages.pace import HOUR, MINUTE, READ, Pace, beginning

NOW = 1_800_000_000_000_000 + 90 * 1_000_000


def pace(step: int, *numbers: int, failures: int = 0) -> Pace:
    """Return the pace of spans with these transitions, the last ones; those before had none."""
    since, until = beginning(NOW, step)
    all_ = [0] * (READ[step] - len(numbers)) + list(numbers)
    starts = range(since, until, step)
    return Pace(step, [Span(at, n, failures, 0, failures, 0) for at, n in zip(starts, all_, strict=True)])


@pytest.mark.parametrize("step", [MINUTE, HOUR])
def test_whole_spans_are_asked_for_up_to_the_one_that_has_begun(step: int) -> None:
    since, until = beginning(NOW, step)

    assert (since % step, until % step) == (0, 0)
    assert until - step <= NOW < until
    assert NOW - since < {MINUTE: 70 * MINUTE, HOUR: 48 * HOUR}[step]


def test_the_rate_is_that_of_the_hour_the_minute_that_has_begun_included() -> None:
    assert pace(MINUTE, 30, 30).rate == "1.0"
    assert pace(MINUTE, *[250] * 61).rate == "250"
    assert pace(MINUTE, *[0] * 61).rate == "0.0"
    assert pace(HOUR, *[6000] * 48).rate == "100"


def test_whole_spans_are_compared() -> None:
    assert pace(MINUTE, *[10] * 30, *[11] * 30, 9_999).change == 10
    assert pace(HOUR, *[10] * 23, 9_999, *[5] * 23, 9_999).change == -50


def test_against_next_to_nothing_no_change_is_told() -> None:
    assert pace(MINUTE, 29, *[0] * 29, *[11] * 30, 0).change is None
    assert pace(MINUTE, 30, *[0] * 29, *[1] * 30, 0).change == 0


def test_the_chart_has_a_bar_for_each_span_with_the_failures() -> None:
    drawn = pace(MINUTE, 7, failures=2).chart

    assert drawn.count("<g>") == 60
    assert "08:01 UTC: 2 failed attempts, 7 transitions" in drawn
    assert pace(HOUR, 7).chart.count("<g>") == 24


def test_where_nothing_was_there_is_no_line() -> None:
    assert pace(MINUTE).line == ""
    assert pace(MINUTE).failed_line == ""
    assert "<svg" in pace(MINUTE, 1, failures=1).failed_line
