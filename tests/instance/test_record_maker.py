"""A fast constructor makes what the dataclass itself makes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from flowlet.instance.action import Action, ActionKind, make_action
from flowlet.instance.instance import Instance, make_instance
from flowlet.instance.record_maker import build_changer
from flowlet.instance.transition import Transition, make_transition
from flowlet.workflow.outcome import Outcome, make_outcome

FROZEN = [(Action, make_action), (Instance, make_instance), (Outcome, make_outcome)]


def build_values(record: type[Any]) -> dict[str, Any]:
    """Return another value for each field."""
    return {one.name: f"value of {one.name}" for one in fields(record) if one.init}


@pytest.mark.parametrize(("record", "make"), FROZEN)
def test_an_object_is_of_the_record_class_and_equal_to_one_that_was_made_by_it(record: type[Any], make: Any) -> None:
    values = build_values(record)

    made = make(**values)

    assert type(made) is record
    assert made == record(**values)
    assert hash(made) == hash(record(**values))
    assert repr(made) == repr(record(**values))


def test_defaults_are_those_of_the_record() -> None:
    assert make_action(ActionKind.LOG, 7) == Action(ActionKind.LOG, 7)


@pytest.mark.parametrize(("record", "make"), FROZEN)
def test_an_object_cannot_be_changed_and_can_be_copied(record: type[Any], make: Any) -> None:
    made = make(**build_values(record))
    name = fields(record)[0].name

    with pytest.raises(FrozenInstanceError):
        setattr(made, name, 7)

    assert pickle.loads(pickle.dumps(made)) == copy.copy(made) == made
    assert getattr(replace(made, **{name: 7}), name) == 7


def test_an_object_of_a_class_that_is_not_frozen_is_made_too() -> None:
    values = build_values(Transition)

    made = make_transition(**values)

    assert type(made) is Transition
    assert made == Transition(**values)
    assert repr(made) == repr(Transition(**values))


def test_a_changer_copies_all_other_fields() -> None:
    instance = make_instance(**build_values(Instance))
    change = build_changer(Instance, ["state", "version"])

    changed = change(instance, version=8, state="ship")

    assert type(changed) is Instance
    assert changed == replace(instance, version=8, state="ship")
    with pytest.raises(FrozenInstanceError):
        changed.state = "check"  # type: ignore[misc]  # it is frozen


def test_a_changer_refuses_the_name_of_no_field() -> None:
    with pytest.raises(ValueError, match="stat"):
        build_changer(Instance, ["stat"])
