"""Searching by the beginning of a name: its letters, its bounds, and pages of what has very many."""

from __future__ import annotations

import pytest

from flowlet.errors import SearchError
from flowlet.instance.instance import Status
from flowlet.store.dialects.prefix_range import compute_prefix_end
from flowlet.store.search import prefix as prefix_search
from flowlet.store.search.query import SearchQuery
from tests.store.store_harness import NOW, StoreHarness

LAST_CHARACTER = chr(0x10FFFF)
NAMES = (
    *("%", "%a", "a%", "aa", "a_", "a_b", "ab", "a", "!", "!%", "a!", "[a-z]", "[a-z]1", "b", "B", "A", "Ab"),
    *("\\", "\\\\", "a\\", "a'", "a'; --", ":id", ":id1", "id", "?", "$1", "{}"),
    *(
        "order",
        "orders",
        "order𝄞",
        f"order{LAST_CHARACTER}",
        "order\uffff",
        "order\u3042",
        "order\x01",
        "order\t",
        "order z",
    ),
    *("ordes", "orde", "orde\x01", "order𝄞1", "order𝄢", "orderä", "Order"),
    *("a\ud7ff", "a\ud7ffz", "a\ue000", LAST_CHARACTER, LAST_CHARACTER * 2, f"{LAST_CHARACTER}a", "\uffff"),
    *("a ", "a b", "a\x01", "b\x01", "b ", "é", "éa", "e", "e\u0301", "É", "ß", "ss", "𝄞", "x" * 255),
)
HOSTILE_PREFIXES = (
    *(
        "%",
        "a_",
        "!",
        "[a-z]",
        "\\",
        "a'",
        ":id",
        "?",
        "$1",
        "{",
        "order",
        "order𝄞",
        "a\ud7ff",
        LAST_CHARACTER,
        "a ",
        "a",
        "b",
    ),
    *("é", "e", "s", "ß", "𝄞", "A", "\uffff", "x" * 255),
)


@pytest.fixture(params=["few", "many"])
def lookup_strategy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Look names up by their index, or, as if very many fitted, walk through the instances."""
    if request.param == "many":
        monkeypatch.setattr(prefix_search, "MAX_INDEXED_MATCHES", 0)
    return str(request.param)


@pytest.mark.usefixtures("lookup_strategy")
async def test_a_beginning_finds_external_ids_and_business_keys_newest_first(store_harness: StoreHarness) -> None:
    first = await store_harness.create_instance(external_id="shop-12")
    second = await store_harness.create_instance(external_id="other", business_key="shop-1")
    for name in ("Shop-1", "sho", "a shop-1", "shop"):
        await store_harness.create_instance(external_id=name)

    assert await store_harness.search_ids(prefix="shop-1") == [second, first]
    assert await store_harness.search_ids(prefix="shop-12") == [first]
    assert await store_harness.search_ids(prefix="shop-123") == []


@pytest.mark.usefixtures("lookup_strategy")
async def test_a_beginning_is_compared_letter_by_letter(store_harness: StoreHarness) -> None:
    made = [
        store_harness.build_new_instance(external_id=f"#{place}", business_key=name) for place, name in enumerate(NAMES)
    ]
    await store_harness.store.instances.create(made, now=NOW)

    for prefix in HOSTILE_PREFIXES:
        found = await store_harness.search_instances(prefix=prefix)

        names = sorted(instance.key for instance in found.instances)
        assert names == sorted(name for name in NAMES if name.startswith(prefix)), ascii(prefix)
        assert names, ascii(prefix)


@pytest.mark.usefixtures("lookup_strategy")
async def test_a_beginning_is_joined_with_other_names_by_or_and_with_the_rest_by_and(
    store_harness: StoreHarness,
) -> None:
    one, other, third = [await store_harness.create_instance(external_id=name) for name in ("shop-1", "shop-2", "else")]
    await store_harness.create_instance(external_id="nothing")
    failed = await store_harness.create_instance(external_id="shop-3", status=Status.FAILED)

    assert await store_harness.search_ids(prefix="shop-", id=third) == [failed, third, other, one]
    assert await store_harness.search_ids(prefix="shop-1", external_id="else") == [third, one]
    assert await store_harness.search_ids(prefix="unknown", id=third) == [third]
    assert await store_harness.search_ids(prefix="shop-", status="FAILED") == [failed]


@pytest.mark.usefixtures("lookup_strategy")
async def test_an_instance_without_a_business_key_does_not_begin_with_anything(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(external_id="a", business_key="")

    assert await store_harness.search_ids(prefix=" ") == []


@pytest.mark.usefixtures("lookup_strategy")
@pytest.mark.parametrize("order_by", ["id", "created", "modified"])
async def test_pages_of_a_beginning_miss_nothing_while_rows_come(store_harness: StoreHarness, order_by: str) -> None:
    wanted = [
        await store_harness.create_instance(external_id=f"shop-{number}", created=number // 2) for number in range(7)
    ]
    await store_harness.create_instance(external_id="else")
    found: list[int] = []
    cursor = None

    while True:
        page = await store_harness.search_instances(prefix="shop-", limit=2, cursor=cursor, order_by=order_by)
        found += [instance.id for instance in page.instances]
        assert page.total >= 7
        cursor = page.next_cursor
        if cursor is None:
            break
        await store_harness.create_instance(external_id=f"shop-new-{len(found)}", created=99)

    assert found == sorted(wanted, reverse=True)


def test_what_follows_a_beginning_is_beyond_all_that_begins_so() -> None:
    assert compute_prefix_end("ab") == "ac"
    assert compute_prefix_end("a\ud7ff") == "a\ue000"
    assert compute_prefix_end(f"a{LAST_CHARACTER}") == "b"
    assert compute_prefix_end(LAST_CHARACTER) > LAST_CHARACTER * 255


@pytest.mark.parametrize("prefix", ["", "x" * 256, "a\x00", "\ud800"])
def test_a_beginning_that_no_name_can_have_is_refused(prefix: str) -> None:
    with pytest.raises(SearchError) as raised:
        SearchQuery(prefix=prefix)

    assert list(raised.value.faults) == ["prefix"]
