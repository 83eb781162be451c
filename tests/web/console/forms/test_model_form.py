"""Forms made from models: which field each value gets, and what is read of what was typed."""

from __future__ import annotations

import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, create_model

from flowlet.web.console.forms.controls import WHOLE_OBJECT, Control, ControlKind, build_controls
from flowlet.web.console.forms.model_form import FormSubmission, build_fields, format_initial_texts, read_submission
from flowlet.web.forms import Form, parse_form
from flowlet.web.problems import ProblemError


class Colour(Enum):
    RED = "red"
    TWO = 2


class Item(BaseModel):
    sku: str = ""


class Everything(BaseModel):
    text: str
    note: str | None = None
    whole: int = Field(default=3, ge=0, le=9, title="How many", description="Of them.")
    number: float = 1.5
    price: Decimal = Decimal("1.10")
    yes: bool
    on: bool = True
    maybe: bool | None = None
    colour: Colour = Colour.RED
    other: Colour | None = None
    way: Literal["x", 2, None] = "x"
    day: datetime.date | None = None
    moment: datetime.datetime | None = None
    secret: SecretStr = SecretStr("")
    item: Item = Item()
    items: list[Item] = []
    anything: Any = None
    either: int | str = 1


class Node(BaseModel):
    name: str = ""
    below: list[Node] = []


EVERY_FIELD_CONTROLS = build_controls(Everything.model_json_schema())


def read_submitted(
    values: dict[str, str],
    form_controls: tuple[Control, ...] = EVERY_FIELD_CONTROLS,
    edited: dict[str, Any] | None = None,
) -> FormSubmission:
    """Return what is read of a form with these texts, by the names of the values."""
    body = urlencode({control.input_name: values[control.name] for control in form_controls if control.name in values})
    return read_submission(form_controls, parse_form(body.encode()), edited_values=edited)


def test_each_type_has_its_control() -> None:
    kinds = {control.name: control.kind.value for control in EVERY_FIELD_CONTROLS}

    assert kinds == {
        **dict.fromkeys(("text", "note", "price", "moment"), "text"),
        "whole": "integer",
        "number": "number",
        "on": "checkbox",
        "day": "date",
        "secret": "password",
        **dict.fromkeys(("yes", "maybe", "colour", "other", "way"), "choice"),
        **dict.fromkeys(("item", "items", "anything", "either"), "json"),
    }


def test_labels_and_help_are_the_models() -> None:
    whole = next(control for control in EVERY_FIELD_CONTROLS if control.name == "whole")

    assert (whole.label, whole.help) == ("How many", "Of them. (default: 3; at least 0; at most 9)")
    assert next(control for control in EVERY_FIELD_CONTROLS if control.name == "text").help == "Required"
    assert next(control for control in EVERY_FIELD_CONTROLS if control.name == "colour").label == "Colour"


@pytest.mark.parametrize(
    ("name", "help_texts"),
    [
        ("item", "JSON: object {sku: string}"),
        ("items", "JSON: array of object {sku: string}"),
        ("anything", "JSON: anything"),
        ("either", "JSON: integer or string"),
    ],
)
def test_what_is_entered_as_json_says_how_it_looks(name: str, help_texts: str) -> None:
    assert next(control for control in EVERY_FIELD_CONTROLS if control.name == name).help == help_texts


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("text", " a\r\nb ", " a\nb "),
        ("note", "", None),
        ("whole", " 7 ", 7),
        ("whole", "-9223372036854775808", -(2**63)),
        ("number", "2", 2),
        ("number", "-.5e3", -500.0),
        ("price", "1.10", "1.10"),
        ("yes", "false", False),
        ("on", "true", True),
        ("on", "", False),
        ("maybe", "", None),
        ("colour", "2", 2),
        ("other", '"red"', "red"),
        ("way", "", None),
        ("day", "2026-11-24", "2026-11-24"),
        ("day", "", None),
        ("item", '{"sku": "a"}', {"sku": "a"}),
        ("items", "[]", []),
        ("anything", "null", None),
        ("anything", "", None),
        ("either", '"1"', "1"),
    ],
)
def test_what_is_typed_becomes_a_value_of_the_type(name: str, text: str, value: Any) -> None:
    found = read_submitted({name: text})

    assert (found.values[name], type(found.values[name]), found.faults) == (value, type(value), {})


def test_a_default_is_shown_where_an_empty_field_would_mean_it() -> None:
    schema = {
        "properties": {
            "size": {"type": "string", "default": "medium"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": ""},
            "amount": {"type": "integer", "default": 3, "description": "Of them."},
        }
    }
    parts = build_controls(schema)

    help_texts = [control.help for control in parts]
    found = read_submitted({"size": "", "note": "", "amount": ""}, parts)

    assert help_texts == ["Default: medium", "", "Of them. (default: 3)"]
    assert (found.values, found.emptied_fields) == ({}, ("size", "note", "amount"))


@pytest.mark.parametrize("name", ["text", "whole", "number", "price", "yes", "colour", "items"])
def test_what_is_left_empty_is_left_to_the_models_default(name: str) -> None:
    found = read_submitted({name: " "})

    assert name not in found.values
    assert name in found.emptied_fields


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("whole", "1.5", "Enter a whole number"),
        ("whole", "1" * 5000, "Enter a whole number"),
        ("whole", "١", "Enter a whole number"),
        ("number", "1e999", "Enter a number"),
        ("number", "nan", "Enter a number"),
        ("number", "1_000", "Enter a number"),
        ("colour", "green", "Choose one of the options"),
        ("colour", '"green"', "Choose one of the options"),
        ("items", "[", "This is not JSON"),
        ("items", '[{"a": 1, "a": 2}]', "0.a: is given twice"),
        pytest.param("items", "[" * 100_000, "is nested deeper than 64", id="too deep"),
        ("items", '["\\ud800"]', "0: contains half of a surrogate pair"),
        ("items", "[NaN]", "0: NaN is not JSON"),
    ],
)
def test_what_cannot_be_read_is_shown_and_kept(name: str, text: str, fault: str) -> None:
    found = read_submitted({name: text})

    assert found.faults[name].startswith(fault)
    assert found.texts[name] == text


