"""Pausing, resuming and cancelling, also while an activation runs."""

from __future__ import annotations

import pytest

from flowlet.errors import RefusedError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.instances import CommitResult
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness

DAY_MICROSECONDS = 86_400_000_000


async def test_a_pause_lets_the_running_activation_commit_and_then_holds(harness: OperationsHarness) -> None:
    instance = await harness.claim_instance(await harness.create_order(way="charge"))
    transition = await harness.hand.run_instance(instance)

    asked = await harness.operations.pause(instance.id, username=OPERATOR_NAME, reason="the bank called")
    async with harness.hand.open_committer() as committer:
        committed = await committer.commit(transition)

    after = await harness.get_instance(instance.id)
    assert (asked.status, asked.pause_requested) == (Status.EXECUTING, True)
    assert (asked.version, asked.token) == (instance.version, instance.token)
    assert committed is not None
    assert committed.status == Status.PAUSED
    assert (after.status, after.held_status, after.state) == (Status.PAUSED, Status.IN_PROGRESS, "charge")
    assert (after.executor_id, after.pause_requested) == (None, False)


async def test_a_paused_instance_is_not_claimed_and_goes_on_when_it_is_resumed(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.PAUSED)

    claimed = await harness.hand.claim_due(groups=[instance.group])
    await harness.operations.resume(instance.id, username=OPERATOR_NAME)
    after = await harness.run_until_released(instance.id)

    assert not claimed
    assert after.status == Status.FINISHED


async def test_a_pause_that_is_taken_back_in_time_has_no_effect(harness: OperationsHarness) -> None:
    instance = await harness.claim_instance(await harness.create_order())
    transition = await harness.hand.run_instance(instance)
    await harness.operations.pause(instance.id, username=OPERATOR_NAME)

    resumed = await harness.operations.resume(instance.id, username=OPERATOR_NAME)
    verdicts = await harness.hand.commit_transitions(transition)

    assert (resumed.status, resumed.pause_requested, resumed.version) == (Status.EXECUTING, False, instance.version)
    assert verdicts == [CommitResult.COMMITTED]
    assert (await harness.get_instance(instance.id)).status == Status.EXECUTING


async def test_an_activation_that_ends_its_instance_ends_it_though_a_pause_was_asked_for(
    harness: OperationsHarness,
) -> None:
    id = await harness.create_order(way="later")
    await harness.run_until_released(id)
    await harness.operations.wake(id, username=OPERATOR_NAME)
    transition = await harness.hand.run_instance(await harness.claim_instance(id))
    await harness.operations.pause(id, username=OPERATOR_NAME)

    async with harness.hand.open_committer() as committer:
        await committer.commit(transition)

    assert (await harness.get_instance(id)).status == Status.FINISHED


async def test_a_second_pause_is_refused_before_and_after_it_holds(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.EXECUTING)
    await harness.operations.pause(instance.id, username=OPERATOR_NAME)

    with pytest.raises(RefusedError, match="a pause is already requested") as refused:
        await harness.operations.pause(instance.id, username=OPERATOR_NAME)

    assert refused.value.permitted == ("resume", "abort", "cancel")
    paused = await harness.create_in_status(Status.PAUSED)
    with pytest.raises(RefusedError, match="it is already paused"):
        await harness.operations.pause(paused.id, username=OPERATOR_NAME)


async def test_a_repair_of_an_instance_with_a_pause_asked_for_holds_it(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.EXECUTING)
    await harness.operations.pause(instance.id, username=OPERATOR_NAME)
    harness.hands.clock.advance(DAY_MICROSECONDS)

    await harness.hands.store.executors.repair_leases(
        now=harness.hands.clock.now(), expired_before=harness.hands.clock.now(), crash_limit=5
    )

    after = await harness.get_instance(instance.id)
    assert (after.status, after.held_status) == (Status.PAUSED, Status.IN_PROGRESS)


