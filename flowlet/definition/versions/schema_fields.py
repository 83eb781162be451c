"""The fields of a JSON schema as a flat table: each path with its type, its default and its rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SchemaField", "flatten_schema"]

MAX_DEPTH = 8
"""How deep nested models are followed: a model may contain itself."""
_NO_RULES = frozenset({"title", "description", "examples", "default", "properties", "required", "$defs"})


@dataclass(frozen=True, slots=True)
class SchemaField:
    """A field.

    Attributes:
        type: Its type, as "string" or "integer | null".
        is_required: Whether it has to be given.
        default: Its default as JSON; None without one.
        rules: Everything else that the schema says of its values, as JSON.
    """

    type: str
    is_required: bool
    default: str | None
    rules: str

    def describe(self) -> str:
        """Return the type, and whether the field is required or which default it has."""
        if self.is_required:
            return f"{self.type}, required"
        return self.type if self.default is None else f"{self.type}, by default {self.default}"


def flatten_schema(schema: Mapping[str, Any]) -> dict[str, SchemaField]:
    """Return the fields of an object's schema by their paths; ``items.*.sku`` is a field of a list's items.

    Args:
        schema: The schema, with its ``$defs``.
    """
    return dict(_list_fields(schema, schema.get("$defs", {}), "", 0))


def _list_fields(
    schema: Mapping[str, Any], models: Mapping[str, Any], prefix: str, depth: int
) -> Iterator[tuple[str, SchemaField]]:
    required = schema.get("required", ())
    for name, given in schema.get("properties", {}).items():
        one = _resolve(given, models)
        path = f"{prefix}{name}"
        default = json.dumps(given["default"], ensure_ascii=False, sort_keys=True) if "default" in given else None
        rules = {key: value for key, value in one.items() if key not in _NO_RULES}
        yield (
            path,
            SchemaField(_format_type(given, models), name in required, default, json.dumps(rules, sort_keys=True)),
        )
        if depth < MAX_DEPTH:
            for inner, suffix in _list_nested(one, models):
                yield from _list_fields(inner, models, f"{path}{suffix}", depth + 1)


def _list_nested(schema: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the objects inside of a value, each with what leads from its path to those of the object's fields."""
    for one in (schema, *schema.get("anyOf", ())):
        found = _resolve(one, models)
        if "properties" in found:
            yield found, "."
        for key in ("items", "additionalProperties"):
            if isinstance(found.get(key), Mapping):
                inner = _resolve(found[key], models)
                if "properties" in inner:
                    yield inner, ".*."


def _resolve(schema: Mapping[str, Any], models: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    return models.get(reference.rpartition("/")[2], schema) if reference else schema


def _format_type(schema: Mapping[str, Any], models: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        found = _resolve(schema, models)
        return str(found.get("title", "object")) if "properties" in found else _format_type(found, models)
    if "anyOf" in schema:
        return " | ".join(_format_type(one, models) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        return f"list of {_format_type(schema['items'], models)}"
    return str(schema.get("type", "any"))
