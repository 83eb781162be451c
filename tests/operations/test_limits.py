"""Limits, as people see and hold them: the list, the hold, the release, and what an instance waits for."""

from __future__ import annotations

import pytest

from flowlet.errors import RefusedError, UnknownLimitError
from flowlet.instance.limit_gate import build_scope
from flowlet.operations.doctor import examine_store
from flowlet.store.people.audit import AuditQuery
from flowlet.testing import Harness
from flowlet.workflow.limits import Breaker, Limit, Rate
from tests.engine.limits.limited_modules import Door, build_charges
from tests.engine.limits.limits_harness import open_limits


async def test_a_limit_is_held_with_a_reason_and_released(sqlite_url: str) -> None:
    module = build_charges(Door(), limit=Limit(2, by="customer"), breaker=Breaker(5, pause="1 minute"))
    async with Harness(module, database_url=sqlite_url) as flow:
        limits = flow.operations.limits
        with pytest.raises(RefusedError, match="needs a reason"):
            await limits.hold("Charges", "charge", username="ada", reason=" ")
        with pytest.raises(UnknownLimitError, match="the state 'report' of the workflow 'Charges' has no limits"):
            await limits.hold("Charges", "report", username="ada", reason="why")
        with pytest.raises(UnknownLimitError, match="the workflow 'Charges' as a whole has no limits"):
            await limits.release("Charges", None, username="ada")
        with pytest.raises(RefusedError, match="is not held"):
            await limits.release("Charges", "charge", username="ada")

        held = await limits.hold("Charges", "charge", username="ada", reason="the bank moves")
        assert (held.record.held_by, held.record.held_reason) == ("ada", "the bank moves")
        with pytest.raises(RefusedError, match="is held already by 'ada'"):
            await limits.hold("Charges", "charge", username="bob", reason="again")

        id = await flow.start("Charges", {"customer": "anna"})
        (use,) = await limits.list_all()
        assert (use.running, use.waiting) == (0, 1)
        assert await limits.explain_wait(await flow.get(id)) == (
            "It waits for the limit of Charges in state 'charge', which is held by ada since 2030-01-01 00:00:00 UTC: "
            "the bank moves."
        )
        with pytest.raises(RefusedError, match="already due and waits"):
            await flow.operations.wake(id, username="ada")

        await limits.release("Charges", "charge", username="bob")
        assert (await flow.run_to_end(id)).succeeded
        audit = await flow.store.audit.list_page(AuditQuery())
        assert [(one.actor, one.action, one.subject, one.detail) for one in audit if "limit" in one.action] == [
            ("bob", "limit.released", "Charges", "charge"),
            ("ada", "limit.held", "Charges", "charge"),
        ]


async def test_an_instance_says_which_slot_it_waits_for(sqlite_url: str) -> None:
    door = Door(is_open=False)
    module = build_charges(door, limit=Limit(1, by="customer"), rate=Rate(100, per="1 minute"))
    async with Harness(module, database_url=sqlite_url) as flow:
        first, second = [await flow.start("Charges", {"customer": "anna"}, settle=False) for _ in range(2)]
        await flow._opened.worker.claim_due()
        await door.wait_until_inside(1)

        limits = flow.operations.limits
        assert await limits.explain_wait(await flow.get(first)) is None
        assert await limits.explain_wait(await flow.get(second)) == (
            "It waits for a slot of the limit of Charges in state 'charge' (1 of 1 in use for customer 'anna')."
        )
        door.open()
        assert (await flow.run_to_end(second)).succeeded


async def test_the_doctor_finds_a_gate_that_no_executor_opens(database_url: str) -> None:
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_charges(Door(), limit=Limit(1)))
        foreign, ended, unserved = await seen.create(["anna", "anna", "anna"], group="night")
        assert not await examine_store(seen.store)
        foreign_gate = build_scope("Another", "charge")
        for sql in (
            f"UPDATE flowlet_workflow SET gate = '{foreign_gate}/' WHERE id = {foreign}",
            f"UPDATE flowlet_workflow SET status = 'CANCELLED', ended = 1 WHERE id = {ended}",
            f"UPDATE flowlet_workflow SET next_activation = 1 WHERE id = {unserved}",
        ):
            await seen.store.connections.write(lambda session, sql=sql: session.execute(sql))  # type: ignore[misc]  # mypy cannot infer a lambda with a default

        found = {(one.instance_id, one.rule): one.message for one in await examine_store(seen.store)}

        assert "is none of a limit of its workflow: no executor admits it" in found[foreign, "stuck"]
        assert "it has ended, but has the gate" in found[ended, "stuck"]
        assert "flowlet serve" in found[unserved, "unserved"]
        assert await one.claim() == 0


async def test_a_breaker_is_closed_by_hand(sqlite_url: str) -> None:
    door = Door()
    door.faults = 2
    async with Harness(build_charges(door, breaker=Breaker(2, pause="1 hour")), database_url=sqlite_url) as flow:
        ids = [await flow.start("Charges", {"customer": "anna"}) for _ in range(3)]
        (opened,) = await flow.operations.limits.list_all()
        assert opened.record.is_broken

        await flow.operations.limits.release("Charges", "charge", username="ada")
        await flow.settle()
        assert (await flow.get(ids[2])).succeeded
