"""JSON schemas in words: what type a value has, and what else has to hold for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["SCHEMAS", "Part", "notes", "shown", "type_of", "unfolded"]

SCHEMAS = "#/components/schemas/"
"""What a reference to a model begins with."""

_JOINED = {"anyOf": " or ", "oneOf": " or ", "allOf": " and "}
_NOTES = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} members",
    "maxProperties": "at most {} members",
    "pattern": "fits {}",
    "format": "{}",
}
_FLAGS = {
    "uniqueItems": "none twice",
    "deprecated": "deprecated",
    "readOnly": "answered only",
    "writeOnly": "taken only",
}
_TOLD_ELSEWHERE = {
    *("$defs", "$ref", "additionalProperties", "const", "default", "description", "discriminator", "enum"),
    *("example", "examples", "items", "prefixItems", "properties", "required", "title", "type"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a type's name.

    Attributes:
        model: The component that it is the name of; None where it is only a word.
    """

    text: str
    model: str | None = None


def type_of(schema: Any) -> tuple[Part, ...]:
    """Return a schema's type, as "array of WorkflowShape or null" in pieces, of which models may be linked."""
    if isinstance(schema, bool):
        return (Part("anything" if schema else "nothing"),)
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return (Part(name, name),)
    for key, word in _JOINED.items():
        if key in schema:
            return _joined([type_of(one) for one in schema[key]], word)
    if "const" in schema:
        return (Part(shown(schema["const"])),)
    if "enum" in schema:
        return (Part(" | ".join(shown(value) for value in schema["enum"])),)
    kinds = schema.get("type", "anything")
    return _joined([_plain(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)], " or ")


def notes(schema: Any) -> list[str]:
    """Return what else has to hold for a value, as "at most 1000", each said once."""
    return list(dict.fromkeys(_notes(schema)))


def unfolded(schema: Any, root: Mapping[str, Any], *, depth: int = 3) -> Any:
    """Return a schema with what it refers to in the place of the references, down to some models within models.

    Args:
        schema: A part of ``root``, as pydantic writes it.
        root: What has the models in ``$defs``.
        depth: How many references are followed, one within the other; what is deeper keeps its name.
    """
    if isinstance(schema, list):
        return [unfolded(one, root, depth=depth) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema and depth:
        name = str(schema["$ref"]).rpartition("/")[2]
        return unfolded(root.get("$defs", {}).get(name, {}), root, depth=depth - 1)
    return {key: unfolded(value, root, depth=depth) for key, value in schema.items()}


def shown(value: Any) -> str:
    """Return a value as JSON in one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _plain(kind: str, schema: Mapping[str, Any]) -> tuple[Part, ...]:
    if kind == "array" and "prefixItems" in schema:
        return (Part("array ["), *_joined([type_of(one) for one in schema["prefixItems"]], ", "), Part("]"))
    if kind == "array" and "items" in schema:
        return (Part("array of "), *type_of(schema["items"]))
    if kind == "object" and schema.get("properties"):
        members = [(Part(f"{name}: "), *type_of(inner)) for name, inner in schema["properties"].items()]
        return (Part("object {"), *_joined(members, ", "), Part("}"))
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return (Part("object of "), *type_of(schema["additionalProperties"]))
    return (Part(kind),)


def _joined(types: Sequence[tuple[Part, ...]], word: str) -> tuple[Part, ...]:
    first, *rest = types or [(Part("anything"),)]
    return (*first, *(part for each in rest for part in (Part(word), *each)))


def _notes(schema: Any) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        return
    order = [*_NOTES, *schema]  # the least before the most
    for key, value in sorted(schema.items(), key=lambda each: order.index(each[0])):
        if key in _NOTES:
            yield _NOTES[key].format(value)
        elif key in _FLAGS:
            if value:
                yield _FLAGS[key]
        elif key in _JOINED:
            for one in value:
                yield from _notes(one)
        elif key not in _TOLD_ELSEWHERE:
            yield f"{key}: {shown(value)}"
    yield from (f"each {note}" for note in _notes(schema.get("items")))
