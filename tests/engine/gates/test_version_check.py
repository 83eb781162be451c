"""What a deploy would do is said before, and is what an executor of that version then does."""

from __future__ import annotations

import logging
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flowlet.definition.versions.incompatibilities import Incompatibility, IncompatibilityRule
from flowlet.engine.gates.version_check import find_incompatible_instances
from flowlet.instance.instance import Status
from tests.engine.executor_harness import run_executor, wait_for
from tests.engine.gates.shop_versions import FIRST_VERSION, WITH_MIGRATION, create_standing, load_version, run_all_due
from tests.engine.manual_executor import EngineHarness, open_engine
from tests.store.store_harness import StoreHarness

SECOND_VERSION = FIRST_VERSION.replace("version=1", "version=2")
RENAMED = SECOND_VERSION.replace("pay", "charge")
SAFELY_RENAMED = RENAMED.replace('@state(next=["sign"])', '@state(next=["sign"], renamed_from="pay")')
WITHOUT_PAY = SECOND_VERSION.replace('next=["pay"]', 'next=["sign"]').replace(
    'return pay.after("1 hour")', "return sign"
)
REMOVED = WITHOUT_PAY.replace('@state(next=["sign"])\nasync def pay(order: Order) -> Next:\n    return sign\n', "")
WITH_CUSTOMER = SECOND_VERSION.replace("amount: int = 1", "amount: int = 1\n    customer: str")
FAILING_MIGRATION = WITH_MIGRATION.replace('variables["amount"]', 'variables["price"]')


async def find_gated(engine: EngineHarness) -> set[int]:
    """Return which instances wait for another version."""
    rows = await engine.fetch_rows("SELECT id FROM flowlet_workflow WHERE gate > 'version:'")
    return {id for (id,) in rows}


async def compare(engine: EngineHarness) -> list[Incompatibility]:
    return await find_incompatible_instances(engine.store, engine.registry.definitions)


@pytest.mark.parametrize(
    ("text", "rule", "columns"),
    [
        (WITH_CUSTOMER, IncompatibilityRule.UNREADABLE_VARS, {}),
        (RENAMED, IncompatibilityRule.UNKNOWN_STATE, {}),
        (REMOVED, IncompatibilityRule.UNKNOWN_STATE, {}),
        (FAILING_MIGRATION, IncompatibilityRule.FAILING_MIGRATION, {}),
        (FIRST_VERSION, IncompatibilityRule.HIGHER_VARS_VERSION, {"vars": {"cents": 100}, "vars_version": 2}),
    ],
    ids=["new required variable", "renamed state", "removed state", "failing migration", "rollback past a migration"],
)
async def test_what_would_wait_is_found_before_the_deploy_and_waits_after_it(
    database_url: str, tmp_path: Path, text: str, rule: IncompatibilityRule, columns: dict[str, Any]
) -> None:
    async with open_engine(database_url, load_version(tmp_path, text)) as engine:
        store_harness = StoreHarness(engine.store)
        standing = {await create_standing(store_harness, "pay", **columns) for _ in range(3)}
        before = await engine.read_tables()

        (found,) = await compare(engine)

        assert await engine.read_tables() == before
        assert (found.workflow, found.rule, found.state, found.count) == ("Shop", rule, "pay", 3)
        assert set(found.ids) <= standing
        await run_all_due(engine)
        assert await find_gated(engine) == standing
        assert [one.rule for one in await compare(engine)] == [rule]


@pytest.mark.parametrize(
    "text",
    [SECOND_VERSION, SAFELY_RENAMED, WITH_MIGRATION, WITH_CUSTOMER.replace("customer: str", 'customer: str = ""')],
    ids=["same states", "renamed_from", "migration", "default"],
)
async def test_of_a_deploy_that_is_safe_nothing_is_found_and_nothing_waits(
    database_url: str, tmp_path: Path, text: str
) -> None:
    async with open_engine(database_url, load_version(tmp_path, text)) as engine:
        store_harness = StoreHarness(engine.store)
        for state in ("check", "pay"):
            await create_standing(store_harness, state)
        await create_standing(store_harness, "sign", status=Status.WAITING)

        assert await compare(engine) == []
        await run_all_due(engine)
        assert await find_gated(engine) == set()


