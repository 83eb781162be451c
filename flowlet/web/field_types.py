"""The types of body fields: how each is validated, and its JSON schema.

In an optional field an empty text or a zero counts as left out, because Go clients send them. A rule that JSON Schema
cannot express has a ``format`` of its own; a client that does not know the format accepts any text.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from flowlet.accounts.models import normalize_name
from flowlet.accounts.passwords import MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, normalize_password
from flowlet.accounts.roles import Role
from flowlet.auth.api_keys import validate_lifetime
from flowlet.clock import parse_duration
from flowlet.errors import UserError
from flowlet.instance.instance import PRIORITIES, Status
from flowlet.operations.views.address import MAX_ADDRESS_LENGTH, read_view_address
from flowlet.store.search.query import MAX_OFFSET, MAX_ROWS, MAX_SEARCHED_TEXT_LENGTH, MAX_VARIABLES
from flowlet.text import MAX_IDENTIFIER_LENGTH, MAX_INTEGER, MAX_NAME_LENGTH

__all__ = [
    "NOT_BLANK_PATTERN",
    "NO_CONTROL_PATTERN",
    "Cursor",
    "ExpectedVersion",
    "Expiry",
    "ExternalIdName",
    "KeyName",
    "Offset",
    "OptionalDuration",
    "OptionalId",
    "OptionalName",
    "OptionalText",
    "PageLimit",
    "Password",
    "Priority",
    "RoleName",
    "SearchText",
    "SearchedStatuses",
    "SearchedSubstring",
    "SearchedVariables",
    "StateName",
    "Username",
    "ViewAddress",
    "ViewName",
    "WaitSeconds",
    "WaitStates",
    "WholeNumber",
]

T = TypeVar("T")

MAX_STATUSES = 100
"""More than there are statuses: a request that repeats one is not refused."""

_FORMER_STATUSES = {
    "DONE": Status.FINISHED,
    "ERROR": Status.FAILED,
    "LOCK": Status.EXECUTING,
    "SCHEDULED": Status.EXECUTING,
}
"""Statuses of GopherFlow, and those that mean the same here: an instance that is claimed is EXECUTING."""
NOT_BLANK_PATTERN = r"\S"
"""The pattern of a text that is not only white space."""
NO_CONTROL_PATTERN = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
"""The pattern of a text without line ends and other control characters."""


def _convert_empty_to_none(value: T) -> T | None:
    return value or None


def _check_trimmed(text: str | None) -> str | None:
    if text and text != text.strip():
        raise ValueError("begins or ends with white space")
    return text or None


def _convert_user_error(check: Callable[[T], T]) -> Callable[[T], T]:
    """Return a check whose ``UserError`` becomes a fault of the field."""

    def run_check(value: T) -> T:
        try:
            return check(value)
        except UserError as error:
            raise ValueError(str(error)) from None

    return run_check


def _check_password(value: SecretStr) -> SecretStr:
    normalize_password(value.get_secret_value())
    return value


def _normalize_view_address(text: str) -> str:
    return read_view_address(text).text


def _check_expiry(value: timedelta | None) -> timedelta | None:
    return None if value is None else validate_lifetime(value)


def _parse_duration(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return parse_duration(value) if value else None


def _convert_whole_float(value: Any) -> Any:
    """Return 10 for 10.0: they are the same number in JSON, and some clients send it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parse_statuses(value: Any) -> tuple[Status, ...]:
    """Return one status or several as a tuple; an empty value means any status."""
    given = value if isinstance(value, list) else [value] if value not in (None, "") else []
    if len(given) > MAX_STATUSES:
        raise ValueError(f"has {len(given):,} statuses, and there are only {len(Status)}")
    given = [_FORMER_STATUSES.get(one, one) if isinstance(one, str) else one for one in given]
    if unknown := [one for one in given if not isinstance(one, str) or one not in list(Status)]:
        shown = (
            repr(unknown[0][:MAX_IDENTIFIER_LENGTH]) if isinstance(unknown[0], str) else "a value that is not a text"
        )
        raise ValueError(f"{shown} is not a status; known: {', '.join(Status)}")
    return tuple(dict.fromkeys(Status(one) for one in given))


def _build_schema(kind: str, *, is_optional: bool = True, **more: Any) -> Any:
    return WithJsonSchema({"type": [kind, "null"] if is_optional else kind, **more})


OptionalText = Annotated[str | None, AfterValidator(_convert_empty_to_none)]

_NAME_SCHEMA: dict[str, Any] = {
    "maxLength": MAX_IDENTIFIER_LENGTH,
    "format": "trimmed",
    "pattern": NO_CONTROL_PATTERN,
}

OptionalName = Annotated[
    str | None,
    Field(max_length=MAX_IDENTIFIER_LENGTH),
    AfterValidator(_check_trimmed),
    _build_schema("string", **_NAME_SCHEMA),
]
"""A stored name, without white space at either end, and on one line."""

ExternalIdName = Annotated[OptionalName, _build_schema("string", **{**_NAME_SCHEMA, "not": {"enum": [".", ".."]}})]
"""The same for a name that is a part of URLs: clients remove the two."""

