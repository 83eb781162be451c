"""The passage of an instance: what its history tells of the time it spent in each state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from flowlet.instances import Action, ActionKind, Instance, Status
from flowlet.registry import Registry
from flowlet.store.reports.family import COUNTED, standings
from flowlet.store.reports.passage import LINES_READ, Mark, Passage, Spending, Visit, passage, passage_of
from tests.engine.making import SECOND, leased
from tests.operations.desk import CLERK, Desk, opened_desk, orders

NOW = 100 * SECOND
STANDING = {"review": Spending.PERSON, "delivered": Spending.ENDED, "unpaid": Spending.ENDED}
CREATED = Action(ActionKind.CREATED, 0, to_state="check")


def instance(status: Status = Status.IN_PROGRESS, **columns: Any) -> Instance:
    """Return an instance of Orders that has not ended, but for its status and what is given."""
    registry = Registry()
    registry.add(orders())
    columns = {"next_activation": None, "state": "charge", **columns}
    return replace(leased(registry.definition("Orders")), status=status, **columns)


def line(kind: ActionKind, seconds: float, **columns: Any) -> Action:
    return Action(kind, int(seconds * SECOND), **columns)


def went(seconds: float, source: str, target: str, *, took_ms: int = 1000) -> Action:
    """Return the line of a transition whose activation took so long."""
    return line(ActionKind.TRANSITION, seconds, from_state=source, to_state=target, attempt=1, duration_ms=took_ms)


def told(lines: Sequence[Action], at: Instance, children: Sequence[Instance] = ()) -> Passage:
    return passage_of(lines, at, children, standing=STANDING, now=NOW)


def spent(visit: Visit) -> list[tuple[str, float]]:
    """Return what a visit's time was spent with, each with its length in seconds."""
    return [(span.spending.value, span.length / SECOND) for span in visit.spans]


def test_a_visit_waits_and_runs() -> None:
    found = told([CREATED, went(10, "check", "charge", took_ms=2000)], instance(next_activation=NOW + SECOND))

    assert [(visit.state, visit.begin, visit.end) for visit in found.visits] == [
        ("check", 0, 10 * SECOND),
        ("charge", 10 * SECOND, NOW),
    ]
    assert spent(found.visits[0]) == [("waiting", 8), ("running", 2)]
    assert spent(found.visits[1]) == [("waiting", 90)]
    assert found.is_whole


def test_failed_attempts_and_the_waits_between_them_are_told_apart() -> None:
    lines = [
        CREATED,
        line(ActionKind.ERROR, 1, from_state="check", attempt=1, duration_ms=1000),
        line(ActionKind.ERROR, 6, from_state="check", attempt=2, duration_ms=1000),
        went(20, "check", "charge"),
    ]

    (visit, _) = told(lines, instance()).visits

    assert spent(visit) == [("failing", 1), ("retrying", 4), ("failing", 1), ("retrying", 13), ("running", 1)]
    assert visit.failures == 2
    assert [span.attempt for span in visit.spans] == [1, None, 2, None, 1]


def test_an_attempt_that_failed_for_good_is_told_once_and_what_was_until_a_retry_is_no_wait() -> None:
    lines = [
        CREATED,
        line(ActionKind.ERROR, 5, from_state="check", attempt=1, duration_ms=5000),
        line(ActionKind.FAILED, 5, from_state="check", attempt=1, duration_ms=5000),
        line(ActionKind.RETRIED, 30, from_state="check", username="ada"),
        went(32, "check", "charge"),
    ]

    visit = told(lines, instance()).visits[0]

    assert spent(visit) == [("failing", 5), ("ended", 25), ("queued", 1), ("running", 1)]
    assert visit.marks == (Mark(30 * SECOND, ActionKind.RETRIED, "ada"),)


def test_a_manual_state_waits_for_a_person_and_then_for_its_turn() -> None:
    lines = [
        CREATED,
        went(1, "check", "review"),
        line(ActionKind.ANSWERED, 61, from_state="review", to_state="charge", username="ada"),
        went(63, "review", "charge"),
    ]

    visit = told(lines, instance()).visits[1]

    assert spent(visit) == [("person", 60), ("queued", 1), ("running", 1)]


