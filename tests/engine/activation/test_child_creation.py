"""Children that a transition creates."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.definition.definition import Definition
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import (
    START_TIME,
    ActivationHarness,
    build_leased_instance,
    get_only_action,
)

SHIPMENT_NAME = "Shipment"


class Box(BaseModel):
    number: int


SHIPMENT_WORKFLOW = Workflow(SHIPMENT_NAME, vars=Box, group="depot", priority=3)


@pytest.fixture
def harness() -> ActivationHarness:
    bench = ActivationHarness()

    @state(start=True, next=["sent"])
    async def send(box: Box) -> None:
        return None

    bench.add_definition(workflow=SHIPMENT_WORKFLOW, send=send, sent=end())
    return bench


def build_parent_definition(harness: ActivationHarness, requests: Any) -> Definition:
    done = end()

    @state(start=True, next=["done"])
    async def check() -> Next:
        return done.spawn(requests)

    return harness.add_definition(check=check, done=done)


async def run_parent(harness: ActivationHarness, requests: Any, **changes: Any) -> Transition:
    return await harness.run_activation(build_leased_instance(build_parent_definition(harness, requests), **changes))


async def test_children_are_created_with_their_parents_transition(harness: ActivationHarness) -> None:
    transition = await run_parent(harness, (SHIPMENT_WORKFLOW.child(number=number) for number in (1, 2)), visit=3)

    assert transition.status is Status.FINISHED
    assert [made.external_id for made in transition.children] == ["order-1/3.1", "order-1/3.2"]
    assert [made.vars_json for made in transition.children] == ['{"number":1}', '{"number":2}']
    first = transition.children[0]
    assert (first.type, first.state, first.status, first.next_activation_us) == (
        "Shipment",
        "send",
        Status.NEW,
        START_TIME,
    )
    assert (first.parent_id, first.group, first.priority, first.key) == (41, "depot", 3, first.external_id)


async def test_a_child_may_be_named_and_routed(harness: ActivationHarness) -> None:
    request = (
        child("Shipment", Box(number=1)).with_ids(key="k-1", external_id="box-1").with_routing(group="fast", priority=9)
    )

    (made,) = (await run_parent(harness, request)).children

    assert (made.external_id, made.key, made.group, made.priority) == ("box-1", "k-1", "fast", 9)


async def test_a_child_that_starts_in_a_manual_state_waits(harness: ActivationHarness) -> None:
    @manual(start=True, next=["over"], deadline="1h", on_deadline="over")
    async def ask() -> None:
        return None

    harness.add_definition(workflow=Workflow("Question"), ask=ask, over=end())
    (made,) = (await run_parent(harness, child("Question"))).children

    assert (made.status, made.next_activation_us) == (Status.WAITING, harness.get_time_after(hours=1))


async def test_a_childs_name_that_would_be_too_long_is_hashed_always_to_the_same(harness: ActivationHarness) -> None:
    definition = build_parent_definition(harness, child("Shipment", number=1))
    instance = build_leased_instance(definition, external_id="o" * 254)

    first, second = [(await harness.run_activation(instance)).children[0].external_id for _ in range(2)]

    assert first == second
    assert uuid.UUID(first).version == 5


@pytest.mark.parametrize(
    ("requests", "text"),
    [
        (
            child("Shipmint"),
            "UnknownChildError: spawn() was given a child of a workflow that is not loaded: no workflow is called",
        ),
        (child("Shipment", number="secret"), "VariablesError: the variables of Shipment: number: Input should be"),
        (child("Shipment", {}), "VariablesError: the variables of Shipment: number: Field required"),
        (
            child("Shipment", Box.model_construct(number="secret")),
            "VariablesError: the variables of Shipment: number: Input should be",
        ),
        (child("Shipment", number=1).with_ids(external_id=" x"), "VariablesError: a new Shipment: externalId: begins"),
        (
            [SHIPMENT_WORKFLOW],
            "OutcomeError: spawn() was given a value of type Workflow, not a child: use workflow.child(",
        ),
        (
            [child("Shipment", number=1).with_ids(external_id="b")] * 2,
            "OutcomeError: spawn() was given two children with the external id 'b'",
        ),
    ],
)
async def test_a_child_that_cannot_be_made_is_a_failed_attempt(
    harness: ActivationHarness, requests: Any, text: str
) -> None:
    transition = await run_parent(harness, requests)

    assert str(get_only_action(transition, ActionKind.ERROR).text).startswith(text)
    assert "secret" not in str(transition.actions)
    assert (transition.state, transition.children) == ("check", ())
