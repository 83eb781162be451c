"""Reminders and escalations: each due time counts once, whatever executors run, and answers stay valid."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import ModuleType

import pytest

from flowlet.accounts.roles import Role
from flowlet.clock import to_microseconds
from flowlet.definition.registry import Registry
from flowlet.engine.people.due_questions import process_due_questions
from flowlet.errors import DefinitionError, RefusedError
from flowlet.instance.action import ActionKind
from flowlet.instance.inbox_entry import InboxEntry
from flowlet.instance.instance import Status
from flowlet.operations.service import Operations
from flowlet.store.people.entry_rows import read_entries
from flowlet.store.users import NewUser
from flowlet.testing import Harness
from flowlet.workflow.question import team
from flowlet.workflow.states import end, manual
from flowlet.workflow.workflow import Workflow
from tests.engine.manual_executor import EngineHarness, open_engine

HOUR = to_microseconds(timedelta(hours=1))


def build_claims() -> ModuleType:
    @manual(
        start=True,
        next=["paid", "lapsed"],
        to=team("finance"),
        remind="1 day",
        escalate={"5 days": [team("board"), team("finance")], "3 days": team("leads")},
        deadline="30 days",
        on_deadline="lapsed",
    )
    async def decide() -> None: ...

    module = ModuleType("claims", "Pay claims.")
    vars(module).update(decide=decide, paid=end(), lapsed=end(), workflow=Workflow("Orders"))
    return module


async def read_entry(hands: EngineHarness, id: int) -> InboxEntry:
    return (await hands.store.connections.read(lambda session: read_entries(session, [id])))[id]


async def test_each_due_time_is_one_line_whatever_executors_look_for_it(database_url: str) -> None:
    async with open_engine(database_url, build_claims()) as hands:
        for name in ("ann", "lea"):
            await hands.store.users.insert(NewUser(name, Role.OPERATOR, "-", "root"), now=hands.clock.now())
        operations = Operations(hands.store, hands.registry)
        await operations.teams.set_members("leads", ["lea"], username="root")
        id = (await operations.create("Orders")).id
        before = await hands.get_instance(id)

        async def look(hours: int) -> list[str]:
            hands.clock.advance(hours * HOUR)
            known = len(await hands.read_history(id))
            await asyncio.gather(*(process_due_questions(hands.store, one) for one in ("a-1", "b-2", "c-3")))
            return [f"{line.kind} {line.text}" for line in (await hands.read_history(id))[known:]]

        assert await look(23) == []
        assert await look(1) == ["REMINDED reminder 1"]
        # No executor ran for more than two days: one reminder for the times that were missed.
        with pytest.raises(RefusedError):
            await operations.answer(id, "paid", username="lea")
        assert await look(50) == ["REMINDED reminder 2", "ESCALATED to leads"]
        assert await look(0) == []
        assert await look(22) == ["REMINDED reminder 3"]
        await operations.pause(id, username="root")
        assert await look(48) == []
        await operations.resume(id, username="root")
        assert await look(0) == ["REMINDED reminder 4", "ESCALATED to board, finance"]

        entry = await read_entry(hands, id)
        assert (entry.teams, entry.escalated_to) == (("finance", "leads", "board"), ("leads", "board", "finance"))
        assert (entry.reminder_count, entry.escalate_at_us, entry.escalations) == (4, None, ())
        after = await hands.get_instance(id)
        assert after.version == before.version + 2  # of the pause and its end: a page that was shown before is valid
        await operations.answer(id, "paid", username="lea", expected_version=after.version)
        assert await look(24) == []


async def test_reminders_come_at_their_virtual_time_in_a_harness() -> None:
    async with Harness(build_claims()) as flow:
        id = await flow.start("Orders")
        began = flow.now()

        await flow.advance("4 days")

        lines = [(line.kind, line.at - began) for line in await flow.history(id) if line.executor_id]
        assert lines == [
            *((ActionKind.REMINDED, timedelta(days=days)) for days in (1, 2, 3)),
            (ActionKind.ESCALATED, timedelta(days=3)),
            (ActionKind.REMINDED, timedelta(days=4)),
        ]
        await flow.advance("40 days")
        assert (await flow.get(id)).status is Status.FINISHED
        assert len(await flow.history(id, ActionKind.REMINDED)) == 29  # at the deadline it is not asked any more


async def test_a_harness_does_not_wait_for_a_reminder_after_a_deadline_that_it_cannot_run() -> None:
    async with Harness(build_claims()) as flow, asyncio.timeout(20):
        id = await flow.start("Orders", group="elsewhere")

        await flow.advance("40 days")

        assert (await flow.get(id)).status is Status.WAITING
        assert len(await flow.history(id, ActionKind.REMINDED)) == 29


def test_faults_of_times_are_found_when_the_module_is_loaded() -> None:
    @manual(start=True, next=["paid"], remind="1 second", escalate={"soon": team("leads"), "1 s": [], "1 day": "x"})  # type: ignore[dict-item]  # a fault
    async def decide() -> None: ...

    module = ModuleType("claims", "Pay claims.")
    vars(module).update(decide=decide, paid=end(), workflow=Workflow("Orders"))

    with pytest.raises(DefinitionError) as raised:
        Registry().add(module)

    text = str(raised.value)
    for fault in (
        "remind of state 'decide' is 1 second.",
        "escalate of state 'decide' needs to=",
        "has 'soon', which is no duration.",
        "has '1 s', which is shorter than 1 minute.",
        "has [], which is no team.",
        "has 'x', which is no team.",
    ):
        assert fault in text
