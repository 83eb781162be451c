"""A fast constructor makes what the frozen dataclass itself makes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from flowlet.instance.instance import Action, ActionKind, Instance, make_action, make_instance


def build_values(record: type[Any]) -> dict[str, Any]:
    """Return another value for each field."""
    return {one.name: f"value of {one.name}" for one in fields(record)}


@pytest.mark.parametrize(("record", "make"), [(Action, make_action), (Instance, make_instance)])
def test_an_object_is_of_the_record_class_and_equal_to_one_that_was_made_by_it(record: type[Any], make: Any) -> None:
    values = build_values(record)

    made = make(**values)

    assert type(made) is record
    assert made == record(**values)
    assert hash(made) == hash(record(**values))
    assert repr(made) == repr(record(**values))


def test_defaults_are_those_of_the_record() -> None:
    assert make_action(ActionKind.LOG, 7) == Action(ActionKind.LOG, 7)


@pytest.mark.parametrize(("record", "make"), [(Action, make_action), (Instance, make_instance)])
def test_an_object_cannot_be_changed_and_can_be_copied(record: type[Any], make: Any) -> None:
    made = make(**build_values(record))

    with pytest.raises(FrozenInstanceError):
        made.id = 7

    assert pickle.loads(pickle.dumps(made)) == copy.copy(made) == made
    assert replace(made, id=7).id == 7
