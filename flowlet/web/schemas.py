"""The base of the API's models: camelCase names, and times in RFC 3339.

The docstring of a model describes its fields under "Attributes:", and the JSON schema copies the descriptions.
"""

from __future__ import annotations

import inspect
import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core.core_schema import CoreSchema

from flowlet.clock import MICROSECONDS_PER_SECOND, is_calendar_time, limit_time, to_datetime, to_microseconds
from flowlet.web.openapi.docstrings import split_attributes

__all__ = ["ApiModel", "RequestModel", "Timestamp", "fold_name", "format_rfc3339"]

MAX_MEMBERS = 100
"""How many members an object of a request may have, more than any model has: for each unknown one a fault is built."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def format_rfc3339(value: int) -> str:
    """Return microseconds since 1970 as "2026-11-22T13:52:07.000000Z"."""
    second, microseconds = divmod(limit_time(value), MICROSECONDS_PER_SECOND)
    return f"{_format_second(second)}.{microseconds:06}Z"


@lru_cache(maxsize=10_000)
def _format_second(second: int) -> str:
    """Return a second since 1970 as a text. The times of a list, or of a stream of events, share most of theirs."""
    return to_datetime(second * MICROSECONDS_PER_SECOND).replace(tzinfo=None).isoformat(timespec="seconds")


def _parse_time(value: Any) -> Any:
    if not isinstance(value, str):
        return value  # from our own code; _parse_json_time checks what comes as JSON
    return _parse_rfc3339(value)


def _parse_rfc3339(value: str) -> int:
    expected = "has to be a time with its time zone, such as 2026-11-22T13:52:07Z"
    if not _RFC3339.fullmatch(value):
        raise ValueError(expected)
    text = re.sub(r"\.(\d{6})\d+", r".\1", value.upper())  # Go sends nanoseconds
    try:
        found = to_microseconds(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise ValueError(expected) from None
    if not is_calendar_time(found):
        raise ValueError(expected)
    return found


def _parse_json_time(value: Any, info: ValidationInfo) -> Any:
    if info.context == "json" and not isinstance(value, str):
        raise ValueError("has to be a text, such as 2026-11-22T13:52:07Z")
    return _parse_time(value)


Timestamp = Annotated[
    int,
    BeforeValidator(_parse_json_time),
    PlainSerializer(format_rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Microseconds since 1970 UTC in Python; in JSON a time in RFC 3339, returned in UTC and accepted in any zone."""


def fold_name(name: str) -> str:
    """Return a key in the form in which keys are compared: regardless of case, as in GopherFlow."""
    return name.replace("_", "").lower()


class ApiModel(BaseModel):
    """A model of the API: snake_case in Python, camelCase in JSON."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema, with the description of each field from the docstrings."""
        schema = handler(core_schema)
        own = handler.resolve_ref_schema(schema)
        own["description"] = split_attributes(inspect.getdoc(cls) or "")[0]
        descriptions = _collect_field_descriptions(cls)
        for name, field in cls.model_fields.items():
            schema_of_field = own["properties"][field.alias or name]
            schema_of_field.pop("title", None)  # it only repeats the name
            if name in descriptions:
                schema_of_field["description"] = descriptions[name]
        return schema


class RequestModel(ApiModel):
    """A request model: it refuses unknown keys, and accepts ``nextActivation`` and ``NextActivation`` alike.

    It does not convert values: the text "5" is not a number, and ``false`` is not 0.

    Attributes:
        max_bytes: The largest size of a body of this model, in bytes; None for FLOWLET_MAX_BODY, where a body carries
            variables.
    """

    max_bytes: ClassVar[int | None] = 65_536

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _normalize_keys(cls, values: Any) -> Any:
        """Return the values by the fields' aliases. The second of two spellings of one key is kept, to be refused."""
        if not isinstance(values, dict):
            return values
        if len(values) > MAX_MEMBERS:
            raise ValueError(f"has {len(values):,} members, and at most {MAX_MEMBERS} are allowed")
        aliases: dict[str, str] = {
            fold_name(field.alias or name): field.alias or name for name, field in cls.model_fields.items()
        }
        named: dict[str, Any] = {}
        spelled: dict[str, str] = {}
        for key, value in values.items():
            name = str(key)
            alias = aliases.get(fold_name(name), name)
            if alias in named and name == alias:
                named[spelled[alias]] = named.pop(alias)
            named[name if alias in named else alias] = value
            spelled.setdefault(alias, name)
        return named


def _collect_field_descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return the description of each field from the docstrings of a model and its base classes."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        found |= split_attributes(inspect.cleandoc(base.__doc__ or ""))[1]
    return found
