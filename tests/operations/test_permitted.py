"""Every operation from every status: where it leads, or that it is refused and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from flowlet.errors import RefusedError, UnknownInstanceError, UnknownWorkflowError
from flowlet.instances import ActionKind, Instance, Status
from flowlet.operations import Operations
from flowlet.permitted import Operation
from tests.operations.desk import CLERK, Desk

Operate = Callable[[Operations, int], Awaitable[Instance]]

OPERATE: dict[Operation, Operate] = {
    Operation.ANSWER: lambda by, id: by.answer(id, "charge", username=CLERK),
    Operation.MOVE: lambda by, id: by.move(id, "charge", username=CLERK),
    Operation.PAUSE: lambda by, id: by.pause(id, username=CLERK),
    Operation.RESUME: lambda by, id: by.resume(id, username=CLERK),
    Operation.CANCEL: lambda by, id: by.cancel(id, username=CLERK),
    Operation.RETRY: lambda by, id: by.retry(id, username=CLERK),
    Operation.WAKE: lambda by, id: by.wake(id, username=CLERK),
    Operation.EDIT: lambda by, id: by.edit_variables(id, {"amount": 7}, username=CLERK),
}
TOLD = {
    Operation.ANSWER: ActionKind.ANSWERED,
    Operation.MOVE: ActionKind.MOVED,
    Operation.PAUSE: ActionKind.PAUSED,
    Operation.RESUME: ActionKind.RESUMED,
    Operation.CANCEL: ActionKind.CANCELLED,
    Operation.RETRY: ActionKind.RETRIED,
    Operation.WAKE: ActionKind.WOKEN,
    Operation.EDIT: ActionKind.EDITED,
}
OPEN = (Status.NEW, Status.EXECUTING, Status.IN_PROGRESS, Status.WAITING, Status.PAUSED)
# From which status to which; every other one refuses. The move leads to charge: from NEW and WAITING along an edge.
LEADS: dict[Operation, dict[Status, Status]] = {
    Operation.ANSWER: {Status.WAITING: Status.IN_PROGRESS},
    Operation.MOVE: {
        Status.NEW: Status.IN_PROGRESS,
        Status.WAITING: Status.IN_PROGRESS,
        Status.PAUSED: Status.PAUSED,
    },
    Operation.PAUSE: {
        Status.NEW: Status.PAUSED,
        Status.EXECUTING: Status.EXECUTING,
        Status.IN_PROGRESS: Status.PAUSED,
        Status.WAITING: Status.PAUSED,
    },
    Operation.RESUME: {Status.PAUSED: Status.NEW},
    Operation.CANCEL: dict.fromkeys(OPEN, Status.CANCELLED),
    Operation.RETRY: {Status.FAILED: Status.IN_PROGRESS},
    Operation.WAKE: {Status.IN_PROGRESS: Status.IN_PROGRESS},
    Operation.EDIT: {status: status for status in OPEN if status != Status.EXECUTING},
}


@pytest.mark.parametrize("operation", Operation)
async def test_an_operation_leads_on_from_where_it_may_and_changes_nothing_elsewhere(
    desk: Desk, operation: Operation
) -> None:
    led: dict[Status, Status] = {}

    for status in Status:
        instance = await desk.at(status)
        before = await desk.hands.contents()
        try:
            after = await OPERATE[operation](desk.operations, instance.id)
        except RefusedError:
            assert await desk.hands.contents() == before
            continue
        assert after == await desk.get(instance.id)
        line = await desk.last(instance.id)
        assert (line.kind, line.username, line.from_state) == (TOLD[operation], CLERK, instance.state)
        led[status] = after.status

    assert led == LEADS[operation]


async def test_what_is_permitted_is_what_the_operations_do(sqlite_desk: Desk) -> None:
    desk = sqlite_desk
    for status in Status:
        for operation, operate in OPERATE.items():
            instance = await desk.at(status)
            allowed = desk.operations.permitted(instance)
            says = operation in allowed.operations and (operation != Operation.MOVE or "charge" in allowed.states)

            try:
                await operate(desk.operations, instance.id)
                does = True
            except RefusedError:
                does = False

            assert (status, operation, says) == (status, operation, does)


async def test_the_states_that_are_permitted_are_those_of_the_graph(sqlite_desk: Desk) -> None:
    states = {
        status: sqlite_desk.operations.permitted(await sqlite_desk.at(status)).states
        for status in (Status.NEW, Status.WAITING, Status.IN_PROGRESS, Status.EXECUTING, Status.FINISHED)
    }

    assert states == {
        Status.NEW: ("review", "charge"),
        Status.WAITING: ("charge", "rejected"),
        Status.IN_PROGRESS: ("sign", "delivered", "unpaid"),
        Status.EXECUTING: (),
        Status.FINISHED: (),
    }


async def test_a_refusal_says_what_it_is_why_and_what_is_permitted_instead(sqlite_desk: Desk) -> None:
    instance = await sqlite_desk.at(Status.WAITING)

    with pytest.raises(RefusedError) as refused:
        await sqlite_desk.operations.wake(instance.id, username=CLERK)

    assert refused.value.permitted == ("answer", "move", "edit", "pause", "cancel")
    assert str(refused.value) == (
        f"workflow {instance.id} (Orders, WAITING in state 'review') cannot be woken: it waits for a person: "
        "answer it, or move it on. Permitted: answer, move, edit, pause, cancel."
    )


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("id", [-1, 0, 99, 2**63, 10**30])
async def test_an_id_that_nobody_has_is_unknown(sqlite_desk: Desk, operation: Operation, id: int) -> None:
    with pytest.raises(UnknownInstanceError, match=f"no workflow has the id {id}"):
        await OPERATE[operation](sqlite_desk.operations, id)


async def test_a_process_that_does_not_know_the_workflow_pauses_resumes_wakes_retries_and_cancels_it(
    desk: Desk,
) -> None:
    later, failed = await desk.at(Status.IN_PROGRESS), await desk.at(Status.FAILED)

    await desk.strange.pause(later.id, username=CLERK)
    await desk.strange.resume(later.id, username=CLERK)
    woken = await desk.strange.wake(later.id, username=CLERK)
    retried = await desk.strange.retry(failed.id, username=CLERK)
    cancelled = await desk.strange.cancel(failed.id, username=CLERK)

    assert (woken.status, woken.next_activation) == (Status.IN_PROGRESS, desk.hands.clock.now())
    assert (retried.status, cancelled.status) == (Status.IN_PROGRESS, Status.CANCELLED)


@pytest.mark.parametrize("operation", [Operation.ANSWER, Operation.MOVE, Operation.EDIT])
async def test_a_process_that_does_not_know_the_workflow_cannot_answer_move_or_edit_it(
    sqlite_desk: Desk, operation: Operation
) -> None:
    instance = await sqlite_desk.at(Status.WAITING)
    before = await sqlite_desk.hands.contents()

    with pytest.raises(UnknownWorkflowError, match="no workflow is called 'Orders'"):
        await OPERATE[operation](sqlite_desk.strange, instance.id)

    assert await sqlite_desk.hands.contents() == before
    assert operation not in sqlite_desk.strange.permitted(instance).operations


async def test_the_executor_of_the_same_process_is_woken(sqlite_desk: Desk) -> None:
    instance = await sqlite_desk.at(Status.FAILED)
    before = sqlite_desk.wakes

    await sqlite_desk.operations.retry(instance.id, username=CLERK)

    assert sqlite_desk.wakes == before + 1


async def test_a_name_that_no_database_can_hold_is_cleaned_and_bounded(desk: Desk) -> None:
    instance = await desk.at(Status.NEW)

    await desk.operations.pause(instance.id, username="a\x00da" + "x" * 400, reason="because\x00" + "y" * 20_000)

    line = await desk.last(instance.id)
    assert line.username is not None
    assert line.text is not None
    assert line.username.startswith("a\N{REPLACEMENT CHARACTER}dax")
    assert len(line.username) <= 255
    assert len(line.text) <= 8_000
