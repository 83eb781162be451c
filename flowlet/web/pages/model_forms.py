"""Forms made from a model's JSON schema: which control each value gets, and the values of what was sent.

Every value is sent as a text. Numbers and times have plain text fields: what cannot be read is shown again as it was
typed, which a browser's own number field does not allow. What is nested is JSON in a text area, and so is the whole
where there is no model. The model itself checks the values; here they only get their types.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from flowlet.web.forms import Form
from flowlet.web.pages.wording import notes, shown, type_of, unfolded
from flowlet.web.parsing import LARGEST, SMALLEST, read_json
from flowlet.web.problems import ProblemError

__all__ = ["Control", "Field", "Kind", "Sent", "controls", "fields", "read", "texts"]

PREFIX = "value-"
"""What the names of the fields begin with, so that a variable may be called "token"."""
WHOLE = ""
"""The name of the control of a whole object."""
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"[-+]?[0-9]{0,40}\.?[0-9]{1,40}(?:[eE][-+]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
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


@dataclass(frozen=True, slots=True)
class Field:
    """A control as a page shows it.

    Attributes:
        text: What stands in it.
        kind: The macro or the type of input that shows it: "textarea", "choice", "tick", or a type.
        options: Of a choice, with what it has now, and with nothing where that may be.
        more: Further attributes.
    """

    key: str
    label: str
    kind: str
    text: str
    help: str
    error: str
    options: tuple[tuple[str, str], ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent by a form.

    Attributes:
        values: What was entered, by name.
        emptied: Names of fields that were left empty: the model's own default stands for them.
        faults: What is wrong with a field, by name.
        texts: What was typed, by name, to be shown again.
        is_whole: Whether the values are all that there shall be: they were sent as one object.
    """

    values: dict[str, Any]
    emptied: tuple[str, ...]
    faults: dict[str, str]
    texts: dict[str, str]
    is_whole: bool = False


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


