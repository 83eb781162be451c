"""Models whose values are all scalars are compared without pydantic, with the same result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from flowlet.definition import variables
from flowlet.definition.codec import ModelCodec
from flowlet.definition.variables import SavedVariables, diff_variables
from flowlet.errors import VariablesError
from tests.definition.definitions import build_definition


class Order(BaseModel):
    sku: str = "A-1"
    amount: int = 1
    price: float = 1.5
    is_gift: bool = False
    parcel: str | None = None
    weight: int | None = None


FREE_DEFINITION = build_definition("Orders", {"first": ["done"], "done": []})
DEFINITION, PYDANTIC_DEFINITION = replace(FREE_DEFINITION, vars=Order), replace(FREE_DEFINITION, vars=Order)
PYDANTIC_CODEC = PYDANTIC_DEFINITION.codec
assert PYDANTIC_CODEC is not None
PYDANTIC_CODEC.scalar_names = None

texts = st.text(max_size=120) | st.sampled_from(["", "\x00", "\ud800", 'é\u2028\x7f\\"', "x" * 101, "A-1", "1"])
numbers = st.integers() | st.floats() | st.booleans() | st.sampled_from([0, 1, -0.0, 10**20, 2**63, 5e-324, 1e16])
values = texts | numbers | st.none() | st.just([1])


def save(definition: Any, text: str, left: Order) -> SavedVariables | dict[str, str]:
    """Return what is saved, or the faults."""
    try:
        return diff_variables(definition, text, left)
    except VariablesError as error:
        return error.faults


@settings(max_examples=1_500, derandomize=True, deadline=None, database=None)
@given(
    st.fixed_dictionaries({}, optional={"sku": texts, "amount": st.integers(), "price": st.floats(allow_nan=False)}),
    st.dictionaries(st.sampled_from(list(Order.model_fields)), values, max_size=4),
)
def test_what_is_saved_is_what_pydantic_would_write(stored: dict[str, Any], changes: dict[str, Any]) -> None:
    try:
        text = ModelCodec(Order, "the variables").save(Order(**stored))[0]
    except VariablesError:
        return
    left = DEFINITION.read_vars(text)
    assert isinstance(left, Order)
    left.__dict__.update(changes)

    assert repr(save(DEFINITION, text, left)) == repr(save(PYDANTIC_DEFINITION, text, left))


@pytest.mark.parametrize(
    "text", ['{"sku":"A-2"}', '{"amount":3,"sku":"A-1"}', '{"sku":"A-1","amount":1,"extra":2}', "[1]", "no JSON"]
)
def test_other_stored_names_are_left_to_pydantic(text: str) -> None:
    codec = DEFINITION.codec
    assert codec is not None

    assert variables._diff_scalars(codec, text, Order(amount=7)) is None


def test_a_change_of_scalars_is_not_written_by_pydantic() -> None:
    codec = DEFINITION.codec
    assert codec is not None

    saved = variables._diff_scalars(codec, codec.write(Order()), Order(amount=7, parcel="p"))

    assert saved is not None
    assert saved[1] == (
        '[{"op":"set","path":"/amount","value":7,"old":1},{"op":"set","path":"/parcel","value":"p","old":null}]'
    )


class WithAlias(BaseModel):
    amount: int = Field(1, alias="count")


class WithExcluded(BaseModel):
    amount: int = Field(1, exclude=True)


class WithOwnWriter(BaseModel):
    amount: int = 1

    def model_dump_json(self, **options: Any) -> str:
        return super().model_dump_json(**options)


class WithOthers(BaseModel):
    model_config = ConfigDict(extra="allow")

    amount: int = 1


@pytest.mark.parametrize("model", [WithAlias, WithExcluded, WithOwnWriter, WithOthers])
def test_a_model_that_writes_other_names_has_no_scalar_names(model: type[BaseModel]) -> None:
    assert ModelCodec(model, "the variables").scalar_names is None
