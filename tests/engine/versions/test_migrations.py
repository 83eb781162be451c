"""Migrations of variables: they run once each, one that raises fails nothing, and a rollback past one waits."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path

import pytest

from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.instance.json_text import parse_json
from tests.engine.versions.closing import Closing
from tests.engine.versions.versions_harness import MODULES, VersionsHarness, build_registry, open_versions, run_version

FREE_OLD = """
from flowlet import Context, Workflow, end, state

workflow = Workflow("Counter", version=1)


@state(start=True, next=["done"])
async def add(ctx: Context) -> None: ...


done = end()
"""
FREE_NEW = """
from flowlet import Context, Workflow, end, migrate, state

workflow = Workflow("Counter", version=3)


@migrate(from_version=1)
def rename_count(variables):
    return {"total": variables.pop("count"), **variables}


@migrate(from_version=2)
def split_total(variables):
    variables["totals"] = {"all": variables.pop("total")}
    return variables


@state(start=True, next=["rest"])
async def add(ctx: Context) -> None:
    ctx.vars["totals"]["all"] += 1


@state(next=["done"])
async def rest(ctx: Context) -> None:
    ctx.vars["totals"]["all"] += 1


done = end()
"""


async def create_old_counters(seen: VersionsHarness, *counts: int) -> list[int]:
    return await seen.create_instances(build_registry("counter_v1"), "Counter", [{"count": one} for one in counts])


async def wait_until_refused(seen: VersionsHarness, count: int = 1) -> None:
    """Wait until so many instances wait for another version, and no executor holds one."""
    await seen.wait_until_count("gate IS NOT NULL AND status = 'IN_PROGRESS'", count)


async def test_a_chain_of_migrations_runs_once_and_its_change_is_in_the_history(database_url: str) -> None:
    closing = Closing(is_closed=True)
    async with open_versions(database_url) as seen:
        ids = await create_old_counters(seen, 4, 5)

        async with run_version(database_url, "counter_v3", name="new", closing=closing):
            await seen.wait_until_all_end()

        await seen.check_nothing_is_lost(ids)
        for id, count in zip(ids, (4, 5), strict=True):
            instance = await seen.get_instance(id)
            stored = {"totals": {"all": count + 1}, "steps": ["1 to 2", "2 to 3"]}
            assert (parse_json(instance.vars_json), instance.vars_version) == (stored, 3)


async def test_variables_without_a_model_are_migrated_too(database_url: str, tmp_path: Path) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    old.write_text(FREE_OLD)
    new.write_text(FREE_NEW)
    async with open_versions(database_url) as seen:
        ids = await seen.create_instances(build_registry(old), "Counter", [{"count": 3, "note": "kept"}])

        async with run_version(database_url, new, name="new"):
            await seen.wait_until_all_end()

        await seen.check_nothing_is_lost(ids)
        instance = await seen.get_instance(ids[0])
        assert parse_json(instance.vars_json) == {"totals": {"all": 5}, "note": "kept"}
        assert instance.vars_version == 3


async def test_a_migration_that_raises_counts_no_attempt_and_its_correction_goes_on(database_url: str) -> None:
    closing = Closing(is_closed=True)
    async with open_versions(database_url) as seen:
        ids = await create_old_counters(seen, 7)
        async with run_version(database_url, "counter_v3_broken", name="broken", closing=closing):
            await wait_until_refused(seen)
        waiting = await seen.get_instance(ids[0])

        async with run_version(database_url, "counter_v3", name="corrected", closing=closing):
            await seen.wait_until_all_end()

        await seen.check_nothing_is_lost(ids)
        assert waiting.reason == (
            "waits for another version: the migration 'name_total' of Counter version 3 raised KeyError: 'name'"
        )
        assert (waiting.vars_json, waiting.vars_version, waiting.attempt) == ('{"count":7}', 0, 0)
        assert await seen.read_kinds(ids[0]) == [ActionKind.CREATED, ActionKind.GATED, ActionKind.TRANSITION]


async def test_a_correction_in_another_module_goes_on_too(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (MODULES / "counter_v2.py").read_text().replace('variables.pop("count")', "take_count(variables)")
    module = tmp_path / "counter.py"
    first_import = "from typing import Any\n"
    module.write_text(source.replace(first_import, f"{first_import}from counter_steps import take_count\n"))
    monkeypatch.syspath_prepend(str(tmp_path))
    closing, versions = Closing(is_closed=True), {"broken": "no_count", "corrected": "count"}
    async with open_versions(database_url) as seen:
        ids = await create_old_counters(seen, 7)
        for name, variable in versions.items():
            steps = tmp_path / "counter_steps.py"
            steps.write_text(f"def take_count(variables):\n    return variables['{variable}']\n")
            monkeypatch.delitem(sys.modules, "counter_steps", raising=False)
            linecache.clearcache()
            async with run_version(database_url, module, name=name, closing=closing):
                await (wait_until_refused(seen) if name == "broken" else seen.wait_until_all_end())

        await seen.check_nothing_is_lost(ids)


async def test_a_rollback_past_a_migration_waits_until_the_migrated_version_returns(database_url: str) -> None:
    closing = Closing()
    async with open_versions(database_url) as seen:
        ids = await create_old_counters(seen, 1, 2)
        async with run_version(database_url, "counter_v2", name="new", closing=closing) as new:
            await new.wait_for_transitions(12)
            await seen.wait_until_count("vars_version = 2", 2)

        async with run_version(database_url, "counter_v1", name="old", closing=closing):
            await wait_until_refused(seen, 2)
        waiting = [await seen.get_instance(id) for id in ids]

        closing.is_closed = True
        async with run_version(database_url, "counter_v2", name="again", closing=closing):
            await seen.wait_until_all_end()

        await seen.check_nothing_is_lost(ids)
        assert {one.reason for one in waiting} == {
            "waits for another version: its variables were migrated to version 2, which Counter version 1 does not know"
        }
        for before, id in zip(waiting, ids, strict=True):
            after = await seen.get_instance(id)
            assert get_total(after) > get_total(before)
            assert parse_json(after.vars_json)["steps"] == ["1 to 2"]


async def test_a_migration_is_not_stored_by_an_attempt_that_fails(database_url: str, tmp_path: Path) -> None:
    module = tmp_path / "counter.py"
    failing = (MODULES / "counter_v2.py").read_text().replace("counter.total += 1", "raise LookupError('no luck')")
    module.write_text(failing)
    async with open_versions(database_url) as seen:
        (id,) = await create_old_counters(seen, 7)

        async with run_version(database_url, module, name="new"):
            await seen.wait_until_count("status = 'FAILED'", 1)

        failed = await seen.get_instance(id)
        assert (failed.status, failed.vars_json, failed.vars_version) == (Status.FAILED, '{"count":7}', 0)


def get_total(instance: Instance) -> int:
    total = parse_json(instance.vars_json)["total"]
    assert isinstance(total, int)
    return total
