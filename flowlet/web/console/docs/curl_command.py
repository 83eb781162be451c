"""A curl command for each operation of the API, to copy into a terminal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_snake

from flowlet.web.console.json_schema_text import SCHEMA_PREFIX, to_json_line
from flowlet.web.openapi.generator_schemas import DEFAULT_KEY

__all__ = ["build_curl_command", "build_example"]

_PARAMETER_PATTERN = re.compile(r"\{(\w+)\}")
_SAMPLES: dict[str, Any] = {"string": "…", "integer": 1, "number": 1, "boolean": True, "array": [], "null": None}
_MAX_DEPTH = 4


def build_curl_command(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Return the curl command of an operation, which reads ``$URL``, the API key ``$KEY``, and ids such as ``$ID``."""
    address = _PARAMETER_PATTERN.sub(lambda match: f"${to_snake(match[1]).upper()}", path)
    # Double quotes, because the URL has shell variables; no path has a character that is special inside them.
    parts = [f'curl{"" if method == "get" else f" -X {method.upper()}"} "$URL{address}"']
    if operation.get("security"):
        parts.append('-H "X-API-Key: $KEY"')
    if content := operation.get("requestBody", {}).get("content"):
        kind, media = next(iter(content.items()))
        parts += [f'-H "Content-Type: {kind}"', f"-d {shlex.quote(to_json_line(build_example(media, schemas)))}"]
    return " \\\n  ".join(parts)


def build_example(media: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Return an example body: the operation's own, or else its required fields with sample values."""
    if "example" in media:
        return media["example"]
    for one in media.get("examples", {}).values():
        if "value" in one:
            return one["value"]
    return _build_sample(media.get("schema", {}), schemas, _MAX_DEPTH)


def _build_sample(schema: Any, schemas: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or not depth:
        return None
    if "$ref" in schema:
        return _build_sample(schemas.get(str(schema["$ref"]).removeprefix(SCHEMA_PREFIX), {}), schemas, depth - 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _build_sample(schema[key][0], schemas, depth)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("const", "default", DEFAULT_KEY):
        if key in schema:
            return schema[key]
    if "properties" in schema or schema.get("type") == "object":
        properties = schema.get("properties", {})
        return {name: _build_sample(properties.get(name), schemas, depth) for name in schema.get("required", ())}
    kind = schema.get("type")
    return _SAMPLES.get(kind) if isinstance(kind, str) else None
