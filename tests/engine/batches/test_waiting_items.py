"""The order in which waiting items are taken: by priority, then the sources in turns, and none for ever last."""

from __future__ import annotations

from flowlet.engine.batches.waiting_items import LOW_TURN, Rank, WaitingItems


def take_all(items: WaitingItems[str]) -> list[str]:
    taken = []
    while item := items.pop():
        taken.append(item)
    return taken


def test_the_higher_priority_is_taken_first() -> None:
    items: WaitingItems[str] = WaitingItems()
    for priority, item in ((0, "low"), (5, "high"), (0, "lower"), (5, "higher")):
        items.add(Rank(priority, "Order"), item)

    assert take_all(items) == ["high", "higher", "low", "lower"]
    assert len(items) == 0


def test_the_sources_of_one_priority_are_taken_in_turns() -> None:
    items: WaitingItems[str] = WaitingItems()
    for number in range(3):
        items.add(Rank(0, "Crowd"), f"crowd-{number}")
    items.add(Rank(0, "Lone"), "lone")

    assert take_all(items) == ["crowd-0", "lone", "crowd-1", "crowd-2"]


def test_every_eighth_item_is_of_the_lowest_priority() -> None:
    items: WaitingItems[str] = WaitingItems()
    items.add(Rank(0, "Order"), "low")
    for number in range(20):
        items.add(Rank(9, "Order"), f"high-{number}")

    assert take_all(items).index("low") == LOW_TURN - 1


def test_only_items_above_a_priority_are_taken_where_that_is_asked_for() -> None:
    items: WaitingItems[str] = WaitingItems()
    items.add(Rank(0, "Order"), "low")
    items.add(Rank(5, "Order"), "high")

    assert items.pop(above=0) == "high"
    assert items.pop(above=0) is None
    assert take_all(items) == ["low"]


def test_an_item_that_was_put_back_is_the_next_of_its_source() -> None:
    items: WaitingItems[str] = WaitingItems()
    items.add(Rank(0, "Order"), "second")

    items.put_back(Rank(0, "Order"), "first")

    assert take_all(items) == ["first", "second"]


def test_an_item_that_was_put_back_is_taken_next_whatever_its_source_and_priority() -> None:
    items: WaitingItems[str] = WaitingItems()
    for source in ("Order", "Bill", "Mail"):
        items.add(Rank(0, source), f"{source} 1")
        items.add(Rank(0, source), f"{source} 2")
    for number in range(2 * LOW_TURN):
        items.add(Rank(9, "Order"), f"high-{number}")
    for _ in range(LOW_TURN - 1):
        items.pop()

    taken = items.pop()
    items.put_back(Rank(0, "Order"), "Order 1")

    assert (taken, items.pop()) == ("Order 1", "Order 1")
    assert [item for item in take_all(items) if "high" not in item] == [
        "Bill 1",
        "Mail 1",
        "Order 2",
        "Bill 2",
        "Mail 2",
    ]


def test_all_that_waits_can_be_removed_at_once() -> None:
    items: WaitingItems[str] = WaitingItems()
    items.add(Rank(0, "Order"), "one")
    items.add(Rank(3, "Bill"), "two")

    assert sorted(items.clear()) == ["one", "two"]
    assert (len(items), items.pop()) == (0, None)
