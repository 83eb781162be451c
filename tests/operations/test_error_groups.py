"""Groups of errors: who is in one, what takes an instance out of it, and that a search finds exactly a group."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from flowlet.engine.release import build_release
from flowlet.errors import Fail
from flowlet.instance.change import Change
from flowlet.instance.fingerprint import compute_fingerprint
from flowlet.instance.instance import Instance, Status
from flowlet.store.changes import change_instance
from flowlet.store.database_session import DatabaseSession
from flowlet.store.reports.error_times import read_error_trends, read_first_seen
from flowlet.store.reports.errors import ErrorGroup, ErrorOrder, count_failed, read_error_groups, read_failing_types
from flowlet.store.search.query import SearchQuery
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import end, error, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.manual_executor import open_engine
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness

SECOND = 1_000_000
REFUSED_FINGERPRINT = compute_fingerprint("Orders", "charge", "Fail: the card was refused")
AWAY_FINGERPRINT = compute_fingerprint("Orders", "charge", "RuntimeError: the bank is away")


def build_bank_module(name: str) -> ModuleType:
    """Return a workflow whose only attempt fails and leads to an error state."""

    @state(start=True, next=["paid", "unpaid"], on_error="unpaid")
    async def pay() -> str:
        raise Fail("bank away")

    unpaid = error("The customer could not pay.")
    return build_workflow_module(workflow=Workflow(name, retry=Retry(limit=0)), pay=pay, paid=end(), unpaid=unpaid)


async def list_error_groups(harness: OperationsHarness, **options: Any) -> list[ErrorGroup]:
    connections = harness.hands.store.connections
    return await read_first_seen(connections, await read_error_groups(connections, **options))


async def create_failing_order(harness: OperationsHarness, way: str) -> Instance:
    """Return a new instance whose first attempt has just failed, a second after whatever was before."""
    harness.hands.clock.advance(SECOND)
    return await harness.run_until_released(await harness.create_order(way=way))


async def test_failures_that_are_alike_are_one_group_the_latest_first(harness: OperationsHarness) -> None:
    first = await create_failing_order(harness, "fail")
    waiting = await create_failing_order(harness, "stumble")
    last = await create_failing_order(harness, "fail")

    found = await list_error_groups(harness)

    assert found == [
        ErrorGroup(
            fingerprint=REFUSED_FINGERPRINT,
            type="Orders",
            state="charge",
            message="Fail: the card was refused",
            count=2,
            failed=2,
            first=first.modified_us,
            last=last.modified_us,
            newest_id=last.id,
        ),
        ErrorGroup(
            fingerprint=AWAY_FINGERPRINT,
            type="Orders",
            state="charge",
            message="RuntimeError: the bank is away",
            count=1,
            failed=0,
            first=waiting.modified_us,
            last=waiting.modified_us,
            newest_id=waiting.id,
        ),
    ]


async def test_the_groups_of_one_workflow_and_no_more_than_are_wanted(harness: OperationsHarness) -> None:
    await create_failing_order(harness, "fail")
    await create_failing_order(harness, "stumble")

    assert [group.fingerprint for group in await list_error_groups(harness, limit=1)] == [AWAY_FINGERPRINT]
    assert len(await list_error_groups(harness, type="Orders")) == 2
    assert await list_error_groups(harness, type="Families") == []
    assert await read_failing_types(harness.hands.store.connections) == ["Orders"]
    assert await count_failed(harness.hands.store.connections) == 1


async def test_a_search_finds_exactly_a_group(harness: OperationsHarness) -> None:
    for way in ("fail", "stumble", "charge", "fail", "later"):
        await create_failing_order(harness, way)

    for group in await list_error_groups(harness):
        found = await harness.hands.store.queries.search(SearchQuery(fingerprint=group.fingerprint))
        assert found.total == group.count == len(found.instances)
        assert {instance.fingerprint for instance in found.instances} == {group.fingerprint}
        assert max((instance.failed_us, instance.id) for instance in found.instances) == (group.last, group.newest_id)


async def test_another_attempt_that_fails_moves_the_time_and_one_that_succeeds_leaves_the_group(
    harness: OperationsHarness,
) -> None:
    once = await create_failing_order(harness, "stumble")
    harness.hands.clock.advance(3_600 * SECOND)
    twice = await harness.run_until_released(once.id)
    await harness.operations.edit_variables(once.id, {"way": "charge"}, username=OPERATOR_NAME)
    harness.hands.clock.advance(3_600 * SECOND)

    after = await harness.run_until_released(once.id)

    assert twice.attempt == 2
    assert (once.fingerprint, twice.fingerprint) == (AWAY_FINGERPRINT, AWAY_FINGERPRINT)
    assert (once.failed_us, twice.failed_us) == (once.modified_us, twice.modified_us)
    assert (after.status, after.fingerprint, after.failed_us) == (Status.FINISHED, None, None)
    assert await list_error_groups(harness) == []


async def test_a_pause_and_run_now_leave_an_instance_in_its_group(harness: OperationsHarness) -> None:
    id = (await create_failing_order(harness, "stumble")).id
    await harness.operations.pause(id, username=OPERATOR_NAME)
    await harness.operations.resume(id, username=OPERATOR_NAME)
    await harness.operations.wake(id, username=OPERATOR_NAME)
    await harness.claim_instance(id)

    (group,) = await list_error_groups(harness)

    assert (group.fingerprint, group.count, group.failed) == (AWAY_FINGERPRINT, 1, 0)


async def test_a_retry_a_move_and_a_cancel_take_an_instance_out_of_its_group(harness: OperationsHarness) -> None:
    retried, moved, forced = [(await create_failing_order(harness, "fail")).id for _ in range(3)]
    cancelled = (await create_failing_order(harness, "stumble")).id

    await harness.operations.retry(retried, username=OPERATOR_NAME)
    await harness.operations.move(moved, "sign", username=OPERATOR_NAME)
    await harness.operations.move(forced, "check", username=OPERATOR_NAME, force=True, reason="once more")
    await harness.operations.cancel(cancelled, username=OPERATOR_NAME)

    assert await list_error_groups(harness) == []
    for id in (retried, moved, forced, cancelled):
        after = await harness.get_instance(id)
        assert (after.fingerprint, after.failed_us) == (None, None)


async def test_an_error_behind_on_error_is_in_the_group_of_the_state_that_failed(database_url: str) -> None:
    modules = [build_bank_module(name) for name in ("Cards", "Wires")]
    async with open_engine(database_url, *modules) as hands:
        executor = await hands.add_executor()
        for name in ("Cards", "Cards", "Wires"):
            hands.clock.advance(SECOND)
            await hands.create_instance(name)
            for instance in await executor.claim_due():
                await executor.commit_transitions(await executor.run_instance(instance))
        connections = hands.store.connections

        groups = await read_error_groups(connections, order=ErrorOrder.HARM)

        found = [(group.type, group.state, group.message, group.failed) for group in groups]
        assert found == [("Cards", "pay", "Fail: bank away", 2), ("Wires", "pay", "Fail: bank away", 1)]
        assert groups[0].fingerprint == compute_fingerprint("Cards", "pay", "Fail: bank away")
        assert [group.type for group in await read_error_groups(connections)] == ["Wires", "Cards"]


async def test_an_error_is_first_seen_at_the_first_attempt_that_failed_with_it(harness: OperationsHarness) -> None:
    once = await create_failing_order(harness, "stumble")
    harness.hands.clock.advance(3_600 * SECOND)
    twice = await harness.run_until_released(once.id)
    later = await create_failing_order(harness, "stumble")
    await harness.hands.execute_sql(
        "UPDATE flowlet_action SET text = 'RuntimeError: another one' WHERE kind = 'ERROR' AND at = :at",
        {"at": twice.failed_us},
    )

    (group,) = await list_error_groups(harness)
    trends = await read_error_trends(
        harness.hands.store.connections, [group.fingerprint, "none"], now=harness.hands.clock.now()
    )

    assert (group.first, group.last, group.count) == (once.failed_us, later.failed_us, 2)
    assert trends == {group.fingerprint: (*[0] * 11, 2)}


async def test_failed_attempts_are_counted_over_the_whole_life(harness: OperationsHarness) -> None:
    once = await create_failing_order(harness, "stumble")
    harness.hands.clock.advance(3_600 * SECOND)
    await harness.run_until_released(once.id)
    await harness.operations.edit_variables(once.id, {"way": "charge"}, username=OPERATOR_NAME)
    harness.hands.clock.advance(3_600 * SECOND)

    after = await harness.run_until_released(once.id)

    assert (after.status, after.attempt) == (Status.FINISHED, 0)
    assert await harness.hands.store.queries.count_failed_attempts(once.id) == 2


async def test_a_move_into_an_error_state_is_a_failure_of_its_own(harness: OperationsHarness) -> None:
    id = (await create_failing_order(harness, "fail")).id

    after = await harness.operations.move(id, "unpaid", username=OPERATOR_NAME)

    assert after.fingerprint == compute_fingerprint("Orders", "unpaid", "The customer could not pay.")
    assert [(group.message, group.state) for group in await list_error_groups(harness)] == [
        ("The customer could not pay.", "unpaid")
    ]


async def test_an_instance_that_killed_its_executors_is_in_a_group(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.EXECUTING)
    await harness.hands.execute_sql("UPDATE flowlet_workflow SET crashes = 3")
    harness.hands.clock.advance(60 * SECOND)

    await harness.hands.store.executors.repair_leases(
        now=harness.hands.clock.now(), expired_before=harness.hands.clock.now(), crash_limit=3
    )

    (group,) = await list_error_groups(harness)
    assert (group.newest_id, group.failed, group.last) == (instance.id, 1, harness.hands.clock.now())
    assert group.message == "3 executors in a row died while they ran it"


async def test_an_instance_that_is_handed_back_between_two_attempts_keeps_its_failure(
    harness: OperationsHarness,
) -> None:
    once = await create_failing_order(harness, "stumble")
    harness.hands.clock.advance(3_600 * SECOND)
    back = build_release(
        await harness.claim_instance(once.id),
        now=harness.hands.clock.now(),
        executor_id=harness.hand.id,
        reason="stops",
    )

    await harness.hand.commit_transitions(back)

    after = await harness.get_instance(once.id)
    assert (after.fingerprint, after.failed_us) == (AWAY_FINGERPRINT, once.modified_us)


async def test_of_two_that_failed_at_once_the_later_created_is_the_newest(harness: OperationsHarness) -> None:
    ids = [await harness.create_order(way="fail") for _ in range(2)]
    for id in ids:
        await harness.run_until_released(id)
        await change_instance(harness.hands.store.connections, id, set_failed_at_seven, now=harness.hands.clock.now())

    (group,) = await list_error_groups(harness)

    assert (group.count, group.first, group.last, group.newest_id) == (2, 7, 7, ids[1])


def set_failed_at_seven(instance: Instance) -> Change:
    """Return the change that lets an instance have failed at one moment."""
    return Change(instance, replace(instance, failed_us=7), ())


async def test_every_failed_instance_is_in_a_group_and_no_other_that_has_ended(harness: OperationsHarness) -> None:
    for way in ("fail", "charge", "fail"):
        await create_failing_order(harness, way)
    await harness.operations.move(
        (await harness.create_in_status(Status.IN_PROGRESS)).id, "unpaid", username=OPERATOR_NAME
    )
    await harness.create_in_status(Status.CANCELLED)

    rows = await harness.hands.fetch_rows(
        "SELECT status FROM flowlet_workflow WHERE fingerprint IS NOT NULL AND failed IS NOT NULL"
    )

    assert [status for (status,) in rows] == ["FAILED"] * 3
    assert await count_failed(harness.hands.store.connections) == 3


async def test_of_long_histories_the_first_attempts_and_the_last_entry_are_read(
    harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    retried = await create_failing_order(harness, "stumble")
    failed = await create_failing_order(harness, "fail")
    await harness.operations.move(failed.id, "unpaid", username=OPERATOR_NAME)
    await harness.hands.execute_sql(
        "UPDATE flowlet_workflow SET fingerprint = :one WHERE id = :id", {"one": REFUSED_FINGERPRINT, "id": failed.id}
    )
    copied = "workflow_id, kind, at, from_state, to_state, text"
    for _ in range(8):  # each doubles the lines
        await harness.hands.execute_sql(
            f"INSERT INTO flowlet_action ({copied}) SELECT workflow_id, kind, at + 1000000, from_state, to_state, text "
            "FROM flowlet_action WHERE kind IN ('ERROR', 'TRANSITION', 'MOVED')"
        )
    counts: list[int] = []
    fetch_rows = DatabaseSession.fetch_rows

    async def count_rows(self: DatabaseSession, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
        rows = await fetch_rows(self, *args, **options)
        counts.append(len(rows))
        return rows

    monkeypatch.setattr(DatabaseSession, "fetch_rows", count_rows)

    groups = await list_error_groups(harness)

    assert {group.newest_id: group.first for group in groups}[retried.id] == retried.failed_us
    assert max(counts) <= 200, counts


async def test_very_many_failures_are_counted_up_to_a_limit(
    harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections = harness.hands.store.connections
    for way in ("fail", "stumble", "fail", "fail"):
        await create_failing_order(harness, way)
    exact = {order: await list_error_groups(harness, order=order) for order in ErrorOrder}

    monkeypatch.setattr("flowlet.store.reports.bounded_errors.MAX_GROUPED", 3)
    monkeypatch.setattr("flowlet.store.reports.bounded_errors.LIMITS", (2, 1))
    few = {order: await list_error_groups(harness, order=order) for order in ErrorOrder}
    monkeypatch.setattr("flowlet.store.reports.bounded_errors.GROUPS_AT_ONCE", 1)
    types = await read_failing_types(connections)

    for order, groups in few.items():
        assert [group.fingerprint for group in groups] == [group.fingerprint for group in exact[order]]
        assert [group.newest_id for group in groups] == [group.newest_id for group in exact[order]]
        assert {group.message: (group.count, group.is_at_least) for group in groups} == {
            "Fail: the card was refused": (2, True),
            "RuntimeError: the bank is away": (1, False),
        }
        assert [group.first for group in groups] == [group.first for group in exact[order]]
    assert types == ["Orders"]
    assert await read_error_groups(connections, type="Nothing") == []
    assert len(await read_error_groups(connections, limit=1)) == 1