def texts(controls: Sequence[Control], values: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return what stands in each control at first.

    Args:
        controls: A form's.
        values: What is to be edited; None for a new form, which has the defaults.
    """
    if values is None:
        return {control.name: _text(control, control.default) for control in controls}
    return {
        control.name: _text(control, dict(values) if control.name == WHOLE else values.get(control.name))
        for control in controls
    }


def read(controls: Sequence[Control], form: Form, *, edited: Mapping[str, Any] | None = None) -> Sent:
    """Return the values that a form sends.

    An empty field is null where the value may be null, and otherwise left to the model's default.

    Args:
        controls: The form's.
        form: What was sent.
        edited: The values that are edited. What still reads as they do is left out: a text field can tell neither
            1 from 1.0 nor nothing from an empty text.

    Raises:
        ProblemError: 400 if a field was sent more than once.
    """
    sent = Sent({}, (), {}, {control.name: _typed(control, form) for control in controls})
    before = texts(controls, edited) if edited is not None else {}
    emptied = []
    for control in controls:
        text = sent.texts[control.name]
        if before.get(control.name) == text:
            continue
        if text.strip() == "" and not (control.takes_null or control.kind is Kind.TICK):
            emptied.append(control.name)
            continue
        try:
            sent.values[control.name] = _value(control, text)
        except ValueError as error:
            sent.faults[control.name] = str(error)
    whole = sent.values.pop(WHOLE, None)
    if isinstance(whole, dict):
        sent.values.update(whole)
    elif whole is not None:
        sent.faults[WHOLE] = "has to be an object, as {…}"
    return Sent(sent.values, tuple(emptied), sent.faults, sent.texts, isinstance(whole, dict))


def fields(
    controls: Sequence[Control], texts: Mapping[str, str], faults: Mapping[str, str] | None = None
) -> tuple[list[Field], list[str]]:
    """Return the fields of a form as a page shows them, and the faults that are of none of them.

    Args:
        controls: The form's.
        texts: What stands in each, by name.
        faults: What is wrong, by path as in ``items.0.sku``.
    """
    told: dict[str | None, list[str]] = {}
    for path, fault in (faults or {}).items():
        owner, below = _owner(path, controls)
        told.setdefault(owner, []).append(f"{below}: {fault}" if below else fault)
    own = [_field(control, texts.get(control.name, ""), "; ".join(told.pop(control.name, ()))) for control in controls]
    return own, [fault for rest in told.values() for fault in rest]


def _control(name: str, schema: Any, root: Mapping[str, Any], *, is_required: bool) -> Control:
    outer: Mapping[str, Any] = schema if isinstance(schema, Mapping) else {}
    inner, takes_null = _without_null(outer, root)
    kind = _kind(inner)
    options: tuple[tuple[str, str], ...] = ()
    if kind is Kind.CHOICE:
        values = inner["enum"] if "enum" in inner else [inner["const"]]
        options = tuple((shown(value), _plain(value)) for value in values if value is not None)
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


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _text(control: Control, value: Any) -> str:
    """Return a value as it stands in its field, where a browser leaves it as it is."""
    if control.kind in (Kind.JSON, Kind.CHOICE):
        indent = 2 if isinstance(value, dict | list) and value else None
        text = "" if value is None else json.dumps(value, ensure_ascii=False, indent=indent)
    elif control.kind is Kind.TICK:
        text = "true" if value is True else ""
    else:
        text = "" if value is None else _plain(value)
    return "\n".join(text.split("\r\n")).replace("\r", "\n")


def _typed(control: Control, form: Form) -> str:
    return form.text(control.key).replace("\r\n", "\n").replace("\r", "\n")


def _value(control: Control, text: str) -> Any:
    """Return what a text says, which is not empty unless the value may be null.

    Raises:
        ValueError: If it is none of the control's kind; the message says what it should be.
    """
    match control.kind:
        case Kind.TICK:
            return text == "true"
        case _ if not text.strip():
            return None
        case Kind.INTEGER:
            if not _INTEGER.fullmatch(text.strip()) or not SMALLEST <= int(text) <= LARGEST:
                raise ValueError("has to be a whole number, as 12")
            return int(text)
        case Kind.NUMBER:
            return _number(text.strip())
        case Kind.CHOICE:
            if text not in dict(control.options):
                raise ValueError("is none of the choices")
            return json.loads(text)
        case Kind.JSON:
            return _json(text)
    return text


def _number(text: str) -> int | float:
    if _INTEGER.fullmatch(text) and SMALLEST <= int(text) <= LARGEST:
        return int(text)
    if not _NUMBER.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError("has to be a number, as 12.5")
    return value


def _json(text: str) -> Any:
    try:
        return read_json(text.encode(), subject="This")
    except ProblemError as error:
        faults = [f"{fault['field']}: {fault['message']}" for fault in error.problem.more.get("errors", ())]
        raise ValueError("; ".join(faults).removeprefix(": ") or error.problem.detail) from None


def _owner(path: str, controls: Sequence[Control]) -> tuple[str | None, str]:
    """Return the control that a fault belongs to, None for none of them, and where in its value it is."""
    names = {control.name for control in controls}
    if WHOLE in names:
        return WHOLE, path
    fitting = [name for name in names if path == name or path.startswith(f"{name}.")]
    owner = max(fitting, key=len, default=None)
    return owner, path if owner is None else path[len(owner) + 1 :]


def _field(control: Control, text: str, error: str) -> Field:
    kind, options, more = control.kind.value, control.options, {"autocomplete": "off"}
    match control.kind:
        case Kind.CHOICE:
            if text not in dict(options):
                options = ((text, _plain(text) if text else "—"), *options)
            elif control.takes_null or control.default is None:
                options = (("", "—"), *options)
        case Kind.JSON:
            kind, more = "textarea", {"spellcheck": "false"}
        case Kind.INTEGER | Kind.NUMBER:
            kind, more = "text", {**more, "inputmode": "numeric" if control.kind is Kind.INTEGER else "decimal"}
        case Kind.DATE if text and not _DATE.fullmatch(text):
            kind = "text"  # where a browser's own field would show nothing
        case Kind.TEXT if "\n" in text:
            kind = "textarea"  # a field of one line would lose the others
    return Field(control.key, control.label, kind, text, control.help, error, options, more)
