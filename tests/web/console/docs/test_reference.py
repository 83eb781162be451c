"""The reference is made of any OpenAPI document: what it says is shown, whatever it says."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowlet.web.console.docs.curl_command import build_curl_command, build_example
from flowlet.web.console.docs.reference import ReferenceOperation, build_reference
from flowlet.web.console.json_schema_text import describe_constraints, describe_type
from flowlet.web.console.markup import insert_breaks, render_prose
from flowlet.web.openapi.docstrings import describe_properties

ITEM_SCHEMA = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}

TYPE_CASES: list[tuple[Any, str]] = [
    ({"type": "string"}, "string"),
    ({"type": ["string", "null"]}, "string or null"),
    ({"anyOf": [{"$ref": "#/components/schemas/Item"}, {"type": "null"}]}, "Item or null"),
    ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, "integer or string"),
    ({"allOf": [{"$ref": "#/components/schemas/Item"}]}, "Item"),
    ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, "array of array of number"),
    ({"type": "array"}, "array"),
    ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}, "array [string, integer]"),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, "object of integer"),
    ({"type": "object", "additionalProperties": False}, "object"),
    (ITEM_SCHEMA, "object {sku: string}"),
    ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
    ({"const": "a"}, '"a"'),
    ({}, "anything"),
    (True, "anything"),
    (False, "nothing"),
    ({"anyOf": []}, "anything"),
]


@pytest.mark.parametrize(("schema", "words"), TYPE_CASES, ids=lambda value: str(value)[:40])
def test_a_type_is_shown_in_words(schema: Any, words: str) -> None:
    assert "".join(part.text for part in describe_type(schema)) == words


def test_a_model_in_a_type_can_be_linked() -> None:
    (_, model) = describe_type({"type": "array", "items": {"$ref": "#/components/schemas/Item"}})

    assert model.model == "Item"


def test_whatever_else_has_to_hold_is_shown_once() -> None:
    schema = {
        "anyOf": [{"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 5, "format": "date"}],
        "exclusiveMaximum": 2.5,
        "minimum": 1,
        "uniqueItems": True,
        "writeOnly": False,
        "items": {"pattern": "^a"},
        "x-unit": "km",
        "title": "A title",
    }

    assert describe_constraints(schema) == [
        "at least 1",
        "less than 2.5",
        "at most 5 characters",
        "date",
        "unique items",
        'x-unit: "km"',
        "each item: matches ^a",
    ]


def build_operation(**operation: Any) -> ReferenceOperation:
    """Return the one operation of a document."""
    described = {"operationId": "orders.put order", "responses": {}, **operation}
    document = {
        "info": {"title": "Shop", "version": "1"},
        "paths": {"/api/orders/{orderId}": {"put": described}},
        "components": {
            "schemas": {"Item": ITEM_SCHEMA},
            "responses": {"404": {"description": "There is none."}},
        },
    }
    (group,) = build_reference(document).groups
    (found,) = group.operations
    return found


def test_an_operation_shows_its_role_apart_from_its_description() -> None:
    found = build_operation(description="It is put.\n\nRequires the role operator.")
    other = build_operation(description="It is put.")

    assert (found.description, found.access, found.anchor) == ("It is put.", "operator", "orders.put-order")
    assert (other.description, other.access) == ("It is put.", "")
    assert build_operation(description="Requires no authentication.").access == "public"


def test_an_operation_shows_its_parameters() -> None:
    parameter = {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer", "default": 0}}

    (field,) = build_operation(parameters=[parameter]).parameters

    assert (field.name, field.location, field.is_required, field.default) == ("limit", "query", False, "0")


def test_an_operation_shows_its_answers_and_its_errors() -> None:
    item = {"description": "OK", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}}
    responses = {"404": {"$ref": "#/components/responses/404"}, "204": {"description": "No Content"}, "200": item}

    found = build_operation(responses=responses)

    assert [(reply.status, reply.media) for reply in found.successes] == [("200", "application/json"), ("204", "")]
    assert [(reply.status, reply.description) for reply in found.errors] == [("404", "There is none.")]


ITEM_EXAMPLE = {"sku": "it's"}


@pytest.mark.parametrize(
    ("media", "expected"),
    [
        ({"schema": {"$ref": "#/components/schemas/Item"}}, {"sku": "…"}),
        ({"schema": {"$ref": "#/components/schemas/Item"}, "example": ITEM_EXAMPLE}, ITEM_EXAMPLE),
        ({"schema": {"$ref": "#/components/schemas/Item"}, "examples": {"one": {"value": ITEM_EXAMPLE}}}, ITEM_EXAMPLE),
        ({"schema": {"$ref": "#/components/schemas/Item"}, "examples": {"one": {"summary": "no value"}}}, {"sku": "…"}),
        ({"schema": {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}}, "a"),
        ({"schema": {"type": "integer", "default": 7}}, 7),
        ({}, None),
    ],
)
def test_a_body_has_an_example(media: Any, expected: Any) -> None:
    assert build_example(media, {"Item": ITEM_SCHEMA}) == expected


def test_a_model_that_holds_itself_has_an_example_too() -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}, "required": ["child"]}

    found = build_example({"schema": {"$ref": "#/components/schemas/Tree"}}, {"Tree": tree})

    assert json.dumps(found).count("child") < 10


def test_a_command_line_is_one_that_a_shell_understands() -> None:
    operation = {
        "security": [{"apiKey": []}],
        "requestBody": {"content": {"application/json": {"example": {"sku": 'it\'s $HOME; `ls` \\ "x"'}}}},
    }

    line = build_curl_command("put", "/api/orders/{orderId}", operation, {}).replace("curl", "printf '%s\\n'", 1)
    done = subprocess.run(
        ["sh", "-c", line],
        env={"URL": "http://here", "KEY": "flk_1", "ORDER_ID": "7"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == [
        "-X",
        "PUT",
        "http://here/api/orders/7",
        "-H",
        "X-API-Key: flk_1",
        "-H",
        "Content-Type: application/json",
        "-d",
        json.dumps(operation["requestBody"]["content"]["application/json"]["example"]),  # type: ignore[index]  # a literal above
    ]


def test_a_command_line_for_everybody_has_no_key() -> None:
    assert shlex.split(build_curl_command("get", "/healthz", {"security": []}, {})) == ["curl", "$URL/healthz"]


def test_what_a_docstring_says_of_attributes_is_said_of_the_properties() -> None:
    docstring = (
        "An order.\n\nAttributes:\n    order_id: Its number,\n        from 1.\n    gone: No longer there.\n\n"
        "Raises:\n    x: y"
    )
    schema = {"description": docstring, "properties": {"orderId": {"type": "integer"}, "own": {"description": "kept"}}}

    found = describe_properties(schema)

    assert found["description"] == "An order."
    assert found["properties"] == {
        "orderId": {"description": "Its number, from 1.", "type": "integer"},
        "own": {"description": "kept"},
    }
    assert describe_properties({"description": "A plain one."}) == {"description": "A plain one."}


def test_prose_sets_names_as_code_and_escapes_the_rest() -> None:
    found = render_prose("A `<b>` and\n``two``.\n\n\n<i>Next</i> `open")

    assert found == "<p>A <code>&lt;b&gt;</code> and <code>two</code>.</p><p>&lt;i&gt;Next&lt;/i&gt; `open</p>"
    assert insert_breaks("/a/<b>") == "/<wbr>a/<wbr>&lt;b&gt;"
    assert insert_breaks("OrderItem2Sent_by-post HTTP") == "Order<wbr>Item2<wbr>Sent_<wbr>by-<wbr>post HTTP"


SCHEMA_STRATEGY = st.recursive(
    st.booleans() | st.dictionaries(st.sampled_from(["type", "format", "minimum", "x"]), st.just("string")),
    lambda inner: st.fixed_dictionaries(
        {}, optional={"items": inner, "anyOf": st.lists(inner), "properties": st.dictionaries(st.text(), inner)}
    ),
)


@given(SCHEMA_STRATEGY)
def test_any_schema_is_shown(schema: Any) -> None:
    assert describe_type(schema)
    assert describe_constraints(schema) is not None
    build_example({"schema": schema}, {})
