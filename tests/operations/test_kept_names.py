"""An older version runs, edits and answers an instance of a newer one, and what only the newer one knows stays."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.app import Flowlet
from flowlet.definition.registry import Registry
from flowlet.errors import VariablesError
from flowlet.settings import Settings
from flowlet.workflow.states import end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.databases import find_schema
from tests.operations.operations_harness import OPERATOR_NAME


class Item(BaseModel):
    sku: str
    count: int = 1


class Order(BaseModel):
    note: str = ""
    items: list[Item] = []


class NewerItem(Item):
    tax: int


class NewerOrder(BaseModel):
    note: str = ""
    items: list[NewerItem] = []


CREATED = [{"sku": "a", "count": 1, "tax": 7}, {"sku": "b", "count": 1, "tax": 19}]


def build_module(model: type[BaseModel]) -> ModuleType:
    """Return a workflow that forgets the first item, adds one to each count, and lets a person look at it."""

    @state(start=True, next=["count"])
    async def drop(order: Any) -> None:
        order.items.pop(0)

    @state(next=["review"])
    async def count(order: Any) -> None:
        for item in order.items:
            item.count += 1

    @manual(next=["done"])
    async def review(order: Any) -> None:
        order.note += "!"

    for handler in (drop.handler, count.handler, review.handler):
        handler.__annotations__["order"] = model
    module = ModuleType("orders")
    vars(module).update(drop=drop, count=count, review=review, done=end(), workflow=Workflow("Orders", vars=model))
    return module


def build_app(database_url: str, model: type[BaseModel], **settings: Any) -> Flowlet:
    """Return an application with one version of the workflow."""
    registry = Registry()
    registry.add(build_module(model))
    schema = find_schema(database_url)
    return Flowlet(registry=registry, settings=Settings(database_url=database_url, schema=schema, **settings))


async def test_an_older_version_loses_nothing_at_any_door(database_url: str) -> None:
    newer = build_app(database_url, NewerOrder, groups=["none"])
    async with newer.running():
        id = (await newer.start("Orders", {"items": CREATED})).id
    older = build_app(database_url, Order)

    async with older.running() as store:
        run = await older.wait(id, states="review")
        edited = await older.operations.edit_variables(
            id, {"items": [{"sku": "b", "count": 9}], "note": "seen"}, username=OPERATOR_NAME
        )
        given_again = await older.operations.edit_variables(
            id, {"items": [{"sku": "b", "count": 8, "tax": 19}]}, username=OPERATOR_NAME
        )
        with pytest.raises(VariablesError, match=r"items\.0\.tax"):
            await older.operations.edit_variables(id, {"items": [{"sku": "b", "tax": 8}]}, username=OPERATOR_NAME)
        await older.operations.answer(id, "done", username=OPERATOR_NAME)
        last = await older.wait(id)
        past = await store.history.variables_at(id, (await store.queries.read_history(id))[-1].id)

    assert run.vars == {"note": "", "items": [{"sku": "b", "count": 2, "tax": 19}]}
    assert edited.vars == {"note": "seen", "items": [{"sku": "b", "count": 9, "tax": 19}]}
    assert given_again.vars == {"note": "seen", "items": [{"sku": "b", "count": 8, "tax": 19}]}
    assert last.vars == past == {"note": "seen!", "items": [{"sku": "b", "count": 8, "tax": 19}]}
