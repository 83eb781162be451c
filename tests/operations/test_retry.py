"""Retrying and waking: going on at once, where the instance is."""

from __future__ import annotations

import pytest

from flowlet.definition.registry import Registry
from flowlet.errors import RefusedError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.operations.doctor import examine_store
from flowlet.operations.service import Operations
from flowlet.store.reports.errors import count_failed
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness

DAY_MICROSECONDS = 86_400_000_000


async def test_a_retry_goes_on_in_the_state_that_failed_with_its_attempts_anew(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.FAILED)

    after = await harness.operations.retry(instance.id, username=OPERATOR_NAME)

    assert (after.status, after.state, after.visit) == (Status.IN_PROGRESS, instance.state, instance.visit)
    assert (after.attempt, after.crashes, after.reason, after.ended_us) == (0, 0, None, None)
    assert after.next_activation_us == harness.hands.clock.now()
    assert ("Orders", "FAILED") not in await harness.hands.store.queries.count_by_type_and_status()


async def test_a_retried_instance_that_succeeds_is_finished(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.FAILED)
    await harness.operations.retry(instance.id, username=OPERATOR_NAME)
    await harness.operations.edit_variables(instance.id, {"way": "charge"}, username=OPERATOR_NAME)

    after = await harness.run_until_released(instance.id)

    assert after.status == Status.FINISHED
    assert await harness.hands.store.queries.count_by_type_and_status() == {("Orders", "FINISHED"): 1}


async def test_an_instance_that_waits_for_its_next_attempt_begins_it_without_losing_count(
    harness: OperationsHarness,
) -> None:
    waiting = await harness.run_until_released(await harness.create_order(way="stumble"))

    after = await harness.operations.retry(waiting.id, username=OPERATOR_NAME)

    assert (waiting.status, waiting.attempt) == (Status.IN_PROGRESS, 1)
    assert (after.status, after.attempt, after.next_activation_us) == (Status.IN_PROGRESS, 1, harness.hands.clock.now())
    assert (await harness.read_last_action(waiting.id)).kind == ActionKind.RETRIED
    assert (await harness.run_until_released(waiting.id)).attempt == 2


async def test_an_abort_takes_the_lease_and_runs_the_same_attempt_again(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.EXECUTING)

    after = await harness.operations.abort(instance.id, username=OPERATOR_NAME, reason="it hangs")

    assert (after.status, after.state, after.attempt) == (Status.IN_PROGRESS, instance.state, instance.attempt)
    assert (after.executor_id, after.token) == (None, instance.token + 1)
    assert after.next_activation_us == harness.hands.clock.now()
    line = await harness.read_last_action(instance.id)
    assert (line.kind, line.text) == (ActionKind.RETRIED, "The running attempt was aborted: it hangs")
    assert await examine_store(harness.hands.store) == []
    with pytest.raises(RefusedError, match="cannot be aborted: none of its attempts is running"):
        await harness.operations.abort(instance.id, username=OPERATOR_NAME)


async def test_an_abort_keeps_the_pause_that_was_requested(sqlite_harness: OperationsHarness) -> None:
    instance = await sqlite_harness.create_in_status(Status.EXECUTING)
    await sqlite_harness.operations.pause(instance.id, username=OPERATOR_NAME)

    after = await sqlite_harness.operations.abort(instance.id, username=OPERATOR_NAME)

    assert (after.status, after.held_status, after.pause_requested) == (Status.PAUSED, Status.IN_PROGRESS, False)


async def test_an_instance_in_an_error_state_enters_the_state_again_that_it_left(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.IN_PROGRESS)
    failed = await harness.operations.move(instance.id, "unpaid", username=OPERATOR_NAME)

    after = await harness.operations.retry(instance.id, username=OPERATOR_NAME)

    assert (failed.status, failed.state) == (Status.FAILED, "unpaid")
    assert (after.status, after.state, after.visit) == (Status.IN_PROGRESS, instance.state, failed.visit + 1)
    assert (after.attempt, after.reason, after.ended_us, after.fingerprint) == (0, None, None, None)
    line = await harness.read_last_action(instance.id)
    assert (line.kind, line.from_state, line.to_state) == (ActionKind.FORCED, "unpaid", instance.state)
    assert (line.username, line.text) == (OPERATOR_NAME, "Retried from the state that it left for unpaid.")
    assert await harness.hands.store.queries.count_by_type_and_status() == {("Orders", "IN_PROGRESS"): 1}


async def test_an_error_state_is_left_by_a_process_that_has_not_loaded_the_workflow(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.IN_PROGRESS)
    await harness.operations.move(instance.id, "unpaid", username=OPERATOR_NAME)
    hands = harness.hands
    await hands.store.definitions.save_definitions(hands.registry.definitions, now=hands.clock.now())

    after = await Operations(hands.store, Registry()).retry(instance.id, username=OPERATOR_NAME)

    assert (after.status, after.state) == (Status.IN_PROGRESS, instance.state)


