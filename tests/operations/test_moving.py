"""Moves by an operator: along the graph, or by force, with a reason, anywhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowlet.clock import SECOND, microseconds
from flowlet.errors import DurationError, RefusedError, UnknownStateError
from flowlet.instances import ActionKind, Status
from flowlet.store.instances import Verdict
from tests.operations.desk import CLERK, Desk

DAY = timedelta(days=1)


async def test_a_move_enters_the_state_as_if_its_handler_had_chosen_it(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)

    after = await desk.operations.move(instance.id, "charge", username=CLERK, reason="the phone rang")

    line = await desk.last(instance.id)
    assert (after.status, after.state, after.next_activation) == (
        Status.IN_PROGRESS,
        "charge",
        desk.hands.clock.now(),
    )
    assert (after.visit, after.attempt, after.token) == (instance.visit + 1, 0, instance.token)
    assert (line.kind, line.from_state, line.to_state) == (ActionKind.MOVED, "review", "charge")
    assert (line.text, line.username) == ("the phone rang", CLERK)
    assert (await desk.drive(instance.id)).state == "delivered"


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("10 minutes", timedelta(minutes=10)),
        (timedelta(hours=1), timedelta(hours=1)),
        (datetime(2030, 1, 3, tzinfo=UTC), timedelta(days=2)),
        (datetime(1999, 1, 1, tzinfo=UTC), timedelta(0)),
    ],
)
async def test_the_state_may_be_run_later(sqlite_desk: Desk, when: Any, expected: timedelta) -> None:
    instance = await sqlite_desk.at(Status.NEW)

    after = await sqlite_desk.operations.move(instance.id, "charge", username=CLERK, when=when)

    assert after.next_activation == sqlite_desk.hands.clock.now() + microseconds(expected)


async def test_a_manual_state_waits_from_then_on_until_its_deadline(desk: Desk) -> None:
    instance = await desk.at(Status.NEW)

    after = await desk.operations.move(instance.id, "review", username=CLERK)

    assert (after.status, after.answer) == (Status.WAITING, None)
    assert after.next_activation == desk.hands.clock.now() + 3 * microseconds(DAY)


async def test_an_end_finishes_it_and_is_counted(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)

    after = await desk.operations.move(instance.id, "rejected", username=CLERK)

    assert (after.status, after.ended, after.next_activation) == (Status.FINISHED, desk.hands.clock.now(), None)
    assert (await desk.hands.store.reads.counts())["Orders", "FINISHED"] == 1


async def test_an_error_state_fails_it_with_the_operators_reason(desk: Desk) -> None:
    one, other = await desk.at(Status.IN_PROGRESS), await desk.at(Status.IN_PROGRESS)

    told = await desk.operations.move(one.id, "unpaid", username=CLERK, reason="the card is stolen")
    untold = await desk.operations.move(other.id, "unpaid", username=CLERK)

    assert (told.status, told.reason) == (Status.FAILED, "the card is stolen")
    assert (untold.status, untold.reason) == (Status.FAILED, "The customer could not pay.")


async def test_one_that_ran_out_of_attempts_goes_on_along_an_edge(desk: Desk) -> None:
    instance = await desk.at(Status.FAILED)

    after = await desk.operations.move(instance.id, "sign", username=CLERK)

    assert (after.status, after.ended, after.reason) == (Status.WAITING, None, None)
    assert ("Orders", "FAILED") not in await desk.hands.store.reads.counts()


async def test_one_that_is_paused_stays_so_in_its_new_state(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)
    await desk.operations.pause(instance.id, username=CLERK)

    moved = await desk.operations.move(instance.id, "charge", username=CLERK)
    resumed = await desk.operations.resume(instance.id, username=CLERK)

    assert (moved.status, moved.held_status, moved.state) == (Status.PAUSED, Status.IN_PROGRESS, "charge")
    assert (resumed.status, resumed.held_status) == (Status.IN_PROGRESS, None)


async def test_one_that_is_paused_ends_at_once_when_it_is_moved_to_an_end(desk: Desk) -> None:
    instance = await desk.at(Status.WAITING)
    await desk.operations.pause(instance.id, username=CLERK)

    after = await desk.operations.move(instance.id, "rejected", username=CLERK)

    assert (after.status, after.held_status) == (Status.FINISHED, None)


async def test_a_state_to_which_no_transition_leads_is_refused_with_those_that_do(sqlite_desk: Desk) -> None:
    instance = await sqlite_desk.at(Status.NEW)
    before = await sqlite_desk.hands.contents()

    with pytest.raises(RefusedError, match="no transition leads from 'check' to 'delivered'") as refused:
        await sqlite_desk.operations.move(instance.id, "delivered", username=CLERK)

    assert refused.value.permitted == ("review", "charge")
    assert await sqlite_desk.hands.contents() == before


@pytest.mark.parametrize("force", [False, True])
async def test_a_state_that_is_not_defined_is_unknown_and_the_nearest_is_suggested(
    sqlite_desk: Desk, force: bool
) -> None:
    instance = await sqlite_desk.at(Status.NEW)

    with pytest.raises(UnknownStateError, match="has no state 'chrage'. Did you mean 'charge'?"):
        await sqlite_desk.operations.move(instance.id, "chrage", username=CLERK, force=force, reason="a try")


@pytest.mark.parametrize(
    ("when", "error"),
    [("soon", DurationError), ("10", DurationError), (10, DurationError), (datetime(2030, 1, 3), ValueError)],
)
async def test_a_time_that_is_none_is_refused_and_nothing_moves(
    sqlite_desk: Desk, when: Any, error: type[Exception]
) -> None:
    instance = await sqlite_desk.at(Status.NEW)

    with pytest.raises(error):
        await sqlite_desk.operations.move(instance.id, "charge", username=CLERK, when=when)

    assert await sqlite_desk.get(instance.id) == instance


@pytest.mark.parametrize(("state", "waits"), [("review", "waits for a person"), ("rejected", "ends it")])
async def test_a_state_that_is_not_run_cannot_be_entered_later(sqlite_desk: Desk, state: str, waits: str) -> None:
    instance = await sqlite_desk.at(Status.NEW)

    with pytest.raises(RefusedError, match=f"{waits}. Leave out when."):
        await sqlite_desk.operations.move(instance.id, state, username=CLERK, when="1 hour", force=True, reason="a try")


@pytest.mark.parametrize("reason", [None, "", "  "])
async def test_force_needs_a_reason(sqlite_desk: Desk, reason: str | None) -> None:
    instance = await sqlite_desk.at(Status.NEW)

    with pytest.raises(RefusedError, match="a forced move needs a reason"):
        await sqlite_desk.operations.move(instance.id, "delivered", username=CLERK, force=True, reason=reason)


@pytest.mark.parametrize("status", Status)
async def test_force_leads_from_everywhere_to_any_state(sqlite_desk: Desk, status: Status) -> None:
    instance = await sqlite_desk.at(status)

    after = await sqlite_desk.operations.move(instance.id, "sign", username=CLERK, force=True, reason="it has to be")

    line = await sqlite_desk.last(instance.id)
    held = status == Status.PAUSED
    assert (after.state, after.status) == ("sign", Status.PAUSED if held else Status.WAITING)
    assert (after.token, after.executor_id, after.ended) == (instance.token + 1, None, None)
    assert (line.text, line.username) == ("it has to be", CLERK)
    assert line.kind == (ActionKind.MOVED if instance.state == "charge" else ActionKind.FORCED)


async def test_a_forced_move_out_of_a_running_activation_lets_that_write_nothing(desk: Desk) -> None:
    instance = await desk.claim(await desk.start())
    transition = await desk.hand.run(instance)

    moved = await desk.operations.move(instance.id, "sign", username=CLERK, force=True, reason="it hangs")
    verdicts = await desk.hand.commit(transition)

    assert verdicts == [Verdict.LOST]
    assert await desk.get(instance.id) == moved
    assert [line.kind for line in await desk.hands.history(instance.id)] == [ActionKind.CREATED, ActionKind.FORCED]


async def test_a_pause_that_was_asked_for_survives_a_forced_move(desk: Desk) -> None:
    instance = await desk.at(Status.EXECUTING)
    await desk.operations.pause(instance.id, username=CLERK)

    after = await desk.operations.move(instance.id, "charge", username=CLERK, force=True, reason="it hangs")

    assert (after.status, after.held_status, after.pause_requested) == (Status.PAUSED, Status.IN_PROGRESS, False)


async def test_counts_of_ended_instances_follow_a_forced_move_from_one_end_to_another(desk: Desk) -> None:
    instance = await desk.at(Status.FINISHED)
    desk.hands.clock.advance(microseconds(DAY) + SECOND)

    await desk.operations.move(instance.id, "unpaid", username=CLERK, force=True, reason="it came back")

    counts = await desk.hands.store.reads.counts()
    assert counts == {("Orders", "FAILED"): 1}
