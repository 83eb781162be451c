"""Instances behind a gate: retries, deadlines, pauses and failed claims, and executors that all cannot run them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from flowlet.errors import StoreUnavailableError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.version_gate import VersionGate, compute_lane
from flowlet.operations.service import Operations
from flowlet.store.opening import Store
from flowlet.store.reports.errors import read_error_groups
from tests.engine.versions.closing import Closing
from tests.engine.versions.versions_harness import (
    MODULES,
    REAL_CLOCK,
    VersionsHarness,
    build_registry,
    open_versions,
    run_version,
)

IS_WAITING = "gate IS NOT NULL AND status = 'IN_PROGRESS'"
GATE_LENGTH = len("version:/,") + 3 * 12
"""The length of a gate that lists two versions."""
MEASURED_SECONDS = 2
EDGE_STATEMENTS = 8
"""How many statements more may fall into one of two equal lengths of time."""


async def create_case(seen: VersionsHarness, state: str) -> int:
    """Create a case, which version 2 has left in a state that version 1 does not know."""
    registry = build_registry("case_v2")
    (id,) = await seen.create_instances(registry, "Case", [{}])
    await Operations(seen.store, registry).move(id, state, force=True, reason="for the test", username="ada")
    return id


async def test_executors_that_all_cannot_run_an_instance_refuse_it_once_each_and_leave_it(
    database_url: str, tmp_path: Path
) -> None:
    other = tmp_path / "case_v1.py"
    other.write_text((MODULES / "case_v1.py").read_text() + "\n# another text, and as little known\n")
    async with open_versions(database_url) as seen:
        id = await create_case(seen, "examined")
        async with (
            run_version(database_url, "case_v1", name="one") as one,
            run_version(database_url, other, name="other") as two,
        ):
            await seen.wait_until_count(f"{IS_WAITING} AND LENGTH(gate) = {GATE_LENGTH}", 1)
            before = await seen.get_instance(id)
            uses = [count_uses(run.store) for run in (one, two)]

            await REAL_CLOCK.sleep(MEASURED_SECONDS)
            with_gate, after = [len(each) for each in uses], await seen.get_instance(id)
            await Operations(seen.store, one.registry).cancel(id, username="ada")
            await REAL_CLOCK.sleep(MEASURED_SECONDS)
            without_gate = [len(each) - count for each, count in zip(uses, with_gate, strict=True)]

            assert after == before
            assert sorted(await seen.read_gated_lines(id)) == [(1, "one"), (1, "other")]
            for costs, usual in zip(with_gate, without_gate, strict=True):
                assert costs <= 1.5 * usual + EDGE_STATEMENTS, (with_gate, without_gate)


def count_uses(store: Store) -> list[None]:
    """Return a list that grows with each use of the database by a store."""
    uses: list[None] = []
    connections: Any = store.connections
    run: Callable[..., Awaitable[Any]] = connections._run_with_retries

    async def run_counted(*given: Any, **named: Any) -> Any:
        uses.append(None)
        return await run(*given, **named)

    connections._run_with_retries = run_counted
    return uses


async def test_a_retry_stays_behind_the_gate_that_its_instance_came_through(database_url: str) -> None:
    async with open_versions(database_url) as seen:
        id = await create_case(seen, "examined")
        async with run_version(database_url, "case_v1", name="old"):
            await seen.wait_until_count(IS_WAITING, 1)
            async with run_version(database_url, "case_v2", name="new"):
                await seen.wait_until_all_end()

        kinds = await seen.read_kinds(id)
        assert kinds[2:] == [ActionKind.GATED, ActionKind.ERROR, ActionKind.TRANSITION]


async def test_a_retry_that_a_version_cannot_run_keeps_its_attempt_and_its_error(database_url: str) -> None:
    async with open_versions(database_url) as seen:
        id = await create_case(seen, "examined")
        async with run_version(database_url, "case_v2", name="new"):
            await seen.wait_until_count("attempt = 1", 1)
        failed = await seen.get_instance(id)
        async with run_version(database_url, "case_v1", name="old"):
            await seen.wait_until_count(IS_WAITING, 1)
        waiting = await seen.get_instance(id)
        groups = await read_error_groups(seen.store.connections)

        async with run_version(database_url, "case_v2", name="again"):
            await seen.wait_until_all_end()

        assert (waiting.attempt, waiting.fingerprint) == (1, failed.fingerprint)
        refusal, _, error = str(waiting.reason).partition("; its last attempt: ")
        assert refusal == "waits for another version: Case version 1 has no state 'examined'"
        assert error == failed.reason
        assert [group.message for group in groups] == ["LookupError: no file"]


async def test_a_deadline_that_passes_where_the_state_is_unknown_is_kept_where_it_is_known(database_url: str) -> None:
    async with open_versions(database_url) as seen:
        id = await create_case(seen, "asked")
        async with run_version(database_url, "case_v1", name="old"):
            await seen.wait_until_count(IS_WAITING, 1)

        async with run_version(database_url, "case_v2", name="new"):
            await seen.wait_until_all_end()

        assert (await seen.get_instance(id)).state == "lapsed"
        await seen.check_nothing_is_lost([id])


async def test_a_pause_during_an_activation_that_ends_behind_a_gate_holds_it_until_it_is_resumed(
    database_url: str,
) -> None:
    closing, registry = Closing(), build_registry("envelope")
    async with open_versions(database_url) as seen:
        operations = Operations(seen.store, registry)
        async with run_version(database_url, "letter", name="letters"):
            (id,) = await seen.create_instances(registry, "Envelope", [{}])
        async with run_version(database_url, "envelope", name="envelopes", closing=closing):
            await seen.wait_until_count("status = 'EXECUTING'", 1)
            await operations.pause(id, username="ada")
            closing.is_closed = True
            await seen.wait_until_count("status = 'PAUSED' AND gate IS NOT NULL AND held_status = 'IN_PROGRESS'", 1)

        async with run_version(database_url, "envelope", "letter", name="both", closing=closing) as both:
            paused = await seen.get_instance(id)
            assert both.transition_count == 0
            await operations.resume(id, username="ada")
            await seen.wait_until_all_end()

        assert paused.status is Status.PAUSED
        await seen.check_nothing_is_lost([id])


async def test_a_cancel_during_such_an_activation_ends_the_instance(database_url: str) -> None:
    closing, registry = Closing(), build_registry("envelope")
    async with open_versions(database_url) as seen:
        async with run_version(database_url, "letter", name="letters"):
            (id,) = await seen.create_instances(registry, "Envelope", [{}])
        async with run_version(database_url, "envelope", name="envelopes", closing=closing):
            await seen.wait_until_count("status = 'EXECUTING'", 1)
            await Operations(seen.store, registry).cancel(id, username="ada")
            closing.is_closed = True

        cancelled = await seen.get_instance(id)
        assert (cancelled.status, cancelled.gate) == (Status.CANCELLED, None)
        assert await seen.read_kinds(id) == [ActionKind.CREATED, ActionKind.CANCELLED]


async def test_what_was_claimed_through_a_gate_runs_although_the_next_claim_fails(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse_claim(request: object) -> None:
        raise StoreUnavailableError("the database went away between the two claims")

    async with open_versions(database_url) as seen:
        (id,) = await seen.create_instances(build_registry("case_v1"), "Case", [{}])
        await seen.execute_sql("UPDATE flowlet_workflow SET status = 'PAUSED'")
        async with run_version(database_url, "case_v1", name="old") as old:
            monkeypatch.setattr(old.store.instances, "claim", refuse_claim)
            await gate_case(seen, (await seen.get_instance(id)).type)
            old.executor.wake()
            await seen.wait_until_all_end()

        assert await seen.read_kinds(id) == [ActionKind.CREATED, ActionKind.TRANSITION]


async def gate_case(seen: VersionsHarness, type: str) -> None:
    """Leave the only instance to executors whose definitions are not those that refused it."""
    gate = str(VersionGate(compute_lane(type, "default")).add("0123456789ab"))
    await seen.execute_sql(f"UPDATE flowlet_workflow SET status = 'IN_PROGRESS', gate = '{gate}'")