async def test_an_instance_that_was_forced_from_an_end_into_an_error_state_is_not_retried(
    harness: OperationsHarness,
) -> None:
    instance = await harness.create_in_status(Status.FINISHED)
    await harness.operations.move(instance.id, "unpaid", username=OPERATOR_NAME, force=True, reason="It was wrong.")

    with pytest.raises(RefusedError, match="did not come from a state that can be entered again"):
        await harness.operations.retry(instance.id, username=OPERATOR_NAME)

    assert (await harness.get_instance(instance.id)).state == "unpaid"


async def test_a_failure_that_is_closed_is_no_error_any_more_and_may_still_be_retried(
    harness: OperationsHarness,
) -> None:
    instance = await harness.create_in_status(Status.FAILED)
    store = harness.hands.store
    before = await count_failed(store.connections)

    closed = await harness.operations.acknowledge(instance.id, username=OPERATOR_NAME, reason="delivered by hand")

    assert (before, await count_failed(store.connections)) == (1, 0)
    assert (closed.status, closed.reason, closed.ended_us) == (Status.FAILED, instance.reason, instance.ended_us)
    line = await harness.read_last_action(instance.id)
    assert (line.kind, line.username, line.text) == (ActionKind.ACKNOWLEDGED, OPERATOR_NAME, "delivered by hand")
    assert await store.queries.count_by_type_and_status() == {("Orders", "FAILED"): 1}
    assert not [finding for finding in await examine_store(store) if finding.instance_id == instance.id]
    with pytest.raises(RefusedError, match="closed already"):
        await harness.operations.acknowledge(instance.id, username=OPERATOR_NAME, reason="again")
    assert (await harness.operations.retry(instance.id, username=OPERATOR_NAME)).status == Status.IN_PROGRESS


async def test_a_failure_is_not_closed_without_a_reason(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.FAILED)

    with pytest.raises(RefusedError, match="needs a reason"):
        await harness.operations.acknowledge(instance.id, username=OPERATOR_NAME, reason=" ")

    assert (await harness.get_instance(instance.id)).fingerprint is not None


async def test_a_manual_state_that_failed_without_an_answer_waits_again(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    harness.hands.clock.advance(4 * DAY_MICROSECONDS)
    await harness.claim_instance(instance.id)
    await harness.hands.execute_sql("UPDATE flowlet_workflow SET crashes = 3")
    harness.hands.clock.advance(DAY_MICROSECONDS)
    await harness.hands.store.executors.repair_leases(
        now=harness.hands.clock.now(), expired_before=harness.hands.clock.now(), crash_limit=1
    )
    failed = await harness.get_instance(instance.id)

    after = await harness.operations.retry(instance.id, username=OPERATOR_NAME)

    assert failed.status == Status.FAILED
    assert (after.status, after.next_activation_us) == (
        Status.WAITING,
        harness.hands.clock.now() + 3 * DAY_MICROSECONDS,
    )


async def test_a_retried_child_counts_again_in_its_parent(harness: OperationsHarness) -> None:
    parent, (child, other) = await harness.create_family("Orders", "Orders")
    await harness.operations.move(child, "charge", username=OPERATOR_NAME)
    await harness.operations.edit_variables(child, {"way": "fail"}, username=OPERATOR_NAME)
    (claimed,) = [one for one in await harness.hand.claim_due() if one.id == child]
    await harness.hand.commit_transitions(await harness.hand.run_instance(claimed))
    failed = await harness.get_instance(parent)

    await harness.operations.retry(child, username=OPERATOR_NAME)
    retried = await harness.get_instance(parent)
    await harness.operations.cancel(other, username=OPERATOR_NAME)

    waiting = await harness.get_instance(parent)
    assert (failed.open_children, retried.open_children) == (1, 2)
    assert (waiting.open_children, waiting.waits_for_children) == (1, True)


async def test_a_timer_is_cut_short(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.IN_PROGRESS)

    after = await harness.operations.wake(instance.id, username=OPERATOR_NAME)

    assert instance.next_activation_us is not None
    assert instance.next_activation_us > harness.hands.clock.now()
    assert after.next_activation_us == harness.hands.clock.now()
    assert (await harness.run_until_released(instance.id)).status == Status.FINISHED


async def test_a_parent_is_woken_without_its_children(harness: OperationsHarness) -> None:
    parent, _ = await harness.create_family("Orders")

    after = await harness.operations.wake(parent, username=OPERATOR_NAME)

    assert (after.waits_for_children, after.open_children) == (False, 1)
    assert after.next_activation_us == harness.hands.clock.now()


async def test_what_is_due_already_is_not_woken_again(sqlite_harness: OperationsHarness) -> None:
    instance = await sqlite_harness.create_in_status(Status.IN_PROGRESS)
    await sqlite_harness.operations.wake(instance.id, username=OPERATOR_NAME)

    with pytest.raises(RefusedError, match="it is already due and waits for an executor"):
        await sqlite_harness.operations.wake(instance.id, username=OPERATOR_NAME)
