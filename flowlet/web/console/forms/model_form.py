"""Forms made from a model: the texts in their fields, and the values that they send.

Every value is sent as text. Numbers and times have plain text fields: an entry that cannot be parsed is shown again as
typed, which a browser's own number field does not allow. The model itself validates the values; here they only get
their types.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowlet.instance.json_text import MAX_DIGITS
from flowlet.web.console.forms.controls import WHOLE_OBJECT, Control, ControlKind, build_controls, format_plain_value
from flowlet.web.forms import Form
from flowlet.web.parsing import parse_json
from flowlet.web.problems import ProblemError

__all__ = [
    "Control",
    "FormField",
    "FormSubmission",
    "build_controls",
    "build_fields",
    "format_initial_texts",
    "read_submission",
]

_INTEGER_PATTERN = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}", re.ASCII)
_NUMBER_PATTERN = re.compile(r"[-+]?[0-9]{0,40}\.?[0-9]{1,40}(?:[eE][-+]?[0-9]{1,3})?")
_DATE_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class FormField:
    """A control as a page shows it.

    Attributes:
        text: The text in it.
        kind: The macro or the input type that shows it: "textarea", "choice", "checkbox", or a type.
        options: For a choice, with the current value, and with an empty one if null is allowed.
        attributes: Further attributes.
    """

    input_name: str
    label: str
    kind: str
    text: str
    help: str
    error: str
    options: tuple[tuple[str, str], ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FormSubmission:
    """The values that a form sent.

    Attributes:
        values: The values, by name.
        emptied_fields: Names of fields that were left empty: they get the model's default.
        faults: The fault of each field, by name.
        texts: The entered texts, by name, to be shown again.
        is_whole_object: Whether the values were sent as one object, which replaces all variables.
    """

    values: dict[str, Any]
    emptied_fields: tuple[str, ...]
    faults: dict[str, str]
    texts: dict[str, str]
    is_whole_object: bool = False


def format_initial_texts(controls: Sequence[Control], values: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the initial text of each control.

    Args:
        controls: The form's controls.
        values: The values to edit; None for a new form, which gets the defaults.
    """
    if values is None:
        return {control.name: _format_value(control, control.default) for control in controls}
    return {
        control.name: _format_value(control, dict(values) if control.name == WHOLE_OBJECT else values.get(control.name))
        for control in controls
    }


def read_submission(
    controls: Sequence[Control], form: Form, *, edited_values: Mapping[str, Any] | None = None
) -> FormSubmission:
    """Return the values that a form sends.

    An empty field is null if the value may be null; otherwise the model's default applies.

    Args:
        controls: The form's controls.
        form: The form that was sent.
        edited_values: The values before the edit. Fields with an unchanged text are left out: a text field cannot
            distinguish 1 from 1.0, or a missing value from an empty string.

    Raises:
        ProblemError: 400 if a field was sent more than once.
    """
    sent = FormSubmission({}, (), {}, {control.name: _read_text(control, form) for control in controls})
    before = format_initial_texts(controls, edited_values) if edited_values is not None else {}
    emptied = []
    for control in controls:
        text = sent.texts[control.name]
        if before.get(control.name) == text:
            continue
        takes_null = control.takes_null and control.default != ""
        if text.strip() == "" and not (takes_null or control.kind is ControlKind.CHECKBOX):
            emptied.append(control.name)
            continue
        try:
            sent.values[control.name] = _parse_value(control, text)
        except ValueError as error:
            sent.faults[control.name] = str(error)
    whole = sent.values.pop(WHOLE_OBJECT, None)
    if isinstance(whole, dict):
        sent.values.update(whole)
    elif whole is not None:
        sent.faults[WHOLE_OBJECT] = "Enter a JSON object: {…}"
    return FormSubmission(sent.values, tuple(emptied), sent.faults, sent.texts, isinstance(whole, dict))


