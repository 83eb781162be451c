"""Changes outside of an activation: under the lock of the rows, with all that follows for parents and counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from flowlet.errors import RefusedError, UnknownInstanceError
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.change import Change
from flowlet.instance.instance import Instance, Status
from flowlet.store.changes import change_instance, change_instances
from flowlet.store.instances import CommitResult
from flowlet.workflow.context import Context
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.manual_executor import EngineHarness, open_engine

DAY_MICROSECONDS = 86_400_000_000


def build_orders_module() -> ModuleType:
    """Return a workflow whose variable ``boxes`` says how many children of it an instance spawns and waits for."""

    @state(start=True, next=["done_later"])
    async def check(ctx: Context) -> Next:
        boxes = ctx.vars.get("boxes", 0)
        outcome = done_later.spawn(child("Orders").with_routing(group="boxes") for _ in range(boxes))
        return outcome.when_children_end() if boxes else done_later

    @state(next=["done"])
    async def done_later() -> None: ...

    module = ModuleType("orders", "Orders.")
    vars(module).update(check=check, done_later=done_later, done=end(), workflow=Workflow("Orders"))
    return module


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[EngineHarness]:
    """An empty database; a test that takes it runs on each of the three systems."""
    async with open_engine(database_url, build_orders_module()) as hands:
        yield hands


def build_edit(instance: Instance, **columns: Any) -> Change:
    """Return a change of columns that a line of history tells."""
    return Change(instance, replace(instance, **columns), (Action(ActionKind.EDITED, 7, username="ada"),))


def build_end(engine: EngineHarness, instance: Instance, status: Status = Status.CANCELLED) -> Change:
    """Return the change that ends an instance now."""
    return build_edit(instance, status=status, ended_us=engine.clock.now(), next_activation_us=None, executor_id=None)


async def apply_edit(engine: EngineHarness, id: int, **columns: Any) -> Instance:
    return await change_instance(
        engine.store.connections, id, lambda instance: build_edit(instance, **columns), now=engine.clock.now()
    )


async def create_parent(engine: EngineHarness, child_count: int) -> tuple[int, list[int]]:
    """Return a parent that waits for its children, and these."""
    parent = await engine.create_instance(vars={"boxes": child_count})
    await (await engine.add_executor()).run_due_instance(parent)
    return parent, [one.id for one in await engine.store.queries.list_children(parent)]


async def test_what_is_returned_is_what_is_stored_one_version_on(engine: EngineHarness) -> None:
    id = await engine.create_instance()
    before = await engine.get_instance(id)

    after = await apply_edit(engine, id, reason="because", priority=3)

    assert after == replace(before, reason="because", priority=3, version=before.version + 1)
    assert await engine.get_instance(id) == after
    assert [(line.kind, line.username) for line in await engine.read_history(id)][1:] == [(ActionKind.EDITED, "ada")]


async def test_every_field_of_an_instance_that_may_change_is_written(engine: EngineHarness) -> None:
    id = await engine.create_instance()
    written = {
        "status": Status.PAUSED,
        "held_status": Status.WAITING,
        "state": "done_later",
        "vars_json": '{"a":1}',
        "next_activation_us": 5,
        "attempt": 2,
        "visit": 3,
        "streak": 4,
        "crashes": 1,
        "token": 9,
        "wake_at_open_children": 1,
        "pause_requested": True,
        "answer_json": "{}",
        "reason": "because",
        "modified_us": 6,
        "started_us": 1,
        "key": "k",
        "group": "night",
    }

    await apply_edit(engine, id, **written)

    after = await engine.get_instance(id)
    assert {name: getattr(after, name) for name in written} == written


async def test_a_refused_change_writes_nothing(engine: EngineHarness) -> None:
    id = await engine.create_instance()
    before = await engine.read_tables()

    def refuse_change(instance: Instance) -> Change:
        raise RefusedError("not now")

    with pytest.raises(RefusedError):
        await change_instance(engine.store.connections, id, refuse_change, now=0)

    assert await engine.read_tables() == before


async def test_a_decision_for_nothing_writes_nothing_and_returns_the_instance(engine: EngineHarness) -> None:
    id = await engine.create_instance()
    before = await engine.read_tables()

    found = await change_instance(engine.store.connections, id, lambda _: None, now=0)

    assert found == await engine.get_instance(id)
    assert await engine.read_tables() == before


async def test_an_unknown_instance_is_said_to_be(engine: EngineHarness, subtests: pytest.Subtests) -> None:
    for id in (-1, 0, 99, 2**63):
        with subtests.test(str(id)), pytest.raises(UnknownInstanceError, match=f"no workflow has the id {id}"):
            await apply_edit(engine, id)


async def test_changes_of_one_instance_at_once_wait_for_each_other(engine: EngineHarness) -> None:
    id = await engine.create_instance()

    def increment_amount(instance: Instance) -> Change:
        return build_edit(instance, visit=instance.visit + 1)

    await asyncio.gather(*(change_instance(engine.store.connections, id, increment_amount, now=0) for _ in range(20)))

    after = await engine.get_instance(id)
    assert (after.visit, after.version) == (20, 20)
    assert len(await engine.read_history(id)) == 21


async def test_a_change_that_keeps_the_version_lets_the_commit_in_flight_match(engine: EngineHarness) -> None:
    hand = await engine.add_executor()
    id = await engine.create_instance()
    transition = await hand.run_instance(await hand.claim_instance(id))
    kept = await change_instance(
        engine.store.connections, id, lambda instance: replace(build_edit(instance), keeps_version=True), now=0
    )

    verdicts = await hand.commit_transitions(transition)

    assert kept.version == transition.instance.version
    assert verdicts == [CommitResult.COMMITTED]


async def test_a_change_that_raises_the_version_makes_the_commit_in_flight_miss(engine: EngineHarness) -> None:
    hand = await engine.add_executor()
    id = await engine.create_instance()
    transition = await hand.run_instance(await hand.claim_instance(id))
    await apply_edit(engine, id, token=transition.instance.token + 1)
    before = await engine.read_tables()

    assert await hand.commit_transitions(transition) == [CommitResult.LOST]
    assert await engine.read_tables() == before


async def test_several_are_changed_or_none(engine: EngineHarness) -> None:
    ids = [await engine.create_instance() for _ in range(3)]

    def refuse_last_instance(instance: Instance) -> Change:
        if instance.id == ids[-1]:
            raise RefusedError("not this one")
        return build_edit(instance, priority=5)

    with pytest.raises(RefusedError):
        await change_instances(engine.store.connections, ids, refuse_last_instance, now=0)

    assert {(await engine.get_instance(id)).priority for id in ids} == {0}


async def test_those_that_are_not_there_or_not_to_be_changed_are_left_alone(engine: EngineHarness) -> None:
    first, second = await engine.create_instance(), await engine.create_instance()

    def decide_change(instance: Instance) -> Change | None:
        return build_edit(instance, priority=5) if instance.id == first else None

    found = await change_instances(engine.store.connections, [second, 99, first], decide_change, now=0)

    assert [(one.id, one.priority, one.version) for one in found] == [(first, 5, 1), (second, 0, 0)]


async def test_an_end_takes_one_off_its_parents_count_and_the_last_one_wakes_it(engine: EngineHarness) -> None:
    parent, (one, other) = await create_parent(engine, 2)

    await change_instance(
        engine.store.connections, one, lambda instance: build_end(engine, instance), now=engine.clock.now()
    )
    waiting = await engine.get_instance(parent)
    await change_instance(
        engine.store.connections, other, lambda instance: build_end(engine, instance), now=engine.clock.now()
    )

    woken = await engine.get_instance(parent)
    assert (waiting.open_children, waiting.waits_for_children, waiting.next_activation_us) == (1, True, None)
    assert (woken.open_children, woken.waits_for_children, woken.next_activation_us) == (0, False, engine.clock.now())


async def test_children_of_one_parent_that_end_in_one_transaction_are_all_counted(engine: EngineHarness) -> None:
    parent, children = await create_parent(engine, 3)

    await change_instances(
        engine.store.connections, children, lambda instance: build_end(engine, instance), now=engine.clock.now()
    )

    after = await engine.get_instance(parent)
    assert (after.open_children, after.waits_for_children) == (0, False)


async def test_children_of_one_parent_that_end_at_once_are_all_counted(engine: EngineHarness) -> None:
    parent, children = await create_parent(engine, 12)

    await asyncio.gather(
        *(
            change_instance(
                engine.store.connections, id, lambda instance: build_end(engine, instance), now=engine.clock.now()
            )
            for id in children
        )
    )

    after = await engine.get_instance(parent)
    assert (after.open_children, after.waits_for_children) == (0, False)


async def test_a_child_that_is_opened_again_counts_again(engine: EngineHarness) -> None:
    parent, (one, _) = await create_parent(engine, 2)
    await change_instance(
        engine.store.connections, one, lambda instance: build_end(engine, instance), now=engine.clock.now()
    )

    await apply_edit(engine, one, status=Status.IN_PROGRESS, ended_us=None)

    after = await engine.get_instance(parent)
    assert (after.open_children, after.waits_for_children) == (2, True)


async def test_ended_instances_are_counted_by_kind_also_when_they_change_it_or_open_again(
    engine: EngineHarness,
) -> None:
    one, other = await engine.create_instance(), await engine.create_instance()
    for id in (one, other):
        await change_instance(engine.store.connections, id, lambda instance: build_end(engine, instance), now=0)
    engine.clock.advance(3 * DAY_MICROSECONDS)

    await change_instance(
        engine.store.connections, one, lambda instance: build_end(engine, instance, Status.FAILED), now=0
    )
    await apply_edit(engine, other, status=Status.IN_PROGRESS, ended_us=None)

    counts = await engine.store.queries.count_by_type_and_status()
    assert counts == {("Orders", "FAILED"): 1, ("Orders", "IN_PROGRESS"): 1}


async def test_the_executors_of_the_instance_and_of_its_parent_are_notified(
    engine: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (one,) = await create_parent(engine, 1)
    notified: list[str] = []

    async def record_notification(_dialect: object, _raw: object, groups: Iterable[str]) -> None:
        notified.extend(groups)

    monkeypatch.setattr(type(engine.store.connections.dialect.signals), "notify", record_notification)
    await change_instance(
        engine.store.connections, one, lambda instance: build_end(engine, instance), now=engine.clock.now()
    )

    assert notified == ["boxes", "default"]
