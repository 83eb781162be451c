"""Values that are easily lost, each through every door: create, handler, edit, form, child, and read."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal, NotRequired
from uuid import UUID, uuid4

import pytest
from pydantic import AfterValidator, Field, create_model
from typing_extensions import TypedDict

from flowlet.definition.registry import Registry
from flowlet.errors import VariablesError
from flowlet.instance.instance import Status
from tests.definition.values.door_harness import add_case
from tests.definition.values.generated_models import GeneratedModel, freeze
from tests.definition.values.test_door_property import VALUES, Doors
from tests.engine.manual_executor import EngineHarness, open_engine


class Level(enum.IntEnum):
    LOW = 1
    LEAST = 1
    HIGH = 2


class Size(TypedDict):
    width: int
    height: NotRequired[float]


def nest(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


SURVIVING: list[tuple[Any, Any]] = [
    (bytes, b"caf\xc3\xa9"),
    (Path, Path("/a/../b")),
    (re.Pattern[str], re.compile("a+")),
    (UUID, UUID(int=2**128 - 1)),
    (IPv4Address, IPv4Address("127.0.0.1")),
    (timedelta, timedelta(days=-2, microseconds=3)),
    (Literal[True], True),
    (Level, Level.LEAST),
    (float, -0.0),
    (Decimal, Decimal("-0.00")),
    (dict[str, int], {"\u00e9": 1, "e\u0301": 2}),
    (dict[str, int], {"b": 1, "a": 2}),
    (list[Any], nest(60)),
    (Size, {"width": 1}),
    (Annotated[int, AfterValidator(abs)], 7),
    (Annotated[UUID, Field(default_factory=uuid4)], UUID(int=1)),
]
REFUSED: list[tuple[Any, Any]] = [
    (bytes, b"\xff"),
    (str, "\ud800"),
    (str, "a\x00"),
    (dict[str, int], {"\ud800": 1}),
    (re.Pattern[str], re.compile("a+", re.IGNORECASE)),
    (list[Any], nest(500)),
    (Size, {"width": 1, "depth": 2}),
    (Annotated[int, AfterValidator(abs)], -7),
    (datetime, datetime(2026, 10, 25, 2, 30, fold=1)),
]
"""What a handler cannot leave."""


def build_model(type_: Any, value: Any) -> GeneratedModel:
    draw: Callable[[Random], Any] = lambda _: value  # noqa: E731  # a field's draw
    return GeneratedModel(create_model("Odd", value=(type_, ...)), {"value": draw})


@pytest.mark.parametrize(("type_", "value"), SURVIVING)
async def test_an_odd_value_survives_every_door(sqlite_url: str, type_: Any, value: Any) -> None:
    generated, form = build_model(type_, value), build_model(type_, value).model
    async with open_engine(sqlite_url) as engine:
        own = EngineHarness(engine.store, Registry(), engine.clock)
        case = add_case(1, Random(1), generated, form, own.registry)
        doors = Doors(own, await own.add_executor())

        await doors.pass_all([case])

        stored = await doors.read_stored()
        instances = [await own.get_instance(id) for id in stored]
    assert [one.status for one in instances if one.parent_id is None] == [Status.FINISHED] * 2 * VALUES
    assert [one.status for one in instances if one.parent_id is not None] == [Status.WAITING] * 4 * VALUES
    for text in stored.values():
        assert freeze(case.codec.read(text)) == freeze(generated.model.model_construct(value=value))


@pytest.mark.parametrize(("type_", "value"), REFUSED)
def test_a_value_that_no_door_could_keep_is_refused_by_its_name(type_: Any, value: Any) -> None:
    generated = build_model(type_, value)
    case = add_case(1, Random(1), generated, build_model(type_, value).model, Registry())

    with pytest.raises(VariablesError) as refused:
        case.codec.save(generated.model.model_construct(value=value))

    assert all(path.startswith("value") for path in refused.value.faults)
