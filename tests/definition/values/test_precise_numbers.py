"""A number from outside keeps all its digits in a model's decimals and integers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, RootModel, create_model

from flowlet.definition.codec import ModelCodec
from flowlet.definition.outside_values import SpelledVariables
from flowlet.errors import VariablesError
from flowlet.instance.json_text import parse_outside_json, write_json

LONG = "0.12345678901234567890"
EXACT = Decimal(LONG)


class Prices(RootModel[list[Decimal]]):
    """A list of prices."""


class Line(BaseModel):
    price: Decimal


def build_codec(type_: Any) -> ModelCodec:
    return ModelCodec(create_model("Bill", value=(type_, ...)), "the variables of Bills")


def parse_value(text: str) -> dict[str, Any]:
    value, faults = parse_outside_json(f'{{"value":{text}}}')
    assert faults == {}
    found: dict[str, Any] = value
    return found


@pytest.mark.parametrize(
    ("type_", "text", "read"),
    [
        (Decimal, LONG, EXACT),
        (Decimal, f"-{LONG}e5", Decimal(f"-{LONG}e5")),
        (Decimal, "1e-400", Decimal("1e-400")),
        (Decimal, "12345678901234567890.0", Decimal("12345678901234567890.0")),
        (Decimal, "1.5", Decimal("1.5")),
        (Decimal | None, LONG, EXACT),
        (float | Decimal, LONG, EXACT),
        (Decimal | str, LONG, EXACT),
        (dict[str, Decimal], f'{{"a":{LONG}}}', {"a": EXACT}),
        (tuple[Decimal, float], f"[{LONG},{LONG}]", (EXACT, float(LONG))),
        (set[Decimal], f"[{LONG}]", {EXACT}),
        (Prices, f"[{LONG}]", Prices([EXACT])),
        (list[Line], f'[{{"price":{LONG}}}]', [Line(price=EXACT)]),
        (float, LONG, float(LONG)),
        (str | float, LONG, float(LONG)),
        (set[str] | set[float], f"[{LONG}]", {float(LONG)}),
        (Any, LONG, float(LONG)),
        (int, "1e23", 10**23),
        (int, "12345678901234567890.0", 12345678901234567890),
        (Decimal, "1e23", Decimal("1e23")),
    ],
)
def test_a_number_is_read_and_stored_with_all_the_digits_that_its_type_keeps(type_: Any, text: str, read: Any) -> None:
    codec = build_codec(type_)

    value: Any = codec.validate(parse_value(text))
    stored, again = codec.save(value)

    assert (value.value, type(value.value)) == (read, type(read))
    assert codec.read(stored) == value == again
    assert codec.read(write_json(codec.accept(parse_value(text)))) == value


@pytest.mark.parametrize(
    ("type_", "text", "fault"),
    [
        (str, LONG, "Input should be a valid string"),
        (int, LONG, "Input should be a valid integer"),
        (list[str], f"[{LONG}]", "Input should be a valid string"),
        (set[str], f"[{LONG}]", "Input should be a valid string"),
        (str | Decimal, LONG, "has more digits than a JSON number keeps here: give it as a text"),
    ],
)
def test_a_number_that_would_lose_digits_or_its_type_is_refused(type_: Any, text: str, fault: str) -> None:
    with pytest.raises(VariablesError) as refused:
        build_codec(type_).validate(parse_value(text))

    assert list(refused.value.faults.values()) == [fault]


def test_a_text_may_spell_a_number_with_many_digits() -> None:
    value: Any = build_codec(dict[str, Decimal]).validate(SpelledVariables(value=f'{{"a":{LONG}}}'))

    assert value.value == {"a": EXACT}