async def test_a_deadline_goes_on_while_a_manual_state_is_paused(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    await harness.operations.pause(instance.id, username=OPERATOR_NAME)
    harness.hands.clock.advance(4 * DAY_MICROSECONDS)

    resumed = await harness.operations.resume(instance.id, username=OPERATOR_NAME)
    after = await harness.run_until_released(instance.id)

    assert (resumed.status, resumed.next_activation_us) == (Status.WAITING, instance.next_activation_us)
    assert (after.status, after.state) == (Status.FINISHED, "rejected")


async def test_a_cancel_lets_the_running_activation_write_nothing(harness: OperationsHarness) -> None:
    instance = await harness.claim_instance(await harness.create_order())
    transition = await harness.hand.run_instance(instance)

    cancelled = await harness.operations.cancel(instance.id, username=OPERATOR_NAME, reason="ordered twice")
    before = await harness.hands.read_tables()
    verdicts = await harness.hand.commit_transitions(transition)

    assert verdicts == [CommitResult.LOST]
    assert await harness.hands.read_tables() == before
    assert (cancelled.status, cancelled.token, cancelled.executor_id) == (Status.CANCELLED, instance.token + 1, None)
    assert (cancelled.ended_us, cancelled.reason) == (harness.hands.clock.now(), "ordered twice")


async def test_a_cancel_without_a_reason_says_who_did_it_and_is_counted(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)

    after = await harness.operations.cancel(instance.id, username=OPERATOR_NAME)

    line = await harness.read_last_action(instance.id)
    assert (after.reason, line.kind, line.text) == ("cancelled by ada", ActionKind.CANCELLED, None)
    assert await harness.hands.store.queries.count_by_type_and_status() == {("Orders", "CANCELLED"): 1}


async def test_the_cancel_of_the_last_child_wakes_the_parent(harness: OperationsHarness) -> None:
    parent, (one, other) = await harness.create_family("Orders", "Orders")

    await harness.operations.cancel(one, username=OPERATOR_NAME)
    waiting = await harness.get_instance(parent)
    await harness.operations.cancel(other, username=OPERATOR_NAME)

    woken = await harness.get_instance(parent)
    assert (waiting.open_children, waiting.waits_for_children, waiting.next_activation_us) == (1, True, None)
    assert (woken.open_children, woken.waits_for_children) == (0, False)
    assert woken.next_activation_us == harness.hands.clock.now()


async def test_children_live_on_when_their_parent_is_cancelled(harness: OperationsHarness) -> None:
    parent, (child,) = await harness.create_family("Orders")

    await harness.operations.cancel(parent, username=OPERATOR_NAME)

    assert (await harness.get_instance(child)).status == Status.NEW
    assert (await harness.get_instance(parent)).open_children == 1


async def test_a_cancel_with_children_ends_all_that_descends_from_an_instance(harness: OperationsHarness) -> None:
    root, (family, order) = await harness.create_family("Families", "Orders")
    await harness.hands.execute_sql(
        "UPDATE flowlet_workflow SET vars = :vars WHERE id = :id", {"vars": NESTED_VARIABLES, "id": family}
    )
    await harness.operations.cancel(order, username="bob")
    await harness.hand.run_due_instance(family)
    (grandchild,) = await harness.hands.store.queries.list_children(family)

    await harness.operations.cancel(root, username=OPERATOR_NAME, reason="all of it", with_children=True)

    assert {(await harness.get_instance(id)).status for id in (root, family, order, grandchild.id)} == {
        Status.CANCELLED
    }
    assert {(await harness.get_instance(id)).open_children for id in (root, family)} == {0}
    line, kept = await harness.read_last_action(grandchild.id), await harness.read_last_action(order)
    assert (line.username, line.text, kept.username) == (OPERATOR_NAME, "all of it", "bob")


async def test_children_of_an_ended_instance_can_be_cancelled_through_it(harness: OperationsHarness) -> None:
    parent, (child,) = await harness.create_family("Orders")
    await harness.operations.cancel(parent, username=OPERATOR_NAME)

    await harness.operations.cancel(parent, username=OPERATOR_NAME, with_children=True)

    assert (await harness.get_instance(child)).status == Status.CANCELLED
    assert len(await harness.hands.read_history(parent, ActionKind.CANCELLED)) == 1
    with pytest.raises(RefusedError, match="it has ended as CANCELLED"):
        await harness.operations.cancel(parent, username=OPERATOR_NAME, with_children=True)


NESTED_VARIABLES = '{"children":["Orders"]}'
