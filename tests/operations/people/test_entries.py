"""Entries in the inbox: written by the commit that begins to wait for a person, deleted by the one that ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from flowlet.clock import to_microseconds
from flowlet.engine.release import apply_transition
from flowlet.errors import StoreError
from flowlet.instance.instance import Status
from flowlet.operations.archive.transfer import export_file, import_file
from flowlet.operations.doctor import INBOX, examine_store
from flowlet.store.dialects.batch import collect_followups
from flowlet.store.opening import open_store
from flowlet.workflow.states import Next, end, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.manual_executor import open_engine
from tests.operations.operations_harness import OPERATOR_NAME, OperationsHarness


class Refund(BaseModel):
    customer: str = "Kim"
    amount: int = 10


@manual(
    start=True,
    next={"second": "Approve", "refused": "Refuse"},
    title="Refund {amount} to {customer}",
    deadline="1 day",
    on_deadline="refused",
)
async def first() -> None: ...


@manual(next=["pay"], title="Pay {amount} at last")
async def second() -> None: ...


@state(next=["second", "paid"])
async def pay(refund: Refund) -> Next:
    return second if refund.amount > 100 else paid


paid, refused = end(), end()
workflow = Workflow("Orders", vars=Refund, summary="{customer}: {amount}")


@pytest.fixture
async def refunds(database_url: str) -> AsyncIterator[OperationsHarness]:
    """A desk with a workflow that starts in a manual state, on each of the three databases."""
    module = ModuleType("refunds", "Pay money back.")
    states = {"first": first, "second": second, "pay": pay, "paid": paid, "refused": refused}
    vars(module).update(states, workflow=workflow)
    async with open_engine(database_url, module) as hands:
        await hands.store.definitions.save_definitions(hands.registry.definitions, now=hands.clock.now())
        yield OperationsHarness(hands, await hands.add_executor())


async def read_entries(harness: OperationsHarness) -> list[tuple[int, int, str, str]]:
    sql = "SELECT workflow_id, visit, title, summary FROM flowlet_inbox ORDER BY workflow_id"
    return await harness.hands.fetch_rows(sql)


async def find_wrong_entries(harness: OperationsHarness) -> list[str]:
    found = await examine_store(harness.hands.store)
    return [one.message for one in found if one.rule == INBOX]


async def test_an_instance_that_starts_by_waiting_has_an_entry_and_the_next_question_replaces_it(
    refunds: OperationsHarness,
) -> None:
    id = await refunds.create_order(amount=1_000)
    assert await read_entries(refunds) == [(id, 0, "Refund 1000 to Kim", "Kim: 1000")]

    await refunds.operations.answer(id, "second", username=OPERATOR_NAME)
    assert await read_entries(refunds) == []

    await refunds.run_until_released(id)
    assert await read_entries(refunds) == [(id, 1, "Pay 1000 at last", "Kim: 1000")]
    await refunds.operations.answer(id, "pay", username=OPERATOR_NAME)
    await refunds.run_until_released(id)
    assert await read_entries(refunds) == [(id, 3, "Pay 1000 at last", "Kim: 1000")]
    assert await find_wrong_entries(refunds) == []


async def test_a_deadline_a_move_and_a_cancel_delete_it_a_pause_and_an_edit_keep_it(
    refunds: OperationsHarness,
) -> None:
    late, moved, cancelled, kept = [await refunds.create_order() for _ in range(4)]

    await refunds.operations.move(moved, "refused", username=OPERATOR_NAME)
    await refunds.operations.pause(cancelled, username=OPERATOR_NAME)
    assert len(await read_entries(refunds)) == 3
    await refunds.operations.cancel(cancelled, username=OPERATOR_NAME)
    await refunds.operations.pause(kept, username=OPERATOR_NAME)
    await refunds.operations.edit_variables(kept, {"amount": 20}, username=OPERATOR_NAME)
    refunds.hands.clock.advance(to_microseconds(timedelta(days=1)))
    assert (await refunds.run_until_released(late)).state == "refused"

    assert await read_entries(refunds) == [(kept, 0, "Refund 20 to Kim", "Kim: 20")]
    assert await find_wrong_entries(refunds) == []


async def test_an_instance_that_was_paused_after_its_deadline_loses_its_entry_when_it_ends(
    refunds: OperationsHarness,
) -> None:
    id = await refunds.create_order()
    await refunds.hands.execute_sql("UPDATE flowlet_workflow SET status = 'IN_PROGRESS'")  # handed back, unanswered

    await refunds.operations.pause(id, username=OPERATOR_NAME)
    await refunds.operations.cancel(id, username=OPERATOR_NAME)

    assert await read_entries(refunds) == []


async def test_a_passed_deadline_whose_row_is_refused_fails_without_an_entry(refunds: OperationsHarness) -> None:
    id = await refunds.create_order()
    refunds.hands.clock.advance(to_microseconds(timedelta(days=1)))
    refused = await refunds.hand.run_instance(await refunds.claim_instance(id))
    activations = refunds.hand.activations
    instance = replace(refused.instance, attempt=100)  # no other attempt follows

    failed = activations.build_rejection(instance, StoreError("a value is too long"), refused=refused)
    await refunds.hand.commit_transitions(failed)

    assert (await refunds.get_instance(id)).status is Status.FAILED
    assert await read_entries(refunds) == []


async def test_a_move_into_a_question_and_a_retry_that_asks_again_write_one(refunds: OperationsHarness) -> None:
    id, failed = await refunds.create_order(), await refunds.create_order()
    await refunds.hands.execute_sql(
        "UPDATE flowlet_workflow SET status = 'FAILED', fingerprint = 'x', failed = 1, ended = 1 WHERE id = :id",
        {"id": failed},
    )

    await refunds.operations.move(id, "second", username=OPERATOR_NAME)
    await refunds.operations.retry(failed, username=OPERATOR_NAME)

    titles = [title for _, _, title, _ in await read_entries(refunds)]
    assert titles == ["Pay 10 at last", "Refund 10 to Kim"]


async def test_the_doctor_finds_a_missing_entry_and_one_that_is_left_behind(refunds: OperationsHarness) -> None:
    _, ended = await refunds.create_order(), await refunds.create_order()
    await refunds.operations.cancel(ended, username=OPERATOR_NAME)
    await refunds.hands.execute_sql("UPDATE flowlet_inbox SET workflow_id = :id", {"id": ended})

    found = await find_wrong_entries(refunds)

    assert [message.partition(": ")[2].split(",")[0] for message in found] == [
        "it waits for a person",
        "it has an entry in the inbox",
    ]


async def test_an_export_carries_entries_and_a_deletion_deletes_them(
    refunds: OperationsHarness, sqlite_url: str, tmp_path: Path
) -> None:
    id = await refunds.create_order()
    async for _ in export_file(refunds.hands.store, tmp_path / "export.zst"):
        pass

    async with open_store(f"{sqlite_url}.other") as other:
        async for _ in import_file(other, tmp_path / "export.zst", username="root", with_open=True):
            pass
        sql = "SELECT workflow_id, title FROM flowlet_inbox"
        rows = await other.connections.read(lambda session: session.fetch_rows(sql))
    await refunds.hands.execute_sql("UPDATE flowlet_workflow SET status = 'CANCELLED', ended = 1")
    await refunds.hands.store.connections.write(
        lambda session: session.dialect.writes.delete_instances(session.raw, [id])
    )

    assert rows == [(id, "Refund 10 to Kim")]
    assert await read_entries(refunds) == []


async def test_a_workflow_without_manual_states_writes_nothing_for_the_inbox(harness: OperationsHarness) -> None:
    id = await harness.create_order()
    instance = await harness.claim_instance(id)
    transitions = []
    while True:
        transition = await harness.hand.run_instance(instance)
        transitions.append(transition)
        await harness.hand.commit_transitions(transition)
        if transition.status is not Status.EXECUTING:
            break
        instance = apply_transition(instance, transition)

    assert [one.state for one in transitions] == ["charge", "delivered"]
    assert [collect_followups([one]).is_empty for one in transitions] == [True, True]
