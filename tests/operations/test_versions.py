"""Operations on instances of other versions: edits migrate first, and "run now" opens a gate."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from flowlet.definition.registry import Registry
from flowlet.errors import RefusedError
from flowlet.instance.instance import Instance
from flowlet.instance.version_gate import VersionGate, compute_lane
from flowlet.operations.permitted import Operation
from flowlet.operations.service import Operations
from flowlet.workflow.migration import migrate
from flowlet.workflow.workflow import Workflow
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness, build_orders_module


@migrate(from_version=1)
def double_amount(variables: dict[str, Any]) -> dict[str, Any]:
    return {**variables, "amount": 2 * variables["amount"]}


def build_second_version() -> ModuleType:
    """Return the orders with a migration from their first version."""
    module = build_orders_module()
    first: Workflow = module.workflow
    workflow = Workflow(first.name, vars=first.vars, version=2, retry=first.retry)
    vars(module).update(workflow=workflow, double_amount=double_amount)
    return module


async def close_gate(harness: OperationsHarness, id: int) -> Instance:
    """Put an instance behind a gate, as an executor does whose version cannot run it."""
    instance = await harness.get_instance(id)
    gate = VersionGate(compute_lane(instance.type, instance.group)).add("d1ge57d1ge57")
    sql = "UPDATE flowlet_workflow SET gate = :gate, status = 'IN_PROGRESS' WHERE id = :id"
    await harness.hands.store.connections.write(lambda session: session.execute(sql, {"gate": str(gate), "id": id}))
    return await harness.get_instance(id)


async def test_an_edit_migrates_the_variables_first(harness: OperationsHarness) -> None:
    id = await harness.create_order(way="later", amount=3)
    registry = Registry()
    registry.add(build_second_version())
    newer = Operations(harness.hands.store, registry)

    after = await newer.edit_variables(id, {"way": "review"}, username=OPERATOR_NAME)

    assert (after.vars, after.vars_version) == ({"way": "review", "amount": 6}, 2)
    assert (await harness.get_instance(id)).vars_version == 2
    changed = [(change["path"], change["value"]) for change in (await harness.read_last_action(id)).changes or ()]
    assert sorted(changed) == [("/amount", 6), ("/way", "review")]


async def test_variables_that_a_newer_version_has_migrated_cannot_be_edited(harness: OperationsHarness) -> None:
    id = await harness.create_order(amount=3)
    sql = "UPDATE flowlet_workflow SET vars_version = 2 WHERE id = :id"
    await harness.hands.store.connections.write(lambda session: session.execute(sql, {"id": id}))

    with pytest.raises(RefusedError, match="migrated to version 2, which Orders version 1 does not know"):
        await harness.operations.edit_variables(id, {"amount": 5}, username=OPERATOR_NAME)

    assert (await harness.get_instance(id)).vars == {"way": "charge", "amount": 3}


async def test_an_operation_that_changes_what_is_run_opens_the_gate(
    harness: OperationsHarness, subtests: pytest.Subtests
) -> None:
    for operation in ("wake", "edit", "cancel", "move"):
        with subtests.test(operation):
            id = await harness.create_order(amount=3)
            gated = await close_gate(harness, id)
            assert Operation.WAKE in harness.operations.get_permitted_operations(gated).operations

            if operation == "wake":
                await harness.operations.wake(id, username=OPERATOR_NAME)
            elif operation == "edit":
                await harness.operations.edit_variables(id, {"amount": 4}, username=OPERATOR_NAME)
            elif operation == "cancel":
                await harness.operations.cancel(id, username=OPERATOR_NAME)
            else:
                await harness.operations.move(id, "charge", username=OPERATOR_NAME)

            after = await harness.get_instance(id)
            assert after.gate is None


async def test_a_pause_keeps_the_gate(harness: OperationsHarness) -> None:
    id = await harness.create_order(amount=3)
    gated = await close_gate(harness, id)

    await harness.operations.pause(id, username=OPERATOR_NAME)
    resumed = await harness.operations.resume(id, username=OPERATOR_NAME)

    assert (resumed.gate, resumed.status) == (gated.gate, gated.status)
