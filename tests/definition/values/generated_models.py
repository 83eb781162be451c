"""Models and values drawn at random: every kind of field that an author may declare, some of which lose values."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time
from enum import Enum
from random import Random
from types import NoneType
from typing import Any

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    create_model,
)

from tests.definition.values.generated_fields import (
    LEAVES,
    Draw,
    Kind,
    build,
    draw_any_of,
    draw_many,
    draw_pairs,
    draw_plain_text,
)
from tests.definition.values.odd_fields import ODD_FIELDS

__all__ = ["GeneratedModel", "freeze", "generate_model"]


@dataclass(frozen=True, slots=True)
class GeneratedModel:
    """A model, and what draws the values of its fields."""

    model: type[BaseModel]
    draws: dict[str, Draw]

    def draw_values(self, random: Random) -> dict[str, Any]:
        """Return a value for each field."""
        return {name: draw(random) for name, draw in self.draws.items()}


FIELDS = [*LEAVES, *LEAVES, *ODD_FIELDS]
CONTAINERS: list[Callable[[Any, Draw], Kind]] = [
    lambda kind, draw: (list.__class_getitem__(kind), draw_many(draw)),
    lambda kind, draw: (tuple.__class_getitem__((kind, ...)), draw_any_of(draw_many(draw, tuple), draw_many(draw))),
    lambda kind, draw: (dict.__class_getitem__((str, kind)), draw_pairs(draw_plain_text, draw)),
    lambda kind, draw: (deque.__class_getitem__(kind), draw_many(draw, deque)),
]
ALIASES: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"alias": "N{0}"},
    {"validation_alias": "N{0}"},
    {"serialization_alias": "N{0}"},
    {"validation_alias": AliasChoices("old", "older")},
    {"validation_alias": AliasChoices("old{0}", "field{0}")},
    {"exclude": True},
]
CONFIGS: list[ConfigDict] = [
    {},
    {},
    {"extra": "forbid"},
    {"extra": "allow"},
    {"populate_by_name": True},
    {"ser_json_inf_nan": "strings"},
    {"ser_json_inf_nan": "constants"},
    {"str_strip_whitespace": True},
    {"strict": True},
    {"ser_json_bytes": "base64"},
    {"ser_json_timedelta": "float"},
    {"use_enum_values": True},
    {"coerce_numbers_to_str": True},
]


def generate_model(random: Random) -> GeneratedModel:
    """Return a model of one to three fields."""
    kinds = [_generate_kind(random) for _ in range(random.randint(1, 3))]
    fields: dict[str, Any] = {}
    for place, (type_, _) in enumerate(kinds):
        options = random.choice(ALIASES)
        named: dict[str, Any] = {key: _number_names(value, place) for key, value in options.items()}
        fields[f"field{place}"] = (type_, Field(**named))
    model = create_model("Generated", __config__=random.choice(CONFIGS), **fields)
    return GeneratedModel(model, {f"field{place}": draw for place, (_, draw) in enumerate(kinds)})


def _number_names(option: Any, place: int) -> Any:
    if isinstance(option, AliasChoices):
        return AliasChoices(*(str(choice).format(place) for choice in option.choices))
    return option.format(place) if isinstance(option, str) else option


def _generate_kind(random: Random) -> Kind:
    type_, draw = random.choice(FIELDS)
    if random.random() < 0.4:
        type_, draw = random.choice(CONTAINERS)(type_, draw)
    if random.random() < 0.2:
        inner = create_model("Inner", value=(type_, ...))
        return inner, build(lambda value: inner.model_construct(None, value=value), value=draw)
    return type_, draw


def freeze(value: Any) -> Any:
    """Return a value that is equal for values of the same types, nested ones included; the test's own comparison.

    A text, an integer or a float may be of a subclass, such as bool, and an integer may stand for an equal float.
    Classes are known by their names, so that two processes can compare theirs.
    """
    if isinstance(value, BaseModel):
        own = [(name, freeze(one)) for name, one in value.__dict__.items()]
        return type(value).__name__, own, freeze(value.model_extra or {})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, [freeze(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, dict):
        pairs = ((repr(freeze(key)), freeze(one)) for key, one in value.items())
        return type(value).__name__, sorted(pairs, key=lambda pair: pair[0])
    if isinstance(value, list | tuple | deque):
        return type(value).__name__, [freeze(one) for one in value]
    if isinstance(value, set | frozenset):
        return type(value).__name__, sorted(repr(freeze(one)) for one in value)
    if isinstance(value, Enum):
        return value.value if isinstance(value, str | int) else (type(value).__name__, value.name)
    if isinstance(value, datetime | time):
        offset = value.utcoffset()
        return type(value).__name__, repr(value.replace(tzinfo=None, fold=value.fold if offset is None else 0)), offset
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer() and str(value) != "-0.0"):
        return int(value)
    return value if isinstance(value, str | int | NoneType) else (type(value).__name__, repr(value))
