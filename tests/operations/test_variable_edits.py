"""Editing variables: merged by name, checked against the model, told in the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, Field

from flowlet.errors import StaleError, VariablesError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.operations.service import Operations
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.manual_executor import open_engine
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness


class Item(BaseModel, populate_by_name=True):
    sku_code: str = Field("a", alias="skuCode")


async def test_values_are_merged_by_name_and_the_history_says_which(harness: OperationsHarness) -> None:
    id = await harness.create_order(way="later", amount=3)

    after = await harness.operations.edit_variables(id, {"amount": 5}, username=OPERATOR_NAME)

    line = await harness.read_last_action(id)
    assert after.vars == {"way": "later", "amount": 5}
    assert (line.kind, line.username, line.to_state) == (ActionKind.EDITED, OPERATOR_NAME, None)
    assert line.changes == [{"op": "set", "path": "/amount", "value": 5, "old": 3}]


async def test_what_is_unset_takes_its_default(harness: OperationsHarness) -> None:
    id = await harness.create_order(amount=3)

    after = await harness.operations.edit_variables(id, {}, unset=["amount"], username=OPERATOR_NAME)

    assert after.vars == {"way": "charge", "amount": 1}


async def test_variables_without_a_model_are_set_and_removed(harness: OperationsHarness) -> None:
    id = await harness.hands.create_instance("Families", vars={"children": [], "note": "old"})

    after = await harness.operations.edit_variables(id, {"size": 2}, unset=["note"], username=OPERATOR_NAME)

    assert after.vars == {"children": [], "size": 2}
    assert (await harness.read_last_action(id)).changes == [
        {"op": "unset", "path": "/note", "old": "old"},
        {"op": "set", "path": "/size", "value": 2},
    ]


async def test_an_edit_that_changes_nothing_leaves_no_trace(harness: OperationsHarness) -> None:
    id = await harness.create_order(amount=3)
    before = await harness.hands.read_tables()

    after = await harness.operations.edit_variables(id, {"amount": 3}, username=OPERATOR_NAME)

    assert after == await harness.get_instance(id)
    assert await harness.hands.read_tables() == before


@pytest.mark.parametrize(
    ("values", "unset", "fault"),
    [
        ({"amount": "many"}, (), "amount: "),
        ({"amuont": 3}, (), "amuont: the model has no such variable. Did you mean 'amount'?"),
        ({"amount": object()}, (), "amount: is of type object"),
        ({"amount": 3}, ("amount",), "amount: cannot be both set and removed"),
        ({}, ("amuont",), "amuont: this variable does not exist. Did you mean 'amount'?"),
        ([("amount", 3)], (), "has to be an object, not list"),
    ],
)
async def test_variables_that_do_not_fit_are_refused_and_nothing_changes(
    sqlite_harness: OperationsHarness, values: Any, unset: Sequence[str], fault: str
) -> None:
    id = await sqlite_harness.create_order(amount=3)
    before = await sqlite_harness.hands.read_tables()

    with pytest.raises(VariablesError) as refused:
        await sqlite_harness.operations.edit_variables(id, values, unset=unset, username=OPERATOR_NAME)

    assert fault in str(refused.value)
    assert await sqlite_harness.hands.read_tables() == before


async def test_an_edit_of_what_has_moved_on_since_it_was_looked_at_is_refused(harness: OperationsHarness) -> None:
    instance = await harness.create_in_status(Status.IN_PROGRESS)
    await harness.operations.edit_variables(
        instance.id, {"amount": 5}, username=OPERATOR_NAME, expected_version=instance.version
    )

    with pytest.raises(StaleError, match="was changed in the meantime"):
        await harness.operations.edit_variables(
            instance.id, {"amount": 6}, username="bob", expected_version=instance.version
        )

    assert (await harness.get_instance(instance.id)).vars["amount"] == 5


@pytest.mark.parametrize("values", [{"sku_code": "b"}, {"skuCode": "b"}])
async def test_a_field_with_an_alias_is_edited_under_either_name(sqlite_url: str, values: Mapping[str, Any]) -> None:
    @state(start=True, next=["done"])
    async def check(item: Item) -> None: ...

    module = ModuleType("items", "Items.")
    vars(module).update(check=check, done=end(), workflow=Workflow("Items", vars=Item))
    async with open_engine(sqlite_url, module) as hands:
        id = await hands.create_instance("Items")

        after = await Operations(hands.store, hands.registry).edit_variables(id, values, username=OPERATOR_NAME)

    assert after.vars == {"skuCode": "b"}
