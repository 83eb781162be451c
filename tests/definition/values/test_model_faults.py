"""Models that would lose values are refused when they are loaded."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    Secret,
    SecretStr,
    computed_field,
    create_model,
)

from flowlet.definition.model_faults import find_model_faults


class Color(enum.Enum):
    RED = "red"


class Size(enum.Enum):
    SMALL = 1


@dataclass
class Login:
    token: SecretStr


Revealed = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value())]


@pytest.mark.parametrize(
    ("type_", "default", "fault"),
    [
        (int, Field(1, validation_alias="N"), "is written as 'value' and read as 'N'"),
        (int, Field(1, validation_alias=AliasChoices("N", "M")), "is written as 'value' and read as 'N', 'M'"),
        (int, Field(1, serialization_alias="N"), "is written as 'N' and read as 'value'"),
        (int, Field(1, alias="N", serialization_alias="M"), "is written as 'M' and read as 'N'"),
        (int, Field(1, validation_alias=AliasPath("N", 0)), "is written as 'value' and read as 'N'"),
        (int, Field(1, exclude=True), "is excluded from what is written"),
        (SecretStr, None, "is a secret"),
        (list[SecretStr], Field(default_factory=list), "is a secret"),
        (dict[str, tuple[int, SecretStr | None]], Field(default_factory=dict), "is a secret"),
        (Secret[int], ..., "is a secret"),
        (Login, ..., "is a secret"),
        (Json[list[int]], ..., "is Json[...]"),
        (Iterable[int], ..., "can be read only once"),
        (dict[tuple[int, int], str], Field(default_factory=dict), "is a dict whose names are of type tuple"),
        (list[dict[frozenset[str], str]], Field(default_factory=list), "is a dict whose names are of type frozenset"),
        (dict[Size, str], Field(default_factory=dict), "is a dict whose names are of type Size"),
        (float, float("inf"), "has an infinite or undefined number as its default"),
        (list[float], [float("nan")], "has an infinite or undefined number as its default"),
        (int, None, "has a default of type NoneType that does not fit its own type"),
    ],
)
def test_a_field_whose_values_would_be_lost_is_named_with_a_cure(type_: Any, default: Any, fault: str) -> None:
    inner = create_model("Inner", value=(type_, default))
    outer = create_model("Outer", inner=(list[inner], Field(default_factory=list)))  # type: ignore[valid-type]

    for model in (inner, outer):
        (message,) = find_model_faults(model)

        first, cure = message.split("\n")
        assert fault in first
        assert first.startswith(("Inner.value ", "Login.token "))
        assert cure.endswith(".")


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        (int, Field(1, alias="N")),
        (int, Field(1, validation_alias=AliasChoices("old", "value"))),
        (int, 2**80),
        (dict[int, str], Field(default_factory=dict)),
        (dict[date, str], Field(default_factory=dict)),
        (dict[UUID, str], Field(default_factory=dict)),
        (dict[Color, str], Field(default_factory=dict)),
        (Revealed, Field(default=SecretStr("a"))),
        (list[Revealed], Field(default_factory=list)),
        (Any, None),
    ],
)
def test_a_field_whose_values_survive_is_let_pass(type_: Any, default: Any) -> None:
    assert list(find_model_faults(create_model("Inner", value=(type_, default)))) == []


@pytest.mark.parametrize("extra", ["forbid", "allow"])
def test_a_computed_field_that_would_be_read_is_refused(extra: Any) -> None:
    class Order(BaseModel):
        model_config = ConfigDict(extra=extra)

        amount: int = 1

        @computed_field
        def double(self) -> int:
            return 2 * self.amount

    (message,) = find_model_faults(Order)

    assert message.startswith("Order.double is a computed field")


def test_two_fields_under_one_name_are_refused() -> None:
    class Order(BaseModel):
        first: int = Field(1, alias="n")
        second: int = Field(1, alias="n")

    assert any("Order.second is written as 'n', and so is first." in fault for fault in find_model_faults(Order))
