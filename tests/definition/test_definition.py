"""A definition reads, checks and writes variables, makes instances, and describes itself as JSON."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field

from flowlet.definition.codec import ModelCodec
from flowlet.definition.definition import Definition
from flowlet.errors import UnknownStateError, VariablesError
from flowlet.instance.instance import Status
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import StateKind
from tests.definition.definitions import build_definition

NOW = 1_000_000


class Line(BaseModel):
    sku: str


class Order(BaseModel):
    amount: int = 1
    lines: list[Line] = Field(default_factory=list, alias="orderLines")
    anything: Any = None


UNTYPED_DEFINITION = build_definition("Free", {"first": ["done"], "done": []})
TYPED_DEFINITION = replace(UNTYPED_DEFINITION, name="Orders", vars=Order, group="shop", priority=3)


def test_a_definition_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        UNTYPED_DEFINITION.version = 2  # type: ignore[misc] # what is under test
    with pytest.raises(TypeError):
        UNTYPED_DEFINITION.states["first"] = UNTYPED_DEFINITION.states["done"]  # type: ignore[index] # what is under test


def test_a_definition_is_equal_to_itself_only_and_may_be_a_key() -> None:
    assert {UNTYPED_DEFINITION: "free", replace(UNTYPED_DEFINITION): "copy"}[UNTYPED_DEFINITION] == "free"


def test_a_state_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UnknownStateError, match=r"Free version 1 has no state 'last'. It has: first, done\."):
        UNTYPED_DEFINITION.get_state("last")


def test_a_state_permits_what_it_lists() -> None:
    assert UNTYPED_DEFINITION.get_state("first").has_transition_to("done")
    assert not UNTYPED_DEFINITION.get_state("first").has_transition_to("first")
    assert UNTYPED_DEFINITION.get_state("done").is_final


def test_a_new_instance_begins_in_the_start_state_and_is_due_at_once() -> None:
    new = TYPED_DEFINITION.build_instance(None, now=NOW, key="A-1", external_id="web-1", username="alice")

    assert (new.state, new.status, new.next_activation_us) == ("first", Status.NEW, NOW)
    assert (new.type, new.group, new.priority) == ("Orders", "shop", 3)
    assert (new.key, new.external_id, new.username) == ("A-1", "web-1", "alice")
    assert new.vars_json == '{"amount":1,"orderLines":[],"anything":null}'


def test_a_new_instance_may_be_routed_and_gets_an_external_id_of_its_own() -> None:
    one, other = (TYPED_DEFINITION.build_instance({}, now=NOW, group="far", priority=0) for _ in range(2))

    assert (one.group, one.priority) == ("far", 0)
    assert one.external_id != other.external_id


def test_the_business_key_is_the_external_id_by_default() -> None:
    named = TYPED_DEFINITION.build_instance({}, now=NOW, external_id="web-1")
    generated = TYPED_DEFINITION.build_instance({}, now=NOW)

    assert (named.key, generated.key) == ("web-1", generated.external_id)


def test_a_manual_start_begins_by_waiting_for_its_deadline() -> None:
    waiting = build_with_start(kind=StateKind.MANUAL, deadline=timedelta(seconds=2), on_deadline="done")
    unbounded = build_with_start(kind=StateKind.MANUAL)

    assert [
        (new.status, new.next_activation_us) for new in (of.build_instance({}, now=NOW) for of in (waiting, unbounded))
    ] == [
        (Status.WAITING, NOW + 2_000_000),
        (Status.WAITING, None),
    ]


def test_every_fault_of_a_new_instance_is_named() -> None:
    with pytest.raises(VariablesError) as caught:
        TYPED_DEFINITION.build_instance({}, now=NOW, key="a\x00b", external_id="x" * 256, group=" shop", priority=10)

    assert caught.value.faults == {
        "externalId": "has to be a text of 1 to 255 characters",
        "businessKey": "contains a NUL character, which databases cannot store",
        "executorGroup": "begins or ends with white space",
        "priority": "10 is not a whole number from 0 to 9",
    }


def test_variables_that_do_not_fit_are_told_by_path_and_without_their_values() -> None:
    with pytest.raises(VariablesError) as caught:
        TYPED_DEFINITION.validate_vars({"amount": "secret", "orderLines": [{"sku": "a"}, {}]})

    assert list(caught.value.faults) == ["amount", "orderLines.1.sku"]
    assert str(caught.value).startswith("the variables of Orders: amount: ")
    assert "secret" not in str(caught.value)


def test_variables_are_read_into_a_new_model_object_and_written_by_alias() -> None:
    text = TYPED_DEFINITION.validate_vars(Order(orderLines=[Line(sku="a")]))

    order = TYPED_DEFINITION.read_vars(text)

    assert order == Order(orderLines=[Line(sku="a")])
    assert TYPED_DEFINITION.save_vars(order) == (text, order)
    assert TYPED_DEFINITION.read_vars(text) is not order


def test_variables_of_another_model_are_checked_against_the_workflows() -> None:
    class Larger(BaseModel):
        amount: int = 5
        anythin: str = ""

    with pytest.raises(VariablesError, match="anythin: the model has no such variable. Did you mean 'anything'?"):
        TYPED_DEFINITION.validate_vars(Larger())


def test_stored_variables_that_no_longer_fit_are_told() -> None:
    with pytest.raises(VariablesError, match="the variables of Orders: amount: "):
        TYPED_DEFINITION.read_vars('{"amount": null}')


def test_free_variables_are_a_dict() -> None:
    assert UNTYPED_DEFINITION.validate_vars({"a": [1, None]}) == '{"a":[1,null]}'
    assert UNTYPED_DEFINITION.read_vars('{"a":[1,null]}') == {"a": [1, None]}


@pytest.mark.parametrize("free", [{"a": object()}, {1: 2}, {"a": "\ud800"}, {"a": "\0"}, {"a": (1,)}])
def test_free_variables_that_json_cannot_hold_are_refused(free: dict[Any, Any]) -> None:
    with pytest.raises(VariablesError, match="the variables of Free"):
        UNTYPED_DEFINITION.validate_vars(free)


def test_a_model_with_a_value_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(VariablesError, match="the variables of Orders"):
        TYPED_DEFINITION.validate_vars(Order(anything=object()))


@pytest.mark.parametrize("given", [[1], "text", 3])
def test_variables_that_are_no_object_are_refused(given: Any) -> None:
    for each in (UNTYPED_DEFINITION, TYPED_DEFINITION):
        with pytest.raises(VariablesError, match="has to be an object, not"):
            each.validate_vars(given)


def test_a_forms_values_are_validated_under_the_name_of_their_subject() -> None:
    codec = ModelCodec(Line, "the answer")

    assert codec.validate({"sku": "a"}) == Line(sku="a")
    with pytest.raises(VariablesError, match="the answer: sku: Field required"):
        codec.validate({})


def test_a_definition_describes_itself_as_json() -> None:
    first = {
        "retry": Retry(limit=1, min=timedelta(seconds=5), never=(KeyError,)),
        "form": Line,
        "timeout": timedelta(minutes=2),
        "on_error": "done",
        "renamed_from": ("former",),
    }

    described = build_with_start(
        kind=StateKind.MANUAL, deadline=timedelta(hours=1), on_deadline="done", **first
    ).to_json()

    assert described["states"][0] == {
        "name": "first",
        "kind": "manual",
        "renamedFrom": ["former"],
        "description": "",
        "line": 10,
        "transitions": [{"target": "done", "label": "Approve"}],
        "retry": {"limit": 1, "min": "5s", "max": "1h", "backoff": "exponential", "never": ["KeyError"]},
        "timeoutSeconds": 120.0,
        "onError": "done",
        "form": Line.model_json_schema(),
        "messages": [],
        "deadlineSeconds": 3600.0,
        "onDeadline": "done",
        "question": None,
        "limits": None,
    }
    assert described["states"][1]["kind"] == "end"
    assert described["variables"] == Order.model_json_schema()
    assert {
        name: described[name] for name in ("name", "version", "start", "executorGroup", "priority", "loopLimit")
    } == {
        "name": "Orders",
        "version": 1,
        "start": "first",
        "executorGroup": "shop",
        "priority": 3,
        "loopLimit": 10_000,
    }


def test_free_variables_are_described_as_any_object() -> None:
    assert UNTYPED_DEFINITION.to_json()["variables"] == {"type": "object"}


def build_with_start(**changes: Any) -> Definition:
    labelled = build_definition("Labelled", {"first": [("done", "Approve")], "done": []})
    first = replace(labelled.states["first"], **changes)
    return replace(TYPED_DEFINITION, states={"first": first, "done": labelled.states["done"]})
