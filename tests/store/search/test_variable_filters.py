"""Searching for a variable by its value, of whatever type, and by any name."""

from __future__ import annotations

from typing import Any

from flowlet.store.search.query import VariableFilter
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
VARIABLE_NAMES = ("a.b", "a b", "ä", "$", "*", "a[0]", "'", "%", "_", "0", "a'b:c")


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


async def test_an_escaped_nul_in_the_variables_of_one_does_not_spoil_the_search(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(vars={"note": "a\x00b", "sought": "x"})
    one = await store_harness.create_instance(vars={"sought": "x"})

    assert one in await store_harness.search_ids(variables=[VariableFilter("sought", "x")])


async def test_a_text_that_is_nearly_a_number_is_looked_for_as_a_text(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(vars={"v": None})

    for value in NUMBER_LIKE_TEXTS:
        one = await store_harness.create_instance(vars={"v": value})

        assert await store_harness.search_ids(variables=[VariableFilter("v", value)]) == [one], value
