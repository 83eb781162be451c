"""What a handler leaves is what the next one reads, and what comes from outside is read strictly."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from flowlet.definition.codec import ModelCodec
from flowlet.definition.outside_values import SpelledVariables
from flowlet.definition.variables import diff_variables
from flowlet.errors import VariablesError
from tests.definition.definitions import build_definition
from tests.definition.values.generated_fields import Base, Left, Right, Sub


class Order(BaseModel):
    n: int = 1
    ratio: float | None = None
    one: Base = Base()
    several: list[Base] = []
    either: Left | Right = Left()
    anything: Any = None
    named: dict[str, Any] = {}


class Exact(BaseModel):
    n: int = 1
    is_paid: bool = False
    note: str = ""
    price: float = 0.5
    tags: list[str] = []
    level: Literal[1, 2] = 1
    lines: list[Left] = Field([], alias="orderLines")


DEFINITION = replace(build_definition("Orders", {"first": ["done"], "done": []}), vars=Order)
EXACT = Exact.model_validate({})
EXACT_CODEC = ModelCodec(Exact, "the variables of Orders")
EXACT_DEFINITION = replace(DEFINITION, vars=Exact)


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [
        ("one", Sub(x=1, y=9), "one"),
        ("several", [Base(), Sub(x=1, y=9)], "several.1"),
        ("either", Right(n=1), "either"),
        ("ratio", float("inf"), "ratio"),
        ("anything", datetime(2026, 11, 28, tzinfo=UTC), "anything"),
        ("anything", (1, 2), "anything"),
        ("named", {"price": Decimal(1)}, "named.price"),
        ("named", {"tags": {"a"}}, "named.tags"),
        ("named", {"a\x00": 1}, "named.a\\x00"),
        ("n", "7", "n"),
    ],
)
def test_a_value_that_would_not_be_read_back_is_refused_by_its_path(field: str, value: Any, path: str) -> None:
    text = DEFINITION.validate_vars({})
    left = DEFINITION.read_vars(text)
    setattr(left, field, value)

    with pytest.raises(VariablesError) as refused:
        diff_variables(DEFINITION, text, left)

    assert list(refused.value.faults) == [path]


def test_integers_beyond_64_bits_are_counted_on() -> None:
    text = DEFINITION.validate_vars({"n": 2**70})
    left = DEFINITION.read_vars(text)
    assert isinstance(left, Order)
    left.n += 1

    changed, _, _ = diff_variables(DEFINITION, text, left)

    assert changed is not None
    assert f'"n":{2**70 + 1}' in changed


def test_an_exact_model_with_another_type_deep_inside_is_compared_in_full() -> None:
    left = EXACT_CODEC.read("{}")
    left.__dict__["lines"] = [Left.model_construct(n=5.0)]

    with pytest.raises(VariablesError) as refused:
        EXACT_CODEC.save(left, EXACT_CODEC.write(EXACT))

    assert list(refused.value.faults) == ["orderLines.0.n"]


def test_an_integer_in_a_field_of_floats_is_written_as_it_will_be_written_again() -> None:
    text, read = EXACT_CODEC.save(Exact.model_construct(**{**EXACT.__dict__, "price": 5}))

    assert '"price":5.0' in text
    assert read is not None
    assert EXACT_CODEC.save(read, text) == (text, None)


def test_sets_are_written_in_one_order_by_every_process() -> None:
    script = (
        "from pydantic import BaseModel\nfrom flowlet.definition.codec import ModelCodec\n"
        "class Order(BaseModel):\n    tags: set[str]\n    counts: list[frozenset[int]] = [frozenset({9, -2, 10})]\n"
        "print(ModelCodec(Order, '').write(Order(tags=set('gift new old red'.split()))))"
    )

    texts = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert texts == {'{"tags":["gift","new","old","red"],"counts":[[-2,9,10]]}\n'}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"n": 5.0}, {"n": 5}),
        ({"price": 5}, {"price": 5.0}),
        ({"n": 2**80}, {"n": 2**80}),
        ({"orderLines": [{"n": 3.0}]}, {"lines": [Left(n=3)]}),
    ],
)
def test_numbers_from_outside_mean_what_json_means(given: dict[str, Any], read: dict[str, Any]) -> None:
    assert EXACT_CODEC.validate(given) == Exact.model_construct(**{**EXACT.__dict__, **read})


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"n": True}, "n"),
        ({"n": "7"}, "n"),
        ({"n": " 7 "}, "n"),
        ({"n": 5.5}, "n"),
        ({"price": True}, "price"),
        ({"is_paid": 1}, "is_paid"),
        ({"level": True}, "level"),
        ({"note": 7}, "note"),
        ({"m": 1}, "m"),
        ({"lines": []}, "lines"),
        ({"orderLines": [{"m": 1}]}, "orderLines.0.m"),
    ],
)
def test_values_from_outside_that_do_not_fit_are_refused(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(VariablesError) as refused:
        EXACT_CODEC.validate(given)

    assert list(refused.value.faults) == [fault]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [("7", "n", 7), ("5.0", "n", 5), ("true", "is_paid", True), ("7", "note", "7"), ('["a"]', "tags", ["a"])],
)
def test_a_text_may_spell_the_value_of_a_field_that_is_no_text(text: str, field: str, value: Any) -> None:
    assert getattr(EXACT_CODEC.validate(SpelledVariables({field: text})), field) == value


@pytest.mark.parametrize("text", [" 7", "7 ", "", "07", "+7", "7,", "0x7", "true", "NaN", '"7"', "1e400", "null"])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(VariablesError, match="n: "):
        EXACT_CODEC.validate(SpelledVariables({"n": text}))


@pytest.mark.parametrize("value", ["7", " 7 ", 7, True, 7.0])
def test_stored_values_are_read_leniently(value: Any) -> None:
    stored = EXACT_CODEC.read(f'{{"n": {value!r}}}'.replace("'", '"').replace("True", "true"))

    assert stored == EXACT_CODEC.validate({"n": int(value)})


@pytest.mark.parametrize(
    ("type_", "is_exact"),
    [
        (Exact, True),
        (Left, True),
        (Order, False),
        (Base, True),
    ],
)
def test_models_are_classed(type_: type[BaseModel], is_exact: bool) -> None:
    assert ModelCodec(type_, "").is_exact is is_exact


def test_a_model_whose_field_has_a_subclass_is_not_exact() -> None:
    class Part(BaseModel):
        x: int = 0

    class Whole(BaseModel):
        part: Part = Part()

    codec, define = ModelCodec(Whole, ""), build_subclass_definer(Part)

    assert codec.is_exact
    subclass = define()
    assert not codec.is_exact
    assert subclass.__mro__[1] is Part


def build_subclass_definer(base: type[BaseModel]) -> Callable[[], type[BaseModel]]:
    """Return a function that defines a subclass when it is called."""
    return lambda: type("Later", (base,), {"__module__": __name__})


@pytest.mark.parametrize(
    ("field", "value", "path"),
    [("tags", ("a",), "tags"), ("lines", [{"n": 1}], "orderLines.0"), ("lines", [Right(n=1)], "orderLines.0")],
)
def test_an_exact_model_refuses_another_type_in_what_has_changed(field: str, value: Any, path: str) -> None:
    left = EXACT_CODEC.read("{}")
    left.__dict__[field] = value

    with pytest.raises(VariablesError) as refused:
        diff_variables(EXACT_DEFINITION, EXACT_CODEC.write(EXACT), left)

    assert list(refused.value.faults) == [path]


def test_an_exact_model_writes_what_it_will_write_again() -> None:
    text = EXACT_CODEC.write(EXACT)
    left = EXACT_CODEC.read(text)
    left.__dict__ |= {"price": 5, "level": True, "n": True}

    changed, _, read = diff_variables(EXACT_DEFINITION, text, left)

    assert changed is not None
    assert changed == EXACT_CODEC.write(EXACT_CODEC.read(changed))
    assert read == EXACT_CODEC.read(changed)


@pytest.mark.parametrize(("old", "new"), [(2**70, 5), (5, 2**70), (2**70, 2**70 + 1), (2**70, 2**71)])
def test_the_history_of_an_exact_model_has_long_integers(old: int, new: int) -> None:
    definition = replace(DEFINITION, vars=Exact)
    text = definition.save_vars(EXACT.model_copy(update={"n": old}))[0]

    saved, changes, _ = diff_variables(definition, text, EXACT.model_copy(update={"n": new}))

    assert saved is not None
    assert json.loads(saved)["n"] == new
    assert json.loads(changes or "") == [{"op": "set", "path": "/n", "value": new, "old": old}]
