"""What differs between two versions of a definition, in words and by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowlet.definition.registry import Registry
from flowlet.definition.versions.differences import DefinitionDifference, compare_documents
from flowlet.definition.versions.merged import merge_versions
from flowlet.definition.versions.schema_fields import flatten_schema
from flowlet.instance.json_text import parse_json, write_json
from tests.engine.gates.shop_versions import FIRST_VERSION, load_version

SECOND_VERSION = (
    FIRST_VERSION.replace("version=1", "version=2")
    .replace("    amount: int = 1", "    amount: float = 2\n    customer: str")
    .replace(
        '@state(next=["sign"])\nasync def pay',
        '@state(next=["sign"], timeout="5s", renamed_from="pay")\nasync def charge',
    )
    .replace('next=["pay"]', 'next=["charge", "done"]')
    .replace("return pay", "return charge")
    .replace('@manual(next=["done"])', '@manual(next={"refused": "No"}, deadline="1 day", on_deadline="refused")')
    .replace("done = end()", "done = end()\nrefused = end()")
)


def build_document(folder: Path, text: str) -> dict[str, Any]:
    document: dict[str, Any] = parse_json(write_json(Registry().add(load_version(folder, text)).to_json()))
    return document


def compare(folder: Path, old: str, new: str) -> DefinitionDifference:
    return compare_documents(build_document(folder / "old", old), build_document(folder / "new", new))


def test_every_difference_is_said_once(tmp_path: Path) -> None:
    found = compare(tmp_path, FIRST_VERSION, SECOND_VERSION)

    assert [change.text for change in found.changes] == [
        "version 1 becomes 2",
        "state 'refused' (end) is added",
        "state 'pay' is now called 'charge'",
        "state 'charge': timeout none becomes 5 s",
        "state 'sign': deadline none becomes 86400 s",
        "state 'sign': state after the deadline none becomes 'refused'",
        "transition check -> done is added",
        "transition sign -> refused is added",
        "transition sign -> done is removed",
        "variable 'amount': integer, by default 1 becomes number, by default 2",
        "variable 'customer' is added: string, required",
    ]
    assert found.added_states == {"refused"}
    assert not found.removed_states
    assert found.renamed_states == {"charge": "pay"}
    assert found.changed_states == {"charge", "sign"}


def test_what_was_added_was_removed_in_the_other_direction(tmp_path: Path) -> None:
    there, back = compare(tmp_path, FIRST_VERSION, SECOND_VERSION), compare(tmp_path, SECOND_VERSION, FIRST_VERSION)

    assert back.removed_states == {"refused", "charge"}
    assert back.added_states == {"pay"}
    assert there.added_transitions == {("check", "done"), ("sign", "refused")}
    assert ("sign", "refused") in back.removed_transitions


def test_descriptions_and_lines_are_no_difference(tmp_path: Path) -> None:
    moved = FIRST_VERSION.replace("Take an order.", "Take any order.").replace("class Order", "\n\nclass Order")

    assert compare(tmp_path, FIRST_VERSION, moved).changes == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version=1", "version=1, priority=3", "priority 0 becomes 3"),
        ("version=1", "version=1, group='night'", "executor group 'default' becomes 'night'"),
        ("version=1", "version=1, loop_limit=9", "loop limit 10000 becomes 9"),
        ('@manual(next=["done"])', '@state(next=["done"])', "state 'sign': kind 'manual' becomes 'normal'"),
        ('next=["done"]', 'next={"done": "Yes"}', "transition sign -> done: label '' becomes 'Yes'"),
        (
            '@state(next=["sign"])',
            '@state(next=["sign", "done"], on_error="done")',
            "state 'pay': state after an error none becomes 'done'",
        ),
    ],
)
def test_each_policy_is_compared(tmp_path: Path, old: str, new: str, said: str) -> None:
    found = compare(tmp_path, FIRST_VERSION, FIRST_VERSION.replace(old, new))

    assert said in [change.text for change in found.changes]


def test_the_picture_has_the_states_and_transitions_of_both(tmp_path: Path) -> None:
    old, new = build_document(tmp_path / "old", SECOND_VERSION), build_document(tmp_path / "new", FIRST_VERSION)

    merged = merge_versions(old, new, compare_documents(old, new))

    assert list(merged.states) == ["check", "pay", "sign", "done", "charge", "refused"]
    assert merged.states["check"].targets == ("pay", "charge", "done")
    assert merged.states["charge"].targets == ("sign",)


def test_fields_of_nested_models_have_paths_and_a_model_may_contain_itself() -> None:
    schema = {
        "$defs": {
            "Node": {
                "title": "Node",
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
            },
            "Item": {"title": "Item", "properties": {"sku": {"type": "string"}}, "required": ["sku"]},
            "Way": {"enum": ["a", "b"]},
        },
        "properties": {
            "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
            "by_key": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Item"}},
            "node": {"$ref": "#/$defs/Node"},
            "way": {"$ref": "#/$defs/Way", "default": "a"},
            "fixed": {"const": 3},
        },
    }

    fields = flatten_schema(schema)

    described = {path: field.describe() for path, field in fields.items() if path.count("next") < 2}
    assert described == {
        "items": "list of Item",
        "items.*.sku": "string, required",
        "by_key": "object",
        "by_key.*.sku": "string, required",
        "node": "Node",
        "node.next": "Node | null",
        "way": '"a" | "b", by default "a"',
        "fixed": "3",
    }
