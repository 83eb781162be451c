"""Names that another version of a workflow has stored inside of variables stay there, whichever door writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from flowlet.definition.variables import diff_variables
from flowlet.instance.json_text import parse_json, write_json
from flowlet.instance.path_changes import apply_path_changes
from tests.definition.definitions import build_definition


class Item(BaseModel):
    sku: str
    count: int = 1


class Address(BaseModel):
    model_config = ConfigDict(extra="forbid")

    street: str = ""
    first_name: str = Field("", alias="firstName")


@dataclass
class Parcel:
    weight: int = 0

    @property
    def size(self) -> str:
        return "L" if self.weight > 1 else "S"


class Label(TypedDict):
    text: str


class Order(BaseModel):
    note: str = ""
    address: Address | None = None
    items: list[Item] = []
    archive: list[Item] = []
    by_name: dict[str, Item] = {}
    pair: tuple[Item, int] | None = None
    parcel: Parcel = Parcel()
    label: Label = {"text": ""}
    either: Item | Address | None = None


class ExactOrder(BaseModel):
    note: str = ""
    items: list[Item] = []


def leave(stored: dict[str, Any], change: Callable[[Any], object], *, model: type[BaseModel] = Order) -> dict[str, Any]:
    """Return the stored variables after a handler's change to a model object, and check the history's changes."""
    definition = replace(build_definition("Orders", {"first": ["done"], "done": []}), vars=model)
    text = write_json(parse_json(definition.save_vars(definition.read_vars(write_json(stored)))[0]) | stored)
    value = definition.read_vars(text)
    kept = definition.find_kept_names(text, value)
    change(value)
    saved, changes, _ = diff_variables(definition, text, value, kept=kept)
    assert saved is not None
    assert changes is not None
    assert apply_path_changes(parse_json(text), parse_json(changes)) == parse_json(saved)
    return {name: one for name, one in parse_json(saved).items() if name in stored}


ITEMS = [{"sku": "a", "count": 1, "tax": 7}, {"sku": "b", "count": 1, "tax": 19}]
STREET = {"street": "Mill Lane", "firstName": "", "geo": {"lat": 1}}


@pytest.mark.parametrize(
    ("stored", "change", "expected"),
    [
        pytest.param(
            {"note": "", "address": STREET},
            lambda order: setattr(order, "note", "changed"),
            {"note": "changed", "address": STREET},
            id="of an object that has not changed",
        ),
        pytest.param(
            {"address": STREET},
            lambda order: setattr(order.address, "street", "High Street"),
            {"address": {"street": "High Street", "firstName": "", "geo": {"lat": 1}}},
            id="of an object that has changed",
        ),
        pytest.param(
            {"address": STREET},
            lambda order: setattr(order, "address", Address(street="new", firstName="")),
            {"address": {"street": "new", "firstName": "", "geo": {"lat": 1}}},
            id="of an object that has been replaced",
        ),
        pytest.param(
            {"address": STREET},
            lambda order: setattr(order, "address", None),
            {"address": None},
            id="gone with their object",
        ),
        pytest.param(
            {"items": ITEMS},
            lambda order: order.items.append(Item(sku="c")),
            {"items": [*ITEMS, {"sku": "c", "count": 1}]},
            id="in a list that grows",
        ),
        pytest.param(
            {"items": ITEMS},
            lambda order: order.items.pop(0),
            {"items": ITEMS[1:]},
            id="in a list that shrinks",
        ),
        pytest.param(
            {"items": ITEMS},
            lambda order: order.items.reverse(),
            {"items": ITEMS[::-1]},
            id="in a list in another order",
        ),
        pytest.param(
            {"items": ITEMS},
            lambda order: setattr(order, "items", [one.model_copy(update={"count": 2}) for one in order.items]),
            {"items": [one | {"count": 2} for one in ITEMS]},
            id="in a list that is built anew, as long as before",
        ),
        pytest.param(
            {"items": ITEMS},
            lambda order: setattr(order, "items", [Item(sku="z")]),
            {"items": [{"sku": "z", "count": 1}]},
            id="not in a list that is built anew, of another length",
        ),
        pytest.param(
            {"items": ITEMS, "archive": []},
            lambda order: order.archive.append(order.items.pop()),
            {"items": ITEMS[:1], "archive": ITEMS[1:]},
            id="of an object that has moved to another list",
        ),
        pytest.param(
            {"by_name": {"x": ITEMS[0]}},
            lambda order: order.by_name.update(y=order.by_name.pop("x")),
            {"by_name": {"y": ITEMS[0]}},
            id="of an object under another name",
        ),
        pytest.param(
            {"pair": [ITEMS[0], 1]},
            lambda order: setattr(order, "pair", (order.pair[0], 2)),
            {"pair": [ITEMS[0], 2]},
            id="in a tuple",
        ),
        pytest.param(
            {"parcel": {"weight": 1, "size": "L"}},
            lambda order: setattr(order.parcel, "weight", 2),
            {"parcel": {"weight": 2, "size": "L"}},
            id="of a dataclass",
        ),
        pytest.param(
            {"label": {"colour": "red", "text": "a"}},
            lambda order: order.label.update(text="b"),
            {"label": {"colour": "red", "text": "b"}},
            id="of a TypedDict",
        ),
        pytest.param(
            {"either": ITEMS[0]},
            lambda order: setattr(order, "either", Address(street="new", firstName="")),
            {"either": {"street": "new", "firstName": ""}},
            id="not of an object that another model has replaced",
        ),
    ],
)
def test_names_that_a_model_does_not_declare_are_kept(
    stored: dict[str, Any], change: Callable[[Any], object], expected: dict[str, Any]
) -> None:
    assert leave(stored, change) == expected


def test_names_inside_of_an_exact_model_are_kept() -> None:
    stored = {"note": "", "items": ITEMS}

    assert leave(stored, lambda order: order.items.pop(0), model=ExactOrder) == {"note": "", "items": ITEMS[1:]}


def test_what_has_no_such_names_needs_no_second_look() -> None:
    definition = replace(build_definition("Orders", {"first": ["done"], "done": []}), vars=ExactOrder)
    text = write_json({"note": "", "items": [{"sku": "a", "count": 1}]})

    assert definition.find_kept_names(text, definition.read_vars(text)) is None