SearchText = Annotated[str | None, Field(max_length=MAX_IDENTIFIER_LENGTH), AfterValidator(_convert_empty_to_none)]
SearchedSubstring = Annotated[
    str | None, Field(max_length=MAX_SEARCHED_TEXT_LENGTH), AfterValidator(_convert_empty_to_none)
]

WholeNumber = Annotated[int, BeforeValidator(_convert_whole_float)]

OptionalId = Annotated[
    Annotated[WholeNumber, Field(ge=0, le=MAX_INTEGER)] | None,
    AfterValidator(_convert_empty_to_none),
    _build_schema("integer", format="int64", minimum=0, maximum=MAX_INTEGER),
]

ExpectedVersion = Annotated[
    Annotated[WholeNumber, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)] | None,
    _build_schema("integer", format="int64", minimum=-MAX_INTEGER, maximum=MAX_INTEGER),
]

Priority = Annotated[
    Annotated[WholeNumber, Field(ge=PRIORITIES[0], le=PRIORITIES[-1])] | None,
    _build_schema("integer", minimum=PRIORITIES[0], maximum=PRIORITIES[-1]),
]

PageLimit = Annotated[
    Annotated[WholeNumber, Field(ge=0, le=MAX_ROWS)] | None,
    AfterValidator(_convert_empty_to_none),
    _build_schema("integer", minimum=0, maximum=MAX_ROWS),
]

Offset = Annotated[
    Annotated[WholeNumber, Field(ge=0, le=MAX_OFFSET)] | None, _build_schema("integer", minimum=0, maximum=MAX_OFFSET)
]

Cursor = Annotated[str | None, AfterValidator(_convert_empty_to_none), _build_schema("string", format="cursor")]

SearchedStatuses = Annotated[
    Any,
    BeforeValidator(_parse_statuses),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": ["", *Status, *_FORMER_STATUSES]},
                {
                    "type": "array",
                    "items": {"type": "string", "enum": [*Status, *_FORMER_STATUSES]},
                    "maxItems": MAX_STATUSES,
                },
                {"type": "null"},
            ]
        }
    ),
]

SearchedVariables = Annotated[
    dict[str, Any] | None,
    _build_schema(
        "object",
        maxProperties=MAX_VARIABLES,
        propertyNames={
            "minLength": 1,
            "maxLength": MAX_IDENTIFIER_LENGTH,
            "pattern": r'^[^-"\\\x00-\x1f][^"\\\x00-\x1f]*$',
            "not": {"pattern": r"^\s*([<>]=?|~)$"},
        },
        patternProperties={
            r"[<>]=?$": {"type": ["string", "number"], "maxLength": MAX_SEARCHED_TEXT_LENGTH},
            r"~$": {"type": "string", "minLength": 1, "maxLength": MAX_SEARCHED_TEXT_LENGTH},
        },
        additionalProperties={
            "anyOf": [
                {"type": "string", "maxLength": MAX_SEARCHED_TEXT_LENGTH},
                {"type": ["number", "boolean", "null"]},
            ]
        },
    ),
]

StateName = Annotated[str, Field(min_length=1, max_length=MAX_IDENTIFIER_LENGTH)]

WaitSeconds = Annotated[float | None, Field(ge=0, le=3600)]
WaitStates = Annotated[list[str], Field(max_length=100)]

_NAME_SCHEMA = _build_schema(
    "string",
    is_optional=False,
    minLength=1,
    maxLength=MAX_NAME_LENGTH,
    pattern=NO_CONTROL_PATTERN,
    format="name",
)
Username = Annotated[str, AfterValidator(_convert_user_error(normalize_name)), _NAME_SCHEMA]
KeyName = Annotated[
    str, AfterValidator(_convert_user_error(partial(normalize_name, subject="an API key's name"))), _NAME_SCHEMA
]
ViewName = Annotated[
    str, AfterValidator(_convert_user_error(partial(normalize_name, subject="a view's name"))), _NAME_SCHEMA
]

ViewAddress = Annotated[
    str,
    Field(max_length=MAX_ADDRESS_LENGTH),
    AfterValidator(_convert_user_error(_normalize_view_address)),
    _build_schema("string", is_optional=False, maxLength=MAX_ADDRESS_LENGTH, format="list-address"),
]
"""The filters, the order and the columns of the workflow list, as a query string."""

Password = Annotated[
    SecretStr,
    AfterValidator(_convert_user_error(_check_password)),
    _build_schema(
        "string",
        is_optional=False,
        minLength=MIN_PASSWORD_LENGTH,
        maxLength=MAX_PASSWORD_LENGTH,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*$",
        format="password",
        writeOnly=True,
    ),
]

RoleName = Annotated[Role, Field(strict=False)]

_DURATION_SCHEMA = _build_schema("string", format="length-of-time", examples=["90 days", "1h 30m", "PT10M"])
OptionalDuration = Annotated[timedelta | None, BeforeValidator(_parse_duration), _DURATION_SCHEMA]
Expiry = Annotated[
    timedelta | None,
    BeforeValidator(_parse_duration),
    AfterValidator(_convert_user_error(_check_expiry)),
    _DURATION_SCHEMA,
]
