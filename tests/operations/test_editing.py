"""Editing variables: merged by name, checked against the model, told in the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, Field

from flowlet.errors import RefusedError, VariablesError
from flowlet.instances import ActionKind, Status
from flowlet.operations import Operations
from flowlet.states import Workflow, end, state
from tests.engine.hands import opened
from tests.operations.desk import CLERK, Desk


class Item(BaseModel, populate_by_name=True):
    sku_code: str = Field("a", alias="skuCode")


async def test_values_are_merged_by_name_and_the_history_says_which(desk: Desk) -> None:
    id = await desk.start(way="later", amount=3)

    after = await desk.operations.edit_variables(id, {"amount": 5}, username=CLERK)

    line = await desk.last(id)
    assert after.variables == {"way": "later", "amount": 5}
    assert (line.kind, line.username, line.to_state) == (ActionKind.EDITED, CLERK, None)
    assert orjson.loads(line.changes or "") == {"set": {"amount": 5}, "unset": []}


async def test_what_is_unset_takes_its_default(desk: Desk) -> None:
    id = await desk.start(amount=3)

    after = await desk.operations.edit_variables(id, {}, unset=["amount"], username=CLERK)

    assert after.variables == {"way": "charge", "amount": 1}


async def test_variables_without_a_model_are_set_and_removed(desk: Desk) -> None:
    id = await desk.hands.create("Families", vars={"children": [], "note": "old"})

    after = await desk.operations.edit_variables(id, {"size": 2}, unset=["note"], username=CLERK)

    assert after.variables == {"children": [], "size": 2}
    assert orjson.loads((await desk.last(id)).changes or "") == {"set": {"size": 2}, "unset": ["note"]}


async def test_an_edit_that_changes_nothing_leaves_no_trace(desk: Desk) -> None:
    id = await desk.start(amount=3)
    before = await desk.hands.contents()

    after = await desk.operations.edit_variables(id, {"amount": 3}, username=CLERK)

    assert after == await desk.get(id)
    assert await desk.hands.contents() == before


@pytest.mark.parametrize(
    ("values", "unset", "fault"),
    [
        ({"amount": "many"}, (), "amount: "),
        ({"amuont": 3}, (), "amuont: the model has no such variable; did you mean 'amount'?"),
        ({"amount": object()}, (), "Type is not JSON serializable"),
        ({"amount": 3}, ("amount",), "amount: is to be both set and removed"),
        ({}, ("amuont",), "amuont: there is no such variable; did you mean 'amount'?"),
        ([("amount", 3)], (), "has to be an object, not list"),
    ],
)
async def test_variables_that_do_not_fit_are_refused_and_nothing_changes(
    sqlite_desk: Desk, values: Any, unset: Sequence[str], fault: str
) -> None:
    id = await sqlite_desk.start(amount=3)
    before = await sqlite_desk.hands.contents()

    with pytest.raises(VariablesError) as refused:
        await sqlite_desk.operations.edit_variables(id, values, unset=unset, username=CLERK)

    assert fault in str(refused.value)
    assert await sqlite_desk.hands.contents() == before


async def test_an_edit_of_what_has_moved_on_since_it_was_looked_at_is_refused(desk: Desk) -> None:
    instance = await desk.at(Status.IN_PROGRESS)
    await desk.operations.edit_variables(instance.id, {"amount": 5}, username=CLERK, expected_version=instance.version)

    with pytest.raises(RefusedError, match="it has moved on since it was looked at"):
        await desk.operations.edit_variables(
            instance.id, {"amount": 6}, username="bob", expected_version=instance.version
        )

    assert (await desk.get(instance.id)).variables["amount"] == 5


@pytest.mark.parametrize("values", [{"sku_code": "b"}, {"skuCode": "b"}])
async def test_a_field_with_an_alias_is_edited_under_either_name(sqlite_url: str, values: Mapping[str, Any]) -> None:
    @state(start=True, next=["done"])
    async def check(item: Item) -> None: ...

    module = ModuleType("items", "Items.")
    vars(module).update(check=check, done=end(), workflow=Workflow("Items", vars=Item))
    async with opened(sqlite_url, module) as hands:
        id = await hands.create("Items")

        after = await Operations(hands.store, hands.registry).edit_variables(id, values, username=CLERK)

    assert after.variables == {"skuCode": "b"}
