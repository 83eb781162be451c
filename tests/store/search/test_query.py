"""Searching: every filter alone and with others, hostile values, and the bounds of a page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.errors import SearchError
from flowlet.instance.instance import NewInstance, Status
from flowlet.store.opening import open_store
from flowlet.store.search.query import MAX_COUNTED, SearchQuery, VariableFilter
from tests.store.store_harness import NOW, StoreHarness

MAX_INTEGER = 2**63 - 1
HOSTILE_TEXTS = (
    "%",
    "_",
    "!",
    "\\",
    "'",
    '"',
    "'; DROP TABLE flowlet_workflow; --",
    ":id",
    "%s",
    "{}",
    "ä𝄞",
    "[a-z]*",
    "NULL",
)


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


@pytest.fixture
async def store_harness(database_url: str) -> AsyncIterator[StoreHarness]:
    async with open_store(database_url, clock=VirtualClock()) as store:
        yield StoreHarness(store)


async def test_without_a_filter_everything_is_found_newest_first(store_harness: StoreHarness) -> None:
    ids = [await store_harness.create_instance() for _ in range(3)]

    found = await store_harness.search_instances()

    assert [instance.id for instance in found.instances] == ids[::-1]
    assert (found.total, found.total_is_at_least, found.next_cursor) == (3, False, None)


async def test_an_empty_database_has_an_empty_page(store_harness: StoreHarness) -> None:
    found = await store_harness.search_instances(status="FAILED")

    assert (found.instances, found.total, found.next_cursor) == ((), 0, None)


async def test_id_external_id_and_business_key_are_joined_by_or(store_harness: StoreHarness) -> None:
    one, two = (
        await store_harness.create_instance(external_id="X1"),
        await store_harness.create_instance(external_id="X2"),
    )
    three, four = (
        await store_harness.create_instance(business_key="K"),
        await store_harness.create_instance(business_key="K"),
    )
    await store_harness.create_instance()

    assert await store_harness.search_ids(id=one, external_id="X2", business_key="K") == [four, three, two, one]
    assert await store_harness.search_ids(id=one, external_id="nosuch") == [one]
    assert await store_harness.search_ids(business_key="nosuch", external_id="nosuch", id=999_999) == []


async def test_what_names_an_instance_is_joined_with_the_rest_by_and(store_harness: StoreHarness) -> None:
    one = await store_harness.create_instance(business_key="K", state="charge")
    await store_harness.create_instance(business_key="K")
    await store_harness.create_instance(external_id="X1")

    assert await store_harness.search_ids(business_key="K", external_id="X1", state="charge") == [one]


@pytest.mark.parametrize(
    ("column", "value", "query"),
    [
        ("type", "Returns", {"workflow_type": "Returns"}),
        ("state", "charge", {"state": "charge"}),
        ("executor_group", "mail", {"executor_group": "mail"}),
        ("parent_id", 77, {"parent_id": 77}),
        ("status", Status.WAITING, {"status": "WAITING"}),
        ("created", NOW + 5, {"created_from": NOW + 5}),
        ("created", NOW - 5, {"created_to": NOW}),
        ("modified", NOW + 5, {"modified_from": NOW + 5}),
        ("modified", NOW - 5, {"modified_to": NOW}),
        ("next_activation", NOW + 5, {"next_activation_from": NOW + 5}),
        ("next_activation", NOW - 5, {"next_activation_to": NOW}),
        ("attempt", 2, {"is_retrying": True}),
        ("reason", "the card was refused", {"reason_contains": "CARD was"}),
    ],
)
async def test_each_filter_finds_what_fits_and_nothing_else(
    store_harness: StoreHarness, column: str, value: Any, query: dict[str, Any]
) -> None:
    await store_harness.create_instance()
    fitting = await store_harness.create_instance(**{column: value})
    await store_harness.create_instance()

    found = await store_harness.search_instances(**query)

    assert [instance.id for instance in found.instances] == [fitting]
    assert found.total == 1


async def test_several_statuses_are_joined_by_or(store_harness: StoreHarness) -> None:
    for status in Status:
        await store_harness.create_instance(external_id=status.value, status=status)

    assert await store_harness.search_external_ids(status=["FAILED", Status.WAITING]) == {"FAILED", "WAITING"}
    assert await store_harness.search_external_ids(status=("FINISHED", "PAUSED")) == {"FINISHED", "PAUSED"}
    assert await store_harness.search_external_ids(status=[]) == set(Status)


async def test_a_range_holds_its_beginning_and_not_its_end(store_harness: StoreHarness) -> None:
    ids = [await store_harness.create_instance(created=NOW + second) for second in range(4)]

    assert await store_harness.search_ids(created_from=NOW + 1, created_to=NOW + 3) == [ids[2], ids[1]]
    assert await store_harness.search_ids(created_from=NOW + 2, created_to=NOW + 2) == []
    assert await store_harness.search_ids(created_from=-MAX_INTEGER, created_to=MAX_INTEGER) == ids[::-1]


async def test_what_retries_has_failed_an_attempt_and_has_not_ended(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(external_id="new")
    await store_harness.create_instance(external_id="retrying", attempt=1, status=Status.IN_PROGRESS)
    await store_harness.create_instance(external_id="failed", attempt=3, status=Status.FAILED)
    await store_harness.create_instance(external_id="finished", attempt=1, status=Status.FINISHED)

    assert await store_harness.search_external_ids(is_retrying=True) == {"retrying"}
    assert await store_harness.search_external_ids(is_retrying=False) == {"new", "failed", "finished"}


async def test_all_filters_together_find_the_one_that_fits_each(store_harness: StoreHarness) -> None:
    fits: dict[str, Any] = {
        "type": "Returns",
        "state": "charge",
        "executor_group": "mail",
        "parent_id": 77,
        "status": Status.IN_PROGRESS,
        "attempt": 1,
        "reason": "the card was refused",
        "business_key": "K",
        "vars": {"amount": 3, "note": "glass"},
    }
    others: dict[str, Any] = {**dict.fromkeys(fits, "other"), "parent_id": 78, "status": Status.NEW, "attempt": 0}
    one = await store_harness.create_instance(**fits)
    for column in fits:
        await store_harness.create_instance(**{**fits, column: {"amount": 4} if column == "vars" else others[column]})

    found = await store_harness.search_instances(
        business_key="K",
        workflow_type="Returns",
        state="charge",
        status=["IN_PROGRESS", "WAITING"],
        executor_group="mail",
        parent_id=77,
        created_from=NOW,
        created_to=NOW + 1,
        modified_from=NOW,
        next_activation_to=NOW + 1,
        is_retrying=True,
        reason_contains="refused",
        variables=[VariableFilter("amount", 3), VariableFilter("note", "glass")],
        order_by="created",
    )

    assert ([instance.id for instance in found.instances], found.total) == ([one], 1)


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


async def test_a_hostile_value_finds_itself_and_nothing_else(store_harness: StoreHarness) -> None:
    made = {
        value: await store_harness.create_instance(
            business_key=value, state=value, reason=f"<{value}>", vars={"v": value}
        )
        for value in (*HOSTILE_TEXTS, "plain", "ab", "A")
    }

    for value, one in made.items():
        assert await store_harness.search_ids(business_key=value) == [one]
        assert await store_harness.search_ids(state=value) == [one]
        assert await store_harness.search_ids(reason_contains=f"<{value}>") == [one]
        assert await store_harness.search_ids(variables=[VariableFilter("v", value)]) == [one]


async def test_letters_of_either_size_are_the_same_in_a_reason_and_differ_elsewhere(
    store_harness: StoreHarness,
) -> None:
    one = await store_harness.create_instance(business_key="Key", state="Charge", reason="Refused")

    assert await store_harness.search_ids(reason_contains="rEFUSE") == [one]
    assert await store_harness.search_ids(business_key="key") == []
    assert await store_harness.search_ids(state="charge") == []


@pytest.mark.parametrize("order_by", ["id", "created", "modified", "next_activation"])
@pytest.mark.parametrize("descending", [True, False])
async def test_every_order_goes_by_its_key_and_then_by_the_id(
    store_harness: StoreHarness, order_by: str, descending: bool
) -> None:
    for seconds in (3, 1, 3, 2, 1):
        await store_harness.create_instance(
            created=NOW + seconds, modified=NOW - seconds, next_activation=NOW + seconds
        )
    everything = (await store_harness.search_instances()).instances

    found = await store_harness.search_instances(order_by=order_by, descending=descending)

    expected = sorted(everything, key=lambda one: (getattr(one, order_by), one.id), reverse=descending)
    assert found.instances == tuple(expected)


@pytest.mark.parametrize("descending", [True, False])
async def test_what_has_no_next_activation_comes_last_in_either_direction(
    store_harness: StoreHarness, descending: bool
) -> None:
    due = await store_harness.create_instance()
    ended = {await store_harness.create_instance(next_activation=None) for _ in range(3)}

    pages = [
        page async for page in iterate_pages(store_harness, order_by="next_activation", descending=descending, limit=1)
    ]

    assert pages[0] == [due]
    assert {id for page in pages[1:] for id in page} == ended


async def iterate_pages(store_harness: StoreHarness, **query: Any) -> AsyncIterator[list[int]]:
    """Yield the ids of each page."""
    found = await store_harness.search_instances(**query)
    while True:
        yield [instance.id for instance in found.instances]
        if found.next_cursor is None:
            return
        found = await store_harness.search_instances(**query, cursor=found.next_cursor)


async def create_many(store_harness: StoreHarness, count: int) -> list[int]:
    """Create many instances in one transaction; three share each time of creation."""
    news = [
        NewInstance("Orders", 1, f"many-{place}", "", "default", 0, "check", Status.NEW, "{}", NOW)
        for place in range(count)
    ]
    created = [one.id for one in await store_harness.store.instances.create(news, now=NOW)]
    await store_harness.execute_sql("UPDATE flowlet_workflow SET created = created + MOD(id, 300)")
    return created


@pytest.mark.parametrize("order_by", ["id", "created"])
@pytest.mark.parametrize("descending", [True, False])
async def test_a_walk_misses_nothing_and_repeats_nothing_while_rows_come_and_change(
    store_harness: StoreHarness, order_by: str, descending: bool
) -> None:
    there = await create_many(store_harness, 1_000)

    seen: list[int] = []
    async for page in iterate_pages(store_harness, order_by=order_by, descending=descending, limit=90):
        seen += page
        await store_harness.create_instance(created=NOW + len(seen) % 300)
        await store_harness.execute_sql(
            "UPDATE flowlet_workflow SET status = 'FINISHED', modified = modified + 7 WHERE id = :id", id=page[-1]
        )

    assert len(seen) == len(set(seen))
    assert set(there) <= set(seen)


async def test_the_total_is_that_of_all_pages_on_each_of_them(store_harness: StoreHarness) -> None:
    await create_many(store_harness, 25)

    first = await store_harness.search_instances(limit=10)
    last = await store_harness.search_instances(limit=10, offset=20)
    second = await store_harness.search_instances(limit=10, cursor=first.next_cursor)

    assert [first.total, second.total, last.total] == [25, 25, 25]
    assert [len(one.instances) for one in (first, second, last)] == [10, 10, 5]
    assert (await store_harness.search_instances(limit=25)).next_cursor is None


async def test_more_than_ten_thousand_are_not_counted(store_harness: StoreHarness) -> None:
    await create_many(store_harness, 700)
    columns = "workflow_type, definition_version, executor_group, status, state, vars, created, modified"
    name = (
        "CONCAT(a.id, '-', b.id)" if store_harness.store.connections.dialect.name == "mysql" else "a.id || '-' || b.id"
    )
    copies = ", ".join(f"a.{column}" for column in columns.split(", "))
    await store_harness.execute_sql(
        f"INSERT INTO flowlet_workflow (external_id, {columns}) SELECT {name}, {copies} "
        "FROM flowlet_workflow a CROSS JOIN (SELECT id FROM flowlet_workflow ORDER BY id LIMIT 14) b"
    )

    more = await store_harness.search_instances(limit=1)
    await store_harness.execute_sql(
        "DELETE FROM flowlet_workflow "
        "WHERE id > (SELECT most FROM (SELECT MIN(id) + 9999 AS most FROM flowlet_workflow) m)"
    )
    exactly = await store_harness.search_instances(limit=1)

    assert (more.total, more.total_is_at_least) == (MAX_COUNTED, True)
    assert exactly.total <= MAX_COUNTED
    assert not exactly.total_is_at_least


async def test_an_offset_leaves_out_the_first(store_harness: StoreHarness) -> None:
    ids = [await store_harness.create_instance() for _ in range(4)]

    assert await store_harness.search_ids(offset=1, limit=2) == [ids[2], ids[1]]
    assert await store_harness.search_ids(offset=10_000) == []


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("limit", (0, -1, 1_001, MAX_INTEGER + 1)),
        ("offset", (-1, 10_001)),
        ("id", (0, -1, MAX_INTEGER + 1)),
        ("parent_id", (0, MAX_INTEGER + 1)),
        ("created_from", (MAX_INTEGER + 1,)),
        ("next_activation_to", (-MAX_INTEGER - 2,)),
        ("status", ("DONE", ["NEW", "new"], "NEW'")),
        ("order_by", ("vars", "id; DROP TABLE flowlet_workflow")),
        ("external_id", ("", "x" * 256, "a\x00b", "\udcff")),
        ("business_key", ("", "x" * 256, "a\x00b")),
        ("workflow_type", ("", "a\x00b")),
        ("state", ("", "\ud800")),
        ("executor_group", ("",)),
        ("reason_contains", ("", "x" * 2_001, "a\x00b")),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_by_name(field: str, values: Sequence[Any]) -> None:
    for value in values:
        with pytest.raises(SearchError) as refused:
            SearchQuery(**{field: value})

        assert list(refused.value.faults) == [field]
        assert str(refused.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        (VariableFilter("", "x"), "variables.0.name"),
        (VariableFilter('a"b', "x"), "variables.0.name"),
        (VariableFilter("a\\b", "x"), "variables.0.name"),
        (VariableFilter("a\nb", "x"), "variables.0.name"),
        (VariableFilter("a\x00b", "x"), "variables.0.name"),
        (VariableFilter("a" * 256, "x"), "variables.0.name"),
        (VariableFilter("a", "x\x00"), "variables.0.value"),
        (VariableFilter("a", "x" * 2_001), "variables.0.value"),
        (VariableFilter("a", float("nan")), "variables.0.value"),
        (VariableFilter("a", float("inf")), "variables.0.value"),
        (VariableFilter("a", 2**64), "variables.0.value"),
        (VariableFilter("a", ["x"]), "variables.0.value"),  # type: ignore[arg-type]  # as a careless caller would
    ],
)
def test_a_variable_that_cannot_be_looked_for_is_refused_by_name(variable: VariableFilter, field: str) -> None:
    with pytest.raises(SearchError) as refused:
        SearchQuery(variables=[variable])

    assert list(refused.value.faults) == [field]


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(SearchError) as refused:
        SearchQuery(limit=0, offset=-1, status="DONE", variables=[VariableFilter("a", 1)] * 6)

    assert set(refused.value.faults) == {"limit", "offset", "status", "variables"}


async def test_a_text_that_is_nearly_a_number_is_looked_for_as_a_text(store_harness: StoreHarness) -> None:
    await store_harness.create_instance(vars={"v": None})

    for value in NUMBER_LIKE_TEXTS:
        one = await store_harness.create_instance(vars={"v": value})

        assert await store_harness.search_ids(variables=[VariableFilter("v", value)]) == [one], value


async def test_a_cursor_that_was_tampered_with_is_refused(store_harness: StoreHarness) -> None:
    for _ in range(3):
        await store_harness.create_instance()
    cursor = (await store_harness.search_instances(limit=1)).next_cursor
    assert cursor is not None

    tampered = [cursor[:-2], cursor + "AA", cursor[::-1], "", "%", "AAAA", "x" * 10_000, "\x00", "ä", f"{cursor}\n"]
    tampered += [cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :] for place in range(20)]

    for text in tampered:
        with pytest.raises(SearchError) as refused:
            SearchQuery(cursor=text)
        assert list(refused.value.faults) == ["cursor"]


async def test_a_cursor_of_another_order_is_refused(store_harness: StoreHarness) -> None:
    for _ in range(3):
        await store_harness.create_instance()
    cursor = (await store_harness.search_instances(limit=1)).next_cursor

    orders: tuple[dict[str, Any], ...] = ({"order_by": "created"}, {"descending": False})
    for order in orders:
        with pytest.raises(SearchError, match="another order"):
            SearchQuery(**order, cursor=cursor)


def test_a_cursor_and_an_offset_exclude_each_other() -> None:
    with pytest.raises(SearchError, match="cannot be combined with a cursor"):
        SearchQuery(cursor="x", offset=1)
