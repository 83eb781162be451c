"""JSON schemas in words: the type of a value, and its constraints."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["SCHEMA_PREFIX", "TypePart", "describe_constraints", "describe_type", "expand_references", "to_json_line"]

SCHEMA_PREFIX = "#/components/schemas/"
"""The prefix of a reference to a model."""

_COMBINATORS = {"anyOf": " or ", "oneOf": " or ", "allOf": " and "}
_CONSTRAINT_TEXTS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "greater than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} fields",
    "maxProperties": "at most {} fields",
    "pattern": "matches {}",
    "format": "{}",
}
_COUNT_KEYS = {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
_FLAG_TEXTS = {
    "uniqueItems": "unique items",
    "deprecated": "deprecated",
    "readOnly": "read-only",
    "writeOnly": "write-only",
}
_IGNORED_KEYS = {
    *("$defs", "$ref", "additionalProperties", "const", "default", "description", "discriminator", "enum"),
    *("example", "examples", "items", "prefixItems", "properties", "required", "title", "type"),
}


@dataclass(frozen=True, slots=True)
class TypePart:
    """A part of a type's name.

    Attributes:
        model: The component that the part names; None for any other word.
    """

    text: str
    model: str | None = None


def describe_type(schema: Any) -> tuple[TypePart, ...]:
    """Return a schema's type, such as "array of WorkflowShape or null", in parts, so that models can be linked."""
    if isinstance(schema, bool):
        return (TypePart("anything" if schema else "nothing"),)
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return (TypePart(name, name),)
    for key, word in _COMBINATORS.items():
        if key in schema:
            return _join_types([describe_type(one) for one in schema[key]], word)
    if "const" in schema:
        return (TypePart(to_json_line(schema["const"])),)
    if "enum" in schema:
        return (TypePart(" | ".join(to_json_line(value) for value in schema["enum"])),)
    kinds = schema.get("type", "anything")
    return _join_types(
        [_describe_simple_type(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)], " or "
    )


def describe_constraints(schema: Any) -> list[str]:
    """Return the constraints of a value, such as "at most 1000", without duplicates."""
    return list(dict.fromkeys(_iterate_constraints(schema)))


def expand_references(schema: Any, root: Mapping[str, Any], *, depth: int = 3) -> Any:
    """Return a schema with its references replaced by the schemas that they refer to, down to a depth.

    Args:
        schema: A part of ``root``, as pydantic writes it.
        root: The schema that has the models in ``$defs``.
        depth: How many nested references are followed; deeper ones stay references.
    """
    if isinstance(schema, list):
        return [expand_references(one, root, depth=depth) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema and depth:
        name = str(schema["$ref"]).rpartition("/")[2]
        return expand_references(root.get("$defs", {}).get(name, {}), root, depth=depth - 1)
    return {key: expand_references(value, root, depth=depth) for key, value in schema.items()}


def to_json_line(value: Any) -> str:
    """Return a value as JSON in one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _describe_simple_type(kind: str, schema: Mapping[str, Any]) -> tuple[TypePart, ...]:
    if kind == "array" and "prefixItems" in schema:
        return (
            TypePart("array ["),
            *_join_types([describe_type(one) for one in schema["prefixItems"]], ", "),
            TypePart("]"),
        )
    if kind == "array" and "items" in schema:
        return (TypePart("array of "), *describe_type(schema["items"]))
    if kind == "object" and schema.get("properties"):
        members = [(TypePart(f"{name}: "), *describe_type(inner)) for name, inner in schema["properties"].items()]
        return (TypePart("object {"), *_join_types(members, ", "), TypePart("}"))
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return (TypePart("object of "), *describe_type(schema["additionalProperties"]))
    return (TypePart(kind),)


def _join_types(types: Sequence[tuple[TypePart, ...]], word: str) -> tuple[TypePart, ...]:
    first, *rest = types or [(TypePart("anything"),)]
    return (*first, *(part for each in rest for part in (TypePart(word), *each)))


def _iterate_constraints(schema: Any) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    order = [*_CONSTRAINT_TEXTS, *schema]  # the minimum before the maximum
    for key, value in sorted(schema.items(), key=lambda each: order.index(each[0])):
        if key in _CONSTRAINT_TEXTS:
            text = _CONSTRAINT_TEXTS[key].format(value)
            yield text.removesuffix("s") if value == 1 and key in _COUNT_KEYS else text
        elif key in _FLAG_TEXTS:
            if value:
                yield _FLAG_TEXTS[key]
        elif key in _COMBINATORS:
            for one in value:
                yield from _iterate_constraints(one)
        elif key not in _IGNORED_KEYS:
            yield f"{key}: {to_json_line(value)}"
    yield from (f"each item: {note}" for note in _iterate_constraints(schema.get("items")))
