"""Types of fields with what draws their values: some of them lose values, and some values do not fit."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    Json,
    PrivateAttr,
    SecretStr,
    StringConstraints,
)
from typing_extensions import TypedDict

__all__ = [
    "LEAVES",
    "Draw",
    "Kind",
    "build",
    "choose",
    "draw_any_of",
    "draw_decimal",
    "draw_float",
    "draw_integer",
    "draw_many",
    "draw_moment",
    "draw_pairs",
    "draw_plain_text",
    "draw_text",
    "draw_uuid",
]

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    ONE = 1


class Word(enum.StrEnum):
    YES = "yes"


class Base(BaseModel):
    x: int = 0


class Sub(Base):
    y: int = 0


class Left(BaseModel):
    n: int = 0


class Right(BaseModel):
    n: int = 0


class Box(BaseModel, Generic[T]):
    content: T


class Noted(BaseModel):
    _note: str = PrivateAttr("")

    tags: set[str] = set()
    parts: list[Base] = []


class Shape(TypedDict):
    width: int


@dataclass
class Point:
    x: int
    y: float


Draw = Callable[[Random], Any]
"""Draws a value of a field: of its type, and of others that a handler may assign."""
Kind = tuple[Any, Draw]


def choose(*values: Any) -> Draw:
    return lambda random: random.choice(values)


def draw_any_of(*draws: Draw) -> Draw:
    return lambda random: random.choice(draws)(random)


def draw_many(draw: Draw, build: Callable[[Any], Any] = list) -> Draw:
    return lambda random: build(draw(random) for _ in range(random.randint(0, 3)))


def draw_pairs(draw_name: Draw, draw: Draw) -> Draw:
    return lambda random: {draw_name(random): draw(random) for _ in range(random.randint(0, 2))}


def build(kind: Callable[..., Any], **draws: Draw) -> Draw:
    return lambda random: kind(**{name: draw(random) for name, draw in draws.items()})


def draw_integer(random: Random) -> int:
    return random.choice([random.randint(-3, 3), random.randint(-(2**80), 2**80), 2**63, 2**64])


def draw_moment(random: Random) -> datetime:
    at = datetime(random.randint(1, 9999), 1, 1, 5, tzinfo=None) + timedelta(microseconds=random.randint(0, 10**13))
    return at.replace(tzinfo=random.choice([None, UTC, timezone(timedelta(minutes=90)), ZoneInfo("Europe/Berlin")]))


draw_text = choose(
    "", "a", "b", " a ", "7", "true", "null", "\x00", "\\u0000", "\u2028", "\ud800", "\U0001f600", Word.YES
)
draw_plain_text = choose("", "a", "b", "c", "\u00e9", "\u00df", "7")
draw_float = choose(0.0, -0.0, 5.0, 1.5, 1e300, 1e16, 0.1, float("inf"), float("nan"), 3)
draw_decimal = choose(
    Decimal("1.10"), Decimal("1.1"), Decimal("1e40"), Decimal("NaN"), Decimal("-Infinity"), Decimal(0)
)
draw_day = choose(date(2026, 1, 1), date.min, date.max)
draw_uuid = choose(UUID(int=1), UUID(int=2), UUID(int=2**127))
draw_flag = choose(True, False)
draw_anything = draw_any_of(
    *(draw_text, draw_integer, draw_float, draw_moment, draw_decimal, draw_flag, draw_many(draw_plain_text, set)),
    *(draw_many(draw_integer), draw_pairs(draw_plain_text, draw_float), choose(None, (1, 2), b"a", Color.RED, Base())),
)
LEAVES: list[Kind] = [
    (int, draw_any_of(draw_integer, draw_integer, draw_anything)),
    (float, draw_float),
    (bool, draw_flag),
    (str, draw_any_of(draw_text, draw_text, draw_anything)),
    (Decimal, draw_decimal),
    (datetime, draw_moment),
    (date, draw_any_of(draw_day, draw_moment)),
    (time, choose(time(1, 2, 3, 4), time(0, 0, tzinfo=UTC))),
    (timedelta, choose(timedelta(1), timedelta(-1, 5, 7), timedelta.max, timedelta.min, timedelta(weeks=999))),
    (UUID, draw_uuid),
    (Color, choose(*Color)),
    (Word, choose(Word.YES)),
    (bytes, choose(b"", b"a", b"\xff")),
    (int | None, draw_any_of(draw_integer, choose(None))),
    (float | None, draw_any_of(draw_float, choose(None))),
    (int | str, draw_any_of(draw_integer, draw_text)),
    (Literal["a", 1], choose("a", 1)),
    (Any, draw_anything),
    (Annotated[str, StringConstraints(strip_whitespace=True)], draw_text),
    (Annotated[int, AfterValidator(abs)], draw_integer),
    (Annotated[int, Field(ge=0)], draw_integer),
    (SecretStr, choose(SecretStr("hidden"))),
    (Json[list[int]], choose([1])),
    (Base, draw_any_of(build(Base, x=draw_integer), build(Sub, x=draw_integer, y=draw_integer), choose(Left()))),
    (Left | Right, draw_any_of(build(Left, n=draw_integer), build(Right, n=draw_integer))),
    (Box[int], build(Box[int], content=draw_integer)),
    (Box[Decimal], build(Box[Decimal].model_construct, content=draw_decimal)),
    (Noted, build(Noted, tags=draw_many(draw_plain_text, set), parts=draw_many(build(Base, x=draw_integer)))),
    (Shape, choose({"width": 1}, {"width": 2**70}, {"width": 1, "height": 2}, {})),
    (Point, build(Point, x=draw_integer, y=draw_float)),
    (dict[str, Any], draw_pairs(draw_plain_text, draw_anything)),
    (dict[tuple[int, int], int], choose({(1, 2): 3})),
    (dict[Color, int], draw_pairs(choose(*Color), draw_integer)),
    (dict[int, str], draw_pairs(draw_integer, draw_text)),
    (dict[date, int], draw_pairs(draw_day, draw_integer)),
    (set[str], draw_many(draw_plain_text, set)),
    (frozenset[int], draw_many(draw_integer, frozenset)),
    (set[UUID], draw_many(draw_uuid, set)),
]
