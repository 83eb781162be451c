"""What the page of a definition says of variables and of retries, in words."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from flowlet.web.console.definition_rows import MAX_DEPTH, build_variable_rows, describe_retry
from flowlet.workflow.retry import Retry


class Price(BaseModel):
    amount: int


class Colour(Enum):
    RED = "red"
    TWO = 2


class Node(BaseModel):
    name: str = ""
    below: list[Node] = []


class Basket(BaseModel):
    prices: dict[str, Price] = {}
    pairs: list[list[Price]] = []
    tree: Node | Price | None = None


def list_paths(schema: dict[str, Any]) -> list[str]:
    return [row.path for row in build_variable_rows(schema)]


def test_models_are_found_below_lists_objects_and_unions() -> None:
    assert list_paths(Basket.model_json_schema()) == [
        "prices",
        "prices.*.amount",
        "pairs",
        "pairs[][].amount",
        "tree",
        "tree.name",
        "tree.below",
        "tree.amount",
    ]


def test_the_values_of_an_enumeration_are_shown() -> None:
    model = create_model("Paint", colour=(Colour | None, None), colours=(list[Colour], []))

    assert [row.kind for row in build_variable_rows(model.model_json_schema())] == [
        '"red" | 2 or null',
        'array of "red" | 2',
    ]


def test_a_model_that_refers_to_itself_is_unfolded_once() -> None:
    assert list_paths(Node.model_json_schema()) == ["name", "below"]


def test_models_within_models_are_unfolded_to_a_depth() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(9):
        schema = {"type": "object", "properties": {"a": schema}}

    rows = build_variable_rows(schema)

    assert [row.depth for row in rows] == list(range(MAX_DEPTH + 1))
    assert rows[-1].path == ".".join("a" * (MAX_DEPTH + 1))


@pytest.mark.parametrize(
    "schema", [{}, {"type": "object"}, {"type": "object", "properties": {}}, {"$ref": "#/$defs/no"}]
)
def test_without_fields_there_is_no_row(schema: dict[str, Any]) -> None:
    assert list_paths(schema) == []


def test_a_schema_that_is_only_true_is_anything() -> None:
    (row,) = build_variable_rows({"properties": {"a": True}, "required": ["a"]})

    assert (row.kind, row.is_required, row.default) == ("anything", True, None)


@pytest.mark.parametrize(
    ("retry", "words"),
    [
        (Retry(limit=0), "no retry"),
        (Retry(limit=1, min="1s", max="1s", backoff="linear"), "1 retry, after 1 second"),
        (Retry(limit=3, min="1h", max=timedelta(hours=1)), "3 retries, after up to 1 hour"),
        (Retry(limit=5, min="1s", max="1m", backoff="linear"), "5 retries, linear, 1 second to 1 minute"),
    ],
)
def test_a_retry_policy_is_shown_in_words(retry: Retry, words: str) -> None:
    assert describe_retry(retry) == words
