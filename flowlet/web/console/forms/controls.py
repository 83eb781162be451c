"""The controls of a form: one for each field of a model, chosen by the model's JSON schema.

Nested values are entered as JSON in a text area, and so is the whole object if there is no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from flowlet.diagram.text_metrics import shorten_text
from flowlet.web.console.json_schema_text import describe_constraints, describe_type, expand_references, to_json_line

__all__ = ["WHOLE_OBJECT", "Control", "ControlKind", "build_controls", "format_plain_value"]

FIELD_NAME_PREFIX = "value-"
"""The prefix of the fields' names, so that a variable may be called "token"."""
WHOLE_OBJECT = ""
"""The name of the control of a whole object."""
_MAX_DEFAULT_LENGTH = 60
"""Characters of a default value that the help shows."""
_FORMAT_HELP = {
    "date": "e.g. 2026-11-24",
    "date-time": "e.g. 2026-11-24T12:00:00Z",
    "time": "e.g. 12:00:00",
    "duration": "e.g. PT10M for ten minutes",
}


class ControlKind(StrEnum):
    """How a value is entered."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    CHECKBOX = "checkbox"
    CHOICE = "choice"
    DATE = "date"
    SECRET = "password"  # noqa: S105 - the type of an input
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Control:
    """How one value of a model is entered.

    Attributes:
        name: The name of the model's field; ``WHOLE_OBJECT`` for the whole object.
        label: Its label.
        kind: How the value is entered.
        help: Its description and constraints.
        options: For a choice, each value as JSON, and its label.
        default: The schema's default; also None if there is none.
        takes_null: Whether the value may be null.
    """

    name: str
    label: str
    kind: ControlKind
    help: str = ""
    options: tuple[tuple[str, str], ...] = ()
    default: Any = None
    takes_null: bool = False

    @property
    def input_name(self) -> str:
        """The name of its field in a form. It has no spaces, because it is also part of ids."""
        return FIELD_NAME_PREFIX + quote(self.name, safe="", errors="replace")


def build_controls(schema: Mapping[str, Any] | None) -> tuple[Control, ...]:
    """Return the controls for the fields of a model; one for the whole object if the fields are not known.

    Args:
        schema: The JSON schema of a model as pydantic writes it; None if there is no model.
    """
    root = _resolve_reference(schema or {}, schema or {})
    properties = root.get("properties")
    if not properties:
        is_closed = root.get("type") == "object" and root.get("additionalProperties") in (None, False)
        return () if schema is not None and is_closed else (Control(WHOLE_OBJECT, "JSON object", ControlKind.JSON),)
    required = root.get("required", ())
    return tuple(
        _build_control(name, inner, schema or {}, is_required=name in required) for name, inner in properties.items()
    )


def format_plain_value(value: Any) -> str:
    """Return a value as a user types it: a string unchanged, anything else as JSON."""
    return value if isinstance(value, str) else to_json_line(value)


def _build_control(name: str, schema: Any, root: Mapping[str, Any], *, is_required: bool) -> Control:
    outer: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
    inner, takes_null = _split_null(outer, root)
    kind = _choose_control_kind(inner)
    options: tuple[tuple[str, str], ...] = ()
    if kind is ControlKind.CHOICE:
        values = inner["enum"] if "enum" in inner else [inner["const"]]
        options = tuple((to_json_line(value), format_plain_value(value)) for value in values if value is not None)
        takes_null = takes_null or None in values
    elif kind is ControlKind.CHECKBOX and (takes_null or not isinstance(outer.get("default"), bool)):
        # An unchecked box would be a value that the user never chose.
        kind, options = ControlKind.CHOICE, (("true", "Yes"), ("false", "No"))
    help_text = _format_help(
        outer, inner, _describe_json_type(outer, root) if kind is ControlKind.JSON else "", is_required=is_required
    )
    return Control(
        name,
        str(outer.get("title") or _humanize_name(name)),
        kind,
        help_text,
        options,
        outer.get("default"),
        takes_null,
    )


def _humanize_name(name: str) -> str:
    """Return a name as pydantic titles fields; it gives no title to a field that refers to another model."""
    return name.replace("_", " ").title().strip() or name


def _choose_control_kind(schema: Mapping[str, Any]) -> ControlKind:
    if "enum" in schema or "const" in schema:
        return ControlKind.CHOICE
    match schema.get("type"), schema.get("format"):
        case "string", "date":
            return ControlKind.DATE
        case "string", "password":
            return ControlKind.SECRET
        case "string", _:
            return ControlKind.TEXT
        case "integer", _:
            return ControlKind.INTEGER
        case "number", _:
            return ControlKind.NUMBER
        case "boolean", _:
            return ControlKind.CHECKBOX
    return ControlKind.JSON


def _format_help(outer: Mapping[str, Any], inner: Mapping[str, Any], shape: str, *, is_required: bool) -> str:
    description = str(outer.get("description") or inner.get("description") or "")
    rules = [note for note in describe_constraints({**inner, "format": "", "anyOf": ()}) if note]
    notes = ["required"] if is_required else []
    default = outer.get("default")
    if default not in (None, "") and not shape and "enum" not in inner and not isinstance(default, bool):
        notes = [f"default: {shorten_text(format_plain_value(default), _MAX_DEFAULT_LENGTH)}"]
    notes += [shape] if shape else []
    notes += [_FORMAT_HELP[inner["format"]]] if inner.get("format") in _FORMAT_HELP else []
    text = "; ".join([*notes, *rules])
    return f"{description} ({text})" if description and text else description or text[:1].upper() + text[1:]


def _describe_json_type(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """Return the type of a JSON value, such as "JSON: array of object {sku: string}"."""
    return f"JSON: {''.join(part.text for part in describe_type(expand_references(schema, root)))}"


def _resolve_reference(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema, or the schema that it refers to."""
    for _ in range(8):
        if not isinstance(schema, Mapping):
            return {}
        if len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
        elif "$ref" in schema:
            schema = root.get("$defs", {}).get(str(schema["$ref"]).removeprefix("#/$defs/"))
        else:
            return schema
    return {}


def _split_null(schema: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return a schema without null, and whether it allows null; an empty schema if it allows several types."""
    found = _resolve_reference(schema, root)
    ways = [_resolve_reference(one, root) for one in found.get("anyOf", ())]
    others = [one for one in ways if one.get("type") != "null"]
    takes_null = len(others) < len(ways)
    if not ways:
        return found, found.get("type") is None and "enum" not in found and "const" not in found
    if [one.get("type") for one in others] == ["number", "string"]:
        return others[1], takes_null  # a decimal, which a float would round
    return (others[0] if len(others) == 1 else {}), takes_null