async def test_only_the_part_whose_variables_cannot_be_read_is_counted(database_url: str, tmp_path: Path) -> None:
    async with open_engine(database_url, load_version(tmp_path, WITH_CUSTOMER)) as engine:
        store_harness = StoreHarness(engine.store)
        without = [await create_standing(store_harness, "pay") for _ in range(2)]
        for _ in range(3):
            await create_standing(store_harness, "pay", vars={"customer": "ada"})

        (found,) = await compare(engine)

        assert (found.count, found.read_count, found.in_state, found.ids) == (2, 5, 5, tuple(without))
        await run_all_due(engine)
        assert await find_gated(engine) == set(without)


async def test_of_many_the_oldest_and_the_newest_are_read(database_url: str, tmp_path: Path) -> None:
    async with open_engine(database_url, load_version(tmp_path, WITH_CUSTOMER)) as engine:
        store_harness = StoreHarness(engine.store)
        ids = [await create_standing(store_harness, "pay") for _ in range(9)]

        (found,) = await find_incompatible_instances(engine.store, engine.registry.definitions, samples_per_group=4)

        assert (found.count, found.read_count, found.in_state, found.ids) == (4, 4, 9, (ids[0], ids[1], ids[7]))
        assert "4 of the 4 that were read, of 9 in state 'pay'" in found.message


@pytest.mark.parametrize("status", [Status.FINISHED, Status.FAILED, Status.CANCELLED])
async def test_what_has_ended_is_not_looked_at(database_url: str, tmp_path: Path, status: Status) -> None:
    async with open_engine(database_url, load_version(tmp_path, RENAMED)) as engine:
        await create_standing(StoreHarness(engine.store), "pay", status=status)

        assert await compare(engine) == []


async def test_other_workflows_and_other_groups_are_not_looked_at(database_url: str, tmp_path: Path) -> None:
    async with open_engine(database_url, load_version(tmp_path, RENAMED)) as engine:
        await create_standing(StoreHarness(engine.store), "pay", type="Other")
        await create_standing(StoreHarness(engine.store), "pay", executor_group="night", external_id="night-1")

        definitions = engine.registry.definitions
        assert await find_incompatible_instances(engine.store, definitions, groups=["default"]) == []
        assert len(await find_incompatible_instances(engine.store, definitions, groups=["default", "night"])) == 1


async def read_warnings(
    database_url: str, module: ModuleType, caplog: pytest.LogCaptureFixture, *, text: str
) -> list[str]:
    """Run an executor until it has logged a line with a text, and return its warnings about versions."""
    async with run_executor(database_url, module) as run:
        task = run.executor._version_check._task
        assert task is not None
        await wait_for(task)
        assert not run.task.done()
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


async def test_an_executor_says_at_its_start_what_cannot_run_here(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = load_version(tmp_path, RENAMED)
    async with open_engine(database_url) as engine:
        await create_standing(StoreHarness(engine.store), "pay", next_activation=2**60)

    (line,) = await read_warnings(database_url, module, caplog, text="instances in flight cannot run here: ")

    assert "Shop: 1 in state 'pay', written by version 1" in line
    assert "renamed_from='pay'" in line


async def test_an_executor_runs_on_where_the_comparison_fails(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> list[Incompatibility]:
        raise RuntimeError("the comparison is broken")

    monkeypatch.setattr("flowlet.engine.executor.find_incompatible_instances", fail)

    with caplog.at_level(logging.WARNING):
        (line,) = await read_warnings(
            sqlite_url, load_version(tmp_path, RENAMED), caplog, text="could not be compared with the definitions"
        )

    assert "RuntimeError('the comparison is broken')" in line
