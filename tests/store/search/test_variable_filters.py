"""Searching for a variable by its value, of whatever type, and by any name."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet.errors import SearchError
from flowlet.store.search.query import SearchQuery, VariableFilter, parse_variable_filter
from tests.store.store_harness import StoreHarness

EQUAL_VALUES: tuple[tuple[Any, Any], ...] = (
    ("glass", "glass"),
    ("3", "3"),
    (3, "3"),
    (3, 3),
    (3, 3.0),
    (3.0, 3),
    (3.0, "3"),
    (-1.5, "-1.5"),
    (0.30000000000000004, 0.30000000000000004),
    (1e-7, 1e-7),
    (9_007_199_254_740_993, 9_007_199_254_740_993),
    (True, "true"),
    (True, True),
    (False, False),
    (None, None),
    (None, "null"),
    ("", ""),
    ('a "quoted"\\ text\n', 'a "quoted"\\ text\n'),
    ("ä𝄞", "ä𝄞"),
    ("100%_!", "100%_!"),
    ("[1]", "[1]"),
)
"""Stored values, and by what each is found."""
UNEQUAL_VALUES: tuple[tuple[Any, Any], ...] = (
    ("Glass", "glass"),
    ("glasses", "glass"),
    (33, 3),
    ("3", 3),
    (1, True),
    (True, 1),
    ("true", True),
    (None, False),
    (["glass"], "glass"),
    ({"sought": "glass"}, "glass"),
    ([1], "[1]"),
    (0.3, 0.30000000000000004),
    ("a", "ä"),
    ("_", "%"),
)
"""Stored values, and by what each is not found."""
NUMBER_LIKE_TEXTS = ("1e999", "-1e999", "NaN", "1e400", "99999999999999999999999", "[" * 2_000, "0x1", " ")
VARIABLE_NAMES = ("a..b", "a.c", ".", "a b", "ä", "$", "*", "a[0]", "'", "%", "_", "0", "a'b:c")


async def test_a_variable_is_found_by_its_value(store_harness: StoreHarness) -> None:
    for place, (stored, sought) in enumerate(EQUAL_VALUES):
        one = await store_harness.create_instance(
            vars={"before": [1, {f"v{place}": "x"}], f"v{place}": stored, "after": 1}
        )

        assert await store_harness.search_ids(variables=[VariableFilter(f"v{place}", sought)]) == [one], (
            stored,
            sought,
        )


async def test_a_variable_of_another_value_is_not_found(store_harness: StoreHarness) -> None:
    for place, (stored, sought) in enumerate(UNEQUAL_VALUES):
        await store_harness.create_instance(vars={f"v{place}": stored, "other": "glass"})

        assert await store_harness.search_ids(variables=[VariableFilter(f"v{place}", sought)]) == [], (stored, sought)


async def test_a_variable_that_is_missing_or_deeper_is_not_found(store_harness: StoreHarness) -> None:
    await store_harness.create_instance()
    await store_harness.create_instance(vars={"other": {"sought": None}})

    assert await store_harness.search_ids(variables=[VariableFilter("sought", None)]) == []
    assert await store_harness.search_ids(variables=[VariableFilter("sought", "null")]) == []


async def test_a_variable_of_any_name_is_found(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(vars={"b": "glass", "a": {"b": "glass", "b:c": "glass"}, "y": "glass"})

    for name in VARIABLE_NAMES:
        one = await store_harness.create_instance(vars={name: "glass", "x": "glass"})

        assert await store_harness.search_ids(variables=[VariableFilter(name, "glass")]) == [one], name


async def test_a_value_within_a_variable_is_found_by_its_path(store_harness: StoreHarness) -> None:
    nested = {"a": {"b": {"c": 3}, "flag": True}, "items": [{"sku": "A-1"}, {"sku": "B-2"}], "tags": ["new", "gift"]}
    one = await store_harness.create_instance(vars=nested)
    dotted = await store_harness.create_instance(vars={"a.b.c": 3, "sku": "B-2", "c": 3, "1": "gift"})
    await store_harness.create_instance(vars={"a": {"b": 3}, "c": 3, "items": {"sku": "B-2"}, "tags": "gift"})

    async def search(name: str, value: Any) -> list[int]:
        return sorted(await store_harness.search_ids(variables=[VariableFilter(name, value)]))

    assert await search("a.b.c", "3") == [one, dotted]
    assert await search("a.flag", True) == await search("items.1.sku", "B-2") == await search("tags.1", "gift") == [one]
    for name in (".".join("a" * 31), ".".join("a" * 32), "tags.-1", "tags.-1>=", "tags.+1>=", "a.-x"):
        assert await search(name, "gift") == [], name
    assert await search("items.2.sku", "B-2") == await search("a.b", 4) == await search("a.b.", 3) == []


async def test_a_range_finds_numbers_and_texts_on_its_side(store_harness: StoreHarness) -> None:
    values = (99.5, 100, 1e3, "1000", "2026-11-24", "2026-12-01 x", True, None, [200], {"amount": 500})
    ids = [await store_harness.create_instance(vars={"amount": value}) for value in values]

    async def search(name: str, value: Any) -> list[int]:
        found = await store_harness.search_ids(variables=[VariableFilter(name, value)])
        return sorted(ids.index(id) for id in found)

    assert await search("amount>=", 100) == await search("amount >=", "100") == [1, 2]
    assert await search("amount>", 100) == [2]
    assert await search("amount<", 100) == await search("amount<", "1e2") == [0]
    assert await search("amount<=", 100.0) == [0, 1]
    assert await search("amount>=", "2026-11-24") == [4, 5]
    assert await search("amount<", "2026-12") == [3, 4]
    assert await search("amount.amount>", 499) == [9]
    with pytest.raises(SearchError, match="a number or a text"):
        await search("amount>", None)


def test_a_name_that_begins_with_a_minus_is_refused() -> None:
    with pytest.raises(SearchError, match="begins with a minus"):
        SearchQuery(variables=[VariableFilter("-x", 3)])


def test_a_name_with_too_many_dots_is_no_path() -> None:
    deep, deeper = ".".join("a" * 31), ".".join("a" * 32)

    assert VariableFilter(deep, 3).paths == ((deep,), ("a",) * 31)
    assert VariableFilter(deeper, 3).paths == ((deeper,),)


def test_a_condition_is_read_as_people_write_it() -> None:
    read = {
        "amount=3": VariableFilter("amount", "3"),
        " amount >= 3 ": VariableFilter("amount>=", "3"),
        "due<2026-11-24": VariableFilter("due<", "2026-11-24"),
        "text=a=b>c": VariableFilter("text", "a=b>c"),
        "name ~ a=b~c": VariableFilter("name~", "a=b~c"),
        "amount": None,
        ">=3": None,
    }
    assert {text: parse_variable_filter(text) for text in read} == read


async def test_an_escaped_nul_in_the_variables_of_one_does_not_spoil_the_search(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(vars={"note": "a\x00b", "sought": "x"})
    one = await store_harness.create_instance(vars={"sought": "x"})

    assert one in await store_harness.search_ids(variables=[VariableFilter("sought", "x")])


async def test_numbers_of_any_size_are_compared(store_harness: StoreHarness) -> None:
    huge = await store_harness.create_instance(vars={"amount": 10**400})
    small = await store_harness.create_instance(vars={"amount": 5})

    async def search(name: str, value: Any) -> list[int]:
        return sorted(await store_harness.search_ids(variables=[VariableFilter(name, value)]))

    assert await search("amount>=", 6) == [huge]
    assert await search("amount<", 10**300) == [small]
    assert await search("amount<", 10**399) == [small]


async def test_deep_variables_of_one_do_not_spoil_the_search(store_harness: StoreHarness) -> None:
    deep: Any = "x"
    for _ in range(60):
        deep = {"a": deep}
    await store_harness.create_instance(vars={"deep": deep, "sought": "x"})
    one = await store_harness.create_instance(vars={"sought": "x"})

    for name in ("sought", "sought>=", "sought~"):
        assert one in await store_harness.search_ids(variables=[VariableFilter(name, "x")])


async def test_a_text_that_is_nearly_a_number_is_looked_for_as_a_text(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(vars={"v": None})

    for value in NUMBER_LIKE_TEXTS:
        one = await store_harness.create_instance(vars={"v": value})

        assert await store_harness.search_ids(variables=[VariableFilter("v", value)]) == [one], value


async def test_a_part_of_a_text_is_found_in_any_case(store_harness: StoreHarness) -> None:
    values = ("Acme Ltd", "ACME", "100%_!", "100 x", 'a "b"\\ c\nd', 42, ["acme"], {"of": "acme"}, None, "Ä")
    ids = [await store_harness.create_instance(vars={"customer": value, "other": "acme 42"}) for value in values]

    async def search(name: str, value: Any) -> list[int]:
        found = await store_harness.search_ids(variables=[VariableFilter(name, value)])
        return sorted(ids.index(id) for id in found)

    assert await search("customer~", "acme") == await search("customer ~", "CME") == [0, 1]
    assert await search("customer~", "ME L") == [0]
    assert await search("customer~", "%_") == await search("customer~", "%_!") == [2]
    assert await search("customer~", "_") == [2]
    assert await search("customer~", '"B"\\') == await search("customer~", "C\nd") == [4]
    assert await search("customer~", "Ä") == [9]
    assert await search("customer.of~", "ACME") == [7]
    assert await search("customer~", "42") == await search("Customer~", "acme") == await search("customer~", "z") == []


async def test_an_escaped_nul_does_not_spoil_the_search_for_a_part(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(vars={"note": "a\x00b", "sought": "xyz"})
    one = await store_harness.create_instance(vars={"sought": "xyz"})

    assert one in await store_harness.search_ids(variables=[VariableFilter("sought~", "Y")])


@pytest.mark.parametrize("variable", [VariableFilter("a~", ""), VariableFilter("a~", 3), VariableFilter("~", "x")])
def test_a_part_has_to_be_a_text(variable: VariableFilter) -> None:
    with pytest.raises(SearchError, match="a name and a text"):
        SearchQuery(variables=[variable])
