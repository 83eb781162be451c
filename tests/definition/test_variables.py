"""Variables: read for each attempt, saved after it where they have changed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from flowlet.instance.action import ActionKind
from flowlet.instance.transition import Transition
from flowlet.workflow.context import Context
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import ActivationHarness, get_only_action


class Order(BaseModel):
    sku: str = "A-1"
    amount: int = 1
    box_count: int = Field(0, alias="boxCount")


class Measure(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")

    value: float = 0.0


STORED_VARIABLES = '{"sku":"A-1","amount":1,"boxCount":0}'


def build_changing_handler(change: Callable[[Any], object]) -> Callable[..., Awaitable[str]]:
    async def check(order: Order) -> str:
        change(order)
        return "done"

    return check


async def run_with_model(handler: Any, stored: str = STORED_VARIABLES) -> Transition:
    bench = ActivationHarness()
    check = state(start=True, next=["done"])(handler)
    return await bench.run_first_activation(
        bench.add_definition(workflow=Workflow("Orders", vars=Order), check=check, done=end()), vars_json=stored
    )


async def run_without_model(change: Callable[[dict[str, Any]], object], stored: str) -> Transition:
    bench = ActivationHarness()

    @state(start=True, next=["done"])
    async def check(ctx: Context) -> str:
        change(ctx.vars)
        return "done"

    return await bench.run_first_activation(bench.add_definition(check=check, done=end()), vars_json=stored)


async def test_a_changed_model_is_saved_with_what_changed() -> None:
    transition = await run_with_model(build_changing_handler(lambda order: setattr(order, "box_count", 3)))

    assert transition.vars_json == '{"sku":"A-1","amount":1,"boxCount":3}'
    assert get_only_action(transition, ActionKind.TRANSITION).changes == [
        {"op": "set", "path": "/boxCount", "value": 3, "old": 0}
    ]


async def test_an_unchanged_model_is_not_saved() -> None:
    transition = await run_with_model(build_changing_handler(lambda order: setattr(order, "amount", 1)))

    assert transition.vars_json is None
    assert get_only_action(transition, ActionKind.TRANSITION).changes_json is None


async def test_the_same_variables_written_otherwise_are_not_a_change() -> None:
    transition = await run_with_model(
        build_changing_handler(lambda _: None), stored='{"boxCount": 0, "amount": 1, "sku": "A-1"}'
    )

    assert transition.vars_json is None


async def test_variables_that_no_parameter_asks_for_are_not_read() -> None:
    async def check() -> str:
        return "done"

    transition = await run_with_model(check, stored='{"amount":"of an older version"}')

    assert (transition.state, transition.vars_json) == ("done", None)


async def test_a_name_that_the_model_does_not_declare_is_kept() -> None:
    stored = '{"sku":"A-1","amount":1,"boxCount":0,"newer":{"a":[1]}}'

    unchanged = await run_with_model(build_changing_handler(lambda _: None), stored=stored)
    changed = await run_with_model(build_changing_handler(lambda order: setattr(order, "amount", 2)), stored=stored)

    assert unchanged.vars_json is None
    assert changed.vars_json == '{"sku":"A-1","amount":2,"boxCount":0,"newer":{"a":[1]}}'
    changes = get_only_action(changed, ActionKind.TRANSITION).changes
    assert changes == [{"op": "set", "path": "/amount", "value": 2, "old": 1}]


async def test_variables_that_do_not_fit_the_model_wait_for_another_version_and_are_not_shown() -> None:
    transition = await run_with_model(build_changing_handler(lambda _: None), stored='{"amount":"secret"}')

    action = get_only_action(transition, ActionKind.GATED)
    reads = "waits for another version: Orders version 1 cannot read the variables of Orders: amount: Input should be a"
    assert action.text is not None
    assert action.text.startswith(reads)
    assert (transition.attempt, transition.state) == (0, "check")
    assert "secret" not in str(transition.actions) + str(transition.reason)


async def test_a_handler_cannot_leave_variables_behind_that_do_not_fit_the_model() -> None:
    transition = await run_with_model(build_changing_handler(lambda order: setattr(order, "amount", "secret")))

    assert transition.vars_json is None
    assert transition.state == "check"
    assert "VariablesError: the variables of Orders: amount: " in str(
        get_only_action(transition, ActionKind.ERROR).text
    )
    assert "secret" not in str(transition.actions) + str(transition.reason)


@pytest.mark.parametrize("value", [object(), "half of a pair: \ud800"])
async def test_a_model_that_cannot_be_written_as_json_is_a_failed_attempt(value: object) -> None:
    transition = await run_with_model(build_changing_handler(lambda order: setattr(order, "sku", value)))

    assert str(get_only_action(transition, ActionKind.ERROR).text).startswith("VariablesError: the variables of Orders")


async def test_a_failed_attempt_saves_no_variables_and_the_next_reads_them_anew() -> None:
    seen: list[int] = []

    async def check(order: Order) -> str:
        seen.append(order.amount)
        order.amount = 99
        raise ValueError("no such order")

    bench = ActivationHarness()
    definition = bench.add_definition(
        workflow=Workflow("Orders", vars=Order), check=state(start=True, next=["done"])(check), done=end()
    )
    transitions = [await bench.run_first_activation(definition, vars_json=STORED_VARIABLES) for _ in range(2)]

    assert seen == [1, 1]
    assert [transition.vars_json for transition in transitions] == [None, None]


async def test_variables_without_a_model_are_a_dict() -> None:
    transition = await run_without_model(
        lambda variables: variables.update(amount=2) or variables.pop("old"), '{"amount":1,"old":1,"kept":[1]}'
    )

    assert json.loads(transition.vars_json or "") == {"amount": 2, "kept": [1]}
    assert get_only_action(transition, ActionKind.TRANSITION).changes == [
        {"op": "unset", "path": "/old", "old": 1},
        {"op": "set", "path": "/amount", "value": 2, "old": 1},
    ]


async def test_an_unchanged_dict_is_not_saved() -> None:
    transition = await run_without_model(lambda variables: variables.get("amount"), '{"amount":1}')

    assert transition.vars_json is None


async def test_one_and_true_are_different_values() -> None:
    transition = await run_without_model(lambda variables: variables.update(paid=True), '{"paid":1}')

    assert transition.vars_json == '{"paid":true}'


@pytest.mark.parametrize("value", [object(), {1: "a key that is no text"}, "\ud800", "\0", float("nan"), {1}, (1,)])
async def test_a_dict_that_cannot_be_written_as_json_is_a_failed_attempt(value: object) -> None:
    transition = await run_without_model(lambda variables: variables.update(value=value), "{}")

    assert str(get_only_action(transition, ActionKind.ERROR).text).startswith("VariablesError: the variables of Orders")


async def test_variables_have_to_stay_an_object() -> None:
    bench = ActivationHarness()

    @state(start=True, next=["done"])
    async def check(ctx: Context) -> str:
        ctx.vars = []  # type: ignore[assignment]  # what a module without types may do
        return "done"

    transition = await bench.run_first_activation(bench.add_definition(check=check, done=end()))

    text = get_only_action(transition, ActionKind.ERROR).text
    assert text == "VariablesError: the variables of Orders: : they have to be an object, not a list"


async def test_a_number_that_is_not_json_is_a_failed_attempt() -> None:
    bench = ActivationHarness()

    @state(start=True, next=["done"])
    async def check(measure: Measure) -> str:
        measure.value = float("inf")
        return "done"

    definition = bench.add_definition(workflow=Workflow("Orders", vars=Measure), check=check, done=end())
    transition = await bench.run_first_activation(definition)

    assert "value: is inf, which JSON does not have" in str(get_only_action(transition, ActionKind.ERROR).text)


async def test_writing_to_the_contexts_variables_beside_a_model_is_a_failed_attempt() -> None:
    async def check(ctx: Context) -> str:
        ctx.vars["amount"] = 2
        return "done"

    transition = await run_with_model(check)

    assert "change the parameter annotated with Order, not ctx.vars" in str(
        get_only_action(transition, ActionKind.ERROR).text
    )
