"""Limits as a module declares them: values out of range, faults at load, and what a definition keeps of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel, Field

from flowlet.definition.registry import Registry
from flowlet.definition.snapshot import restore_definition
from flowlet.definition.versions.differences import compare_documents
from flowlet.errors import DefinitionError, DurationError
from flowlet.instance.limit_gate import LimitGate, format_key
from flowlet.workflow.limits import Breaker, Limit, Rate
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module


class Tier(Enum):
    GOLD = "gold"


class Order(BaseModel):
    customer: str | None = None
    tier: Tier = Tier.GOLD
    lines: list[str] = []
    shop_name: str = Field("", alias="shopName")


def load(*, vars: type[BaseModel] | None = Order, workflow: dict[str, Any] | None = None, **options: Any) -> Any:
    """Return the definition of a module whose state ``check`` has these options."""

    async def check() -> None:
        pass

    module = build_workflow_module(
        workflow=Workflow("Orders", vars=vars, **(workflow or {})),
        check=state(start=True, next=["done"], **options)(check),
        done=end(),
    )
    return Registry().add(module)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Limit(0), r"Limit\(0\): the number must be a whole number from 1 to 100,000"),
        (lambda: Limit(True), "whole number"),
        (lambda: Limit(10, by=""), "by is the name of a variable"),
        (lambda: Rate(100_001, per="1 minute"), "whole number"),
        (lambda: Rate(1, per="0 s"), "per must be from a millisecond to 31 days"),
        (lambda: Breaker(5, pause="32 days"), "pause must be from a millisecond to 31 days"),
        (lambda: Breaker(5, pause="1s", interval="0s"), "interval must be from a millisecond to 31 days"),
    ],
)
def test_a_value_out_of_range_is_refused_where_it_is_written(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
    with pytest.raises(DurationError):
        Rate(1, per="soon")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 10}, "limit of state 'check' is 10, not a Limit.\nWrite limit=Limit(10)."),
        ({"breaker": "no"}, "breaker of state 'check' is 'no', not a Breaker."),
        ({"limit": Limit(1, by="custmer")}, "has no such variable.\nDid you mean 'customer'?"),
        ({"limit": Limit(1, by="lines")}, "'lines', which is not a single value"),
        ({"limit": Limit(1, by="shop_name")}, "but Order has no such variable."),
        ({"limit": Limit(1, by="customer"), "vars": None}, "the workflow has no model of its variables.\nAdd vars="),
        (
            {"limit": Limit(1), "workflow": {"rate": Rate(1, "1 s")}},
            "its Workflow has a limit or a rate for all states",
        ),
        ({"workflow": {"limit": Limit(1, by="lines")}}, "limit of Workflow('Orders') counts by 'lines'"),
    ],
)
def test_a_fault_of_a_limit_is_found_at_load(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        load(**options)

    assert message in str(raised.value)


def test_a_definition_keeps_its_limits_and_says_what_has_changed() -> None:
    first = load(limit=Limit(10, by="tier"))
    second = load(limit=Limit(5, by="shopName"), rate=Rate(100, "1 minute"), breaker=Breaker(5, "1 minute 30 seconds"))
    whole = load(workflow={"limit": Limit(3)})

    for definition in (first, second, whole):
        restored = restore_definition(definition.to_json())
        assert restored.states["check"].limits == definition.states["check"].limits
        assert (restored.limits, restored.states["done"].limits) == (definition.limits, None)
    (change,) = compare_documents(first.to_json(), second.to_json()).changes
    assert change.text == (
        "state 'check': limits 10 at once by 'tier' becomes 5 at once by 'shopName', 100 per 1 minute, "
        "a pause of 1 minute 30 seconds after 5 failures in a row"
    )
    assert whole.states["check"].limits is whole.limits


def test_every_value_has_a_key_that_every_database_compares_alike() -> None:
    texts = ["anna", "Anna", "anna ", " anna", "a/b", "ä", "x" * 300, "x" * 299, "\u0000", "", "(none)"]
    keys = [
        format_key(f'{{"customer": {text!r}}}'.replace("'", '"').replace("\\x00", "\\u0000"), "customer")
        for text in texts
    ]
    others = [format_key(text, "customer") for text in ('{"customer": null}', "{}", '{"customer": 5}', "[]", "no json")]

    assert len(set(keys)) == len(texts)
    assert all(len(key) <= 80 and key == key.strip() for key in (*keys, *others))
    assert others == ["(none)", "(none)", "5", "(none)", "(none)"]
    assert LimitGate.parse(f"limit:0a1b/charge/{keys[4]}") == ("limit:0a1b/charge", "charge", keys[4])
    assert LimitGate.parse("version:0a1b/charge") is None
