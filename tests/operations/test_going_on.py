"""Retrying and waking: going on at once, where the instance is."""

from __future__ import annotations

import pytest

from flowlet.errors import RefusedError
from flowlet.instances import ActionKind, Status
from tests.operations.desk import CLERK, Desk

DAY = 86_400_000_000


async def test_a_retry_goes_on_in_the_state_that_failed_with_its_attempts_anew(desk: Desk) -> None:
    instance = await desk.at(Status.FAILED)

    after = await desk.operations.retry(instance.id, username=CLERK)

    assert (after.status, after.state, after.visit) == (Status.IN_PROGRESS, instance.state, instance.visit)
    assert (after.attempt, after.crashes, after.reason, after.ended) == (0, 0, None, None)
    assert after.next_activation == desk.hands.clock.now()
    assert ("Orders", "FAILED") not in await desk.hands.store.reads.counts()


async def test_a_retried_instance_that_succeeds_is_finished(desk: Desk) -> None:
    instance = await desk.at(Status.FAILED)
    await desk.operations.retry(instance.id, username=CLERK)
    await desk.operations.edit_variables(instance.id, {"way": "charge"}, username=CLERK)

    after = await desk.drive(instance.id)

    assert after.status == Status.FINISHED
    assert await desk.hands.store.reads.counts() == {("Orders", "FINISHED"): 1}


async def test_an_instance_that_waits_for_its_next_attempt_begins_it_without_losing_count(desk: Desk) -> None:
    waiting = await desk.drive(await desk.start(way="stumble"))

    after = await desk.operations.retry(waiting.id, username=CLERK)

    assert (waiting.status, waiting.attempt) == (Status.IN_PROGRESS, 1)
    assert (after.status, after.attempt, after.next_activation) == (Status.IN_PROGRESS, 1, desk.hands.clock.now())
    assert (await desk.last(waiting.id)).kind == ActionKind.RETRIED
    assert (await desk.drive(waiting.id)).attempt == 2


async def test_an_instance_in_an_error_state_is_not_retried_but_moved_by_force(desk: Desk) -> None:
    instance = await desk.at(Status.IN_PROGRESS)
    await desk.operations.move(instance.id, "unpaid", username=CLERK)

    with pytest.raises(
        RefusedError, match="error state, from which no transition leads: only a forced move"
    ) as refused:
        await desk.operations.retry(instance.id, username=CLERK)

    assert refused.value.permitted == ()


async def test_a_manual_state_that_failed_without_an_answer_waits_again(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)
    desk.hands.clock.advance(4 * DAY)
    await desk.claim(instance.id)
    desk.hands.clock.advance(DAY)
    await desk.hands.store.executors.repair(now=desk.hands.clock.now(), crash_limit=1)
    failed = await desk.get(instance.id)

    after = await desk.operations.retry(instance.id, username=CLERK)

    assert failed.status == Status.FAILED
    assert (after.status, after.next_activation) == (Status.WAITING, desk.hands.clock.now() + 3 * DAY)


async def test_a_retried_child_counts_again_in_its_parent(desk: Desk) -> None:
    parent, (child, other) = await desk.family("Orders", "Orders")
    await desk.operations.move(child, "charge", username=CLERK)
    await desk.operations.edit_variables(child, {"way": "fail"}, username=CLERK)
    (claimed,) = [one for one in await desk.hand.claim() if one.id == child]
    await desk.hand.commit(await desk.hand.run(claimed))
    failed = await desk.get(parent)

    await desk.operations.retry(child, username=CLERK)
    retried = await desk.get(parent)
    await desk.operations.cancel(other, username=CLERK)

    waiting = await desk.get(parent)
    assert (failed.open_children, retried.open_children) == (1, 2)
    assert (waiting.open_children, waiting.waits_for_children) == (1, True)


async def test_a_timer_is_cut_short(desk: Desk) -> None:
    instance = await desk.at(Status.IN_PROGRESS)

    after = await desk.operations.wake(instance.id, username=CLERK)

    assert instance.next_activation is not None
    assert instance.next_activation > desk.hands.clock.now()
    assert after.next_activation == desk.hands.clock.now()
    assert (await desk.drive(instance.id)).status == Status.FINISHED


async def test_a_parent_is_woken_without_its_children(desk: Desk) -> None:
    parent, _ = await desk.family("Orders")

    after = await desk.operations.wake(parent, username=CLERK)

    assert (after.waits_for_children, after.open_children) == (False, 1)
    assert after.next_activation == desk.hands.clock.now()


async def test_what_is_due_already_is_not_woken_again(sqlite_desk: Desk) -> None:
    instance = await sqlite_desk.at(Status.IN_PROGRESS)
    await sqlite_desk.operations.wake(instance.id, username=CLERK)

    with pytest.raises(RefusedError, match="it is due already, and waits for an executor"):
        await sqlite_desk.operations.wake(instance.id, username=CLERK)
