"""Every operation from every status: where it leads, or that it is refused and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from flowlet.errors import RefusedError, UnknownInstanceError, UnknownWorkflowError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.operations.permitted import Operation
from flowlet.operations.service import Operations
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness

Operate = Callable[[Operations, int], Awaitable[Instance]]

OPERATION_CALLS: dict[Operation, Operate] = {
    Operation.ANSWER: lambda by, id: by.answer(id, "charge", username=OPERATOR_NAME),
    Operation.MOVE: lambda by, id: by.move(id, "charge", username=OPERATOR_NAME),
    Operation.PAUSE: lambda by, id: by.pause(id, username=OPERATOR_NAME),
    Operation.RESUME: lambda by, id: by.resume(id, username=OPERATOR_NAME),
    Operation.CANCEL: lambda by, id: by.cancel(id, username=OPERATOR_NAME),
    Operation.RETRY: lambda by, id: by.retry(id, username=OPERATOR_NAME),
    Operation.WAKE: lambda by, id: by.wake(id, username=OPERATOR_NAME),
    Operation.ACKNOWLEDGE: lambda by, id: by.acknowledge(id, username=OPERATOR_NAME, reason="repaired by hand"),
    Operation.ABORT: lambda by, id: by.abort(id, username=OPERATOR_NAME),
    Operation.EDIT: lambda by, id: by.edit_variables(id, {"amount": 7}, username=OPERATOR_NAME),
}
ACTION_KINDS = {
    Operation.ANSWER: ActionKind.ANSWERED,
    Operation.MOVE: ActionKind.MOVED,
    Operation.PAUSE: ActionKind.PAUSED,
    Operation.RESUME: ActionKind.RESUMED,
    Operation.CANCEL: ActionKind.CANCELLED,
    Operation.RETRY: ActionKind.RETRIED,
    Operation.WAKE: ActionKind.WOKEN,
    Operation.EDIT: ActionKind.EDITED,
    Operation.ACKNOWLEDGE: ActionKind.ACKNOWLEDGED,
    Operation.ABORT: ActionKind.RETRIED,
}
OPEN_STATUSES = (Status.NEW, Status.EXECUTING, Status.IN_PROGRESS, Status.WAITING, Status.PAUSED)
# From which status to which; every other one refuses. The move leads to charge: from NEW and WAITING along an edge.
RESULTING_STATUSES: dict[Operation, dict[Status, Status]] = {
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
    Operation.CANCEL: dict.fromkeys(OPEN_STATUSES, Status.CANCELLED),
    Operation.RETRY: {Status.FAILED: Status.IN_PROGRESS},
    Operation.WAKE: {Status.IN_PROGRESS: Status.IN_PROGRESS},
    Operation.ACKNOWLEDGE: {Status.FAILED: Status.FAILED},
    Operation.ABORT: {Status.EXECUTING: Status.IN_PROGRESS},
    Operation.EDIT: {status: status for status in OPEN_STATUSES if status != Status.EXECUTING},
}


async def test_an_operation_leads_on_from_where_it_may_and_changes_nothing_elsewhere(
    harness: OperationsHarness, subtests: pytest.Subtests
) -> None:
    for operation in Operation:
        with subtests.test(str(operation)):
            led: dict[Status, Status] = {}

            for status in Status:
                instance = await harness.create_in_status(status)
                before = await harness.hands.read_tables()
                try:
                    after = await OPERATION_CALLS[operation](harness.operations, instance.id)
                except RefusedError:
                    assert await harness.hands.read_tables() == before
                    continue
                assert after == await harness.get_instance(instance.id)
                line = await harness.read_last_action(instance.id)
                assert (line.kind, line.username, line.from_state) == (
                    ACTION_KINDS[operation],
                    OPERATOR_NAME,
                    instance.state,
                )
                led[status] = after.status

            assert led == RESULTING_STATUSES[operation]


async def test_what_is_permitted_is_what_the_operations_do(sqlite_harness: OperationsHarness) -> None:
    desk = sqlite_harness
    for status in Status:
        for operation, operate in OPERATION_CALLS.items():
            instance = await desk.create_in_status(status)
            allowed = desk.operations.get_permitted_operations(instance)
            says = operation in allowed.operations and (operation != Operation.MOVE or "charge" in allowed.states)

            try:
                await operate(desk.operations, instance.id)
                does = True
            except RefusedError:
                does = False

            assert (status, operation, says) == (status, operation, does)


async def test_the_states_that_are_permitted_are_those_of_the_graph(sqlite_harness: OperationsHarness) -> None:
    states = {
        status: sqlite_harness.operations.get_permitted_operations(await sqlite_harness.create_in_status(status)).states
        for status in (Status.NEW, Status.WAITING, Status.IN_PROGRESS, Status.EXECUTING, Status.FINISHED)
    }

    assert states == {
        Status.NEW: ("review", "charge"),
        Status.WAITING: ("charge", "rejected"),
        Status.IN_PROGRESS: ("sign", "delivered", "unpaid"),
        Status.EXECUTING: (),
        Status.FINISHED: (),
    }


async def test_a_refusal_says_what_it_is_why_and_what_is_permitted_instead(sqlite_harness: OperationsHarness) -> None:
    instance = await sqlite_harness.create_in_status(Status.WAITING)

    with pytest.raises(RefusedError) as refused:
        await sqlite_harness.operations.wake(instance.id, username=OPERATOR_NAME)

    assert refused.value.permitted == ("answer", "move", "edit", "pause", "cancel")
    assert str(refused.value) == (
        f"workflow {instance.id} (Orders, WAITING in state 'review') cannot be woken: it waits for a person: "
        "answer it or move it. Permitted: answer, move, edit, pause, cancel."
    )


async def test_an_id_that_nobody_has_is_unknown(sqlite_harness: OperationsHarness, subtests: pytest.Subtests) -> None:
    for operation in Operation:
        for id in (-1, 0, 99, 2**63, 10**30):
            unknown = pytest.raises(UnknownInstanceError, match=f"no workflow has the id {id}")
            with subtests.test(f"{operation} {id}"), unknown:
                await OPERATION_CALLS[operation](sqlite_harness.operations, id)


async def test_a_process_that_does_not_know_the_workflow_pauses_resumes_wakes_retries_and_cancels_it(
    harness: OperationsHarness,
) -> None:
    later, failed = await harness.create_in_status(Status.IN_PROGRESS), await harness.create_in_status(Status.FAILED)

    await harness.operations_without_registry.pause(later.id, username=OPERATOR_NAME)
    await harness.operations_without_registry.resume(later.id, username=OPERATOR_NAME)
    woken = await harness.operations_without_registry.wake(later.id, username=OPERATOR_NAME)
    retried = await harness.operations_without_registry.retry(failed.id, username=OPERATOR_NAME)
    cancelled = await harness.operations_without_registry.cancel(failed.id, username=OPERATOR_NAME)

    assert (woken.status, woken.next_activation_us) == (Status.IN_PROGRESS, harness.hands.clock.now())
    assert (retried.status, cancelled.status) == (Status.IN_PROGRESS, Status.CANCELLED)


@pytest.mark.parametrize("operation", [Operation.ANSWER, Operation.MOVE, Operation.EDIT])
async def test_a_process_that_does_not_know_the_workflow_cannot_answer_move_or_edit_it(
    sqlite_harness: OperationsHarness, operation: Operation
) -> None:
    instance = await sqlite_harness.create_in_status(Status.WAITING)
    before = await sqlite_harness.hands.read_tables()

    with pytest.raises(UnknownWorkflowError, match="no workflow is called 'Orders'"):
        await OPERATION_CALLS[operation](sqlite_harness.operations_without_registry, instance.id)

    assert await sqlite_harness.hands.read_tables() == before
    assert operation not in sqlite_harness.operations_without_registry.get_permitted_operations(instance).operations


async def test_an_operation_is_signalled_in_the_same_process(sqlite_harness: OperationsHarness) -> None:
    instance = await sqlite_harness.create_in_status(Status.FAILED)
    sqlite_harness.commits.clear()

    await sqlite_harness.operations.retry(instance.id, username=OPERATOR_NAME)

    (commit,) = [one for one in sqlite_harness.commits if one.instances is not None]
    assert commit.may_concern([instance.group])
    assert commit.instances == ((instance.id, "charge", Status.IN_PROGRESS),)


async def test_a_name_that_no_database_can_hold_is_cleaned_and_bounded(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.NEW)

    await harness.operations.pause(instance.id, username="a\x00da" + "x" * 400, reason="because\x00" + "y" * 20_000)

    line = await harness.read_last_action(instance.id)
    assert line.username is not None
    assert line.text is not None
    assert line.username.startswith("a\N{REPLACEMENT CHARACTER}dax")
    assert len(line.username) <= 255
    assert len(line.text) <= 8_000
