"""The base of what the API takes and gives: models with camelCase names, and times as RFC 3339 tells them.

What a field means stands in the docstring of its model, under "Attributes:". The JSON schema has it from there.
"""

from __future__ import annotations

import inspect
import re
from datetime import datetime
from typing import Annotated, Any

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

from flowlet.clock import to_datetime, to_microseconds
from flowlet.web.openapi.docstrings import split_attributes

__all__ = ["ApiModel", "RequestModel", "Timestamp", "fold_name", "format_rfc3339"]

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def format_rfc3339(value: int) -> str:
    """Return microseconds since 1970 as "2026-11-22T13:52:07.000000Z"."""
    return to_datetime(value).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _parse_time(value: Any) -> Any:
    if not isinstance(value, str):
        return value  # our own, in Python; what comes as JSON is checked by _from_text
    return _parse_rfc3339(value)


def _parse_rfc3339(value: str) -> int:
    expected = "has to be a moment with its time zone, as 2026-11-22T13:52:07Z"
    if not _RFC3339.fullmatch(value):
        raise ValueError(expected)
    text = re.sub(r"\.(\d{6})\d+", r".\1", value.upper())  # Go sends nanoseconds
    try:
        found = to_microseconds(datetime.fromisoformat(text))
        to_datetime(found)  # in UTC it may lie outside of the years that there are
    except (ValueError, OverflowError):
        raise ValueError(expected) from None
    return found


def _parse_json_time(value: Any, info: ValidationInfo) -> Any:
    if info.context == "json" and not isinstance(value, str):
        raise ValueError("has to be a text, as 2026-11-22T13:52:07Z")
    return _parse_time(value)


Timestamp = Annotated[
    int,
    BeforeValidator(_parse_json_time),
    PlainSerializer(format_rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Microseconds since 1970 UTC in Python; in JSON a moment in RFC 3339, given in UTC and taken in any zone."""


def fold_name(name: str) -> str:
    """Return a key as keys are compared: GopherFlow takes them in upper and lower case, and so do its clients."""
    return name.replace("_", "").lower()


class ApiModel(BaseModel):
    """What the API gives. In Python by the fields' names, in JSON in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema, with what the docstrings say of each field."""
        schema = handler(core_schema)
        own = handler.resolve_ref_schema(schema)
        own["description"] = split_attributes(inspect.getdoc(cls) or "")[0]
        meanings = _collect_field_descriptions(cls)
        for name, field in cls.model_fields.items():
            told = own["properties"][field.alias or name]
            told.pop("title", None)  # it only spells the name once more
            if name in meanings:
                told["description"] = meanings[name]
        return schema


class RequestModel(ApiModel):
    """What the API takes: nothing that it does not know, and each key as ``nextActivation`` or ``NextActivation``.

    Values are taken as what they are: the text "5" is no number, and ``false`` is not 0.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _normalize_keys(cls, values: Any) -> Any:
        """Return the values by the fields' aliases. Of two spellings of one key the second stays, to be refused."""
        if not isinstance(values, dict):
            return values
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
    """Return what the docstrings of a model, and of those that it extends, say of each field."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        found |= split_attributes(inspect.cleandoc(base.__doc__ or ""))[1]
    return found