def test_a_pause_that_was_asked_for_while_it_ran_begins_when_the_run_has_ended() -> None:
    lines = [
        CREATED,
        line(ActionKind.PAUSED, 5, from_state="check", username="ada"),
        went(8, "check", "charge", took_ms=8000),
        line(ActionKind.RESUMED, 20, from_state="charge", username="ada"),
    ]

    check, charge = told(lines, instance()).visits

    assert spent(check) == [("running", 8)]
    assert spent(charge) == [("paused", 12), ("waiting", 80)]


def test_a_run_of_less_than_a_millisecond_is_seen() -> None:
    (visit, _) = told([CREATED, went(10, "check", "charge", took_ms=0)], instance()).visits

    assert [span.spending for span in visit.spans] == [Spending.WAITING, Spending.RUNNING]
    assert 0 < visit.spans[1].length < 1000


def test_a_wait_for_children_is_told_by_their_ends() -> None:
    child = replace(instance(Status.FINISHED), created=10 * SECOND, ended=40 * SECOND)
    lines = [CREATED, went(10, "check", "charge"), went(41, "charge", "delivered")]

    visit = told(lines, instance(Status.FINISHED, ended=41 * SECOND), [child]).visits[1]

    assert spent(visit) == [("children", 30), ("running", 1)]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (instance(Status.EXECUTING, next_activation=30 * SECOND), [("waiting", 29), ("running", 70)]),
        (instance(next_activation=30 * SECOND), [("waiting", 29), ("queued", 70)]),
        (instance(waits_for_children=True), [("children", 99)]),
    ],
    ids=["executing", "due", "waits for children"],
)
def test_what_it_does_now_is_told(at: Instance, expected: list[tuple[str, float]]) -> None:
    found = told([CREATED, went(1, "check", "charge")], at)

    assert spent(found.visits[-1]) == expected


def test_an_end_takes_no_time_and_one_that_was_left_by_force_had_ended() -> None:
    lines = [
        CREATED,
        went(1, "check", "delivered"),
        line(ActionKind.FORCED, 11, from_state="delivered", to_state="unpaid", username="ada"),
    ]

    found = told(lines, instance(Status.FAILED, ended=11 * SECOND))

    assert spent(found.visits[1]) == [("ended", 10)]
    assert (found.visits[2].begin, found.visits[2].end, spent(found.visits[2])) == (11 * SECOND, 11 * SECOND, [])


def test_a_history_without_its_beginning_is_told_from_where_it_is_known() -> None:
    found = told([line(ActionKind.ERROR, 5, from_state="check", duration_ms=10, attempt=7)], instance())

    assert (found.is_whole, [visit.state for visit in found.visits]) == (False, ["check"])
    assert not told([], instance()).visits


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """A desk, on each of the three databases."""
    async with opened_desk(database_url) as desk:
        yield desk


async def test_it_is_read_from_the_newest_lines_without_those_of_handlers(desk: Desk) -> None:
    waiting = await desk.at(Status.WAITING)
    sql = (
        "INSERT INTO workflow_action (workflow_id, kind, at, from_state, to_state) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450) "
        "SELECT :id, :kind, :at, 'review', 'review' FROM n"
    )
    now = desk.hands.clock.now()
    await desk.hands.execute(sql, {"id": waiting.id, "kind": "LOG", "at": now})
    connections = desk.hands.store.connections

    whole = await passage(connections, waiting, [], standing=STANDING, now=now)
    await desk.hands.execute(sql, {"id": waiting.id, "kind": "TRANSITION", "at": now})
    cut = await passage(connections, waiting, [], standing=STANDING, now=now)

    assert (whole.is_whole, [visit.state for visit in whole.visits]) == (True, ["check", "review"])
    assert (cut.is_whole, len(cut.visits)) == (False, LINES_READ)


async def test_children_are_counted_by_their_status(desk: Desk) -> None:
    parent, (first, _, _) = await desk.family("Orders", "Orders", "Orders")
    await desk.operations.cancel(first, username=CLERK)
    connections = desk.hands.store.connections

    found = await standings(connections, await desk.get(parent))

    assert found == {Status.NEW: 2, Status.CANCELLED: 1}
    assert await standings(connections, await desk.get(first)) == {}
    assert await standings(connections, replace(await desk.get(parent), children=COUNTED + 1)) is None
