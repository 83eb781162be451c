"""Types of fields that models use less often, with what draws their values."""

from __future__ import annotations

import enum
import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired
from uuid import UUID, uuid4

from pydantic import (
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PlainSerializer,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from tests.definition.values.generated_fields import (
    Kind,
    build,
    choose,
    draw_any_of,
    draw_decimal,
    draw_float,
    draw_integer,
    draw_many,
    draw_moment,
    draw_pairs,
    draw_plain_text,
    draw_text,
    draw_uuid,
)

__all__ = ["ODD_FIELDS"]


class Level(enum.IntEnum):
    LOW = 1
    LEAST = 1
    HIGH = 2


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: int = 1


class Pair(NamedTuple):
    first: int
    second: str = ""


class Size(TypedDict):
    width: int
    height: NotRequired[float]


class Numbers(RootModel[list[int]]):
    """A model that is a list."""


class Tree(BaseModel):
    name: str = ""
    parts: list[Tree] = []


class Doubled(BaseModel):
    amount: int = 1

    @computed_field
    def double(self) -> int:
        return 2 * self.amount


class Trimmed(BaseModel):
    """A model that changes what it reads."""

    name: str = ""
    at: datetime | None = None

    @field_validator("name")
    @classmethod
    def shorten_name(cls, name: str) -> str:
        return name[:1]


class Rounded(BaseModel):
    """A model that changes what it writes."""

    ratio: float = 0.0

    @field_serializer("ratio")
    def round_ratio(self, ratio: float) -> float:
        return round(ratio, 0) if abs(ratio) < 10 else ratio


class Moved(BaseModel):
    """A model that reads an older form of itself."""

    total: int = 0

    @model_validator(mode="before")
    @classmethod
    def read_older_form(cls, values: Any) -> Any:
        return {"total": values["sum"]} if isinstance(values, dict) and "sum" in values else values


class Renewed(BaseModel):
    """A model whose default differs each time."""

    id: UUID = Field(default_factory=uuid4)


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)

    names: frozenset[str] = frozenset()


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    n: int = 0


def _build_open(random: Any) -> Open:
    return Open(**{"n": 1, draw_plain_text(random) or "more": draw_plain_text(random)})


Revealed = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value())]
Price = Annotated[Decimal, Field(max_digits=30, decimal_places=2)]
ODD_FIELDS: list[Kind] = [
    (Level, choose(Level.LOW, Level.LEAST, Level.HIGH, 1)),
    (Rights, choose(Rights.READ, Rights.READ | Rights.WRITE, Rights(0))),
    (dict[Level, int], choose({Level.LOW: 1})),
    (Literal[True], choose(True, 1)),
    (Literal[1, 2], choose(1, 2, True)),
    (bool | int, draw_any_of(draw_integer, choose(True, False))),
    (int | float, draw_any_of(draw_integer, draw_float)),
    (float | int, draw_any_of(draw_integer, draw_float)),
    (Decimal | int, draw_any_of(draw_integer, draw_decimal)),
    (float | Decimal, draw_any_of(draw_float, draw_decimal)),
    (str | UUID, draw_any_of(draw_text, draw_uuid)),
    (date | datetime, draw_any_of(choose(date(2026, 1, 1)), draw_moment)),
    (list[int] | set[int], draw_any_of(draw_many(draw_integer), draw_many(draw_integer, set))),
    (Annotated[Cat | Dog, Field(discriminator="kind")], draw_any_of(build(Cat), build(Dog, lives=draw_integer))),
    (Cat | Dog, draw_any_of(build(Cat), build(Dog, lives=draw_integer))),
    (Pair, build(Pair, first=draw_integer, second=draw_plain_text)),
    (Size, choose({"width": 1}, {"width": 1, "height": 2.5}, {"width": 1, "height": 2, "depth": 3})),
    (Numbers, lambda random: Numbers(draw_many(draw_integer)(random))),
    (Tree, lambda random: Tree(name=draw_plain_text(random), parts=[Tree(), Tree(parts=[Tree(name="a")])])),
    (Doubled, build(Doubled, amount=draw_integer)),
    (Trimmed, build(Trimmed.model_construct, name=draw_plain_text, at=choose(None, datetime(2026, 1, 1, tzinfo=UTC)))),
    (Rounded, build(Rounded, ratio=draw_float)),
    (Moved, build(Moved, total=draw_integer)),
    (Renewed, build(Renewed)),
    (Renewed | None, draw_any_of(build(Renewed), choose(None))),
    (Frozen, build(Frozen, names=draw_many(draw_plain_text, frozenset))),
    (Open, _build_open),
    (Price, choose(Decimal("123456789012345678901234567.89"), Decimal("0.10"), Decimal("-0.00"), "1.25")),
    (AwareDatetime, draw_moment),
    (datetime, choose(datetime(2026, 10, 25, 2, 30, fold=1), datetime(2026, 10, 25, 2, 30))),
    (timedelta, choose(timedelta(microseconds=-1), timedelta(days=-999_999_999), timedelta(hours=-30))),
    (IPv4Address, choose(IPv4Address("127.0.0.1"))),
    (Path, choose(Path("/a/b"), Path(), Path("a//b"))),
    (re.Pattern[str], choose(re.compile("a+"), re.compile("b", re.IGNORECASE))),
    (HttpUrl, choose(HttpUrl("http://example.org/a b"))),
    (Base64Bytes, choose(b"YWJj", b"a", b"")),
    (Sequence[int], draw_any_of(draw_many(draw_integer), draw_many(draw_integer, tuple))),
    (Mapping[str, int], draw_pairs(draw_plain_text, draw_integer)),
    (OrderedDict[str, int], choose(OrderedDict(b=1, a=2), {"b": 1})),
    (defaultdict[str, list[int]], choose(defaultdict(list, a=[1]), {})),
    (Counter[str], choose(Counter("abba"), Counter())),
    (dict[str, Decimal], draw_pairs(draw_plain_text, draw_decimal)),
    (dict[str, int], choose({"\u00e9": 1, "e\u0301": 2}, {"b": 1, "a": 2}, {"": 1}, {"\ud800": 1})),
    (dict[str, SecretStr], choose({"a": SecretStr("hidden")})),
    (tuple[int, list[SecretBytes]], choose((1, [SecretBytes(b"hidden")]))),
    (Secret[int] | None, choose(Secret[int](7), None)),
    (list[Revealed], choose([SecretStr("shown")], [])),
    (complex, choose(1 + 2j, -0.0 + 0j)),
]
