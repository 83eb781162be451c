"""Forms made from a model: what stands in their fields, and the values of what was sent.

Every value is sent as a text. Numbers and times have plain text fields: what cannot be read is shown again as it was
typed, which a browser's own number field does not allow. The model itself checks the values; here they only get their
types.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowlet.web.forms import Form
from flowlet.web.pages.controls import WHOLE, Control, Kind, controls, plain
from flowlet.web.parsing import LARGEST, SMALLEST, read_json
from flowlet.web.problems import ProblemError

__all__ = ["Control", "Field", "Sent", "controls", "fields", "read", "texts"]

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"[-+]?[0-9]{0,40}\.?[0-9]{1,40}(?:[eE][-+]?[0-9]{1,3})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


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
        takes_null = control.takes_null and control.default != ""
        if text.strip() == "" and not (takes_null or control.kind is Kind.TICK):
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


def _text(control: Control, value: Any) -> str:
    """Return a value as it stands in its field, where a browser leaves it as it is."""
    if control.kind in (Kind.JSON, Kind.CHOICE):
        indent = 2 if isinstance(value, dict | list) and value else None
        text = "" if value is None else json.dumps(value, ensure_ascii=False, indent=indent)
    elif control.kind is Kind.TICK:
        text = "true" if value is True else ""
    else:
        text = "" if value is None else plain(value)
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
                options = ((text, plain(text) if text else "—"), *options)
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
