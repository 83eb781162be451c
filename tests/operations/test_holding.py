"""Pausing, resuming and cancelling, also while an activation runs."""

from __future__ import annotations

import pytest

from flowlet.errors import RefusedError
from flowlet.instances import ActionKind, Status
from flowlet.store.instances import Verdict
from tests.operations.desk import CLERK, Desk

DAY = 86_400_000_000


async def test_a_pause_lets_the_running_activation_commit_and_then_holds(desk: Desk) -> None:
    instance = await desk.claim(await desk.start(way="charge"))
    transition = await desk.hand.run(instance)

    asked = await desk.operations.pause(instance.id, username=CLERK, reason="the bank called")
    async with desk.hand.committer() as committer:
        committed = await committer.commit(transition)

    after = await desk.get(instance.id)
    assert (asked.status, asked.pause_requested) == (Status.EXECUTING, True)
    assert (asked.version, asked.token) == (instance.version, instance.token)
    assert committed is not None
    assert committed.status == Status.PAUSED
    assert (after.status, after.held_status, after.state) == (Status.PAUSED, Status.IN_PROGRESS, "charge")
    assert (after.executor_id, after.pause_requested) == (None, False)


async def test_a_paused_instance_is_not_claimed_and_goes_on_when_it_is_resumed(desk: Desk) -> None:
    instance = await desk.at(Status.PAUSED)

    claimed = await desk.hand.claim(groups=[instance.executor_group])
    await desk.operations.resume(instance.id, username=CLERK)
    after = await desk.drive(instance.id)

    assert not claimed
    assert after.status == Status.FINISHED


async def test_a_pause_that_is_taken_back_in_time_has_no_effect(desk: Desk) -> None:
    instance = await desk.claim(await desk.start())
    transition = await desk.hand.run(instance)
    await desk.operations.pause(instance.id, username=CLERK)

    resumed = await desk.operations.resume(instance.id, username=CLERK)
    verdicts = await desk.hand.commit(transition)

    assert (resumed.status, resumed.pause_requested, resumed.version) == (Status.EXECUTING, False, instance.version)
    assert verdicts == [Verdict.COMMITTED]
    assert (await desk.get(instance.id)).status == Status.EXECUTING


async def test_an_activation_that_ends_its_instance_ends_it_though_a_pause_was_asked_for(desk: Desk) -> None:
    id = await desk.start(way="later")
    await desk.drive(id)
    await desk.operations.wake(id, username=CLERK)
    transition = await desk.hand.run(await desk.claim(id))
    await desk.operations.pause(id, username=CLERK)

    async with desk.hand.committer() as committer:
        await committer.commit(transition)

    assert (await desk.get(id)).status == Status.FINISHED


async def test_a_second_pause_is_refused_before_and_after_it_holds(desk: Desk) -> None:
    instance = await desk.at(Status.EXECUTING)
    await desk.operations.pause(instance.id, username=CLERK)

    with pytest.raises(RefusedError, match="a pause is asked for already") as refused:
        await desk.operations.pause(instance.id, username=CLERK)

    assert refused.value.permitted == ("resume", "cancel")
    paused = await desk.at(Status.PAUSED)
    with pytest.raises(RefusedError, match="it is paused already"):
        await desk.operations.pause(paused.id, username=CLERK)


async def test_a_repair_of_an_instance_with_a_pause_asked_for_holds_it(desk: Desk) -> None:
    instance = await desk.at(Status.EXECUTING)
    await desk.operations.pause(instance.id, username=CLERK)
    desk.hands.clock.advance(DAY)

    await desk.hands.store.executors.repair(now=desk.hands.clock.now(), crash_limit=5)

    after = await desk.get(instance.id)
    assert (after.status, after.held_status) == (Status.PAUSED, Status.IN_PROGRESS)


