"""Receive states as they are loaded: what they wait for, what their handlers are given, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.definition.registry import Registry
from flowlet.definition.snapshot import restore_definition
from flowlet.diagram.mermaid import render_mermaid
from flowlet.errors import DefinitionError
from flowlet.workflow.receive import receive
from flowlet.workflow.states import end
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.messages import payments


class Payment(BaseModel):
    amount: int


class Refund(BaseModel):
    amount: int


def load_faults(handler: Any, messages: Any, *, vars: Any = None, **more: Any) -> str:
    """Return the faults of a workflow with one receive state."""
    wait = receive(messages=messages, next=["done"], start=True, **more)(handler)
    with pytest.raises(DefinitionError) as refused:
        Registry().add(build_workflow_module(wait=wait, done=end(), workflow=Workflow("Wait", vars=vars)))
    return str(refused.value)


async def take_nothing() -> None: ...


async def take_payment(message: Payment) -> None: ...


def test_a_definition_knows_its_messages_and_so_does_its_document() -> None:
    definition = Registry().add(payments)

    restored = restore_definition(definition.to_json())

    assert list(definition.messages) == list(restored.messages) == ["payment", "withdrawn", "go"]
    assert restored.states["collect"].is_receive
    assert restored.states["collect"].deadline == definition.states["collect"].deadline
    assert 's2>"collect"]' in render_mermaid(definition)
    assert "class s2,s4 fl_receive" in render_mermaid(definition)


def test_what_a_receive_state_lacks_is_refused_with_its_cure() -> None:
    assert "Name one: messages={'payment': Payment}" in load_faults(take_nothing, {})
    assert "without a slash" in load_faults(take_nothing, ["pay/ment"])
    assert "not a subclass of pydantic.BaseModel" in load_faults(take_nothing, {"payment": dict})
    assert "use another class for the message" in load_faults(take_nothing, {"payment": Payment}, vars=Payment)
    assert "has a deadline, but no on_deadline" in load_faults(take_nothing, ["go"], deadline="1 day")


def test_a_handler_takes_the_body_of_every_message_or_of_none() -> None:
    both = {"payment": Payment, "refund": Refund}

    assert "annotate it 'Payment | Refund'" in load_faults(take_payment, both)
    assert "which nothing provides" in load_faults(take_payment, {"refund": Refund})
    assert "annotate it 'Payment | None'" in load_faults(take_payment, {"payment": Payment, "go": None})


def test_one_name_has_one_model_in_a_workflow() -> None:
    first = receive(messages={"payment": Payment}, next=["second"], start=True)(take_nothing)
    second = receive(messages={"payment": Refund}, next=["done"])(take_nothing)

    with pytest.raises(DefinitionError, match="give the message 'payment' different models"):
        Registry().add(build_workflow_module(first=first, second=second, done=end()))
