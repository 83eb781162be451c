"""The optimistic lock: an operation that names another version than the instance has changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from flowlet.errors import RefusedError, StaleError
from flowlet.instance.instance import Instance, Status
from flowlet.operations.service import Operations
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness

OperationCall = Callable[[Operations, int, int], Awaitable[Instance]]

OPERATIONS: dict[str, tuple[Status, OperationCall]] = {
    "answer": (
        Status.WAITING,
        lambda by, id, version: by.answer(id, "charge", username=OPERATOR_NAME, expected_version=version),
    ),
    "move": (
        Status.WAITING,
        lambda by, id, version: by.move(id, "charge", username=OPERATOR_NAME, expected_version=version),
    ),
    "force": (
        Status.EXECUTING,
        lambda by, id, version: by.move(
            id, "delivered", username=OPERATOR_NAME, force=True, reason="lost", expected_version=version
        ),
    ),
    "pause": (Status.NEW, lambda by, id, version: by.pause(id, username=OPERATOR_NAME, expected_version=version)),
    "resume": (Status.PAUSED, lambda by, id, version: by.resume(id, username=OPERATOR_NAME, expected_version=version)),
    "cancel": (Status.NEW, lambda by, id, version: by.cancel(id, username=OPERATOR_NAME, expected_version=version)),
    "retry": (Status.FAILED, lambda by, id, version: by.retry(id, username=OPERATOR_NAME, expected_version=version)),
    "wake": (Status.IN_PROGRESS, lambda by, id, version: by.wake(id, username=OPERATOR_NAME, expected_version=version)),
    "edit": (
        Status.WAITING,
        lambda by, id, version: by.edit_variables(id, {"amount": 5}, username=OPERATOR_NAME, expected_version=version),
    ),
}


async def test_an_operation_on_another_version_changes_nothing_and_names_both_versions(
    harness: OperationsHarness, subtests: pytest.Subtests
) -> None:
    for name, (status, operate) in OPERATIONS.items():
        with subtests.test(name):
            instance = await harness.create_in_status(status)
            before = await harness.hands.read_tables()

            with pytest.raises(StaleError) as refused:
                await operate(harness.operations, instance.id, instance.version + 1)

            assert await harness.hands.read_tables() == before
            assert str(refused.value) == (
                f"workflow {instance.id} (Orders, {status} in state {instance.state!r}) was changed in the meantime: "
                f"it has version {instance.version} now, but version {instance.version + 1} was expected. Nothing was "
                "changed. Reload it and try again."
            )
            assert (refused.value.version, refused.value.expected_version) == (instance.version, instance.version + 1)


async def test_an_operation_on_the_expected_version_is_done(
    sqlite_harness: OperationsHarness, subtests: pytest.Subtests
) -> None:
    for name, (status, operate) in OPERATIONS.items():
        with subtests.test(name):
            instance = await sqlite_harness.create_in_status(status)

            after = await operate(sqlite_harness.operations, instance.id, instance.version)

            assert after.version == instance.version + 1


async def test_of_many_operations_on_one_version_one_is_done(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.WAITING)

    ends = await asyncio.gather(
        *(
            harness.operations.edit_variables(
                instance.id, {"amount": amount}, username=OPERATOR_NAME, expected_version=instance.version
            )
            for amount in range(10, 16)
        ),
        return_exceptions=True,
    )

    assert sum(isinstance(end, StaleError) for end in ends) == 5, ends
    assert (await harness.get_instance(instance.id)).version == instance.version + 1


async def test_a_stale_operation_is_refused_as_stale_even_if_it_is_not_permitted_any_more(
    sqlite_harness: OperationsHarness,
) -> None:
    instance = await sqlite_harness.create_in_status(Status.NEW)
    await sqlite_harness.operations.cancel(instance.id, username=OPERATOR_NAME)

    with pytest.raises(StaleError):
        await sqlite_harness.operations.pause(instance.id, username=OPERATOR_NAME, expected_version=instance.version)


async def test_refusals_for_a_stale_version_are_grouped_under_one_reason(sqlite_harness: OperationsHarness) -> None:
    reasons = set()
    for _ in range(2):
        instance = await sqlite_harness.create_in_status(Status.NEW)
        with pytest.raises(RefusedError) as refused:
            await sqlite_harness.operations.pause(instance.id, username=OPERATOR_NAME, expected_version=99)
        reasons.add(refused.value.reason)

    assert reasons == {"it was changed in the meantime"}


async def test_the_children_that_a_cancel_ends_too_may_have_any_version(harness: OperationsHarness) -> None:
    parent, children = await harness.create_family("Orders", "Orders")
    version = (await harness.get_instance(parent)).version
    await harness.operations.edit_variables(children[0], {"amount": 7}, username=OPERATOR_NAME)

    await harness.operations.cancel(parent, username=OPERATOR_NAME, with_children=True, expected_version=version)

    assert {(await harness.get_instance(id)).status for id in (parent, *children)} == {Status.CANCELLED}