async def test_a_deadline_goes_on_while_a_manual_state_is_paused(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)
    await desk.operations.pause(instance.id, username=CLERK)
    desk.hands.clock.advance(4 * DAY)

    resumed = await desk.operations.resume(instance.id, username=CLERK)
    after = await desk.drive(instance.id)

    assert (resumed.status, resumed.next_activation) == (Status.WAITING, instance.next_activation)
    assert (after.status, after.state) == (Status.FINISHED, "rejected")


async def test_a_cancel_lets_the_running_activation_write_nothing(desk: Desk) -> None:
    instance = await desk.claim(await desk.start())
    transition = await desk.hand.run(instance)

    cancelled = await desk.operations.cancel(instance.id, username=CLERK, reason="ordered twice")
    before = await desk.hands.contents()
    verdicts = await desk.hand.commit(transition)

    assert verdicts == [Verdict.LOST]
    assert await desk.hands.contents() == before
    assert (cancelled.status, cancelled.token, cancelled.executor_id) == (Status.CANCELLED, instance.token + 1, None)
    assert (cancelled.ended, cancelled.reason) == (desk.hands.clock.now(), "ordered twice")


async def test_a_cancel_without_a_reason_says_who_did_it_and_is_counted(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)

    after = await desk.operations.cancel(instance.id, username=CLERK)

    line = await desk.last(instance.id)
    assert (after.reason, line.kind, line.text) == ("cancelled by ada", ActionKind.CANCELLED, None)
    assert await desk.hands.store.reads.counts() == {("Orders", "CANCELLED"): 1}


async def test_the_cancel_of_the_last_child_wakes_the_parent(desk: Desk) -> None:
    parent, (one, other) = await desk.family("Orders", "Orders")

    await desk.operations.cancel(one, username=CLERK)
    waiting = await desk.get(parent)
    await desk.operations.cancel(other, username=CLERK)

    woken = await desk.get(parent)
    assert (waiting.open_children, waiting.waits_for_children, waiting.next_activation) == (1, True, None)
    assert (woken.open_children, woken.waits_for_children) == (0, False)
    assert woken.next_activation == desk.hands.clock.now()


async def test_children_live_on_when_their_parent_is_cancelled(desk: Desk) -> None:
    parent, (child,) = await desk.family("Orders")

    await desk.operations.cancel(parent, username=CLERK)

    assert (await desk.get(child)).status == Status.NEW
    assert (await desk.get(parent)).open_children == 1


async def test_a_cancel_with_children_ends_all_that_descends_from_an_instance(desk: Desk) -> None:
    root, (family, order) = await desk.family("Families", "Orders")
    await desk.hands.execute("UPDATE workflow SET vars = :vars WHERE id = :id", {"vars": NESTED, "id": family})
    await desk.operations.cancel(order, username="bob")
    await desk.hand.move(family)
    (grandchild,) = await desk.hands.store.reads.children(family)

    await desk.operations.cancel(root, username=CLERK, reason="all of it", with_children=True)

    assert {(await desk.get(id)).status for id in (root, family, order, grandchild.id)} == {Status.CANCELLED}
    assert {(await desk.get(id)).open_children for id in (root, family)} == {0}
    line, kept = await desk.last(grandchild.id), await desk.last(order)
    assert (line.username, line.text, kept.username) == (CLERK, "all of it", "bob")


async def test_children_of_an_ended_instance_can_be_cancelled_through_it(desk: Desk) -> None:
    parent, (child,) = await desk.family("Orders")
    await desk.operations.cancel(parent, username=CLERK)

    await desk.operations.cancel(parent, username=CLERK, with_children=True)

    assert (await desk.get(child)).status == Status.CANCELLED
    assert len(await desk.hands.history(parent, ActionKind.CANCELLED)) == 1
    with pytest.raises(RefusedError, match="it has ended as CANCELLED"):
        await desk.operations.cancel(parent, username=CLERK, with_children=True)


NESTED = '{"children":["Orders"]}'
