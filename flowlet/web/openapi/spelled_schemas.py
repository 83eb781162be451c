"""The schema of variables that are sent by a client that knows only texts: each may also be spelled as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["build_integer_pattern", "build_spelled_schema"]

_INTEGER_PATTERN = "-?(0|[1-9][0-9]{0,30})"
_NUMBER_PATTERN = rf"{_INTEGER_PATTERN}(\\.[0-9]{{1,20}})?([eE][-+]?[0-9]{{1,2}})?"
_MAX_BOUND = 10**30


def build_spelled_schema(schema: Mapping[str, Any], schemas: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """Return the schema of a model's values, each of which may also be a text that spells its JSON value.

    The texts that the schema lists are accepted. A few more are, which no pattern can describe: those of arrays and
    objects that are not empty.

    Args:
        schema: The schema of the model, a component.
        schemas: All components.
        reference: The reference to the component.
    """
    properties = {}
    for name, inner in schema.get("properties", {}).items():
        own = {"$ref": f"{reference}/properties/{name.replace('~', '~0').replace('/', '~1')}"}
        texts = _build_text_schemas(inner, schemas)
        properties[name] = {"anyOf": [own, *texts]} if texts else own
    kept = {key: value for key, value in schema.items() if key in ("type", "required", "additionalProperties")}
    return {**kept, "properties": properties}


def _build_text_schemas(schema: Any, schemas: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas of the texts that spell a value; none if the value may be a text itself."""
    variants = list(_list_variants(schema, schemas))
    if any(variant.get("type") in (None, "string") and "enum" not in variant for variant in variants):
        return []
    if any(isinstance(value, str) for variant in variants for value in variant.get("enum", ())):
        return []
    found = [_build_text_schema(variant) for variant in variants]
    return [{"type": "string", **one} for one in found if one]


def _list_variants(schema: Any, schemas: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if not isinstance(schema, Mapping):
        return [{}]
    if "$ref" in schema:
        return _list_variants(schemas.get(str(schema["$ref"]).rpartition("/")[2], {}), schemas)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return [variant for inner in schema[key] for variant in _list_variants(inner, schemas)]
    return [{**schema, "enum": [schema["const"]]}] if "const" in schema else [schema]


def _build_text_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    if "enum" in schema:
        return {"enum": [json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in schema["enum"]]}
    match schema["type"]:
        case "null":
            return {"enum": ["null"]}
        case "boolean":
            return {"enum": ["true", "false"]}
        case "array" if not schema.get("minItems"):
            return {"enum": ["[]"]}
        case "object" if not schema.get("required") and not schema.get("minProperties"):
            return {"enum": ["{}"]}
        case "integer" | "number" as kind:
            return _build_number_schema(schema, is_integer=kind == "integer")
    return {}


def _build_number_schema(schema: Mapping[str, Any], *, is_integer: bool) -> dict[str, Any]:
    """Return the schema of the texts of a number; of its integers only, if a number has bounds."""
    bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    if "multipleOf" in schema:
        return {"enum": ["0"]} if not any(bound in schema for bound in bounds) else {}
    if not any(bound in schema for bound in bounds):
        return {"pattern": f"^{_INTEGER_PATTERN if is_integer else _NUMBER_PATTERN}$"}
    low = max(
        math.ceil(schema.get("minimum", -_MAX_BOUND)), math.floor(schema.get("exclusiveMinimum", -_MAX_BOUND)) + 1
    )
    high = min(math.floor(schema.get("maximum", _MAX_BOUND)), math.ceil(schema.get("exclusiveMaximum", _MAX_BOUND)) - 1)
    return {"pattern": build_integer_pattern(low, high)} if low <= high else {}


def build_integer_pattern(low: int, high: int) -> str:
    """Return a pattern of the integers from ``low`` to ``high``, as JSON spells them."""
    negative = [f"-({part})" for part in _list_ranges(max(1, -high), -low)] if low < 0 else []
    return f"^({'|'.join([*negative, *_list_ranges(max(0, low), high)])})$"


def _list_ranges(low: int, high: int) -> list[str]:
    """Return patterns that together match the integers from ``low`` to ``high``, both at least 0."""
    found = []
    while low <= high:
        zeros = 0  # the largest block from low on that ends within the range: low with its last digits free
        while zeros < len(str(low)) and low % 10 ** (zeros + 1) == 0 and low + 10 ** (zeros + 1) - 1 <= high and low:
            zeros += 1
        size = 10**zeros
        digit = low // size % 10
        last = min(9, digit + (high - low + 1) // size - 1) if low else min(9, high)
        prefix = str(low // size)[:-1]
        found.append(f"{prefix}{digit if digit == last else f'[{digit}-{last}]'}{f'[0-9]{{{zeros}}}' if zeros else ''}")
        low += (last - digit + 1) * size
    return found
