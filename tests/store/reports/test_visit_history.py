"""The passage of an instance: what its history tells of the time it spent in each state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from flowlet.definition.registry import Registry
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.store.reports.children import MAX_COUNTED_CHILDREN, count_children_by_status
from flowlet.store.reports.visit_history import (
    MAX_ACTIONS_READ,
    ManualAction,
    SpanKind,
    Visit,
    VisitHistory,
    build_visit_history,
    read_visit_history,
)
from tests.engine.activation.activation_harness import SECOND_MICROSECONDS, build_leased_instance
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness, build_orders_module, open_operations

NOW = 100 * SECOND_MICROSECONDS
STATE_SPENDING = {"review": SpanKind.PERSON, "delivered": SpanKind.ENDED, "unpaid": SpanKind.ENDED}
CREATED_ACTION = Action(ActionKind.CREATED, 0, to_state="check")


def build_instance(status: Status = Status.IN_PROGRESS, **columns: Any) -> Instance:
    """Return an instance of Orders that has not ended, but for its status and what is given."""
    registry = Registry()
    registry.add(build_orders_module())
    columns = {"next_activation_us": None, "state": "charge", **columns}
    return replace(build_leased_instance(registry.get_definition("Orders")), status=status, **columns)


def build_action(kind: ActionKind, seconds: float, **columns: Any) -> Action:
    return Action(kind, int(seconds * SECOND_MICROSECONDS), **columns)


def build_transition_action(seconds: float, source: str, target: str, *, took_ms: int = 1000) -> Action:
    """Return the line of a transition whose activation took so long."""
    return build_action(
        ActionKind.TRANSITION, seconds, from_state=source, to_state=target, attempt=1, duration_ms=took_ms
    )


def build_passage(actions: Sequence[Action], instance: Instance, children: Sequence[Instance] = ()) -> VisitHistory:
    return build_visit_history(actions, instance, children, kind_by_state=STATE_SPENDING, now=NOW)


def list_spending(page_client: Visit) -> list[tuple[str, float]]:
    """Return what a visit's time was spent with, each with its length in seconds."""
    return [(span.span_kind.value, span.duration_microseconds / SECOND_MICROSECONDS) for span in page_client.spans]


def test_a_visit_waits_and_runs() -> None:
    found = build_passage(
        [CREATED_ACTION, build_transition_action(10, "check", "charge", took_ms=2000)],
        build_instance(next_activation_us=NOW + SECOND_MICROSECONDS),
    )

    assert [(visit.state, visit.begin, visit.end) for visit in found.visits] == [
        ("check", 0, 10 * SECOND_MICROSECONDS),
        ("charge", 10 * SECOND_MICROSECONDS, NOW),
    ]
    assert list_spending(found.visits[0]) == [("waiting", 8), ("running", 2)]
    assert list_spending(found.visits[1]) == [("waiting", 90)]
    assert found.is_whole


def test_failed_attempts_and_the_waits_between_them_are_told_apart() -> None:
    lines = [
        CREATED_ACTION,
        build_action(ActionKind.ERROR, 1, from_state="check", attempt=1, duration_ms=1000),
        build_action(ActionKind.ERROR, 6, from_state="check", attempt=2, duration_ms=1000),
        build_transition_action(20, "check", "charge"),
    ]

    (visit, _) = build_passage(lines, build_instance()).visits

    assert list_spending(visit) == [("failing", 1), ("retrying", 4), ("failing", 1), ("retrying", 13), ("running", 1)]
    assert visit.failure_count == 2
    assert [span.attempt for span in visit.spans] == [1, None, 2, None, 1]


def test_an_attempt_that_failed_for_good_is_told_once_and_what_was_until_a_retry_is_no_wait() -> None:
    lines = [
        CREATED_ACTION,
        build_action(ActionKind.ERROR, 5, from_state="check", attempt=1, duration_ms=5000),
        build_action(ActionKind.FAILED, 5, from_state="check", attempt=1, duration_ms=5000),
        build_action(ActionKind.RETRIED, 30, from_state="check", username="ada"),
        build_transition_action(32, "check", "charge"),
    ]

    visit = build_passage(lines, build_instance()).visits[0]

    assert list_spending(visit) == [("failing", 5), ("ended", 25), ("queued", 1), ("running", 1)]
    assert visit.manual_actions == (ManualAction(30 * SECOND_MICROSECONDS, ActionKind.RETRIED, "ada"),)


def test_a_manual_state_waits_for_a_person_and_then_for_its_turn() -> None:
    lines = [
        CREATED_ACTION,
        build_transition_action(1, "check", "review"),
        build_action(ActionKind.ANSWERED, 61, from_state="review", to_state="charge", username="ada"),
        build_transition_action(63, "review", "charge"),
    ]

    visit = build_passage(lines, build_instance()).visits[1]

    assert list_spending(visit) == [("person", 60), ("queued", 1), ("running", 1)]


