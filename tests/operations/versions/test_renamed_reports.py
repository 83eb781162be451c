"""What is counted by state, and what the doctor judges, where states were renamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from flowlet.clock import VirtualClock
from flowlet.operations.doctor import PATH, examine_store
from flowlet.store.opening import open_store
from flowlet.store.reports.error_times import read_first_seen
from flowlet.store.reports.errors import read_error_groups
from flowlet.store.reports.graph_statistics import read_graph_statistics
from flowlet.store.reports.inbox import InboxGroup, read_inbox
from flowlet.store.search.query import SearchQuery
from flowlet.testing import Harness
from tests.engine.versions.renamed_orders import build_modules


@asynccontextmanager
async def deploy_rename(database_url: str, *ways: str) -> AsyncIterator[Harness]:
    """Yield version 2 on a database with an order of each of these ways by version 1, and then by version 2."""
    clock = VirtualClock()
    for version in (1, 2):
        async with Harness(build_modules(version), database_url=database_url, clock=clock) as flow:
            for way in ways:
                await flow.start("Orders", {"way": way}, external_id=f"{way}-{version}")
            clock.advance(1_000_000)
            if version == 2:
                yield flow


async def write_sql(flow: Harness, sql: str) -> None:
    await flow.store.connections.write(lambda session: session.execute(sql))


async def test_statistics_of_a_graph_count_all_names_of_a_state_together(database_url: str) -> None:
    async with deploy_rename(database_url, "person", "timer") as flow:
        await flow.advance("1 hour")
        names = await flow.store.state_names.read()
        resolve = partial(names.resolve_for, flow.registry.get_definition("Orders"))

        found = await read_graph_statistics(flow.store.connections, "Orders", resolve=resolve)

        assert found.open_by_state == {"decide": 2}
        taken = {pair: way.count for pair, way in found.transitions.items()}
        assert taken == {("check", "decide"): 2, ("check", "charge"): 2, ("charge", "done"): 2}
        assert set(found.states) == {"check", "charge"}


async def test_the_groups_and_pages_of_the_inbox_take_all_names_of_a_state_as_one(database_url: str) -> None:
    async with deploy_rename(database_url, "person", "person-too", "children") as flow:
        names = await flow.store.state_names.read()
        read_page = partial(read_inbox, flow.store.connections, names=names, limit=3)

        for name in ("review", "decide"):
            page = await read_page(state=name, type="Orders")
            rest = await read_page(state=name, type="Orders", cursor=page.next_cursor)
            any_type = await read_page(state=name)

            assert page.groups[0] == InboxGroup("Orders", "decide", 5)
            assert [len(one.waiting_instances) for one in (page, rest, any_type)] == [3, 2, 3]
            assert page.total == rest.total == any_type.total == 5


async def test_errors_beyond_the_limit_are_counted_in_the_group_of_their_state(database_url: str) -> None:
    async with deploy_rename(database_url, "broken") as flow:
        for way in ("broken bank", "broken wire", "broken"):
            flow.clock.advance(1_000_000)
            await flow.start("Orders", {"way": way})
        connections, names = flow.store.connections, await flow.store.state_names.read()

        (apart,) = await read_error_groups(connections, limit=1)
        (group,) = await read_error_groups(connections, names=names, limit=1)
        same, *others = await read_error_groups(connections, names=names, type="Orders")

        assert (apart.state, apart.count) == ("charge", 2)
        assert (group.state, group.count, group.failed) == ("charge", 3, 3)
        assert group.first < group.last == apart.last
        assert [one.first for one in await read_first_seen(connections, [group])] == [group.first]
        assert same == group
        assert [(one.message, one.count) for one in others] == [("Fail: broken wire", 1), ("Fail: broken bank", 1)]


async def test_a_search_without_loaded_modules_goes_by_the_stored_definitions(database_url: str) -> None:
    async with deploy_rename(database_url, "person"), open_store(database_url) as store:
        found = [await store.queries.search(SearchQuery(state=name)) for name in ("review", "decide")]

        assert [[one.state for one in page.instances] for page in found] == [["decide", "review"]] * 2


async def test_a_definition_that_is_stored_later_is_known_at_once(database_url: str) -> None:
    async with open_store(database_url) as store:
        assert not (await store.state_names.read()).has_renames
        async with deploy_rename(database_url):
            assert (await store.state_names.read()).resolve("Orders", "review") == "decide"


async def test_the_doctor_judges_each_line_by_the_names_of_its_own_version(database_url: str) -> None:
    async with deploy_rename(database_url, "person", "timer") as flow:
        await flow.advance("1 hour")
        assert await examine_store(flow.store) == []

        # Version 1 had no state called "done", and no version a transition from "check" to it.
        await write_sql(
            flow, "UPDATE flowlet_action SET definition_version = 1 WHERE to_state = 'done' AND from_state = 'pay'"
        )
        await write_sql(flow, "UPDATE flowlet_action SET definition_version = 2 WHERE to_state = 'review'")

        findings = {finding.rule: finding.message for finding in await examine_store(flow.store)}
        assert list(findings) == [PATH]
        rules = [finding.message for finding in await examine_store(flow.store)]
        assert any("from 'pay' to 'done', which is not a transition of Orders version 1" in text for text in rules)
        assert any("from 'check' to 'review', which is not a transition of Orders version 2" in text for text in rules)
