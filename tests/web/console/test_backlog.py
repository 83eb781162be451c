"""The backlog: counted back from what is open now."""

from __future__ import annotations

from flowlet.store.reports.throughput import ThroughputInterval
from flowlet.web.console.backlog import Backlog
from flowlet.web.console.throughput import MINUTE_MICROSECONDS, SPANS_READ, Throughput, compute_window

NOW = 1_800_000_000_000_000 + 90 * 1_000_000


def build_backlog(open_count: int, *counts: tuple[int, int]) -> Backlog:
    """Return the backlog after these last minutes, in each of which so many were opened and finished."""
    since, until = compute_window(NOW, MINUTE_MICROSECONDS)
    all_ = [(0, 0)] * (SPANS_READ[MINUTE_MICROSECONDS] - len(counts)) + list(counts)
    starts = range(since, until, MINUTE_MICROSECONDS)
    spans = [
        ThroughputInterval(at, 0, 0, ended, 0, 0, opened) for at, (opened, ended) in zip(starts, all_, strict=True)
    ]
    return Backlog(Throughput(MINUTE_MICROSECONDS, spans), open_count)


def test_what_was_open_is_counted_back_from_now() -> None:
    backlog = build_backlog(12, (5, 0), (10, 4), (0, 2))

    assert backlog.open_counts[-4:] == [3, 8, 14, 12]
    assert set(backlog.open_counts[:-4]) == {3}
    assert (backlog.opened_count, backlog.ended_count, backlog.change) == (15, 6, 9)
    assert "08:00 UTC: 10 opened, 4 ended: 14 open" in backlog.chart
    assert backlog.chart.count("<g>") == 60


def test_counts_that_were_read_at_two_moments_are_never_below_nothing() -> None:
    assert min(build_backlog(0, (3, 1)).open_counts) == 0
