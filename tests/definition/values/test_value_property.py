"""Whatever the check of a module lets pass survives every door, or the attempt fails with the field's name.

``VALUE_CASES=100000 pytest tests/definition/values`` draws more cases, other ones each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import TypeVar

from hypothesis import given, note, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from flowlet.definition.codec import ModelCodec
from flowlet.definition.definition import Definition
from flowlet.definition.model_faults import find_model_faults
from flowlet.definition.variables import diff_variables
from flowlet.errors import VariablesError
from flowlet.instance.json_text import find_json_faults, parse_json
from tests.definition.definitions import build_definition
from tests.definition.values.generated_models import freeze, generate_model

T = TypeVar("T")
CASES = os.environ.get("VALUE_CASES")
FREE_DEFINITION = build_definition("Generated", {"first": ["done"], "done": []})


@settings(max_examples=int(CASES or 800), derandomize=CASES is None, deadline=None, database=None)
@given(st.integers(0, 2**62))
def test_what_the_check_lets_pass_survives_or_is_named(seed: int) -> None:
    random = Random(seed)
    generated = generate_model(random)
    if list(find_model_faults(generated.model)):
        return
    definition = replace(FREE_DEFINITION, vars=generated.model)
    note(str({name: field.annotation for name, field in generated.model.model_fields.items()}))
    created = generated.model.model_construct(None, **generated.draw_values(random))

    text = check_door(definition, created, lambda: definition.build_instance(created, now=0).vars_json)
    if text is None:
        return
    assert_survives(definition, text, created)
    left = definition.read_vars(text)
    assert isinstance(left, BaseModel)
    assert diff_variables(definition, text, definition.read_vars(text))[0] is None, "a phantom change"
    for name, value in generated.draw_values(random).items():
        left.__dict__[name] = value
        changed = check_door(definition, left, lambda: diff_variables(definition, text, left)[0] or text)
        if changed is not None and not is_same_for_exact(definition, text, left):
            assert_survives(definition, changed, left)
    check_outside(definition, text)


def check_door(definition: Definition, left: BaseModel, write: Callable[[], str]) -> str | None:
    """Check that what is left is what is read, or that the refusal names a field; return the stored text."""
    note(repr(left))
    text, faults = catch_faults(write)
    if text is None:
        fields = type(left).model_fields
        names = {field.alias or name for name, field in fields.items()} | fields.keys()
        assert {path.split(".")[0] for path in faults} <= names
        return None
    assert find_json_faults(parse_json(text)) == {}
    return text


def is_same_for_exact(definition: Definition, text: str, left: BaseModel) -> bool:
    """Return whether nothing has changed for an exact model, which is compared as JSON only: a list may be a tuple."""
    codec = definition.codec
    return codec is not None and codec.is_exact and codec.write(left) == text


def assert_survives(definition: Definition, text: str, left: BaseModel) -> None:
    assert freeze(definition.read_vars(text)) == freeze(left)


def check_outside(definition: Definition, text: str) -> None:
    """Check that what an instance stores may come from outside too: to an edit, a form, and a create."""
    codec = definition.codec
    assert isinstance(codec, ModelCodec)
    plain, stored = parse_json(text), freeze(codec.read(text))
    again, _ = catch_faults(lambda: codec.validate(plain))
    if again is None:
        return  # what is written may be read leniently only, as the text "Infinity" for a float
    assert freeze(again) == stored
    assert freeze(codec.validate(plain, given=list(plain)[:1])) == stored
    assert freeze(codec.read(definition.validate_vars(codec.accept(plain)))) == stored
    if codec.model.model_config.get("extra") != "allow":
        assert list(catch_faults(lambda: codec.validate({**plain, "undeclared": 1}))[1]) == ["undeclared"]


def catch_faults(call: Callable[[], T]) -> tuple[T | None, Mapping[str, str]]:
    """Return the result of a call, or the faults that it names."""
    try:
        return call(), {}
    except VariablesError as error:
        return None, error.faults
