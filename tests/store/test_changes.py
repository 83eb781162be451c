"""Changes outside of an activation: under the lock of the rows, with all that follows for parents and counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from flowlet.context import Context
from flowlet.errors import RefusedError, UnknownInstanceError
from flowlet.instances import Action, ActionKind, Instance, Status
from flowlet.states import Workflow, end, state
from flowlet.store.changes import Change, change, change_each
from flowlet.store.instances import Verdict
from flowlet.transitions import Next, child
from tests.engine.hands import Hands, opened

DAY = 86_400_000_000


def orders() -> ModuleType:
    """Return a workflow whose variable ``boxes`` says how many children of it an instance spawns and waits for."""

    @state(start=True, next=["done_later"])
    async def check(ctx: Context) -> Next:
        boxes = ctx.vars.get("boxes", 0)
        outcome = done_later.spawn(child("Orders").routed(group="boxes") for _ in range(boxes))
        return outcome.when_children_end() if boxes else done_later

    @state(next=["done"])
    async def done_later() -> None: ...

    module = ModuleType("orders", "Orders.")
    vars(module).update(check=check, done_later=done_later, done=end(), workflow=Workflow("Orders"))
    return module


@pytest.fixture
async def hands(database_url: str) -> AsyncIterator[Hands]:
    """An empty database; a test that takes it runs on each of the three systems."""
    async with opened(database_url, orders()) as hands:
        yield hands


def edited(instance: Instance, **columns: Any) -> Change:
    """Return a change of columns that a line of history tells."""
    return Change(instance, replace(instance, **columns), (Action(ActionKind.EDITED, 7, username="ada"),))


def ended(hands: Hands, instance: Instance, status: Status = Status.CANCELLED) -> Change:
    """Return the change that ends an instance now."""
    return edited(instance, status=status, ended=hands.clock.now(), next_activation=None, executor_id=None)


async def changed(hands: Hands, id: int, **columns: Any) -> Instance:
    return await change(
        hands.store.connections, id, lambda instance: edited(instance, **columns), now=hands.clock.now()
    )


async def parent_of(hands: Hands, boxes: int) -> tuple[int, list[int]]:
    """Return a parent that waits for its children, and these."""
    parent = await hands.create(vars={"boxes": boxes})
    await (await hands.hand()).move(parent)
    return parent, [one.id for one in await hands.store.reads.children(parent)]


async def test_what_is_returned_is_what_is_stored_one_version_on(hands: Hands) -> None:
    id = await hands.create()
    before = await hands.get(id)

    after = await changed(hands, id, reason="because", priority=3)

    assert after == replace(before, reason="because", priority=3, version=before.version + 1)
    assert await hands.get(id) == after
    assert [(line.kind, line.username) for line in await hands.history(id)][1:] == [(ActionKind.EDITED, "ada")]


async def test_every_field_of_an_instance_that_may_change_is_written(hands: Hands) -> None:
    id = await hands.create()
    written = {
        "status": Status.PAUSED,
        "held_status": Status.WAITING,
        "state": "done_later",
        "vars": '{"a":1}',
        "next_activation": 5,
        "attempt": 2,
        "visit": 3,
        "streak": 4,
        "crashes": 1,
        "token": 9,
        "waits_for_children": True,
        "pause_requested": True,
        "answer": "{}",
        "reason": "because",
        "modified": 6,
        "started": 1,
        "business_key": "k",
        "executor_group": "night",
    }

    await changed(hands, id, **written)

    after = await hands.get(id)
    assert {name: getattr(after, name) for name in written} == written


async def test_a_refused_change_writes_nothing(hands: Hands) -> None:
    id = await hands.create()
    before = await hands.contents()

    def refuse(instance: Instance) -> Change:
        raise RefusedError("not now")

    with pytest.raises(RefusedError):
        await change(hands.store.connections, id, refuse, now=0)

    assert await hands.contents() == before


async def test_a_decision_for_nothing_writes_nothing_and_returns_the_instance(hands: Hands) -> None:
    id = await hands.create()
    before = await hands.contents()

    found = await change(hands.store.connections, id, lambda _: None, now=0)

    assert found == await hands.get(id)
    assert await hands.contents() == before


@pytest.mark.parametrize("id", [-1, 0, 99, 2**63])
async def test_an_unknown_instance_is_said_to_be(hands: Hands, id: int) -> None:
    with pytest.raises(UnknownInstanceError, match=f"no workflow has the id {id}"):
        await changed(hands, id)


async def test_changes_of_one_instance_at_once_wait_for_each_other(hands: Hands) -> None:
    id = await hands.create()

    def count(instance: Instance) -> Change:
        return edited(instance, visit=instance.visit + 1)

    await asyncio.gather(*(change(hands.store.connections, id, count, now=0) for _ in range(20)))

    after = await hands.get(id)
    assert (after.visit, after.version) == (20, 20)
    assert len(await hands.history(id)) == 21


async def test_a_change_that_keeps_the_version_lets_the_commit_in_flight_match(hands: Hands) -> None:
    hand = await hands.hand()
    id = await hands.create()
    transition = await hand.run(await hand.claim_one(id))
    kept = await change(
        hands.store.connections, id, lambda instance: replace(edited(instance), keeps_version=True), now=0
    )

    verdicts = await hand.commit(transition)

    assert kept.version == transition.instance.version
    assert verdicts == [Verdict.COMMITTED]


async def test_a_change_that_raises_the_version_makes_the_commit_in_flight_miss(hands: Hands) -> None:
    hand = await hands.hand()
    id = await hands.create()
    transition = await hand.run(await hand.claim_one(id))
    await changed(hands, id, token=transition.instance.token + 1)
    before = await hands.contents()

    assert await hand.commit(transition) == [Verdict.LOST]
    assert await hands.contents() == before


async def test_several_are_changed_or_none(hands: Hands) -> None:
    ids = [await hands.create() for _ in range(3)]

    def refuse_the_last(instance: Instance) -> Change:
        if instance.id == ids[-1]:
            raise RefusedError("not this one")
        return edited(instance, priority=5)

    with pytest.raises(RefusedError):
        await change_each(hands.store.connections, ids, refuse_the_last, now=0)

    assert {(await hands.get(id)).priority for id in ids} == {0}


async def test_those_that_are_not_there_or_not_to_be_changed_are_left_alone(hands: Hands) -> None:
    first, second = await hands.create(), await hands.create()

    def decide(instance: Instance) -> Change | None:
        return edited(instance, priority=5) if instance.id == first else None

    found = await change_each(hands.store.connections, [second, 99, first], decide, now=0)

    assert [(one.id, one.priority, one.version) for one in found] == [(first, 5, 1), (second, 0, 0)]


async def test_an_end_takes_one_off_its_parents_count_and_the_last_one_wakes_it(hands: Hands) -> None:
    parent, (one, other) = await parent_of(hands, 2)

    await change(hands.store.connections, one, lambda instance: ended(hands, instance), now=hands.clock.now())
    waiting = await hands.get(parent)
    await change(hands.store.connections, other, lambda instance: ended(hands, instance), now=hands.clock.now())

    woken = await hands.get(parent)
    assert (waiting.open_children, waiting.waits_for_children, waiting.next_activation) == (1, True, None)
    assert (woken.open_children, woken.waits_for_children, woken.next_activation) == (0, False, hands.clock.now())


async def test_children_of_one_parent_that_end_in_one_transaction_are_all_counted(hands: Hands) -> None:
    parent, children = await parent_of(hands, 3)

    await change_each(hands.store.connections, children, lambda instance: ended(hands, instance), now=hands.clock.now())

    after = await hands.get(parent)
    assert (after.open_children, after.waits_for_children) == (0, False)


async def test_children_of_one_parent_that_end_at_once_are_all_counted(hands: Hands) -> None:
    parent, children = await parent_of(hands, 12)

    await asyncio.gather(
        *(
            change(hands.store.connections, id, lambda instance: ended(hands, instance), now=hands.clock.now())
            for id in children
        )
    )

    after = await hands.get(parent)
    assert (after.open_children, after.waits_for_children) == (0, False)


async def test_a_child_that_is_opened_again_counts_again(hands: Hands) -> None:
    parent, (one, _) = await parent_of(hands, 2)
    await change(hands.store.connections, one, lambda instance: ended(hands, instance), now=hands.clock.now())

    await changed(hands, one, status=Status.IN_PROGRESS, ended=None)

    after = await hands.get(parent)
    assert (after.open_children, after.waits_for_children) == (2, True)


async def test_ended_instances_are_counted_by_kind_also_when_they_change_it_or_open_again(hands: Hands) -> None:
    one, other = await hands.create(), await hands.create()
    for id in (one, other):
        await change(hands.store.connections, id, lambda instance: ended(hands, instance), now=0)
    hands.clock.advance(3 * DAY)

    await change(hands.store.connections, one, lambda instance: ended(hands, instance, Status.FAILED), now=0)
    await changed(hands, other, status=Status.IN_PROGRESS, ended=None)

    counts = await hands.store.reads.counts()
    assert counts == {("Orders", "FAILED"): 1, ("Orders", "IN_PROGRESS"): 1}


async def test_the_executors_of_the_instance_and_of_its_parent_are_told(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (one,) = await parent_of(hands, 1)
    told: list[str] = []

    async def notify(_dialect: object, _raw: object, group: str) -> None:
        told.append(group)

    monkeypatch.setattr(type(hands.store.connections.dialect), "notify", notify)
    await change(hands.store.connections, one, lambda instance: ended(hands, instance), now=hands.clock.now())

    assert sorted(set(told)) == ["boxes", "default"]
