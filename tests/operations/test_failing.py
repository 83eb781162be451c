"""Groups of errors: who is in one, what takes an instance out of it, and that a search finds exactly a group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flowlet.engine.handover import hand_back
from flowlet.fingerprints import fingerprint
from flowlet.instances import Instance, Status
from flowlet.store.changes import Change, change
from flowlet.store.reports.errors import ErrorGroup, error_groups, failed_count, failing_types
from flowlet.store.search import SearchQuery
from tests.operations.desk import CLERK, Desk

SECOND = 1_000_000
REFUSED = fingerprint("Orders", "charge", "Fail: the card was refused")
AWAY = fingerprint("Orders", "charge", "RuntimeError: the bank is away")


async def groups(desk: Desk, **more: Any) -> list[ErrorGroup]:
    return await error_groups(desk.hands.store.connections, **more)


async def failing(desk: Desk, way: str) -> Instance:
    """Return a new instance whose first attempt has just failed, a second after whatever was before."""
    desk.hands.clock.advance(SECOND)
    return await desk.drive(await desk.start(way=way))


async def test_failures_that_are_alike_are_one_group_the_latest_first(desk: Desk) -> None:
    first = await failing(desk, "fail")
    waiting = await failing(desk, "stumble")
    last = await failing(desk, "fail")

    found = await groups(desk)

    assert found == [
        ErrorGroup(
            fingerprint=REFUSED,
            type="Orders",
            state="charge",
            message="Fail: the card was refused",
            count=2,
            failed=2,
            first=first.modified,
            last=last.modified,
            newest_id=last.id,
        ),
        ErrorGroup(
            fingerprint=AWAY,
            type="Orders",
            state="charge",
            message="RuntimeError: the bank is away",
            count=1,
            failed=0,
            first=waiting.modified,
            last=waiting.modified,
            newest_id=waiting.id,
        ),
    ]


async def test_the_groups_of_one_workflow_and_no_more_than_are_wanted(desk: Desk) -> None:
    await failing(desk, "fail")
    await failing(desk, "stumble")

    assert [group.fingerprint for group in await groups(desk, limit=1)] == [AWAY]
    assert len(await groups(desk, type="Orders")) == 2
    assert await groups(desk, type="Families") == []
    assert await failing_types(desk.hands.store.connections) == ["Orders"]
    assert await failed_count(desk.hands.store.connections) == 1


async def test_a_search_finds_exactly_a_group(desk: Desk) -> None:
    for way in ("fail", "stumble", "charge", "fail", "later"):
        await failing(desk, way)

    for group in await groups(desk):
        found = await desk.hands.store.reads.search(SearchQuery(fingerprint=group.fingerprint))
        assert found.total == group.count == len(found.instances)
        assert {instance.fingerprint for instance in found.instances} == {group.fingerprint}
        assert max((instance.failed, instance.id) for instance in found.instances) == (group.last, group.newest_id)


async def test_another_attempt_that_fails_moves_the_time_and_one_that_succeeds_leaves_the_group(desk: Desk) -> None:
    once = await failing(desk, "stumble")
    desk.hands.clock.advance(3_600 * SECOND)
    twice = await desk.drive(once.id)
    await desk.operations.edit_variables(once.id, {"way": "charge"}, username=CLERK)
    desk.hands.clock.advance(3_600 * SECOND)

    after = await desk.drive(once.id)

    assert twice.attempt == 2
    assert (once.fingerprint, twice.fingerprint) == (AWAY, AWAY)
    assert (once.failed, twice.failed) == (once.modified, twice.modified)
    assert (after.status, after.fingerprint, after.failed) == (Status.FINISHED, None, None)
    assert await groups(desk) == []


async def test_a_pause_and_run_now_leave_an_instance_in_its_group(desk: Desk) -> None:
    id = (await failing(desk, "stumble")).id
    await desk.operations.pause(id, username=CLERK)
    await desk.operations.resume(id, username=CLERK)
    await desk.operations.wake(id, username=CLERK)
    await desk.claim(id)

    (group,) = await groups(desk)

    assert (group.fingerprint, group.count, group.failed) == (AWAY, 1, 0)


async def test_a_retry_a_move_and_a_cancel_take_an_instance_out_of_its_group(desk: Desk) -> None:
    retried, moved, forced = [(await failing(desk, "fail")).id for _ in range(3)]
    cancelled = (await failing(desk, "stumble")).id

    await desk.operations.retry(retried, username=CLERK)
    await desk.operations.move(moved, "sign", username=CLERK)
    await desk.operations.move(forced, "check", username=CLERK, force=True, reason="once more")
    await desk.operations.cancel(cancelled, username=CLERK)

    assert await groups(desk) == []
    for id in (retried, moved, forced, cancelled):
        after = await desk.get(id)
        assert (after.fingerprint, after.failed) == (None, None)


async def test_a_move_into_an_error_state_is_a_failure_of_its_own(desk: Desk) -> None:
    id = (await failing(desk, "fail")).id

    after = await desk.operations.move(id, "unpaid", username=CLERK)

    assert after.fingerprint == fingerprint("Orders", "unpaid", "The customer could not pay.")
    assert [(group.message, group.state) for group in await groups(desk)] == [("The customer could not pay.", "unpaid")]


async def test_an_instance_that_killed_its_executors_is_in_a_group(desk: Desk) -> None:
    instance = await desk.at(Status.EXECUTING)
    desk.hands.clock.advance(60 * SECOND)

    await desk.hands.store.executors.repair(now=desk.hands.clock.now(), crash_limit=1)

    (group,) = await groups(desk)
    assert (group.newest_id, group.failed, group.last) == (instance.id, 1, desk.hands.clock.now())
    assert group.message == "1 executors in a row died while they ran it"


async def test_an_instance_that_is_handed_back_between_two_attempts_keeps_its_failure(desk: Desk) -> None:
    once = await failing(desk, "stumble")
    desk.hands.clock.advance(3_600 * SECOND)
    back = hand_back(await desk.claim(once.id), now=desk.hands.clock.now(), executor_id=desk.hand.id, reason="stops")

    await desk.hand.commit(back)

    after = await desk.get(once.id)
    assert (after.fingerprint, after.failed) == (AWAY, once.modified)


async def test_of_two_that_failed_at_once_the_later_created_is_the_newest(desk: Desk) -> None:
    ids = [await desk.start(way="fail") for _ in range(2)]
    for id in ids:
        await desk.drive(id)
        await change(desk.hands.store.connections, id, at_seven, now=desk.hands.clock.now())

    (group,) = await groups(desk)

    assert (group.count, group.first, group.last, group.newest_id) == (2, 7, 7, ids[1])


def at_seven(instance: Instance) -> Change:
    """Return the change that lets an instance have failed at one moment."""
    return Change(instance, replace(instance, failed=7), ())


async def test_every_failed_instance_is_in_a_group_and_no_other_that_has_ended(desk: Desk) -> None:
    for way in ("fail", "charge", "fail"):
        await failing(desk, way)
    await desk.operations.move((await desk.at(Status.IN_PROGRESS)).id, "unpaid", username=CLERK)
    await desk.at(Status.CANCELLED)

    rows = await desk.hands.rows("SELECT status FROM workflow WHERE fingerprint IS NOT NULL AND failed IS NOT NULL")

    assert [status for (status,) in rows] == ["FAILED"] * 3
    assert await failed_count(desk.hands.store.connections) == 3
