"""Claims through a limit: who is claimed, in which turn, and when the executor looks again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from flowlet.definition.registry import Registry
from flowlet.engine.limits.claims import list_policies
from flowlet.instance.limit_gate import build_scope
from flowlet.instance.version_gate import VersionGate, compute_lane
from flowlet.store.database_session import DatabaseSession
from flowlet.store.limits.survey import AdmissionRequest
from flowlet.workflow.limits import Limit, Rate
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_workflow_module
from tests.engine.limits.limited_modules import Charge, Door, build_charges
from tests.engine.limits.limits_harness import LimitedExecutor, open_limits


async def test_one_claim_takes_instances_of_as_many_values_as_the_executor_has_slots(database_url: str) -> None:
    door = Door(is_open=False)
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_charges(door, limit=Limit(50, by="customer")), slots=20)
        await seen.create([f"customer-{number}" for number in range(7)])

        assert await one.claim() == 7

        door.open()
        await seen.settle()
        await seen.check_all_ended()


async def test_values_take_turns_at_a_rate_although_it_lets_none_begin_in_between(database_url: str) -> None:
    door = Door()
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_charges(door, rate=Rate(1, per="10s"), limit=Limit(5, by="customer")))
        await seen.create(["anna", "anna", "anna", "bob", "bob", "bob"])

        for _ in range(4):
            assert await one.claim() == 1
            await seen.wait_until_idle()
            assert await one.claim() == 0  # the rate lets none begin
            seen.clock.advance(10_000_000)

        assert sorted(door.visits) == ["anna", "anna", "bob", "bob"]


async def test_an_executor_looks_again_after_a_claim_that_may_have_left_something(database_url: str) -> None:
    door = Door(is_open=False)
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(build_charges(door, rate=Rate(2, per="20s")))
        await seen.create(["anna"] * 3)

        assert await one.claim() == 2
        await sleep_until_due(one)
        assert await one.claim() == 0
        seen.clock.advance(10_000_000)
        await sleep_until_due(one)
        assert await one.claim() == 1


async def test_an_executor_looks_at_limits_at_once_after_a_claim_behind_a_version_gate(database_url: str) -> None:
    door = Door(is_open=False)

    async def prepare() -> None:
        await door.enter("prepare")

    async def charge() -> None:
        await door.enter("charge")

    module = build_workflow_module(
        workflow=Workflow("Charges", vars=Charge),
        prepare=state(start=True, next=["charge"])(prepare),
        charge=state(next=["done"], limit=Limit(1))(charge),
        done=end(),
    )
    async with open_limits(database_url) as seen:
        one = await seen.add_executor(module)
        assert await one.claim() == 0  # the next one begins with version gates
        gated, limited = await seen.create(["anna", "bob"])
        sql = "UPDATE flowlet_workflow SET status = 'IN_PROGRESS', gate = :gate, state = :state WHERE id = :id"
        version_gate = str(VersionGate(compute_lane("Charges", "default")).add("another"))
        limit_gate = f"{build_scope('Charges', 'charge')}/"
        for id, gate, name in ((gated, version_gate, "prepare"), (limited, limit_gate, "charge")):
            values = {"id": id, "gate": gate, "state": name}
            await seen.store.connections.write(partial(execute_sql, sql=sql, values=values))

        assert await one.claim() == 1
        await sleep_until_due(one)
        assert await one.claim() == 1
        await door.wait_until_inside(2)


async def execute_sql(session: DatabaseSession, *, sql: str, values: dict[str, Any]) -> None:
    await session.execute(sql, values)


async def test_executors_whose_clocks_differ_let_no_more_attempts_begin_than_the_rate(database_url: str) -> None:
    async with open_limits(database_url) as seen:
        module = build_charges(Door(), rate=Rate(10, per="10s"))
        await seen.add_executor(module)
        await seen.create(["anna"] * 50)
        await seen.store.connections.write(
            lambda session: session.execute("UPDATE flowlet_workflow SET next_activation = 0")
        )
        registry = Registry()
        registry.add(module)
        (policy,) = list_policies(registry.definitions)
        start = seen.clock.now()
        request = AdmissionRequest("executor-0", policy.scope, policy.type, 1, policy, ("default",), limit=5, now=start)

        begun = 0
        for step in range(10):  # they take turns, a second passes in each one, and one of them is two seconds ahead
            now = start + (step + 2 * (step % 2)) * 1_000_000
            begun += len((await seen.store.admission.admit(replace(request, now=now))).instances)

        assert begun == 10 + 9 + 2  # at once, as the time passes, and by how much one is ahead

        for step, expected in enumerate((5, 5, 2)):  # a server whose clock was set back does not stop the rate for long
            now = start + (step - 3_600) * 1_000_000
            assert len((await seen.store.admission.admit(replace(request, now=now))).instances) == expected


async def sleep_until_due(executor: LimitedExecutor) -> None:
    """Sleep as its executor does between two claims; it has to end at once."""
    async with asyncio.timeout(2):
        await executor.parts.wakeup.sleep(3600)
