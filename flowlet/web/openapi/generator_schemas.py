"""The form of schemas that generators of clients read as they are meant.

Generators make one class of a schema with ``properties``. Beside these, they take alternatives (``anyOf``, ``allOf``)
for a union or for bases, and fail; conditions (``if`` and ``then``) they ignore. For a validator ``{"if": {}, "then":
X}`` says the same as X. A member with ``default`` becomes one that the caller has to give in TypeScript.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["DEFAULT_KEY", "adapt_schema"]

DEFAULT_KEY = "x-default"
"""Where the default of a member is instead: for people, and for our own pages."""
_COMBINATORS = ("anyOf", "oneOf", "allOf")


def adapt_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object's schema with its alternatives as a condition, and without the defaults of its members.

    Args:
        schema: A component of the document; one without ``properties`` stays as it is.
    """
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return dict(schema)
    adapted = {key: value for key, value in schema.items() if key not in _COMBINATORS}
    adapted["properties"] = {name: _move_default(member) for name, member in properties.items()}
    beside = {key: schema[key] for key in _COMBINATORS if key in schema}
    if not beside:
        return adapted
    if "if" in adapted:
        inner = {key: adapted.pop(key) for key in ("if", "then", "else") if key in adapted}
        beside = {"allOf": [inner, *({key: value} for key, value in beside.items())]}
    return {**adapted, "if": {}, "then": beside}


def _move_default(member: Any) -> Any:
    if not isinstance(member, Mapping) or "default" not in member:
        return member
    moved = {key: value for key, value in member.items() if key != "default"}
    return moved if member["default"] is None else {**moved, DEFAULT_KEY: member["default"]}
