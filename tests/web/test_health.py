"""Liveness, readiness and metrics, for load balancers and monitors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flowlet.engine import executor
from flowlet.engine.executor import Executor
from flowlet.settings import ExecutorSettings
from flowlet.web.app import create_app
from flowlet.web.metrics import DATABASE_METRICS_MAX_AGE_SECONDS, Metrics
from flowlet.workflow.retry import Retry
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import NEVER, GatedHandler, wait_for
from tests.web.app_harness import AppHarness, open_app_harness


class HealthHarness:
    """A probe whose application has an executor."""

    def __init__(self, app_harness: AppHarness, executor: Executor) -> None:
        self.executor = executor
        self.probe = replace(app_harness, app=create_app(replace(app_harness.services, executor=executor)))

    async def fetch_readiness(self) -> httpx.Response:
        return await self.probe.open_client().get("/readyz")

    async def fetch_metrics(self) -> dict[str, float]:
        """Return the values by name and labels, read by Prometheus' own parser."""
        answer = await self.probe.open_client("viewer").get("/metrics")
        assert answer.status_code == 200
        families = text_string_to_metric_families(answer.text)
        return {
            ",".join([sample.name.removeprefix("flowlet_"), *sample.labels.values()]): sample.value
            for family in families
            for sample in family.samples
        }


@asynccontextmanager
async def open_health_harness(url: str, module: Any, **settings: Any) -> AsyncIterator[HealthHarness]:
    """Run an executor beside a probe, and stop it at the end of the block."""
    async with open_app_harness(url) as probe:
        services = probe.services
        services.registry.add(module)
        given = ExecutorSettings(**{"slots": 2, "poll_interval": NEVER, **settings})
        executor = Executor(services.store, services.registry, given, observer=services.metrics)
        task = asyncio.create_task(executor.run())
        await wait_for(executor.is_ready.wait())
        try:
            yield HealthHarness(probe, executor)
        finally:
            executor.stop()
            executor.stop()
            await task


async def test_an_application_without_an_executor_is_ready_when_its_database_is(any_app_harness: AppHarness) -> None:
    answer = await any_app_harness.open_client().get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": {"database": "ok"}})


async def test_tables_that_do_not_fit_are_not_ready(any_app_harness: AppHarness) -> None:
    await any_app_harness.services.store.connections.write(
        lambda session: session.execute("DELETE FROM flowlet_schema_version WHERE migration = 1 AND step = 0")
    )

    answer = await any_app_harness.open_client().get("/readyz")

    assert (answer.status_code, answer.json()["checks"]) == (503, {"database": "its tables do not fit"})
    assert answer.headers["retry-after"]


async def test_an_executor_is_ready_once_it_has_claimed_and_until_it_is_told_to_stop(database_url: str) -> None:
    async with open_health_harness(database_url, build_workflow_module(**build_single_state(lambda: "done"))) as here:
        while not here.executor.is_claiming:
            await asyncio.wait([asyncio.create_task(here.fetch_readiness())])
        before = await here.fetch_readiness()
        here.executor.stop()
        after = await here.fetch_readiness()

    assert (before.status_code, before.json()["checks"]["executor"]) == (200, "ok")
    assert (after.status_code, after.json()["checks"]["executor"]) == (503, "has not claimed recently")


async def test_an_executor_that_does_not_claim_is_not_ready(sqlite_url: str) -> None:
    async with open_app_harness(sqlite_url) as probe:
        here = HealthHarness(probe, Executor(probe.services.store, probe.services.registry))

        answer = await here.fetch_readiness()

    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")