def test_what_is_edited_and_not_touched_is_left_out() -> None:
    stored = {
        "text": "",
        "whole": "no number",
        "number": 1.0,
        "colour": "gone",
        "items": [{"b": 1, "a": 2}],
        "on": True,
        "note": "two\r\nlines",
        "item": {},
        "either": 5,
    }
    shown = format_initial_texts(EVERY_FIELD_CONTROLS, stored)

    found = read_submitted(shown | {"whole": "4"}, edited=stored)

    assert (found.values, found.emptied_fields, found.faults) == ({"whole": 4}, (), {})


def test_defaults_stand_in_a_new_form() -> None:
    shown = format_initial_texts(EVERY_FIELD_CONTROLS)

    assert (shown["whole"], shown["on"], shown["colour"], shown["price"]) == ("3", "true", '"red"', "1.10")
    assert (shown["text"], shown["note"], shown["items"]) == ("", "", "[]")


@pytest.mark.parametrize("schema", [None, {"type": "object", "additionalProperties": {"type": "integer"}}])
def test_without_fields_the_whole_is_json(schema: dict[str, Any] | None) -> None:
    parts = build_controls(schema)

    assert [(one.name, one.kind) for one in parts] == [(WHOLE_OBJECT, ControlKind.JSON)]
    assert read_submitted({WHOLE_OBJECT: '{"a": 1}'}, parts).values == {"a": 1}
    assert read_submitted({WHOLE_OBJECT: '{"a": 1}'}, parts).is_whole_object
    assert read_submitted({WHOLE_OBJECT: "[1]"}, parts).faults == {WHOLE_OBJECT: "Enter a JSON object: {…}"}
    assert read_submitted({WHOLE_OBJECT: '{"a": 1}'}, parts, {"a": 2}).values == {"a": 1}
    assert not read_submitted(format_initial_texts(parts, {"a": 1}), parts, {"a": 1}).is_whole_object


def test_a_model_without_fields_has_no_control() -> None:
    assert build_controls(create_model("Empty").model_json_schema()) == ()


def test_a_model_that_refers_to_itself_has_controls() -> None:
    name, below = build_controls(Node.model_json_schema())

    assert (name.kind, below.kind) == (ControlKind.TEXT, ControlKind.JSON)
    assert below.help.startswith("JSON: array of object {name: string, below: array of object {name: string, below: ")


def test_faults_are_shown_at_the_field_they_are_of() -> None:
    faults = {"items.0.sku": "is short", "items": "too few", "price.decimal": "no", "elsewhere": "who", "": "all"}

    shown, rest = build_fields(EVERY_FIELD_CONTROLS, format_initial_texts(EVERY_FIELD_CONTROLS), faults)

    help_texts = {one.input_name: one.error for one in shown if one.error}
    assert help_texts == {"value-items": "0.sku: is short; too few", "value-price": "decimal: no"}
    assert rest == ["elsewhere: who", "all"]


def test_what_a_browsers_own_field_would_lose_is_shown_as_text() -> None:
    shown, _ = build_fields(EVERY_FIELD_CONTROLS, {"day": "soon", "text": "a\nb", "colour": '"gone"'})

    kinds = {one.input_name: one.kind for one in shown}
    assert (kinds["value-day"], kinds["value-text"]) == ("text", "textarea")
    assert next(one for one in shown if one.input_name == "value-colour").options[0] == ('"gone"', '"gone"')


def test_a_name_with_spaces_and_signs_is_one_word_in_the_page() -> None:
    model = create_model("Odd", x=(str, Field("", alias='a "b" <c>')))
    (control,) = build_controls(model.model_json_schema())

    assert control.input_name == "value-a%20%22b%22%20%3Cc%3E"
    assert read_submitted({control.name: "y"}, (control,)).values == {'a "b" <c>': "y"}


def test_a_field_sent_twice_is_refused() -> None:
    with pytest.raises(ProblemError):
        read_submission(EVERY_FIELD_CONTROLS, Form({"value-text": ["a", "b"]}))


@given(st.dictionaries(st.sampled_from([one.name for one in EVERY_FIELD_CONTROLS]), st.text(max_size=40)))
def test_whatever_is_typed_is_a_value_a_fault_or_left_empty(typed: dict[str, str]) -> None:
    parts = [one for one in EVERY_FIELD_CONTROLS if one.name in typed]

    found = read_submission(parts, Form({one.input_name: [typed[one.name]] for one in parts}))

    assert {*found.values, *found.faults, *found.emptied_fields} == set(typed)
