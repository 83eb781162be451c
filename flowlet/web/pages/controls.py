"""The controls of a form: which one each value of a model gets, by the model's JSON schema.

What is nested is JSON in a text area, and so is the whole where there is no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from flowlet.lettering import shortened
from flowlet.web.pages.wording import notes, shown, type_of, unfolded

__all__ = ["WHOLE", "Control", "Kind", "controls", "plain"]

PREFIX = "value-"
"""What the names of the fields begin with, so that a variable may be called "token"."""
WHOLE = ""
"""The name of the control of a whole object."""
_DEFAULT_SHOWN = 60
"""How many characters are told of a default."""
_HELP = {
    "date": "such as 2026-11-24",
    "date-time": "such as 2026-11-24T12:00:00Z",
    "time": "such as 12:00:00",
    "duration": "such as PT10M for ten minutes",
}


class Kind(StrEnum):
    """How a value is entered."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    TICK = "tick"
    CHOICE = "choice"
    DATE = "date"
    SECRET = "password"  # noqa: S105 - the type of an input
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Control:
    """How one value of a model is entered.

    Attributes:
        name: The value's in the model; ``WHOLE`` for all of them together.
        label: What people read.
        kind: How it is entered.
        help: What it means, and what has to hold for it.
        options: For a choice, each value as JSON, and its label.
        default: As the schema tells it; None too where there is none.
        takes_null: Whether it may be null.
    """

    name: str
    label: str
    kind: Kind
    help: str = ""
    options: tuple[tuple[str, str], ...] = ()
    default: Any = None
    takes_null: bool = False

    @property
    def key(self) -> str:
        """The name of its field in a form, without a space: it is a part of ids, too."""
        return PREFIX + quote(self.name, safe="", errors="replace")


def controls(schema: Mapping[str, Any] | None) -> tuple[Control, ...]:
    """Return what the values of a model are entered by; one for the whole object where its fields are not known.

    Args:
        schema: The JSON schema of a model as pydantic writes it; None where there is no model.
    """
    root = _resolved(schema or {}, schema or {})
    properties = root.get("properties")
    if not properties:
        is_closed = root.get("type") == "object" and root.get("additionalProperties") in (None, False)
        return () if schema is not None and is_closed else (Control(WHOLE, "JSON object", Kind.JSON),)
    required = root.get("required", ())
    return tuple(
        _control(name, inner, schema or {}, is_required=name in required) for name, inner in properties.items()
    )


def plain(value: Any) -> str:
    """Return a value as people type it: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else shown(value)


def _control(name: str, schema: Any, root: Mapping[str, Any], *, is_required: bool) -> Control:
    outer: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
    inner, takes_null = _without_null(outer, root)
    kind = _kind(inner)
    options: tuple[tuple[str, str], ...] = ()
    if kind is Kind.CHOICE:
        values = inner["enum"] if "enum" in inner else [inner["const"]]
        options = tuple((shown(value), plain(value)) for value in values if value is not None)
        takes_null = takes_null or None in values
    elif kind is Kind.TICK and (takes_null or not isinstance(outer.get("default"), bool)):
        # A box that is not ticked would be an answer that nobody has given.
        kind, options = Kind.CHOICE, (("true", "Yes"), ("false", "No"))
    told = _help(outer, inner, _shape(outer, root) if kind is Kind.JSON else "", is_required=is_required)
    return Control(name, str(outer.get("title") or _words(name)), kind, told, options, outer.get("default"), takes_null)


def _words(name: str) -> str:
    """Return a name as pydantic would have titled it, which leaves out what refers to another model."""
    return name.replace("_", " ").title().strip() or name


def _kind(schema: Mapping[str, Any]) -> Kind:
    if "enum" in schema or "const" in schema:
        return Kind.CHOICE
    match schema.get("type"), schema.get("format"):
        case "string", "date":
            return Kind.DATE
        case "string", "password":
            return Kind.SECRET
        case "string", _:
            return Kind.TEXT
        case "integer", _:
            return Kind.INTEGER
        case "number", _:
            return Kind.NUMBER
        case "boolean", _:
            return Kind.TICK
    return Kind.JSON


def _help(outer: Mapping[str, Any], inner: Mapping[str, Any], shape: str, *, is_required: bool) -> str:
    description = str(outer.get("description") or inner.get("description") or "")
    rules = [note for note in notes({**inner, "format": "", "anyOf": ()}) if note]
    said = ["has to be given"] if is_required else []
    default = outer.get("default")
    if default not in (None, "") and not shape and "enum" not in inner and not isinstance(default, bool):
        said = [f"left empty, it is {shortened(plain(default), _DEFAULT_SHOWN)}"]
    said += [shape] if shape else []
    said += [_HELP[inner["format"]]] if inner.get("format") in _HELP else []
    told = "; ".join([*said, *rules])
    return f"{description} ({told})" if description and told else description or told


def _shape(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """Return what the JSON of a value looks like, as "JSON: array of object {sku: string}"."""
    return f"JSON: {''.join(part.text for part in type_of(unfolded(schema, root)))}"


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema, or what it refers to."""
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


def _without_null(schema: Mapping[str, Any], root: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return what a schema allows beside null, and whether it allows null; nothing where it is more than one type."""
    found = _resolved(schema, root)
    ways = [_resolved(one, root) for one in found.get("anyOf", ())]
    others = [one for one in ways if one.get("type") != "null"]
    takes_null = len(others) < len(ways)
    if not ways:
        return found, found.get("type") is None and "enum" not in found and "const" not in found
    if [one.get("type") for one in others] == ["number", "string"]:
        return others[1], takes_null  # a decimal, which a float would round
    return (others[0] if len(others) == 1 else {}), takes_null
