"""Creating: checked, idempotent by external id, many at once in one transaction, or inside the caller's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import databases
import pytest

from flowlet.clock import moment
from flowlet.engine.batching import Batcher
from flowlet.errors import StoreUnavailableError, UnknownInstanceError, UnknownWorkflowError, VariablesError
from flowlet.instances import NewInstance, Status
from flowlet.operations import Operations
from flowlet.states import Workflow, end, manual
from flowlet.store.instances import Created, InstanceStore
from flowlet.store.opening import open_store
from tests.engine.making import workflow_module
from tests.operations.desk import CLERK, Desk

CALLER: ContextVar[str] = ContextVar("caller")


class RefusalError(Exception):
    """What a driver might raise about a value."""


async def test_an_instance_is_created_as_its_definition_says_and_the_executor_is_woken(desk: Desk) -> None:
    created = await desk.operations.create(
        "Orders", vars={"amount": 3}, key="k-1", external_id="order-1", priority=4, username=CLERK
    )

    instance = await desk.get(created.id)
    assert (created.external_id, created.is_new) == ("order-1", True)
    assert (instance.status, instance.state, instance.business_key) == (Status.NEW, "check", "k-1")
    assert (instance.priority, instance.created_by, instance.variables) == (4, CLERK, {"way": "charge", "amount": 3})
    assert (await desk.last(created.id)).username == CLERK
    assert desk.wakes == 1


async def test_an_instance_may_run_first_at_a_later_time(desk: Desk) -> None:
    later = await desk.operations.create("Orders", when="1 hour")
    past = await desk.operations.create("Orders", when=moment(0))

    now = desk.hands.clock.now()
    assert (await desk.get(later.id)).next_activation == now + 3_600_000_000
    assert (await desk.get(past.id)).next_activation == now


async def test_what_begins_by_waiting_for_a_person_has_no_first_activation(sqlite_desk: Desk) -> None:
    ask = manual(start=True, next=["over"])(lambda: None)
    sqlite_desk.hands.registry.add(workflow_module(workflow=Workflow("Questions"), ask=ask, over=end()))

    with pytest.raises(VariablesError, match="waits for a person"):
        await sqlite_desk.operations.create("Questions", when="1 hour")


async def test_a_workflow_that_is_not_known_here_is_refused_with_the_nearest_name(sqlite_desk: Desk) -> None:
    with pytest.raises(UnknownWorkflowError, match="Did you mean 'Orders'?"):
        await sqlite_desk.operations.create("Order")


@pytest.mark.parametrize(
    "values",
    [{"vars": {"amount": "many"}}, {"external_id": ""}, {"key": "\x00"}, {"group": "x" * 256}, {"priority": 10}],
)
async def test_values_that_cannot_be_stored_are_refused_and_nothing_is_created(
    sqlite_desk: Desk, values: dict[str, Any]
) -> None:
    with pytest.raises(VariablesError):
        await sqlite_desk.operations.create("Orders", **values)

    assert not await sqlite_desk.hands.rows("SELECT id FROM workflow")


async def test_fifty_creates_with_one_external_id_give_one_instance_of_which_one_is_new(desk: Desk) -> None:
    creates = [desk.operations.create("Orders", external_id="order-1") for _ in range(50)]

    created = await asyncio.gather(*creates)

    rows = await desk.hands.rows("SELECT id FROM workflow")
    assert [(one.id,) for one in created] == rows * 50
    assert sum(one.is_new for one in created) == 1


async def test_creates_of_two_processes_that_race_for_external_ids_give_each_one_instance(
    desk: Desk, database_url: str
) -> None:
    async with open_store(database_url, clock=desk.hands.clock) as store:
        other = Operations(store, desk.hands.registry)
        racing = [
            by.create("Orders", external_id=f"order-{number % 20}")
            for number in range(100)
            for by in (desk.operations, other)
        ]

        created = await asyncio.gather(*racing)

    assert len({one.id for one in created}) == 20
    assert sum(one.is_new for one in created) == 20
    assert len(await desk.hands.rows("SELECT id FROM workflow_action")) == 20


async def test_a_thousand_creates_at_once_are_a_handful_of_transactions(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = noted_batches(monkeypatch)

    created = await asyncio.gather(*(desk.operations.create("Orders") for _ in range(1_000)))

    assert len({one.id for one in created}) == 1_000
    assert all(one.is_new for one in created)
    assert (sum(sizes), len(sizes), max(sizes)) == (1_000, 4, 256)


async def test_instances_of_one_batch_have_their_ids_in_the_order_of_their_creation(desk: Desk) -> None:
    names = [f"order-{number}" for number in range(20)]

    await asyncio.gather(*(desk.operations.create("Orders", external_id=name) for name in names))

    assert await desk.hands.rows("SELECT external_id FROM workflow ORDER BY id") == [(name,) for name in names]


async def test_a_row_that_the_database_refuses_fails_its_own_caller_and_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = InstanceStore.create

    async def refusing(self: InstanceStore, news: Sequence[NewInstance], *, now: int) -> list[Created]:
        if any(new.business_key == "bad" for new in news):
            raise RefusalError
        return await create(self, news, now=now)

    monkeypatch.setattr(InstanceStore, "create", refusing)
    keys = ["good"] * 4 + ["bad"] + ["good"] * 6

    outcomes = await asyncio.gather(
        *(desk.operations.create("Orders", key=key) for key in keys), return_exceptions=True
    )

    assert [isinstance(outcome, RefusalError) for outcome in outcomes] == [key == "bad" for key in keys]
    assert await desk.hands.rows("SELECT business_key FROM workflow") == [("good",)] * 10


async def test_a_store_that_is_away_is_told_to_every_caller_and_the_next_create_tries_anew(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> list[Created]:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(InstanceStore, "create", away)
        creates = [sqlite_desk.operations.create("Orders") for _ in range(3)]
        outcomes = await asyncio.gather(*creates, return_exceptions=True)
    created = await sqlite_desk.operations.create("Orders")

    assert all(isinstance(outcome, StoreUnavailableError) for outcome in outcomes)
    assert created.is_new


async def test_a_caller_that_is_cancelled_before_its_batch_begins_creates_nothing(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = noted_batches(monkeypatch)
    batcher = Batcher(sqlite_desk.hands.store, limit=1)
    definition = sqlite_desk.hands.registry.definition("Orders")
    creates = [asyncio.create_task(batcher.create(definition.new_instance(None, now=0))) for _ in range(3)]
    await sqlite_desk.hands.clock.sleep(0)

    creates[1].cancel()
    outcomes = await asyncio.gather(*creates, return_exceptions=True)

    assert [isinstance(outcome, Created) for outcome in outcomes] == [True, False, True]
    assert sizes == [1, 1]


async def test_a_batch_runs_outside_of_the_context_of_the_caller_who_came_first(
    sqlite_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    create = InstanceStore.create

    async def looking(self: InstanceStore, news: Sequence[NewInstance], *, now: int) -> list[Created]:
        seen.append(CALLER.get(None))
        return await create(self, news, now=now)

    monkeypatch.setattr(InstanceStore, "create", looking)
    CALLER.set("first")
    await sqlite_desk.operations.create("Orders")

    assert seen == [None]


async def test_an_instance_is_part_of_the_callers_own_transaction(desk: Desk, database_url: str) -> None:
    kept: list[Created] = []
    async with databases.Database(database_url) as database, database.connection() as connection:
        for statement in ("ROLLBACK", "COMMIT"):
            await connection.execute("BEGIN")
            kept.append(await desk.operations.create("Orders", external_id="order-1", connection=connection))
            await connection.execute(statement)
            if statement == "ROLLBACK":
                with pytest.raises(UnknownInstanceError):
                    await desk.hands.store.reads.by_external_id("order-1")

    assert (await desk.hands.store.reads.by_external_id("order-1")).id == kept[-1].id
    assert [one.is_new for one in kept] == [True, True]


async def test_a_create_beside_a_handlers_own_transaction_does_not_wait_for_its_lock(sqlite_desk: Desk) -> None:
    async with sqlite_desk.hands.store.instances.transaction() as session:
        with pytest.raises(RuntimeError, match="SQLite's only write lock is held"):
            await sqlite_desk.operations.create("Orders")

        within = await sqlite_desk.operations.create("Orders", connection=session.connection)

    assert (await sqlite_desk.get(within.id)).status == Status.NEW


def noted_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that fills with the size of each batch that is created."""
    sizes: list[int] = []
    create = InstanceStore.create

    async def noting(self: InstanceStore, news: Sequence[NewInstance], *, now: int) -> list[Created]:
        sizes.append(len(news))
        return await create(self, news, now=now)

    monkeypatch.setattr(InstanceStore, "create", noting)
    return sizes
