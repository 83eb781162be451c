"""What the doctor says of versions: what waits for another one, who could still run it, and what modules could not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from flowlet.definition.registry import Registry
from flowlet.operations.doctor import GATED, INCOMPATIBLE, Finding, examine_store
from flowlet.operations.version_findings import MAX_NAMED_EXECUTORS, describe_gated_group
from flowlet.store.executors import ExecutorRecord
from flowlet.store.gates.gated_instances import GatedGroup
from tests.engine.gates.shop_versions import FIRST_VERSION, create_standing, load_version, run_all_due
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.store.store_harness import StoreHarness

MINUTE = 60_000_000
GROUP = GatedGroup("version:lane/a,b", "Shop", "default", "pay", 1, 7, "waits for another version: it has no state")
RECORD = ExecutorRecord("x-1", "x", "h", 1, ("default",), ("Shop",), 4, "RUNNING", 0, 0, 0, versions={"Shop": 2})
WITHOUT_PAY = FIRST_VERSION.replace("pay", "charge").replace("version=1", "version=2")


async def gate_three(engine: EngineHarness) -> int:
    """Let an executor refuse three instances of a state that it does not have, and return the first one's id."""
    store_harness = StoreHarness(engine.store)
    first, *_ = [await create_standing(store_harness, "pay") for _ in range(3)]
    await run_all_due(engine)
    return first


def load_second_version(folder: Path) -> ModuleType:
    return load_version(folder, WITHOUT_PAY)


async def test_what_waits_for_another_version_for_a_minute_is_found(database_url: str, tmp_path: Path) -> None:
    async with open_engine(database_url, load_second_version(tmp_path)) as engine:
        first = await gate_three(engine)
        await engine.execute_sql("UPDATE flowlet_executor SET lease_until = lease_until + 3600000000")
        engine.clock.advance(MINUTE - 1)
        early = await examine_store(engine.store)
        engine.clock.advance(1)

        (found,) = await examine_store(engine.store)

        assert early == []
        assert found == Finding(
            first,
            GATED,
            "3 of 'Shop' in state 'pay', in the executor group 'default', have waited for another version for more "
            f"than 60 s; {first} is the first: Shop version 2 has no state 'pay'. No live executor can run them: "
            "'executor-a' (version 2) could not. Deploy a version that can, move them, or cancel them.",
        )


async def test_an_executor_with_other_definitions_may_still_run_them(database_url: str, tmp_path: Path) -> None:
    async with open_engine(database_url, load_second_version(tmp_path)) as engine:
        await gate_three(engine)
        await engine.execute_sql("UPDATE flowlet_executor SET lease_until = lease_until + 3600000000")
        other = {"digest": "another", "versions": '{"Shop":1}'}
        await engine.execute_sql("UPDATE flowlet_executor SET digest = :digest, workflow_versions = :versions", other)
        engine.clock.advance(MINUTE)

        (found,) = await examine_store(engine.store)

        assert found.message.endswith("Not tried yet by 'executor-a' (version 1): is each of them busy, or stuck?")


async def test_the_definitions_that_are_given_are_compared(database_url: str, tmp_path: Path) -> None:
    async with open_engine(database_url, load_second_version(tmp_path)) as engine:
        id = await create_standing(StoreHarness(engine.store), "pay", next_activation=2**60)
        registry = Registry()
        registry.add(load_version(tmp_path / "first", FIRST_VERSION))

        found = await examine_store(engine.store, definitions=engine.registry.definitions)

        assert [(one.instance_id, one.rule) for one in found if one.rule == INCOMPATIBLE] == [(id, INCOMPATIBLE)]
        without = await examine_store(engine.store, definitions=registry.definitions)
        assert INCOMPATIBLE not in [one.rule for one in without]


@pytest.mark.parametrize(
    ("live", "said"),
    [
        ([], "No live executor of this group has loaded this workflow."),
        ([replace(RECORD, types=("Other",))], "No live executor of this group has loaded this workflow."),
        ([replace(RECORD, groups=("night",))], "No live executor of this group has loaded this workflow."),
        ([replace(RECORD, digest="b")], "No live executor can run them: 'x' (version 2) could not. Deploy"),
        ([replace(RECORD, digest="b"), replace(RECORD, name="y", digest="c")], "Not tried yet by 'y' (version 2): "),
        ([replace(RECORD, digest="b", versions={})], "'x' (version ?) could not."),
        ([replace(RECORD, digest="b")] * (MAX_NAMED_EXECUTORS + 2), " and 2 more could not."),
    ],
)
def test_it_says_who_could_not_run_them_and_who_may(live: list[ExecutorRecord], said: str) -> None:
    assert said in describe_gated_group(GROUP, live)
