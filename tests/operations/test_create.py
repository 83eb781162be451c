"""Creating: checked, idempotent by external id, many at once in one transaction, or inside the caller's own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import databases
import pytest

from flowlet.clock import to_datetime
from flowlet.engine.creates.create_batcher import CreateBatcher
from flowlet.errors import StoreUnavailableError, UnknownInstanceError, UnknownWorkflowError, VariablesError
from flowlet.instance.instance import Status
from flowlet.instance.new_instance import Created, NewInstance
from flowlet.operations.service import Operations
from flowlet.store.instances import InstanceStore
from flowlet.store.opening import open_store
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness

CALLER_NAME: ContextVar[str] = ContextVar("caller")


class DriverValueError(Exception):
    """What a driver might raise about a value."""


async def test_an_instance_is_created_as_its_definition_says_and_the_commit_is_signalled(
    harness: OperationsHarness,
) -> None:
    created = await harness.operations.create(
        "Orders", vars={"amount": 3}, key="k-1", external_id="order-1", priority=4, username=OPERATOR_NAME
    )

    instance = await harness.get_instance(created.id)
    assert (created.external_id, created.is_new) == ("order-1", True)
    assert (instance.status, instance.state, instance.key) == (Status.NEW, "check", "k-1")
    assert (instance.priority, instance.created_by, instance.vars) == (4, OPERATOR_NAME, {"way": "charge", "amount": 3})
    assert (await harness.read_last_action(created.id)).username == OPERATOR_NAME
    assert [commit.due_groups for commit in harness.commits if commit.instances == ()] == [frozenset({instance.group})]


async def test_an_instance_may_run_first_at_a_later_time(harness: OperationsHarness) -> None:
    later = await harness.operations.create("Orders", when="1 hour")
    past = await harness.operations.create("Orders", when=to_datetime(0))

    now = harness.hands.clock.now()
    assert (await harness.get_instance(later.id)).next_activation_us == now + 3_600_000_000
    assert (await harness.get_instance(past.id)).next_activation_us == now


async def test_what_begins_by_waiting_for_a_person_has_no_first_activation(sqlite_harness: OperationsHarness) -> None:
    ask = manual(start=True, next=["over"])(lambda: None)
    sqlite_harness.hands.registry.add(build_workflow_module(workflow=Workflow("Questions"), ask=ask, over=end()))

    with pytest.raises(VariablesError, match="waits for a person"):
        await sqlite_harness.operations.create("Questions", when="1 hour")


async def test_a_workflow_that_is_not_known_here_is_refused_with_the_nearest_name(
    sqlite_harness: OperationsHarness,
) -> None:
    with pytest.raises(UnknownWorkflowError, match="Did you mean 'Orders'?"):
        await sqlite_harness.operations.create("Order")


@pytest.mark.parametrize(
    "values",
    [{"vars": {"amount": "many"}}, {"external_id": ""}, {"key": "\x00"}, {"group": "x" * 256}, {"priority": 10}],
)
async def test_values_that_cannot_be_stored_are_refused_and_nothing_is_created(
    sqlite_harness: OperationsHarness, values: dict[str, Any]
) -> None:
    with pytest.raises(VariablesError):
        await sqlite_harness.operations.create("Orders", **values)

    assert not await sqlite_harness.hands.fetch_rows("SELECT id FROM flowlet_workflow")


async def test_fifty_creates_with_one_external_id_give_one_instance_of_which_one_is_new(
    harness: OperationsHarness,
) -> None:
    creates = [harness.operations.create("Orders", external_id="order-1") for _ in range(50)]

    created = await asyncio.gather(*creates)

    rows = await harness.hands.fetch_rows("SELECT id FROM flowlet_workflow")
    assert [(one.id,) for one in created] == rows * 50
    assert sum(one.is_new for one in created) == 1


async def test_creates_of_two_processes_that_race_for_external_ids_give_each_one_instance(
    harness: OperationsHarness, database_url: str
) -> None:
    async with open_store(database_url, clock=harness.hands.clock) as store:
        other = Operations(store, harness.hands.registry)
        racing = [
            by.create("Orders", external_id=f"order-{number % 20}")
            for number in range(100)
            for by in (harness.operations, other)
        ]

        created = await asyncio.gather(*racing)

    assert len({one.id for one in created}) == 20
    assert sum(one.is_new for one in created) == 20
    assert len(await harness.hands.fetch_rows("SELECT id FROM flowlet_action")) == 20


async def test_a_thousand_creates_at_once_are_a_handful_of_transactions(
    harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = record_batch_sizes(monkeypatch)

    created = await asyncio.gather(*(harness.operations.create("Orders") for _ in range(1_000)))

    assert len({one.id for one in created}) == 1_000
    assert all(one.is_new for one in created)
    assert (sum(sizes), len(sizes), max(sizes)) == (1_000, 4, 256)


async def test_instances_of_one_batch_have_their_ids_in_the_order_of_their_creation(harness: OperationsHarness) -> None:
    names = [f"order-{number}" for number in range(20)]

    await asyncio.gather(*(harness.operations.create("Orders", external_id=name) for name in names))

    assert await harness.hands.fetch_rows("SELECT external_id FROM flowlet_workflow ORDER BY id") == [
        (name,) for name in names
    ]


async def test_a_row_that_the_database_refuses_fails_its_own_caller_and_no_other(
    harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = InstanceStore.create

    async def refuse_create(self: InstanceStore, news: Sequence[NewInstance], *, now: int) -> list[Created]:
        if any(new.key == "bad" for new in news):
            raise DriverValueError
        return await create(self, news, now=now)

    monkeypatch.setattr(InstanceStore, "create", refuse_create)
    keys = ["good"] * 4 + ["bad"] + ["good"] * 6

    outcomes = await asyncio.gather(
        *(harness.operations.create("Orders", key=key) for key in keys), return_exceptions=True
    )

    assert [isinstance(outcome, DriverValueError) for outcome in outcomes] == [key == "bad" for key in keys]
    assert await harness.hands.fetch_rows("SELECT business_key FROM flowlet_workflow") == [("good",)] * 10


async def test_a_store_that_is_away_is_told_to_every_caller_and_the_next_create_tries_anew(
    sqlite_harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def raise_unavailable(*_: object, **__: object) -> list[Created]:
        raise StoreUnavailableError("away")

    with monkeypatch.context() as patch:
        patch.setattr(InstanceStore, "create", raise_unavailable)
        creates = [sqlite_harness.operations.create("Orders") for _ in range(3)]
        outcomes = await asyncio.gather(*creates, return_exceptions=True)
    created = await sqlite_harness.operations.create("Orders")

    assert all(isinstance(outcome, StoreUnavailableError) for outcome in outcomes)
    assert created.is_new


async def test_a_caller_that_is_cancelled_before_its_batch_begins_creates_nothing(
    sqlite_harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = record_batch_sizes(monkeypatch)
    batcher = CreateBatcher(sqlite_harness.hands.store, max_batch_size=1)
    definition = sqlite_harness.hands.registry.get_definition("Orders")
    creates = [asyncio.create_task(batcher.create(definition.build_instance(None, now=0))) for _ in range(3)]
    await sqlite_harness.hands.clock.sleep(0)

    creates[1].cancel()
    outcomes = await asyncio.gather(*creates, return_exceptions=True)

    assert [isinstance(outcome, Created) for outcome in outcomes] == [True, False, True]
    assert sizes == [1, 1]


async def test_a_batch_runs_outside_of_the_context_of_the_caller_who_came_first(
    sqlite_harness: OperationsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    create = InstanceStore.create

    async def record_caller(self: InstanceStore, news: Sequence[NewInstance], *, now: int) -> list[Created]:
        seen.append(CALLER_NAME.get(None))
        return await create(self, news, now=now)

    monkeypatch.setattr(InstanceStore, "create", record_caller)
    CALLER_NAME.set("first")
    await sqlite_harness.operations.create("Orders")

    assert seen == [None]


async def test_an_instance_is_part_of_the_callers_own_transaction(
    harness: OperationsHarness, database_url: str
) -> None:
    kept: list[Created] = []
    async with databases.Database(database_url) as database, database.connection() as connection:
        for statement in ("ROLLBACK", "COMMIT"):
            await connection.execute("BEGIN")
            kept.append(await harness.operations.create("Orders", external_id="order-1", connection=connection))
            await connection.execute(statement)
            if statement == "ROLLBACK":
                with pytest.raises(UnknownInstanceError):
                    await harness.hands.store.queries.get_by_external_id("order-1")

    assert (await harness.hands.store.queries.get_by_external_id("order-1")).id == kept[-1].id
    assert [one.is_new for one in kept] == [True, True]


async def test_a_create_beside_a_handlers_own_transaction_does_not_wait_for_its_lock(
    sqlite_harness: OperationsHarness,
) -> None:
    async with sqlite_harness.hands.store.instances.transaction() as session:
        with pytest.raises(RuntimeError, match="SQLite's only write lock is held"):
            await sqlite_harness.operations.create("Orders")

        within = await sqlite_harness.operations.create("Orders", connection=session.connection)

    assert (await sqlite_harness.get_instance(within.id)).status == Status.NEW


def record_batch_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that fills with the size of each batch that is created."""
    sizes: list[int] = []
    create = InstanceStore.create

    async def create_and_record(self: InstanceStore, news: Sequence[NewInstance], *, now: int) -> list[Created]:
        sizes.append(len(news))
        return await create(self, news, now=now)

    monkeypatch.setattr(InstanceStore, "create", create_and_record)
    return sizes
