"""Searching: every filter alone and with others, hostile values, and the bounds of a page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.errors import SearchError
from flowlet.instances import NewInstance, Status
from flowlet.store.opening import open_store
from flowlet.store.search import COUNTED, SearchQuery, Variable
from tests.store.shelf import NOW, Shelf

LARGEST = 2**63 - 1
HOSTILE = ("%", "_", "!", "\\", "'", '"', "'; DROP TABLE workflow; --", ":id", "%s", "{}", "ä𝄞", "[a-z]*", "NULL")


SAME: tuple[tuple[Any, Any], ...] = (
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
DIFFERENT: tuple[tuple[Any, Any], ...] = (
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
NEARLY_NUMBERS = ("1e999", "-1e999", "NaN", "1e400", "99999999999999999999999", "[" * 2_000, "0x1", " ")
NAMES = ("a.b", "a b", "ä", "$", "*", "a[0]", "'", "%", "_", "0", "a'b:c")


@pytest.fixture
async def shelf(database_url: str) -> AsyncIterator[Shelf]:
    async with open_store(database_url, clock=VirtualClock()) as store:
        yield Shelf(store)


async def test_without_a_filter_everything_is_found_newest_first(shelf: Shelf) -> None:
    ids = [await shelf.put() for _ in range(3)]

    found = await shelf.search()

    assert [instance.id for instance in found.instances] == ids[::-1]
    assert (found.total, found.total_is_at_least, found.next_cursor) == (3, False, None)


async def test_an_empty_database_has_an_empty_page(shelf: Shelf) -> None:
    found = await shelf.search(status="FAILED")

    assert (found.instances, found.total, found.next_cursor) == ((), 0, None)


async def test_id_external_id_and_business_key_are_joined_by_or(shelf: Shelf) -> None:
    one, two = await shelf.put(external_id="X1"), await shelf.put(external_id="X2")
    three, four = await shelf.put(business_key="K"), await shelf.put(business_key="K")
    await shelf.put()

    assert await shelf.ids(id=one, external_id="X2", business_key="K") == [four, three, two, one]
    assert await shelf.ids(id=one, external_id="nosuch") == [one]
    assert await shelf.ids(business_key="nosuch", external_id="nosuch", id=999_999) == []


async def test_what_names_an_instance_is_joined_with_the_rest_by_and(shelf: Shelf) -> None:
    one = await shelf.put(business_key="K", state="charge")
    await shelf.put(business_key="K")
    await shelf.put(external_id="X1")

    assert await shelf.ids(business_key="K", external_id="X1", state="charge") == [one]


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
    shelf: Shelf, column: str, value: Any, query: dict[str, Any]
) -> None:
    await shelf.put()
    fitting = await shelf.put(**{column: value})
    await shelf.put()

    found = await shelf.search(**query)

    assert [instance.id for instance in found.instances] == [fitting]
    assert found.total == 1


async def test_several_statuses_are_joined_by_or(shelf: Shelf) -> None:
    for status in Status:
        await shelf.put(external_id=status.value, status=status)

    assert await shelf.named(status=["FAILED", Status.WAITING]) == {"FAILED", "WAITING"}
    assert await shelf.named(status=("FINISHED", "PAUSED")) == {"FINISHED", "PAUSED"}
    assert await shelf.named(status=[]) == set(Status)


async def test_a_range_holds_its_beginning_and_not_its_end(shelf: Shelf) -> None:
    ids = [await shelf.put(created=NOW + second) for second in range(4)]

    assert await shelf.ids(created_from=NOW + 1, created_to=NOW + 3) == [ids[2], ids[1]]
    assert await shelf.ids(created_from=NOW + 2, created_to=NOW + 2) == []
    assert await shelf.ids(created_from=-LARGEST, created_to=LARGEST) == ids[::-1]


async def test_what_retries_has_failed_an_attempt_and_has_not_ended(shelf: Shelf) -> None:
    await shelf.put(external_id="new")
    await shelf.put(external_id="retrying", attempt=1, status=Status.IN_PROGRESS)
    await shelf.put(external_id="failed", attempt=3, status=Status.FAILED)
    await shelf.put(external_id="finished", attempt=1, status=Status.FINISHED)

    assert await shelf.named(is_retrying=True) == {"retrying"}
    assert await shelf.named(is_retrying=False) == {"new", "failed", "finished"}


async def test_all_filters_together_find_the_one_that_fits_each(shelf: Shelf) -> None:
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
    one = await shelf.put(**fits)
    for column in fits:
        await shelf.put(**{**fits, column: {"amount": 4} if column == "vars" else others[column]})

    found = await shelf.search(
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
        variables=[Variable("amount", 3), Variable("note", "glass")],
        order_by="created",
    )

    assert ([instance.id for instance in found.instances], found.total) == ([one], 1)


async def test_a_variable_is_found_by_its_value(shelf: Shelf) -> None:
    for place, (stored, sought) in enumerate(SAME):
        one = await shelf.put(vars={"before": [1, {f"v{place}": "x"}], f"v{place}": stored, "after": 1})

        assert await shelf.ids(variables=[Variable(f"v{place}", sought)]) == [one], (stored, sought)


async def test_a_variable_of_another_value_is_not_found(shelf: Shelf) -> None:
    for place, (stored, sought) in enumerate(DIFFERENT):
        await shelf.put(vars={f"v{place}": stored, "other": "glass"})

        assert await shelf.ids(variables=[Variable(f"v{place}", sought)]) == [], (stored, sought)


async def test_a_variable_that_is_missing_or_deeper_is_not_found(shelf: Shelf) -> None:
    await shelf.put()
    await shelf.put(vars={"other": {"sought": None}})

    assert await shelf.ids(variables=[Variable("sought", None)]) == []
    assert await shelf.ids(variables=[Variable("sought", "null")]) == []


async def test_a_variable_of_any_name_is_found(shelf: Shelf) -> None:
    await shelf.put(vars={"b": "glass", "a": {"b": "glass", "b:c": "glass"}, "y": "glass"})

    for name in NAMES:
        one = await shelf.put(vars={name: "glass", "x": "glass"})

        assert await shelf.ids(variables=[Variable(name, "glass")]) == [one], name


async def test_an_escaped_nul_in_the_variables_of_one_does_not_spoil_the_search(shelf: Shelf) -> None:
    await shelf.put(vars={"note": "a\x00b", "sought": "x"})
    one = await shelf.put(vars={"sought": "x"})

    assert one in await shelf.ids(variables=[Variable("sought", "x")])


async def test_a_hostile_value_finds_itself_and_nothing_else(shelf: Shelf) -> None:
    made = {
        value: await shelf.put(business_key=value, state=value, reason=f"<{value}>", vars={"v": value})
        for value in (*HOSTILE, "plain", "ab", "A")
    }

    for value, one in made.items():
        assert await shelf.ids(business_key=value) == [one]
        assert await shelf.ids(state=value) == [one]
        assert await shelf.ids(reason_contains=f"<{value}>") == [one]
        assert await shelf.ids(variables=[Variable("v", value)]) == [one]


async def test_letters_of_either_size_are_the_same_in_a_reason_and_differ_elsewhere(shelf: Shelf) -> None:
    one = await shelf.put(business_key="Key", state="Charge", reason="Refused")

    assert await shelf.ids(reason_contains="rEFUSE") == [one]
    assert await shelf.ids(business_key="key") == []
    assert await shelf.ids(state="charge") == []


@pytest.mark.parametrize("order_by", ["id", "created", "modified", "next_activation"])
@pytest.mark.parametrize("descending", [True, False])
async def test_every_order_goes_by_its_key_and_then_by_the_id(shelf: Shelf, order_by: str, descending: bool) -> None:
    for seconds in (3, 1, 3, 2, 1):
        await shelf.put(created=NOW + seconds, modified=NOW - seconds, next_activation=NOW + seconds)
    everything = (await shelf.search()).instances

    found = await shelf.search(order_by=order_by, descending=descending)

    expected = sorted(everything, key=lambda one: (getattr(one, order_by), one.id), reverse=descending)
    assert found.instances == tuple(expected)


@pytest.mark.parametrize("descending", [True, False])
async def test_what_has_no_next_activation_comes_last_in_either_direction(shelf: Shelf, descending: bool) -> None:
    due = await shelf.put()
    ended = {await shelf.put(next_activation=None) for _ in range(3)}

    pages = [page async for page in walked(shelf, order_by="next_activation", descending=descending, limit=1)]

    assert pages[0] == [due]
    assert {id for page in pages[1:] for id in page} == ended


async def walked(shelf: Shelf, **query: Any) -> AsyncIterator[list[int]]:
    """Yield the ids of each page."""
    found = await shelf.search(**query)
    while True:
        yield [instance.id for instance in found.instances]
        if found.next_cursor is None:
            return
        found = await shelf.search(**query, cursor=found.next_cursor)


async def fill(shelf: Shelf, count: int) -> list[int]:
    """Create many instances in one transaction; three share each time of creation."""
    news = [
        NewInstance("Orders", 1, f"many-{place}", "", "default", 0, "check", Status.NEW, "{}", NOW)
        for place in range(count)
    ]
    created = [one.id for one in await shelf.store.instances.create(news, now=NOW)]
    await shelf.execute("UPDATE workflow SET created = created + MOD(id, 300)")
    return created


@pytest.mark.parametrize("order_by", ["id", "created"])
@pytest.mark.parametrize("descending", [True, False])
async def test_a_walk_misses_nothing_and_repeats_nothing_while_rows_come_and_change(
    shelf: Shelf, order_by: str, descending: bool
) -> None:
    there = await fill(shelf, 1_000)

    seen: list[int] = []
    async for page in walked(shelf, order_by=order_by, descending=descending, limit=90):
        seen += page
        await shelf.put(created=NOW + len(seen) % 300)
        await shelf.execute(
            "UPDATE workflow SET status = 'FINISHED', modified = modified + 7 WHERE id = :id", id=page[-1]
        )

    assert len(seen) == len(set(seen))
    assert set(there) <= set(seen)


async def test_the_total_is_that_of_all_pages_on_each_of_them(shelf: Shelf) -> None:
    await fill(shelf, 25)

    first = await shelf.search(limit=10)
    last = await shelf.search(limit=10, offset=20)
    second = await shelf.search(limit=10, cursor=first.next_cursor)

    assert [first.total, second.total, last.total] == [25, 25, 25]
    assert [len(one.instances) for one in (first, second, last)] == [10, 10, 5]
    assert (await shelf.search(limit=25)).next_cursor is None


async def test_more_than_ten_thousand_are_not_counted(shelf: Shelf) -> None:
    await fill(shelf, 700)
    columns = "workflow_type, definition_version, executor_group, status, state, vars, created, modified"
    name = "CONCAT(a.id, '-', b.id)" if shelf.store.connections.dialect.name == "mysql" else "a.id || '-' || b.id"
    copies = ", ".join(f"a.{column}" for column in columns.split(", "))
    await shelf.execute(
        f"INSERT INTO workflow (external_id, {columns}) SELECT {name}, {copies} "
        "FROM workflow a CROSS JOIN (SELECT id FROM workflow ORDER BY id LIMIT 14) b"
    )

    more = await shelf.search(limit=1)
    await shelf.execute(
        "DELETE FROM workflow WHERE id > (SELECT most FROM (SELECT MIN(id) + 9999 AS most FROM workflow) m)"
    )
    exactly = await shelf.search(limit=1)

    assert (more.total, more.total_is_at_least) == (COUNTED, True)
    assert exactly.total <= COUNTED
    assert not exactly.total_is_at_least


async def test_an_offset_leaves_out_the_first(shelf: Shelf) -> None:
    ids = [await shelf.put() for _ in range(4)]

    assert await shelf.ids(offset=1, limit=2) == [ids[2], ids[1]]
    assert await shelf.ids(offset=10_000) == []


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("limit", (0, -1, 1_001, LARGEST + 1)),
        ("offset", (-1, 10_001)),
        ("id", (0, -1, LARGEST + 1)),
        ("parent_id", (0, LARGEST + 1)),
        ("created_from", (LARGEST + 1,)),
        ("next_activation_to", (-LARGEST - 2,)),
        ("status", ("DONE", ["NEW", "new"], "NEW'")),
        ("order_by", ("vars", "id; DROP TABLE workflow")),
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
        (Variable("", "x"), "variables.0.name"),
        (Variable('a"b', "x"), "variables.0.name"),
        (Variable("a\\b", "x"), "variables.0.name"),
        (Variable("a\nb", "x"), "variables.0.name"),
        (Variable("a\x00b", "x"), "variables.0.name"),
        (Variable("a" * 256, "x"), "variables.0.name"),
        (Variable("a", "x\x00"), "variables.0.value"),
        (Variable("a", "x" * 2_001), "variables.0.value"),
        (Variable("a", float("nan")), "variables.0.value"),
        (Variable("a", float("inf")), "variables.0.value"),
        (Variable("a", 2**64), "variables.0.value"),
        (Variable("a", ["x"]), "variables.0.value"),  # type: ignore[arg-type]  # as a careless caller would
    ],
)
def test_a_variable_that_cannot_be_looked_for_is_refused_by_name(variable: Variable, field: str) -> None:
    with pytest.raises(SearchError) as refused:
        SearchQuery(variables=[variable])

    assert list(refused.value.faults) == [field]


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(SearchError) as refused:
        SearchQuery(limit=0, offset=-1, status="DONE", variables=[Variable("a", 1)] * 6)

    assert set(refused.value.faults) == {"limit", "offset", "status", "variables"}


async def test_a_text_that_is_nearly_a_number_is_looked_for_as_a_text(shelf: Shelf) -> None:
    await shelf.put(vars={"v": None})

    for value in NEARLY_NUMBERS:
        one = await shelf.put(vars={"v": value})

        assert await shelf.ids(variables=[Variable("v", value)]) == [one], value


async def test_a_cursor_that_was_tampered_with_is_refused(shelf: Shelf) -> None:
    for _ in range(3):
        await shelf.put()
    cursor = (await shelf.search(limit=1)).next_cursor
    assert cursor is not None

    tampered = [cursor[:-2], cursor + "AA", cursor[::-1], "", "%", "AAAA", "x" * 10_000, "\x00", "ä", f"{cursor}\n"]
    tampered += [cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :] for place in range(20)]

    for text in tampered:
        with pytest.raises(SearchError) as refused:
            SearchQuery(cursor=text)
        assert list(refused.value.faults) == ["cursor"]


async def test_a_cursor_of_another_order_is_refused(shelf: Shelf) -> None:
    for _ in range(3):
        await shelf.put()
    cursor = (await shelf.search(limit=1)).next_cursor

    orders: tuple[dict[str, Any], ...] = ({"order_by": "created"}, {"descending": False})
    for order in orders:
        with pytest.raises(SearchError, match="another order"):
            SearchQuery(**order, cursor=cursor)


def test_a_cursor_and_an_offset_exclude_each_other() -> None:
    with pytest.raises(SearchError, match="cannot be combined with a cursor"):
        SearchQuery(cursor="x", offset=1)
