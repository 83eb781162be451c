"""The pace: which spans are asked for, what is shown of them, and what they are compared with."""

from __future__ import annotations

import pytest

from flowlet.store.reports.throughput import ThroughputInterval
from flowlet.web.console.throughput import (
    HOUR_MICROSECONDS,
    MINUTE_MICROSECONDS,
    SPANS_READ,
    Throughput,
    compute_window,
)

NOW = 1_800_000_000_000_000 + 90 * 1_000_000


def build_throughput(step_microseconds: int, *transition_counts: int, failures: int = 0) -> Throughput:
    """Return the pace of spans with these transitions, the last ones; those before had none."""
    since, until = compute_window(NOW, step_microseconds)
    all_ = [0] * (SPANS_READ[step_microseconds] - len(transition_counts)) + list(transition_counts)
    starts = range(since, until, step_microseconds)
    return Throughput(
        step_microseconds,
        [ThroughputInterval(at, n, failures, 0, failures, 0) for at, n in zip(starts, all_, strict=True)],
    )


@pytest.mark.parametrize("step", [MINUTE_MICROSECONDS, HOUR_MICROSECONDS])
def test_whole_spans_are_asked_for_up_to_the_one_that_has_begun(step: int) -> None:
    since, until = compute_window(NOW, step)

    assert (since % step, until % step) == (0, 0)
    assert until - step <= NOW < until
    assert (
        NOW - since < {MINUTE_MICROSECONDS: 70 * MINUTE_MICROSECONDS, HOUR_MICROSECONDS: 48 * HOUR_MICROSECONDS}[step]
    )


def test_the_rate_is_that_of_the_hour_the_minute_that_has_begun_included() -> None:
    assert build_throughput(MINUTE_MICROSECONDS, 30, 30).rate_per_minute == "1.0"
    assert build_throughput(MINUTE_MICROSECONDS, *[250] * 61).rate_per_minute == "250"
    assert build_throughput(MINUTE_MICROSECONDS, *[0] * 61).rate_per_minute == "0.0"
    assert build_throughput(HOUR_MICROSECONDS, *[6000] * 48).rate_per_minute == "100"


def test_whole_spans_are_compared() -> None:
    assert build_throughput(MINUTE_MICROSECONDS, *[10] * 30, *[11] * 30, 9_999).change_percent == 10
    assert build_throughput(HOUR_MICROSECONDS, *[10] * 23, 9_999, *[5] * 23, 9_999).change_percent == -50


def test_against_next_to_nothing_no_change_is_shown() -> None:
    assert build_throughput(MINUTE_MICROSECONDS, 29, *[0] * 29, *[11] * 30, 0).change_percent is None
    assert build_throughput(MINUTE_MICROSECONDS, 30, *[0] * 29, *[1] * 30, 0).change_percent == 0


def test_the_chart_has_a_bar_for_each_span_with_the_failures() -> None:
    drawn = build_throughput(MINUTE_MICROSECONDS, 7, failures=2).chart

    assert drawn.count("<g>") == 60
    assert "08:01 UTC: 2 failed attempts, 7 transitions" in drawn
    assert build_throughput(HOUR_MICROSECONDS, 7).chart.count("<g>") == 24


def test_where_nothing_was_there_is_no_line() -> None:
    assert build_throughput(MINUTE_MICROSECONDS).transition_line == ""
    assert build_throughput(MINUTE_MICROSECONDS).failed_line == ""
    assert "<svg" in build_throughput(MINUTE_MICROSECONDS, 1, failures=1).failed_line
