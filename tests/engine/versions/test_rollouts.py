"""Two versions of a workflow at work: a roll-out, a rollback and another roll-out lose nothing and fail nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from flowlet.instance.json_text import parse_json
from flowlet.operations.service import Operations
from tests.engine.versions.closing import Closing
from tests.engine.versions.versions_harness import VersionsHarness, build_registry, open_versions, run_version

pytestmark = pytest.mark.timeout(120)

INSTANCE_COUNT = 40
PHASE_TRANSITIONS = 80
"""How many transitions one executor commits in each phase: several for each instance."""


def build_order(number: int) -> dict[str, object]:
    """Return the variables of a new order, as version 1 knows them."""
    return {"number": number, "address": {"city": "start"}, "lines": [{"sku": number + place} for place in range(4)]}


@pytest.mark.parametrize("order_of_start", [("order_v1", "order_v2"), ("order_v2", "order_v1")], ids=["up", "down"])
async def test_roll_out_rollback_and_roll_out_again_lose_nothing_and_fail_nothing(
    database_url: str, order_of_start: tuple[str, str]
) -> None:
    closing = Closing()
    async with open_versions(database_url) as seen:
        first, second = order_of_start
        ids = await seen.create_instances(
            build_registry(first), "Orders", [build_order(number) for number in range(INSTANCE_COUNT)]
        )
        waited = 0
        for module in (first, second, first, second):  # each runs beside the next one, and then stops
            async with AsyncExitStack() as stack:
                run = await stack.enter_async_context(
                    run_version(database_url, module, name=module.replace("_", "-"), closing=closing)
                )
                await run.wait_for_transitions(PHASE_TRANSITIONS)
                waited += await count_waiting(seen)
                other = await stack.enter_async_context(
                    run_version(database_url, next_of(module), name=next_of(module).replace("_", "-"), closing=closing)
                )
                await run.wait_for_transitions(PHASE_TRANSITIONS)
                await other.wait_for_transitions(PHASE_TRANSITIONS)

        closing.is_closed = True
        async with run_version(database_url, "order_v2", name="last", closing=closing):
            await seen.wait_until_all_end()

        await seen.check_nothing_is_lost(ids)
        for id in ids:
            check_order(parse_json((await seen.get_instance(id)).vars_json))
        assert waited, "no instance has waited for the version that knows its state"


def next_of(module: str) -> str:
    """Return the other version."""
    return "order_v1" if module == "order_v2" else "order_v2"


async def count_waiting(seen: VersionsHarness) -> int:
    """Return how many instances wait for another version, each with its reason."""
    rows = await seen.fetch_rows("SELECT reason FROM flowlet_workflow WHERE gate IS NOT NULL AND status <> 'EXECUTING'")
    assert {reason for (reason,) in rows} <= {"waits for another version: Orders version 1 has no state 'label'"}
    return len(rows)


def check_order(variables: dict[str, object]) -> None:
    """Check that everything is there that version 2 has written once."""
    number, lines = variables["number"], variables["lines"]
    assert isinstance(number, int)
    assert isinstance(lines, list)
    assert variables["labels"]
    assert variables["address"] == {"city": f"city {variables['rounds']}", "zip": 1000 + number}
    assert {line["sku"]: line["weight"] for line in lines} == {line["sku"]: 10 * line["sku"] for line in lines}
    assert 2 <= len(lines) <= 4


async def test_an_edit_by_the_older_version_keeps_what_it_does_not_know(database_url: str) -> None:
    closing, old = Closing(is_closed=True), build_registry("order_v1")
    async with open_versions(database_url) as seen:
        (id,) = await seen.create_instances(old, "Orders", [build_order(1)])
        await seen.execute_sql("UPDATE flowlet_workflow SET state = 'pack'")
        async with run_version(database_url, "order_v2", name="new", closing=closing):
            await seen.wait_until_all_end()
        before = parse_json((await seen.get_instance(id)).vars_json)
        await seen.execute_sql(
            "UPDATE flowlet_workflow SET status = 'PAUSED', held_status = 'IN_PROGRESS', ended = NULL"
        )

        shorter = [{"sku": line["sku"], "amount": 9} for line in before["lines"][:2]]
        await Operations(seen.store, old).edit_variables(
            id, {"address": {"city": "elsewhere"}, "lines": shorter, "rounds": 7}, username="ada"
        )

        after = parse_json((await seen.get_instance(id)).vars_json)
        assert after["labels"] == before["labels"]
        assert after["address"] == {"city": "elsewhere", "zip": 1001}
        assert (after["rounds"], after["lines"]) == (7, shorter)
