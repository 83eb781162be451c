"""Moves by an operator: along the graph, or by force, with a reason, anywhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowlet.clock import MICROSECONDS_PER_SECOND, to_microseconds
from flowlet.errors import DurationError, RefusedError, UnknownStateError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.store.instances import CommitResult
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness

DAY = timedelta(days=1)


async def test_a_move_enters_the_state_as_if_its_handler_had_chosen_it(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)

    after = await harness.operations.move(instance.id, "charge", username=OPERATOR_NAME, reason="the phone rang")

    line = await harness.read_last_action(instance.id)
    assert (after.status, after.state, after.next_activation_us) == (
        Status.IN_PROGRESS,
        "charge",
        harness.hands.clock.now(),
    )
    assert (after.visit, after.attempt, after.token) == (instance.visit + 1, 0, instance.token)
    assert (line.kind, line.from_state, line.to_state) == (ActionKind.MOVED, "review", "charge")
    assert (line.text, line.username) == ("the phone rang", OPERATOR_NAME)
    assert (await harness.run_until_released(instance.id)).state == "delivered"


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("10 minutes", timedelta(minutes=10)),
        (timedelta(hours=1), timedelta(hours=1)),
        (datetime(2030, 1, 3, tzinfo=UTC), timedelta(days=2)),
        (datetime(1999, 1, 1, tzinfo=UTC), timedelta(0)),
    ],
)
async def test_the_state_may_be_run_later(sqlite_harness: OperationsHarness, when: Any, expected: timedelta) -> None:
    instance = await sqlite_harness.create_in_status(Status.NEW)

    after = await sqlite_harness.operations.move(instance.id, "charge", username=OPERATOR_NAME, when=when)

    assert after.next_activation_us == sqlite_harness.hands.clock.now() + to_microseconds(expected)


async def test_a_manual_state_waits_from_then_on_until_its_deadline(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.NEW)

    after = await harness.operations.move(instance.id, "review", username=OPERATOR_NAME)

    assert (after.status, after.answer_json) == (Status.WAITING, None)
    assert after.next_activation_us == harness.hands.clock.now() + 3 * to_microseconds(DAY)


async def test_an_end_finishes_it_and_is_counted(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)

    after = await harness.operations.move(instance.id, "rejected", username=OPERATOR_NAME)

    assert (after.status, after.ended_us, after.next_activation_us) == (
        Status.FINISHED,
        harness.hands.clock.now(),
        None,
    )
    assert (await harness.hands.store.queries.count_by_type_and_status())["Orders", "FINISHED"] == 1


async def test_an_error_state_fails_it_with_the_operators_reason(harness: OperationsHarness) -> None:
    one, other = await harness.create_in_status(Status.IN_PROGRESS), await harness.create_in_status(Status.IN_PROGRESS)

    told = await harness.operations.move(one.id, "unpaid", username=OPERATOR_NAME, reason="the card is stolen")
    untold = await harness.operations.move(other.id, "unpaid", username=OPERATOR_NAME)

    assert (told.status, told.reason) == (Status.FAILED, "the card is stolen")
    assert (untold.status, untold.reason) == (Status.FAILED, "The customer could not pay.")


async def test_one_that_ran_out_of_attempts_goes_on_along_an_edge(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.FAILED)

    after = await harness.operations.move(instance.id, "sign", username=OPERATOR_NAME)

    assert (after.status, after.ended_us, after.reason) == (Status.WAITING, None, None)
    assert ("Orders", "FAILED") not in await harness.hands.store.queries.count_by_type_and_status()


async def test_one_that_is_paused_stays_so_in_its_new_state(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    await harness.operations.pause(instance.id, username=OPERATOR_NAME)

    moved = await harness.operations.move(instance.id, "charge", username=OPERATOR_NAME)
    resumed = await harness.operations.resume(instance.id, username=OPERATOR_NAME)

    assert (moved.status, moved.held_status, moved.state) == (Status.PAUSED, Status.IN_PROGRESS, "charge")
    assert (resumed.status, resumed.held_status) == (Status.IN_PROGRESS, None)


async def test_one_that_is_paused_ends_at_once_when_it_is_moved_to_an_end(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)
    await harness.operations.pause(instance.id, username=OPERATOR_NAME)

    after = await harness.operations.move(instance.id, "rejected", username=OPERATOR_NAME)

    assert (after.status, after.held_status) == (Status.FINISHED, None)


async def test_a_state_to_which_no_transition_leads_is_refused_with_those_that_do(
    sqlite_harness: OperationsHarness,
) -> None:
    instance = await sqlite_harness.create_in_status(Status.NEW)
    before = await sqlite_harness.hands.read_tables()

    with pytest.raises(RefusedError, match="no transition leads from 'check' to 'delivered'") as refused:
        await sqlite_harness.operations.move(instance.id, "delivered", username=OPERATOR_NAME)

    assert refused.value.permitted == ("review", "charge")
    assert await sqlite_harness.hands.read_tables() == before


@pytest.mark.parametrize("force", [False, True])
async def test_a_state_that_is_not_defined_is_unknown_and_the_nearest_is_suggested(
    sqlite_harness: OperationsHarness, force: bool
) -> None:
    instance = await sqlite_harness.create_in_status(Status.NEW)

    with pytest.raises(UnknownStateError, match="has no state 'chrage'. Did you mean 'charge'?"):
        await sqlite_harness.operations.move(instance.id, "chrage", username=OPERATOR_NAME, force=force, reason="a try")


@pytest.mark.parametrize(
    ("when", "error"),
    [("soon", DurationError), ("10", DurationError), (10, DurationError), (datetime(2030, 1, 3), ValueError)],
)
async def test_a_time_that_is_none_is_refused_and_nothing_moves(
    sqlite_harness: OperationsHarness, when: Any, error: type[Exception]
) -> None:
    instance = await sqlite_harness.create_in_status(Status.NEW)

    with pytest.raises(error):
        await sqlite_harness.operations.move(instance.id, "charge", username=OPERATOR_NAME, when=when)

    assert await sqlite_harness.get_instance(instance.id) == instance


@pytest.mark.parametrize(("state", "waits"), [("review", "waits for a person"), ("rejected", "ends it")])
async def test_a_state_that_is_not_run_cannot_be_entered_later(
    sqlite_harness: OperationsHarness, state: str, waits: str
) -> None:
    instance = await sqlite_harness.create_in_status(Status.NEW)

    with pytest.raises(RefusedError, match=f"{waits}. Leave out the time."):
        await sqlite_harness.operations.move(
            instance.id, state, username=OPERATOR_NAME, when="1 hour", force=True, reason="a try"
        )


@pytest.mark.parametrize("reason", [None, "", "  "])
async def test_force_needs_a_reason(sqlite_harness: OperationsHarness, reason: str | None) -> None:
    instance = await sqlite_harness.create_in_status(Status.NEW)

    with pytest.raises(RefusedError, match="a forced move needs a reason"):
        await sqlite_harness.operations.move(
            instance.id, "delivered", username=OPERATOR_NAME, force=True, reason=reason
        )


async def test_force_leads_from_everywhere_to_any_state(
    sqlite_harness: OperationsHarness, subtests: pytest.Subtests
) -> None:
    for status in Status:
        with subtests.test(str(status)):
            instance = await sqlite_harness.create_in_status(status)

            after = await sqlite_harness.operations.move(
                instance.id, "sign", username=OPERATOR_NAME, force=True, reason="it has to be"
            )

            line = await sqlite_harness.read_last_action(instance.id)
            held = status == Status.PAUSED
            assert (after.state, after.status) == ("sign", Status.PAUSED if held else Status.WAITING)
            assert (after.token, after.executor_id, after.ended_us) == (instance.token + 1, None, None)
            assert (line.text, line.username) == ("it has to be", OPERATOR_NAME)
            assert line.kind == (ActionKind.MOVED if instance.state == "charge" else ActionKind.FORCED)


async def test_a_forced_move_out_of_a_running_activation_lets_that_write_nothing(harness: OperationsHarness) -> None:
    instance = await harness.claim_instance(await harness.create_order())
    transition = await harness.hand.run_instance(instance)

    moved = await harness.operations.move(instance.id, "sign", username=OPERATOR_NAME, force=True, reason="it hangs")
    verdicts = await harness.hand.commit_transitions(transition)

    assert verdicts == [CommitResult.LOST]
    assert await harness.get_instance(instance.id) == moved
    assert [line.kind for line in await harness.hands.read_history(instance.id)] == [
        ActionKind.CREATED,
        ActionKind.FORCED,
    ]


async def test_a_pause_that_was_asked_for_survives_a_forced_move(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.EXECUTING)
    await harness.operations.pause(instance.id, username=OPERATOR_NAME)

    after = await harness.operations.move(instance.id, "charge", username=OPERATOR_NAME, force=True, reason="it hangs")

    assert (after.status, after.held_status, after.pause_requested) == (Status.PAUSED, Status.IN_PROGRESS, False)


async def test_counts_of_ended_instances_follow_a_forced_move_from_one_end_to_another(
    harness: OperationsHarness,
) -> None:
    instance = await harness.create_in_status(Status.FINISHED)
    harness.hands.clock.advance(to_microseconds(DAY) + MICROSECONDS_PER_SECOND)

    await harness.operations.move(instance.id, "unpaid", username=OPERATOR_NAME, force=True, reason="it came back")

    counts = await harness.hands.store.queries.count_by_type_and_status()
    assert counts == {("Orders", "FAILED"): 1}
