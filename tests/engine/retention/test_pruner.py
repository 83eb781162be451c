"""The pruner of executors: whose rule counts, who deletes, and the events that are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from types import ModuleType
from typing import Any

import pytest

from flowlet.clock import VirtualClock, to_microseconds
from flowlet.definition.registry import Registry
from flowlet.engine.event_stream import EventBroadcaster
from flowlet.engine.retention.pruner import Pruner, prune_ranges
from flowlet.engine.retention.rules import RuleSource, list_ranges, read_retention_rules
from flowlet.engine.worker_parts import build_executor_record
from flowlet.instance.keep_period import ALWAYS, OFF
from flowlet.operations.service import Operations
from flowlet.settings import ExecutorSettings
from flowlet.store.opening import Store, open_store
from flowlet.store.people.audit import AuditQuery
from flowlet.store.retention.deletion import Deleted
from flowlet.workflow.keep import Keep
from flowlet.workflow.states import end, state
from flowlet.workflow.workflow import Workflow
from tests.databases import find_schema

DAY = to_microseconds(timedelta(days=1))


def build_registry(keep: Keep | None = None, *, version: int = 1) -> Registry:
    """Return a workflow of two states whose instances are kept for so long."""

    @state(start=True, next=["done"])
    async def check() -> None: ...

    module = ModuleType("orders", "Take an order.")
    vars(module).update(check=check, done=end(), workflow=Workflow("Orders", keep=keep, version=version))
    registry = Registry()
    registry.add(module)
    return registry


@dataclass
class PrunerHarness:
    """A database, its virtual clock, and executors that are registered and do nothing by themselves."""

    store: Store
    clock: VirtualClock
    registry: Registry

    async def register(self, id: str, registry: Registry | None = None, **settings: Any) -> Pruner:
        """Register an executor, and return its pruner."""
        registry = registry or self.registry
        given = ExecutorSettings(name=id, **settings)
        await self.store.definitions.save_definitions(registry.definitions, now=self.clock.now())
        await self.store.executors.register(build_executor_record(given, registry, id=id, now=self.clock.now()))
        return Pruner(self.store, registry.definitions, given, executor_id=id, random=Random(7))

    async def create_cancelled(self, count: int = 1) -> list[int]:
        """Create instances and cancel them."""
        operations = Operations(self.store, self.registry)
        ids = [(await operations.create("Orders", external_id=None)).id for _ in range(count)]
        for id in ids:
            await operations.cancel(id, username="ada")
        return ids

    async def count_instances(self) -> int:
        ((count,),) = await self.store.connections.read(
            lambda session: session.fetch_rows("SELECT COUNT(*) FROM flowlet_workflow")
        )
        return int(count)


@asynccontextmanager
async def open_pruner_harness(url: str, keep: Keep | None = None) -> AsyncIterator[PrunerHarness]:
    clock = VirtualClock()
    async with open_store(url, schema=find_schema(url), clock=clock) as store:
        yield PrunerHarness(store, clock, build_registry(keep))


async def test_what_ended_longer_ago_than_its_workflow_says_is_deleted_by_the_first_executor(database_url: str) -> None:
    async with open_pruner_harness(database_url, Keep("90 days")) as at:
        second, first = await at.register("b"), await at.register("a")
        old = await at.create_cancelled(3)
        at.clock.advance(89 * DAY)
        young = await at.create_cancelled(2)
        early = await first.run_lap()
        at.clock.advance(2 * DAY)

        idle, busy = await second.run_lap(), await first.run_lap()

        assert (early, idle, busy) == (Deleted(), Deleted(), Deleted(len(old), len(old)))
        assert await at.count_instances() == len(young)
        assert await at.store.counters.count_ended_instances() == {
            ("Orders", status): count for status, count in (("FINISHED", 0), ("FAILED", 0), ("CANCELLED", 2))
        }


async def test_without_a_rule_nothing_is_deleted_and_the_setting_is_one_for_all(sqlite_url: str) -> None:
    async with open_pruner_harness(sqlite_url) as at:
        await at.create_cancelled(2)
        at.clock.advance(10_000 * DAY)
        without = await (await at.register("b")).run_lap()

        with_setting = await (await at.register("a", keep=timedelta(days=1))).run_lap()

        assert (without, with_setting) == (Deleted(), Deleted(2, 2))


async def test_the_highest_version_that_runs_says_how_long_and_after_a_rollback_the_older_one(sqlite_url: str) -> None:
    newer = build_registry(Keep("1 day", failed="always"), version=2)
    async with open_pruner_harness(sqlite_url, Keep("1 year")) as at:
        old = await at.register("a")
        await at.register("b", newer)
        (both,) = await read_retention_rules(at.store, at.registry.definitions, default=ALWAYS)
        await at.store.executors.deregister("b", now=at.clock.now())
        (rolled_back,) = await read_retention_rules(at.store, at.registry.definitions, default=ALWAYS)
        await at.store.executors.deregister("a", now=at.clock.now())
        (stored,) = await read_retention_rules(at.store, (), default=ALWAYS)

        assert (both.keep, both.keep_failed, both.pruner_id) == (timedelta(days=1), ALWAYS, "b")
        assert (rolled_back.keep, rolled_back.version, rolled_back.pruner_id) == (timedelta(days=365), 1, "a")
        assert (stored.version, stored.source, stored.pruner_id) == (2, RuleSource.WORKFLOW, None)
        assert [one.status for one in list_ranges(both, now=at.clock.now())] == ["FINISHED", "CANCELLED"]
        assert await old.run_lap() == Deleted()


async def test_a_kept_external_id_is_deleted_when_its_own_time_is_over(sqlite_url: str) -> None:
    async with open_pruner_harness(sqlite_url, Keep("1 day")) as at:
        pruner = await at.register("a", keep_external_ids=timedelta(days=30))
        (id,) = await at.create_cancelled()
        external_id = (await at.store.queries.get(id)).external_id
        operations, found = Operations(at.store, at.registry), []
        for days in (2, 29, 2):
            at.clock.advance(days * DAY)
            await pruner.run_lap()
            found.append(await operations.create("Orders", external_id=external_id))

        assert [(one.is_new, one.is_pruned) for one in found] == [(False, True), (False, True), (True, False)]


async def test_a_pruner_that_is_killed_in_the_middle_has_deleted_whole_trees_and_another_one_goes_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.engine.retention.pruner.MAX_DELETED_INSTANCES", 2)
    async with open_pruner_harness(database_url, Keep("1 day")) as at:
        await at.create_cancelled(7)
        at.clock.advance(2 * DAY)
        (rule,) = await read_retention_rules(at.store, at.registry.definitions, default=ALWAYS)
        ranges = list_ranges(rule, now=at.clock.now())
        first = prune_ranges(at.store, ranges, keeps_external_ids=False, rest_factor=0)
        await anext(first)
        await first.aclose()
        left = await at.count_instances()

        rest = [one async for one in prune_ranges(at.store, ranges, keeps_external_ids=False, rest_factor=0)]

        assert left == 5
        assert [one.instances for one in rest] == [2, 2, 1]
        assert await at.store.counters.count_pruned_instances() == {"Orders": 7}


async def test_a_stream_that_resumes_before_deleted_lines_gets_a_gap_and_a_page_none(database_url: str) -> None:
    async with open_pruner_harness(database_url, Keep("1 day")) as at:
        await at.create_cancelled(2)
        position = await at.store.history.read_last_id()
        await at.create_cancelled(2)
        (alive,) = await at.create_cancelled()
        at.clock.advance(2 * DAY)
        feed = EventBroadcaster(at.store)
        pruner = await at.register("a")
        before = await read_first_gap(feed, position)
        await at.store.connections.write(
            lambda session: session.execute(
                "UPDATE flowlet_workflow SET ended = :now WHERE id = :id", {"now": at.clock.now(), "id": alive}
            )
        )
        await pruner.run_lap()

        pruned = await at.store.history.read_pruned_line()
        assert before == 0
        assert await read_first_gap(feed, position) == pruned > position
        for page in (await feed.read_position(), await at.store.history.read_horizon()):
            assert await read_first_gap(feed, page) == 0
        feed.close()


async def read_first_gap(feed: EventBroadcaster, after: int) -> int:
    """Return where the gap ends that a stream gets at its beginning; 0 for none."""
    stream = feed.subscribe(lambda event: True, after=after)
    batch = await anext(stream)
    await stream.aclose()
    return batch.gap_end


def test_a_keep_that_is_no_period_is_refused() -> None:
    assert replace(Keep("2 years"), failed="always").failed_length == ALWAYS
    for wrong in ("soon", "5 s", OFF):
        with pytest.raises(ValueError, match=r"is not a duration|at least a minute"):
            Keep(wrong)


async def test_the_audit_is_deleted_by_age_where_a_setting_says_so(sqlite_url: str) -> None:
    async with open_pruner_harness(sqlite_url) as at:
        default, keeping = await at.register("a"), await at.register("b", keep_audit=timedelta(days=30))
        await at.create_cancelled(2)
        at.clock.advance(31 * DAY)
        await at.create_cancelled(1)

        await default.run_lap()
        assert len(await at.store.audit.list_page(AuditQuery())) == 3
        await keeping.run_lap()
        assert len(await at.store.audit.list_page(AuditQuery())) == 1