async def test_an_executor_whose_slots_are_all_taken_is_ready(sqlite_url: str) -> None:
    gate = GatedHandler()
    async with open_health_harness(
        sqlite_url, gate.build_module(), slots=1, poll_interval=timedelta(milliseconds=10)
    ) as here:
        await here.probe.services.operations.create("Orders")
        here.executor.wake()
        await wait_for(gate.started.wait())
        here.executor._claimed_at_elapsed = (
            here.executor._claimed_at_elapsed and here.executor._claimed_at_elapsed - 3600
        )

        answer = await here.fetch_readiness()
        gate.may_finish.set()

    assert answer.status_code == 200


async def test_an_executor_that_does_not_commit_is_not_ready_and_counts_as_blocked(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_may_begin = asyncio.Event()
    async with open_health_harness(sqlite_url, build_workflow_module(**build_single_state(lambda: "done"))) as here:
        instances = here.probe.services.store.instances
        commit = instances.commit

        async def wait_and_commit(*given: Any, **named: Any) -> Any:
            await commit_may_begin.wait()
            return await commit(*given, **named)

        instances.commit = wait_and_commit  # type: ignore[method-assign]  # a database that does not answer
        await here.probe.services.operations.create("Orders")
        here.executor.wake()
        before = await here.fetch_readiness()
        while not here.executor._oldest_commit_seconds:
            await here.fetch_readiness()
        monkeypatch.setattr(executor, "MAX_COMMIT_SECONDS", 0.0)

        answer = await here.fetch_readiness()
        stalled_at = here.probe.services.store.clock.now()
        here.executor.wake()
        while (here.executor._claimed_at_store_time or 0) <= stalled_at:
            await here.fetch_readiness()
        claimed = here.executor._get_last_claim()
        commit_may_begin.set()
        while here.executor._oldest_commit_seconds:
            await here.fetch_readiness()
        after = await here.fetch_readiness()

    assert before.json()["checks"]["commits"] == after.json()["checks"]["commits"] == "ok"
    assert (answer.status_code, answer.json()["checks"]["commits"]) == (
        503,
        "a transition has waited for over a minute",
    )
    assert claimed is not None
    assert claimed < stalled_at


async def test_threads_that_handlers_do_not_give_back_are_shown(sqlite_url: str) -> None:
    released = threading.Event()

    def hang() -> str:
        released.wait()
        return "done"

    module = build_workflow_module(**build_single_state(hang, timeout="10ms", retry=Retry(limit=0)))
    async with open_health_harness(sqlite_url, module, slots=1) as here:
        before = await here.fetch_readiness()
        await here.probe.services.operations.create("Orders")
        here.executor.wake()
        assert here.executor.threads is not None
        while not here.executor.threads.overdue_count:
            await here.fetch_readiness()

        during, metrics = await here.fetch_readiness(), await here.fetch_metrics()
        released.set()

    assert before.json()["checks"]["threads"] == "ok"
    assert during.status_code == 503
    assert during.json()["checks"]["threads"] == "all are taken by handlers whose attempts have ended"
    assert (metrics["threads_free"], metrics["threads_overdue"]) == (0, 1)


async def test_metrics_need_a_key_because_they_name_workflows(app_harness: AppHarness) -> None:
    assert (await app_harness.open_client().get("/metrics")).status_code == 401


async def test_metrics_tell_what_the_executor_did_and_how_the_database_stands(database_url: str) -> None:
    outcomes = iter([ValueError("once"), None])

    async def check() -> str:
        if error := next(outcomes):
            raise error
        return "done"

    # Linear: a delay that is drawn from zero on may be over before the test wakes the workflow.
    members = build_single_state(check, retry=Retry(min="1h", max="1h", backoff="linear"))
    async with open_health_harness(database_url, build_workflow_module(**members)) as here:
        services = here.probe.services
        created = await services.operations.create("Orders")
        here.executor.wake()
        while not (await services.store.queries.get(created.id)).attempt:
            await services.store.read_clock()
        await services.operations.wake(created.id, username="test")
        here.executor.wake()
        while not (await services.store.queries.get(created.id)).has_ended:
            await services.store.read_clock()

        found = await here.fetch_metrics()

    assert found["transitions_total,Orders"] == 2
    assert found["failed_attempts_total,Orders"] == 1
    assert found["retries_total,Orders"] == 1
    assert found["claimed_instances_total"] >= 2
    assert found["batch_size_count"] == found["commit_seconds_count"] == 2
    assert found["batch_size_sum"] == 2
    assert found["claim_seconds_count"] >= 2
    assert found["slots"] == 2
    assert found["slots_free"] in (1, 2)
    assert found["instances,FINISHED,Orders"] == 1
    assert found["tasks"] > 1
    assert found["process_open_fds"] > 3


async def test_the_lag_is_the_age_of_the_oldest_due_instance(any_app_harness: AppHarness) -> None:
    services = any_app_harness.services
    services.registry.add(build_workflow_module(**build_single_state(lambda: "done")))
    await services.operations.create("Orders")
    hour = "UPDATE flowlet_workflow SET next_activation = next_activation - 3600000000"
    await services.store.connections.write(lambda session: session.execute(hour))

    text = (await any_app_harness.open_client("viewer").get("/metrics")).text

    (line,) = [line for line in text.splitlines() if line.startswith("flowlet_lag_seconds ")]
    assert 3600 <= float(line.split()[1]) < 3700
    assert 'flowlet_instances{status="NEW",workflow="Orders"} 1.0' in text


async def test_what_waits_in_a_paused_lane_is_no_lag_but_has_its_own(any_app_harness: AppHarness) -> None:
    services = any_app_harness.services
    services.registry.add(build_workflow_module(**build_single_state(lambda: "done")))
    await services.store.definitions.save_definitions(services.registry.definitions, now=1)
    await services.operations.create("Orders")
    hour = "UPDATE flowlet_workflow SET next_activation = next_activation - 3600000000"
    await services.store.connections.write(lambda session: session.execute(hour))
    lanes = services.operations.lanes
    await lanes.pause("workflow", "Orders", username="ada", reason="the bank moves")
    await lanes.pause("group", "night", username="ada", reason="an upgrade")

    text = (await any_app_harness.open_client("viewer").get("/metrics")).text

    assert "flowlet_lag_seconds 0.0" in text.splitlines()
    assert 'flowlet_lane_paused{kind="workflow",name="Orders"} 1.0' in text.splitlines()
    assert 'flowlet_lane_lag_seconds{kind="group",name="night"} 0.0' in text.splitlines()
    (line,) = [one for one in text.splitlines() if one.startswith('flowlet_lane_lag_seconds{kind="workflow"')]
    assert 3600 <= float(line.split()[1]) < 3700


async def test_nothing_due_is_no_lag(any_app_harness: AppHarness) -> None:
    text = (await any_app_harness.open_client("viewer").get("/metrics")).text

    assert "flowlet_lag_seconds 0.0" in text.splitlines()


async def test_the_database_is_not_asked_again_while_its_numbers_are_fresh(app_harness: AppHarness) -> None:
    services = app_harness.services
    services.registry.add(build_workflow_module(**build_single_state(lambda: "done")))
    await app_harness.open_client("viewer").get("/metrics")
    await services.operations.create("Orders")

    soon = (await app_harness.open_client("viewer").get("/metrics")).text
    assert services.metrics._database_metrics_read_seconds is not None
    services.metrics._database_metrics_read_seconds -= DATABASE_METRICS_MAX_AGE_SECONDS
    later = (await app_harness.open_client("viewer").get("/metrics")).text

    assert "flowlet_instances{" not in soon
    assert "flowlet_instances{" in later


async def test_applications_in_one_process_do_not_mix_their_numbers(sqlite_url: str) -> None:
    Metrics().on_batch(7, 0.1)
    async with open_app_harness(sqlite_url) as probe:
        text = (await probe.open_client("viewer").get("/metrics")).text

    assert "flowlet_batch_size_count 0.0" in text.splitlines()
