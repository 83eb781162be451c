"""Searching by the beginning of a name: its letters, its bounds, and pages of what has very many."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flowlet.clock import VirtualClock
from flowlet.errors import SearchError
from flowlet.instances import Status
from flowlet.store import prefixes
from flowlet.store.opening import open_store
from flowlet.store.prefixes import following
from flowlet.store.search import SearchQuery
from tests.store.shelf import NOW, Shelf

LAST = chr(0x10FFFF)
NAMES = (
    *("%", "%a", "a%", "aa", "a_", "a_b", "ab", "a", "!", "!%", "a!", "[a-z]", "[a-z]1", "b", "B", "A", "Ab"),
    *("\\", "\\\\", "a\\", "a'", "a'; --", ":id", ":id1", "id", "?", "$1", "{}"),
    *("order", "orders", "order𝄞", f"order{LAST}", "order\uffff", "order\u3042", "order\x01", "order\t", "order z"),
    *("ordes", "orde", "orde\x01", "order𝄞1", "order𝄢", "orderä", "Order"),
    *("a\ud7ff", "a\ud7ffz", "a\ue000", LAST, LAST * 2, f"{LAST}a", "\uffff"),
    *("a ", "a b", "a\x01", "b\x01", "b ", "é", "éa", "e", "e\u0301", "É", "ß", "ss", "𝄞", "x" * 255),
)
PREFIXES = (
    *("%", "a_", "!", "[a-z]", "\\", "a'", ":id", "?", "$1", "{", "order", "order𝄞", "a\ud7ff", LAST, "a ", "a", "b"),
    *("é", "e", "s", "ß", "𝄞", "A", "\uffff", "x" * 255),
)


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Shelf]:
    async with open_store(database_url, clock=VirtualClock()) as store:
        yield Shelf(store)


@pytest.fixture(params=["few", "many"])
def fitting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Look names up by their index, or, as if very many fitted, walk through the instances."""
    if request.param == "many":
        monkeypatch.setattr(prefixes, "FEW", 0)
    return str(request.param)


@pytest.mark.usefixtures("fitting")
async def test_a_beginning_finds_external_ids_and_business_keys_newest_first(shelf: Shelf) -> None:
    first = await shelf.put(external_id="shop-12")
    second = await shelf.put(external_id="other", business_key="shop-1")
    for name in ("Shop-1", "sho", "a shop-1", "shop"):
        await shelf.put(external_id=name)

    assert await shelf.ids(prefix="shop-1") == [second, first]
    assert await shelf.ids(prefix="shop-12") == [first]
    assert await shelf.ids(prefix="shop-123") == []


@pytest.mark.usefixtures("fitting")
async def test_a_beginning_is_compared_letter_by_letter(shelf: Shelf) -> None:
    made = [shelf.new(external_id=f"#{place}", business_key=name) for place, name in enumerate(NAMES)]
    await shelf.store.instances.create(made, now=NOW)

    for prefix in PREFIXES:
        found = await shelf.search(prefix=prefix)

        names = sorted(instance.business_key for instance in found.instances)
        assert names == sorted(name for name in NAMES if name.startswith(prefix)), ascii(prefix)
        assert names, ascii(prefix)


@pytest.mark.usefixtures("fitting")
async def test_a_beginning_is_joined_with_other_names_by_or_and_with_the_rest_by_and(shelf: Shelf) -> None:
    one, other, third = [await shelf.put(external_id=name) for name in ("shop-1", "shop-2", "else")]
    await shelf.put(external_id="nothing")
    failed = await shelf.put(external_id="shop-3", status=Status.FAILED)

    assert await shelf.ids(prefix="shop-", id=third) == [failed, third, other, one]
    assert await shelf.ids(prefix="shop-1", external_id="else") == [third, one]
    assert await shelf.ids(prefix="unknown", id=third) == [third]
    assert await shelf.ids(prefix="shop-", status="FAILED") == [failed]


@pytest.mark.usefixtures("fitting")
async def test_an_instance_without_a_business_key_does_not_begin_with_anything(shelf: Shelf) -> None:
    await shelf.put(external_id="a", business_key="")

    assert await shelf.ids(prefix=" ") == []


@pytest.mark.usefixtures("fitting")
@pytest.mark.parametrize("order_by", ["id", "created", "modified"])
async def test_pages_of_a_beginning_miss_nothing_while_rows_come(shelf: Shelf, order_by: str) -> None:
    wanted = [await shelf.put(external_id=f"shop-{number}", created=number // 2) for number in range(7)]
    await shelf.put(external_id="else")
    found: list[int] = []
    cursor = None

    while True:
        page = await shelf.search(prefix="shop-", limit=2, cursor=cursor, order_by=order_by)
        found += [instance.id for instance in page.instances]
        assert page.total >= 7
        cursor = page.next_cursor
        if cursor is None:
            break
        await shelf.put(external_id=f"shop-new-{len(found)}", created=99)

    assert found == sorted(wanted, reverse=True)


def test_what_follows_a_beginning_is_beyond_all_that_begins_so() -> None:
    assert following("ab") == "ac"
    assert following("a\ud7ff") == "a\ue000"
    assert following(f"a{LAST}") == "b"
    assert following(LAST) > LAST * 255


@pytest.mark.parametrize("prefix", ["", "x" * 256, "a\x00", "\ud800"])
def test_a_beginning_that_no_name_can_have_is_refused(prefix: str) -> None:
    with pytest.raises(SearchError) as raised:
        SearchQuery(prefix=prefix)

    assert list(raised.value.faults) == ["prefix"]
