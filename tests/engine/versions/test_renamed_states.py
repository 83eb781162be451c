"""States that get another name while instances are in them: each goes on, and is found by either name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flowlet.clock import VirtualClock
from flowlet.engine.waiters import Waiters
from flowlet.errors import RefusedError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.operations.doctor import examine_store
from flowlet.store.search.query import SearchQuery
from flowlet.testing import Harness
from tests.engine.versions.renamed_orders import build_modules, create_orders

RENAMED = [("review", "decide"), ("pay", "charge"), ("gather", "collect"), ("delivered", "done")]


@asynccontextmanager
async def deploy_rename(database_url: str) -> AsyncIterator[tuple[Harness, dict[str, int]]]:
    """Yield version 2 on a database in which version 1 has left an order in each kind of wait, and their ids."""
    clock = VirtualClock()
    async with Harness(build_modules(1), database_url=database_url, clock=clock) as flow:
        ids = await create_orders(flow)
    async with Harness(build_modules(2), database_url=database_url, clock=clock) as flow:
        yield flow, ids


async def find_ids(flow: Harness, state: str, *, type: str | None = None) -> set[int]:
    found = await flow.store.queries.search(SearchQuery(state=state, workflow_type=type))
    return {instance.id for instance in found.instances}


async def find_logged(flow: Harness, id: int) -> list[str | None]:
    return [line.text for line in await flow.history(id, ActionKind.LOG)]


async def test_instances_go_on_from_a_renamed_state_whatever_they_wait_for(database_url: str) -> None:
    async with deploy_rename(database_url) as (flow, ids):
        (child,) = await flow.children(ids["children"])

        await flow.answer(ids["person"], "done")
        await flow.answer(child.id, "ready")
        await flow.operations.retry(ids["fail"], username="ada")
        await flow.operations.resume(ids["paused"], username="ada")
        await flow.answer(ids["paused"], "done")
        await flow.advance("1 hour")

        ended = {way: await flow.get(id) for way, id in ids.items()}
        assert {(one.status, one.state) for one in ended.values()} == {(Status.FINISHED, "done")}
        assert await flow.path(ids["person"]) == ["check", "review", "done"]
        assert await flow.path(ids["timer"]) == ["check", "pay", "done"]
        assert await examine_store(flow.store) == []


async def test_handlers_are_given_the_present_names(database_url: str) -> None:
    async with deploy_rename(database_url) as (flow, ids):
        (child,) = await flow.children(ids["children"])
        await flow.operations.cancel(child.id, username="ada")
        await flow.answer(ids["person"], "delivered")
        await flow.advance("1 hour")

        assert await find_logged(flow, ids["person"]) == ["decide: done"]
        assert await find_logged(flow, ids["timer"]) == ["state charge"]
        assert await find_logged(flow, ids["children"]) == ["children in prepare"]


async def test_an_answer_that_an_earlier_version_took_is_the_present_choice(database_url: str) -> None:
    clock = VirtualClock()
    async with Harness(build_modules(1), database_url=database_url, clock=clock) as flow:
        id = await flow.start("Orders", {"way": "person"})
        await flow.answer(id, "delivered", settle=False)

    async with Harness(build_modules(2), database_url=database_url, clock=clock) as flow:
        await flow.settle()

        assert (await flow.get(id)).state == "done"
        assert await find_logged(flow, id) == ["decide: done"]


async def test_a_search_by_either_name_finds_the_instances_of_both(database_url: str) -> None:
    async with deploy_rename(database_url) as (flow, ids):
        new = await flow.start("Orders", {"way": "person"})
        expected = {
            "decide": {ids["person"], ids["paused"], new},
            "charge": {ids["timer"], ids["fail"]},
            "collect": {ids["children"]},
            "done": set(),
        }

        for former, present in RENAMED:
            for name in (former, present):
                assert await find_ids(flow, name) == expected[present]
                assert await find_ids(flow, name, type="Orders") == expected[present]
                assert await find_ids(flow, name, type="Parts") == set()


async def test_a_name_is_another_workflows_own_state(database_url: str) -> None:
    async with deploy_rename(database_url) as (flow, _):
        (part,) = await find_ids(flow, "pack")

        assert await find_ids(flow, "prepare") == {part}
        assert await find_ids(flow, "prepare", type="Orders") == set()


async def test_a_process_of_the_former_version_knows_the_names_that_executors_have_stored(database_url: str) -> None:
    async with deploy_rename(database_url) as (flow, ids):
        new = await flow.start("Orders", {"way": "person"})
    async with Harness(build_modules(1), database_url=database_url, clock=flow.clock) as former:
        assert await find_ids(former, "review") == {ids["person"], ids["paused"], new}
        assert await find_ids(former, "decide") == {ids["person"], ids["paused"], new}


async def test_moves_and_refusals_take_either_name(database_url: str) -> None:
    async with deploy_rename(database_url) as (flow, ids):
        moved = await flow.operations.move(ids["timer"], "delivered", username="ada")
        forced = await flow.operations.move(ids["fail"], "review", username="ada", force=True, reason="by hand")

        assert (moved.status, moved.state) == (Status.FINISHED, "done")
        assert (forced.status, forced.state) == (Status.WAITING, "decide")
        with pytest.raises(RefusedError, match=r"'check' is not a choice of 'decide'\. Permitted: done\."):
            await flow.answer(ids["person"], "check")
        assert await examine_store(flow.store) == []


async def test_a_wait_for_either_name_ends_in_both(database_url: str) -> None:
    async with deploy_rename(database_url) as (flow, ids):
        waiters = Waiters(flow.store, flow.store.clock)
        new = await flow.start("Orders", {"way": "person"})

        async with asyncio.timeout(20):
            reached = [
                await waiters.wait(id, name, timeout=10) for id in (ids["person"], new) for name in ("review", "decide")
            ]
            # It has left the state again: its history is read.
            await flow.answer(ids["person"], "done")
            passed = await waiters.wait(ids["person"], ["decide"], timeout=10, since=0)

        assert [one.state for one in reached] == ["review", "review", "decide", "decide"]
        assert passed.state == "done"
        await waiters.close()


async def test_a_failure_in_a_renamed_state_has_its_present_name(database_url: str) -> None:
    async with deploy_rename(database_url) as (flow, ids):
        instance = await flow.get(ids["fail"])

        assert (instance.state, instance.status) == ("pay", Status.FAILED)
        assert "retry" in flow.operations.get_permitted_operations(instance).operations
        assert await find_ids(flow, "charge") >= {ids["fail"]}
