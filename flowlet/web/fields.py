"""The kinds of values that bodies take: how each is checked, and what its JSON schema says of that.

An empty text and a zero count as left out where a field may be left out, because Go's clients send them. What no
schema can say has a ``format`` of its own: a client that does not know it takes any text.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from flowlet.accounts import NAME_LIMIT, checked_name
from flowlet.definition import MAX_NAME
from flowlet.durations import duration
from flowlet.errors import UserError
from flowlet.instances import LEVELS, Status
from flowlet.keys import checked_expiry
from flowlet.passwords import LONGEST_PASSWORD, SHORTEST_PASSWORD, checked_password
from flowlet.roles import Role
from flowlet.store.cursor import LARGEST
from flowlet.store.search import FURTHEST_OFFSET, MOST_ROWS, MOST_VARIABLES, NAME_LENGTH, TEXT_LENGTH

__all__ = [
    "FILLED",
    "Cursor",
    "Expiry",
    "KeyName",
    "Offset",
    "OptionalId",
    "OptionalLength",
    "OptionalName",
    "OptionalText",
    "PageLimit",
    "Password",
    "Priority",
    "RoleName",
    "SearchText",
    "SearchedPart",
    "SearchedStatuses",
    "SearchedVariables",
    "StateName",
    "Username",
    "Version",
    "WaitSeconds",
    "WaitStates",
    "Whole",
]

T = TypeVar("T")

MOST_STATUSES = 100
"""More than there are: who sends one twice is not turned away."""

FILLED = r"\S"
"""The pattern of a text that is not white space alone."""


def _none_if_empty(value: T) -> T | None:
    return value or None


def _plain(text: str | None) -> str | None:
    if text and text != text.strip():
        raise ValueError("begins or ends with white space")
    return text or None


def _told(check: Callable[[T], T]) -> Callable[[T], T]:
    """Return a check whose refusals are faults of the field."""

    def checked(value: T) -> T:
        try:
            return check(value)
        except UserError as error:
            raise ValueError(str(error)) from None

    return checked


def _password(value: SecretStr) -> SecretStr:
    checked_password(value.get_secret_value())
    return value


def _expiry(value: timedelta | None) -> timedelta | None:
    return None if value is None else checked_expiry(value)


def _length(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return duration(value) if value else None


def _whole(value: Any) -> Any:
    """Return 10 for 10.0: to JSON they are the same number, and some clients write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _statuses(value: Any) -> tuple[Status, ...]:
    """Return one status or several as a tuple; an empty one means any."""
    given = value if isinstance(value, list) else [value] if value not in (None, "") else []
    if len(given) > MOST_STATUSES:
        raise ValueError(f"names {len(given):,} statuses, and there are {len(Status)}")
    if unknown := [one for one in given if not isinstance(one, str) or one not in list(Status)]:
        shown = repr(unknown[0][:MAX_NAME]) if isinstance(unknown[0], str) else "what is no text"
        raise ValueError(f"{shown} is none of {', '.join(Status)}")
    return tuple(Status(one) for one in given)


def _schema(kind: str, *, is_optional: bool = True, **more: Any) -> Any:
    return WithJsonSchema({"type": [kind, "null"] if is_optional else kind, **more})


OptionalText = Annotated[str | None, AfterValidator(_none_if_empty)]

OptionalName = Annotated[
    str | None,
    Field(max_length=MAX_NAME),
    AfterValidator(_plain),
    _schema("string", maxLength=MAX_NAME, format="trimmed"),
]
"""A name that is stored: no white space at either end."""

SearchText = Annotated[str | None, Field(max_length=NAME_LENGTH), AfterValidator(_none_if_empty)]
SearchedPart = Annotated[str | None, Field(max_length=TEXT_LENGTH), AfterValidator(_none_if_empty)]

Whole = Annotated[int, BeforeValidator(_whole)]

OptionalId = Annotated[
    Annotated[Whole, Field(ge=0, le=LARGEST)] | None,
    AfterValidator(_none_if_empty),
    _schema("integer", format="int64", minimum=0, maximum=LARGEST),
]

Version = Annotated[Whole | None, _schema("integer", format="int64", minimum=-LARGEST, maximum=LARGEST)]

Priority = Annotated[
    Annotated[Whole, Field(ge=LEVELS[0], le=LEVELS[-1])] | None,
    _schema("integer", minimum=LEVELS[0], maximum=LEVELS[-1]),
]

PageLimit = Annotated[
    Annotated[Whole, Field(ge=0, le=MOST_ROWS)] | None,
    AfterValidator(_none_if_empty),
    _schema("integer", minimum=0, maximum=MOST_ROWS),
]

Offset = Annotated[
    Annotated[Whole, Field(ge=0, le=FURTHEST_OFFSET)] | None, _schema("integer", minimum=0, maximum=FURTHEST_OFFSET)
]

Cursor = Annotated[str | None, AfterValidator(_none_if_empty), _schema("string", format="cursor")]

SearchedStatuses = Annotated[
    Any,
    BeforeValidator(_statuses),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": ["", *Status]},
                {"type": "array", "items": {"type": "string", "enum": [*Status]}, "maxItems": MOST_STATUSES},
                {"type": "null"},
            ]
        }
    ),
]

SearchedVariables = Annotated[
    dict[str, Any] | None,
    _schema(
        "object",
        maxProperties=MOST_VARIABLES,
        propertyNames={"minLength": 1, "maxLength": NAME_LENGTH, "pattern": r'^[^"\\\x00-\x1f]+$'},
        additionalProperties={
            "anyOf": [
                {"type": "string", "maxLength": TEXT_LENGTH},
                {"type": "integer", "minimum": -LARGEST, "maximum": LARGEST},
                {"type": ["number", "boolean", "null"]},
            ]
        },
    ),
]

StateName = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]

WaitSeconds = Annotated[float, Field(ge=0, le=3600)]
WaitStates = Annotated[list[str], Field(max_length=100)]

_NAME = _schema("string", is_optional=False, minLength=1, maxLength=NAME_LIMIT, format="name")
Username = Annotated[str, AfterValidator(_told(checked_name)), _NAME]
KeyName = Annotated[str, AfterValidator(_told(partial(checked_name, what="an API key's name"))), _NAME]

Password = Annotated[
    SecretStr,
    AfterValidator(_told(_password)),
    _schema(
        "string",
        is_optional=False,
        minLength=SHORTEST_PASSWORD,
        maxLength=LONGEST_PASSWORD,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*$",
        format="password",
        writeOnly=True,
    ),
]

RoleName = Annotated[Role, Field(strict=False)]

_LENGTH = _schema("string", format="length-of-time", examples=["90 days", "1h 30m", "PT10M"])
OptionalLength = Annotated[timedelta | None, BeforeValidator(_length), _LENGTH]
Expiry = Annotated[timedelta | None, BeforeValidator(_length), AfterValidator(_told(_expiry)), _LENGTH]