def test_a_pause_that_was_asked_for_while_it_ran_begins_when_the_run_has_ended() -> None:
    lines = [
        CREATED_ACTION,
        build_action(ActionKind.PAUSED, 5, from_state="check", username="ada"),
        build_transition_action(8, "check", "charge", took_ms=8000),
        build_action(ActionKind.RESUMED, 20, from_state="charge", username="ada"),
    ]

    check, charge = build_passage(lines, build_instance()).visits

    assert list_spending(check) == [("running", 8)]
    assert list_spending(charge) == [("paused", 12), ("waiting", 80)]


def test_a_run_of_less_than_a_millisecond_is_seen() -> None:
    (visit, _) = build_passage(
        [CREATED_ACTION, build_transition_action(10, "check", "charge", took_ms=0)], build_instance()
    ).visits

    assert [span.span_kind for span in visit.spans] == [SpanKind.WAITING, SpanKind.RUNNING]
    assert 0 < visit.spans[1].duration_microseconds < 1000


def test_a_wait_for_children_is_told_by_their_ends() -> None:
    child = replace(
        build_instance(Status.FINISHED), created_us=10 * SECOND_MICROSECONDS, ended_us=40 * SECOND_MICROSECONDS
    )
    lines = [
        CREATED_ACTION,
        build_transition_action(10, "check", "charge"),
        build_transition_action(41, "charge", "delivered"),
    ]

    visit = build_passage(lines, build_instance(Status.FINISHED, ended_us=41 * SECOND_MICROSECONDS), [child]).visits[1]

    assert list_spending(visit) == [("children", 30), ("running", 1)]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (
            build_instance(Status.EXECUTING, next_activation_us=30 * SECOND_MICROSECONDS),
            [("waiting", 29), ("running", 70)],
        ),
        (build_instance(next_activation_us=30 * SECOND_MICROSECONDS), [("waiting", 29), ("queued", 70)]),
        (build_instance(wake_at_open_children=0), [("children", 99)]),
    ],
    ids=["executing", "due", "waits for children"],
)
def test_what_it_does_now_is_told(at: Instance, expected: list[tuple[str, float]]) -> None:
    found = build_passage([CREATED_ACTION, build_transition_action(1, "check", "charge")], at)

    assert list_spending(found.visits[-1]) == expected


def test_an_end_takes_no_time_and_one_that_was_left_by_force_had_ended() -> None:
    lines = [
        CREATED_ACTION,
        build_transition_action(1, "check", "delivered"),
        build_action(ActionKind.FORCED, 11, from_state="delivered", to_state="unpaid", username="ada"),
    ]

    found = build_passage(lines, build_instance(Status.FAILED, ended_us=11 * SECOND_MICROSECONDS))

    assert list_spending(found.visits[1]) == [("ended", 10)]
    assert (found.visits[2].begin, found.visits[2].end, list_spending(found.visits[2])) == (
        11 * SECOND_MICROSECONDS,
        11 * SECOND_MICROSECONDS,
        [],
    )


def test_a_history_without_its_beginning_is_told_from_where_it_is_known() -> None:
    found = build_passage(
        [build_action(ActionKind.ERROR, 5, from_state="check", duration_ms=10, attempt=7)], build_instance()
    )

    assert (found.is_whole, [visit.state for visit in found.visits]) == (False, ["check"])
    assert not build_passage([], build_instance()).visits


@pytest.fixture
async def harness(database_url: str) -> AsyncIterator[OperationsHarness]:
    """A desk, on each of the three databases."""
    async with open_operations(database_url) as desk:
        yield desk


async def test_it_is_read_from_the_newest_lines_without_those_of_handlers(harness: OperationsHarness) -> None:
    waiting = await harness.create_in_status(Status.WAITING)
    sql = (
        "INSERT INTO flowlet_action (workflow_id, kind, at, from_state, to_state) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450) "
        "SELECT :id, :kind, :at, 'review', 'review' FROM n"
    )
    now = harness.hands.clock.now()
    await harness.hands.execute_sql(sql, {"id": waiting.id, "kind": "LOG", "at": now})
    connections = harness.hands.store.connections

    whole = await read_visit_history(connections, waiting, [], kind_by_state=STATE_SPENDING, now=now)
    await harness.hands.execute_sql(sql, {"id": waiting.id, "kind": "TRANSITION", "at": now})
    cut = await read_visit_history(connections, waiting, [], kind_by_state=STATE_SPENDING, now=now)

    assert (whole.is_whole, [visit.state for visit in whole.visits]) == (True, ["check", "review"])
    assert (cut.is_whole, len(cut.visits)) == (False, MAX_ACTIONS_READ)


async def test_children_are_counted_by_their_status(harness: OperationsHarness) -> None:
    parent, (first, _, _) = await harness.create_family("Orders", "Orders", "Orders")
    await harness.operations.cancel(first, username=OPERATOR_NAME)
    connections = harness.hands.store.connections

    found = await count_children_by_status(connections, await harness.get_instance(parent))

    assert found == {Status.NEW: 2, Status.CANCELLED: 1}
    assert await count_children_by_status(connections, await harness.get_instance(first)) == {}
    assert (
        await count_children_by_status(
            connections, replace(await harness.get_instance(parent), children=MAX_COUNTED_CHILDREN + 1)
        )
        is None
    )
