"""Which times of a schedule are fired, and which wait or are passed over."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowlet.engine.schedules.firing_plan import FiringPlan, plan_times
from flowlet.store.schedules.table import ScheduleRecord
from flowlet.store.schedules.times import resume_times
from flowlet.workflow.schedule import CatchUp, Overlap
from flowlet.workflow.timetable import Timetable
from tests.engine.schedules.plans import MINUTE, build_record, parse_time

START = "2026-03-01T00:00Z"


def plan(
    record: ScheduleRecord, now: str, *, is_running: bool = False, limit: int = 100
) -> tuple[list[str], FiringPlan]:
    """Return the hours and minutes that are fired, and the plan."""
    timetable = record.build_timetable()
    made = plan_times(record, timetable, now=parse_time(now), is_running=is_running, limit=limit)
    return [timetable.format_time(time)[5:16] for time in made.fired], made


def test_a_time_is_fired_once_and_the_next_one_waits_for_its_hour() -> None:
    record = build_record("0 3 * * *", after=START)

    fired, made = plan(record, "2026-03-01T03:00:00.2Z")

    assert fired == ["03-01T03:00"]
    assert made.next_time == parse_time("2026-03-02T03:00Z")
    assert plan(replace(record, next_time=made.next_time), "2026-03-01T03:00:01Z")[0] == []


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (CatchUp.NONE, []),
        (CatchUp.LAST, ["03-04T03:00"]),
        (CatchUp.ALL, ["03-01T03:00", "03-02T03:00", "03-03T03:00", "03-04T03:00"]),
    ],
)
def test_catch_up_says_which_missed_times_are_fired(catch_up: CatchUp, expected: list[str]) -> None:
    record = build_record("0 3 * * *", after=START, catch_up=catch_up)

    fired, made = plan(record, "2026-03-04T12:00Z")

    assert fired == expected
    assert made.next_time == parse_time("2026-03-05T03:00Z")


def test_a_time_that_is_a_minute_late_is_not_missed() -> None:
    record = build_record("0 3 * * *", after=START, catch_up=CatchUp.NONE)

    assert plan(record, "2026-03-01T03:01Z")[0] == ["03-01T03:00"]
    assert plan(record, "2026-03-01T03:01:01Z")[0] == []


def test_the_last_missed_time_is_not_fired_beside_one_that_is_on_time() -> None:
    record = build_record("* * * * *", after=START)

    fired, made = plan(record, "2026-03-01T00:10:30Z")

    assert fired == ["03-01T00:10"]
    assert made.dropped == parse_time("2026-03-01T00:01Z")


def test_all_missed_times_are_fired_in_parts() -> None:
    record = build_record("* * * * *", after=START, catch_up=CatchUp.ALL)

    fired, made = plan(record, "2026-03-02T00:00Z", limit=100)

    assert (len(fired), fired[-1]) == (100, "03-01T01:40")
    assert made.next_time == parse_time("2026-03-01T01:41Z")


def test_overlap_says_what_a_running_instance_does_to_a_time() -> None:
    minutes = build_record("* * * * *", after=START)
    now = "2026-03-01T00:01:30Z"

    assert plan(minutes, now, is_running=True)[0] == ["03-01T00:01"]
    assert plan(replace(minutes, overlap=Overlap.SKIP), now, is_running=True)[0] == []
    fired, waiting = plan(replace(minutes, overlap=Overlap.WAIT), now, is_running=True)
    assert (fired, waiting.pending) == ([], parse_time("2026-03-01T00:01Z"))


def test_one_time_waits_and_later_ones_are_passed_over() -> None:
    first = parse_time("2026-03-01T00:01Z")
    record = build_record("* * * * *", after="2026-03-01T00:01Z", overlap=Overlap.WAIT, pending=first)

    _, still = plan(record, "2026-03-01T00:02:10Z", is_running=True)
    fired, ended = plan(record, "2026-03-01T00:02:10Z")

    assert (still.pending, still.dropped) == (first, parse_time("2026-03-01T00:02Z"))
    assert (fired, ended.pending) == (["03-01T00:01"], parse_time("2026-03-01T00:02Z"))


class PlanCase(NamedTuple):
    """A schedule, and when executors look at it: after so many microseconds, again and again."""

    spec: str
    catch_up: CatchUp
    overlap: Overlap
    jitter: int
    pauses: list[int]
    is_running: bool
    limit: int


@given(
    st.builds(
        PlanCase,
        st.sampled_from(["* * * * *", "*/10 * * * *", "every 20 seconds"]),
        st.sampled_from(CatchUp),
        st.sampled_from(Overlap),
        st.sampled_from([0, 15 * 1_000_000]),
        st.lists(st.integers(1, 15 * MINUTE), min_size=1, max_size=8),
        st.booleans(),
        st.integers(1, 60),
    )
)
@settings(max_examples=40)
def test_no_time_is_fired_twice_and_none_is_missed_that_is_to_be_made_up_for(case: PlanCase) -> None:
    timetable = Timetable(case.spec)
    first = record = build_record(
        case.spec, after=START, catch_up=case.catch_up, overlap=case.overlap, jitter=case.jitter
    )
    now, fired = parse_time(START), list[int]()
    for pause in case.pauses:
        now += pause
        while record.next_fire is not None and record.next_fire <= now:
            made = plan_times(record, timetable, now=now, is_running=case.is_running, limit=case.limit)
            fired += made.fired
            record = resume_times(replace(record, next_time=made.next_time, pending=made.pending))

    assert fired == sorted(set(fired))
    assert first.next_time is not None
    assert record.next_time is not None
    if case.overlap is Overlap.ALLOW and case.catch_up is CatchUp.ALL:
        assert fired == timetable.list_between(first.next_time, record.next_time - 1, limit=10_000)
