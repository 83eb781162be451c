"""What is a loss, and what is not: values beside what their JSON is read as."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, Field, PlainSerializer, PlainValidator, create_model

from flowlet.definition.codec import ModelCodec
from flowlet.errors import VariablesError

BERLIN = ZoneInfo("Europe/Berlin")
REPEATED = datetime(2026, 10, 25, 2, 30)
"""An hour that the clocks of Berlin show twice."""
Undefined = Annotated[Decimal, Field(allow_inf_nan=True)]


class Incomparable:
    """A value whose comparison raises, as an array's does."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = None  # type: ignore[assignment]  # as for every class with its own comparison


Opaque = Annotated[
    Any, PlainSerializer(lambda _: "opaque"), PlainValidator(lambda _: Incomparable(), json_schema_input_type=str)
]


def save(type_: Any, value: Any) -> BaseModel:
    """Return what a model reads after a handler has left a value; the old value was another."""
    model = create_model("Order", value=(type_, ...))
    codec = ModelCodec(model, "the variables of Orders")
    text, _ = codec.save(model.model_construct(value=value), "{}")
    return codec.read(text)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (datetime, REPEATED.replace(tzinfo=BERLIN)),
        (datetime, REPEATED.replace(tzinfo=BERLIN, fold=1)),
        (datetime, datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))),
        (list[datetime], [datetime.min.replace(tzinfo=UTC)]),
        (time, time(1, 2, 3, 4, tzinfo=UTC)),
        (Undefined, Decimal("NaN")),
        (Undefined, Decimal("sNaN")),
        (Undefined, Decimal("-0.00")),
        (dict[str, list[Undefined]], {"a": [Decimal("Infinity")]}),
    ],
)
def test_equal_values_survive_also_where_python_calls_them_different(type_: Any, value: Any) -> None:
    read: Any = save(type_, value)

    assert describe(read.value) == describe(value)


@pytest.mark.parametrize(
    ("type_", "value", "path"),
    [
        (datetime, REPEATED.replace(fold=1), "value"),
        (dict[str, datetime], {"a": REPEATED.replace(fold=1)}, "value.a"),
        (set[datetime], {REPEATED.replace(fold=1)}, "value"),
        (dict[datetime, int], {REPEATED.replace(fold=1): 1}, "value.2026-10-25 02:30:00"),
        (time, time(2, 30, fold=1), "value"),
        (time, time(2, 30, tzinfo=BERLIN), "value"),
        (Opaque, Incomparable(), "value"),
    ],
)
def test_what_python_calls_equal_may_be_a_loss(type_: Any, value: Any, path: str) -> None:
    with pytest.raises(VariablesError) as refused:
        save(type_, value)

    assert list(refused.value.faults) == [path]


def describe(value: Any) -> Any:
    """Return a text that tells each value from all others, and shows a zone by its offset."""
    if isinstance(value, dict | list):
        return [describe(one) for one in (value.items() if isinstance(value, dict) else value)]
    is_time = isinstance(value, datetime | time)
    return (repr(value.replace(tzinfo=None, fold=0)), value.utcoffset()) if is_time else repr(value)