def build_fields(
    controls: Sequence[Control], texts: Mapping[str, str], faults: Mapping[str, str] | None = None
) -> tuple[list[FormField], list[str]]:
    """Return the fields of a form as a page shows them, and the faults that belong to no field.

    Args:
        controls: The form's controls.
        texts: The text in each field, by name.
        faults: The faults, by path such as ``items.0.sku``.
    """
    messages: dict[str | None, list[str]] = {}
    for path, fault in (faults or {}).items():
        owner, below = _find_fault_owner(path, controls)
        messages.setdefault(owner, []).append(f"{below}: {fault}" if below else fault)
    own = [
        _build_field(control, texts.get(control.name, ""), "; ".join(messages.pop(control.name, ())))
        for control in controls
    ]
    return own, [fault for rest in messages.values() for fault in rest]


def _format_value(control: Control, value: Any) -> str:
    """Return a value as the text of its field, in a form that browsers do not change."""
    if control.kind in (ControlKind.JSON, ControlKind.CHOICE):
        indent = 2 if isinstance(value, dict | list) and value else None
        text = "" if value is None else json.dumps(value, ensure_ascii=False, indent=indent)
    elif control.kind is ControlKind.CHECKBOX:
        text = "true" if value is True else ""
    else:
        text = "" if value is None else format_plain_value(value)
    return "\n".join(text.split("\r\n")).replace("\r", "\n")


def _read_text(control: Control, form: Form) -> str:
    return form.get_text(control.input_name).replace("\r\n", "\n").replace("\r", "\n")


def _parse_value(control: Control, text: str) -> Any:
    """Return the value of a text; an empty text is None.

    Raises:
        ValueError: If the text is not of the control's kind; the message says what to enter.
    """
    match control.kind:
        case ControlKind.CHECKBOX:
            return text == "true"
        case _ if not text.strip():
            return None
        case ControlKind.INTEGER:
            if not _INTEGER_PATTERN.fullmatch(text.strip()):
                raise ValueError("Enter a whole number, e.g. 12")
            return int(text)
        case ControlKind.NUMBER:
            return _parse_number(text.strip())
        case ControlKind.CHOICE:
            if text not in dict(control.options):
                raise ValueError("Choose one of the options")
            return json.loads(text)
        case ControlKind.JSON:
            return _parse_json(text)
    return text


def _parse_number(text: str) -> int | float:
    if _INTEGER_PATTERN.fullmatch(text):
        return int(text)
    if not _NUMBER_PATTERN.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError("Enter a number, e.g. 12.5")
    return value


def _parse_json(text: str) -> Any:
    try:
        return parse_json(text.encode(), subject="This")
    except ProblemError as error:
        faults = [f"{fault['field']}: {fault['message']}" for fault in error.problem.extensions.get("errors", ())]
        raise ValueError("; ".join(faults).removeprefix(": ") or error.problem.detail) from None


def _find_fault_owner(path: str, controls: Sequence[Control]) -> tuple[str | None, str]:
    """Return the control that a fault belongs to (None if it belongs to none), and the path within its value."""
    names = {control.name for control in controls}
    if WHOLE_OBJECT in names:
        return WHOLE_OBJECT, path
    fitting = [name for name in names if path == name or path.startswith(f"{name}.")]
    owner = max(fitting, key=len, default=None)
    return owner, path if owner is None else path[len(owner) + 1 :]


def _build_field(control: Control, text: str, error: str) -> FormField:
    kind, options, more = control.kind.value, control.options, {"autocomplete": "off"}
    match control.kind:
        case ControlKind.CHOICE:
            if text not in dict(options):
                options = ((text, format_plain_value(text) if text else "—"), *options)
            elif control.takes_null or control.default is None:
                options = (("", "—"), *options)
        case ControlKind.JSON:
            kind, more = "textarea", {"spellcheck": "false"}
        case ControlKind.INTEGER | ControlKind.NUMBER:
            kind, more = "text", {**more, "inputmode": "numeric" if control.kind is ControlKind.INTEGER else "decimal"}
        case ControlKind.DATE if text and not _DATE_PATTERN.fullmatch(text):
            kind = "text"  # a browser's date field would show nothing
        case ControlKind.TEXT if "\n" in text:
            kind = "textarea"  # a field of one line would drop the other lines
    return FormField(control.input_name, control.label, kind, text, control.help, error, options, more)
