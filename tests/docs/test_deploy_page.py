"""The page about deploying: what it says of versions happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowlet.instance.action import ActionKind
from flowlet.instance.json_text import parse_json
from tests.docs.pages import read_block_text, read_blocks
from tests.engine.versions.versions_harness import VersionsHarness, build_registry, open_versions, run_version

PAGE = "docs/how-to/deploy-and-upgrade.md"
IS_WAITING = "gate IS NOT NULL AND status = 'IN_PROGRESS'"
OLD = """
from flowlet import Context, Workflow, end, state

workflow = Workflow("OrderWorkflow", version=1)

@state(start=True, next=["ship"])
async def {name}(ctx: Context) -> None: ...

@state(next=["done"])
async def ship(ctx: Context) -> None: ...

done = end()
"""
NEW_MODEL = """
from pydantic import BaseModel
from flowlet import Workflow, end, state

class Order(BaseModel):
    sku: str
    {field}

workflow = Workflow("OrderWorkflow", version=2, vars=Order)

@state(start=True, next=["done"])
async def pay(order: Order) -> None: ...

done = end()
"""


def write_module(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


async def create_order(seen: VersionsHarness, module: Path, **variables: Any) -> int:
    (id,) = await seen.create_instances(build_registry(module), "OrderWorkflow", [variables])
    return id


async def test_the_migrations_of_the_page_run_in_a_chain(sqlite_url: str, tmp_path: Path) -> None:
    old = write_module(tmp_path, "old", OLD.format(name="pack"))
    new = write_module(tmp_path, "order", read_block_text(PAGE, "order.py"))
    async with open_versions(sqlite_url) as seen:
        id = await create_order(seen, old, sku="A-1", count=3)

        async with run_version(sqlite_url, new, name="new"):
            await seen.wait_until_all_end()

        assert parse_json((await seen.get_instance(id)).vars_json) == {"sku": "A-1", "lines": [{"amount": 3}]}
        await seen.check_nothing_is_lost([id])


async def test_an_instance_in_a_renamed_state_continues_there(sqlite_url: str, tmp_path: Path) -> None:
    old = write_module(tmp_path, "old", OLD.format(name="pay"))
    renamed = OLD.format(name="charge").replace("start=True", 'start=True, renamed_from="pay"').replace("=1)", "=2)")
    new = write_module(tmp_path, "new", renamed)
    async with open_versions(sqlite_url) as seen:
        first, second = [await create_order(seen, old) for _ in range(2)]
        (third,) = await seen.create_instances(build_registry(new), "OrderWorkflow", [{}])

        async with run_version(sqlite_url, new, name="new"):
            await seen.wait_until_all_end()

        lines = [line for id in (first, second, third) for line in await seen.store.queries.read_history(id)]
        assert {line.kind for line in lines} == {ActionKind.CREATED, ActionKind.TRANSITION}
        assert {line.from_state for line in lines if line.to_state == "ship"} == {"pay", "charge"}


async def test_a_required_variable_makes_instances_wait_until_it_has_a_default(sqlite_url: str, tmp_path: Path) -> None:
    old = write_module(tmp_path, "old", OLD.format(name="pay"))
    strict = write_module(tmp_path, "strict", NEW_MODEL.format(field="gift: bool"))
    corrected = write_module(tmp_path, "corrected", NEW_MODEL.format(field="gift: bool = False"))
    async with open_versions(sqlite_url) as seen:
        id = await create_order(seen, old, sku="A-1", note="kept")
        async with run_version(sqlite_url, strict, name="strict"):
            await seen.wait_until_count(IS_WAITING, 1)
        waiting = await seen.get_instance(id)

        async with run_version(sqlite_url, corrected, name="corrected"):
            await seen.wait_until_all_end()

        assert str(waiting.reason).startswith("waits for another version: OrderWorkflow version 2 cannot read ")
        assert parse_json((await seen.get_instance(id)).vars_json)["note"] == "kept"
        await seen.check_nothing_is_lost([id])


async def test_a_model_that_forbids_a_removed_field_runs_and_keeps_it(sqlite_url: str, tmp_path: Path) -> None:
    old = write_module(tmp_path, "old", OLD.format(name="pay"))
    new = write_module(tmp_path, "new", NEW_MODEL.format(field='model_config = {"extra": "forbid"}'))
    async with open_versions(sqlite_url) as seen:
        id = await create_order(seen, old, sku="A-1", note="kept")

        async with run_version(sqlite_url, new, name="new"):
            await seen.wait_until_all_end()

        assert parse_json((await seen.get_instance(id)).vars_json) == {"sku": "A-1", "note": "kept"}


async def test_the_reasons_of_the_page_are_those_that_instances_have(sqlite_url: str, tmp_path: Path) -> None:
    (shown,) = [block.text.splitlines() for block in read_blocks(PAGE) if "waits for another version: " in block.text]
    new = write_module(tmp_path, "order", read_block_text(PAGE, "order.py"))
    plain = OLD.format(name="pay").replace("=1)", "=2)")
    older = write_module(tmp_path, "older", plain)
    async with open_versions(sqlite_url) as seen:
        ids = [await create_order(seen, older) for _ in shown]
        unknown, migrated, raising = ids
        await seen.execute_sql(f"UPDATE flowlet_workflow SET state = 'gift_wrap' WHERE id = {unknown}")
        await seen.execute_sql(f"UPDATE flowlet_workflow SET vars_version = 3 WHERE id = {migrated}")
        await seen.execute_sql(f"UPDATE flowlet_workflow SET status = 'PAUSED' WHERE id = {raising}")
        async with run_version(sqlite_url, older, name="older"):
            await seen.wait_until_count(IS_WAITING, 2)
        await seen.execute_sql(
            f"UPDATE flowlet_workflow SET status = 'NEW', state = 'pack', vars_version = 2 WHERE id = {raising}"
        )
        async with run_version(sqlite_url, new, name="new"):
            await seen.wait_until_count(f"{IS_WAITING} AND id = {raising}", 1)

        lines = [line for id in ids for line in await seen.store.queries.read_history(id)]
        assert set(shown) <= {line.text for line in lines if line.kind is ActionKind.GATED}
