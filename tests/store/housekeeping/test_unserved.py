"""The reasons of due instances that no live executor runs: written and removed in bounded steps."""

from __future__ import annotations

from flowlet.instance.instance import Status
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.executors import ExecutorRecord
from flowlet.store.housekeeping.unserved import STEP_ROWS, UnservedReasons
from flowlet.store.opening import open_store
from tests.databases import find_schema
from tests.store.store_harness import NOW, StoreHarness

LATER = NOW + 10_000_000


def build_record(groups: tuple[str, ...], types: tuple[str, ...]) -> ExecutorRecord:
    return ExecutorRecord("a-1", "a", "host", 7, groups, types, 4, "RUNNING", NOW, NOW, 2**60)


async def run_lap(reasons: UnservedReasons, *, now: int = LATER) -> int:
    """Run one lap and return how many steps it took."""
    await reasons.begin_lap()
    steps = 1
    while await reasons.run_step(now=now):
        steps += 1
    return steps


async def read_reasons(harness: StoreHarness) -> dict[int, str | None]:
    sql = "SELECT id, reason FROM flowlet_workflow"
    return dict(await harness.store.connections.read(lambda session: session.fetch_rows(sql)))


async def test_what_no_executor_serves_gets_a_reason_and_nothing_else_does(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        await store.executors.register(build_record(("default",), ("Orders",)))
        served = await harness.create_instance()
        unknown = await harness.create_instance(type="Unknown", priority=3)
        other = await harness.create_instance(executor_group="night")
        question = await harness.create_instance(type="Unknown", status=Status.WAITING)
        failing = await harness.create_instance(type="Unknown", reason="no luck")
        coming = await harness.create_instance(type="Unknown", next_activation_us=LATER)
        gated = await harness.create_instance(type="Unknown", gate="hold:1")

        await run_lap(UnservedReasons(store.connections))

        assert await read_reasons(harness) == {
            unknown: "no running executor of the group 'default' knows this workflow",
            other: "no running executor serves the group 'night'",
            failing: "no luck",
            **dict.fromkeys((served, question, coming, gated)),
        }


async def test_a_reason_goes_away_when_an_executor_serves_the_workflow(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        ids = [await harness.create_instance(type=type) for type in ("Orders", "Orders", "Unknown")]
        reasons = UnservedReasons(store.connections)
        await run_lap(reasons)
        before = set((await read_reasons(harness)).values())
        await store.executors.register(build_record(("default",), ("Orders",)))

        ((claimed,), _) = await store.instances.claim(ClaimRequest("a-1", ("default",), ("Orders",), 1, LATER))
        await run_lap(reasons)

        found = await read_reasons(harness)
        assert before == {"no running executor serves the group 'default'"}
        assert claimed.reason is None
        assert [found[id] for id in ids] == [
            *(None, None),
            "no running executor of the group 'default' knows this workflow",
        ]


async def test_a_process_that_has_just_started_removes_what_another_one_wrote(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        id = await harness.create_instance()
        await run_lap(UnservedReasons(store.connections))
        await store.executors.register(build_record(("default",), ("Orders",)))

        await run_lap(UnservedReasons(store.connections))

        assert await read_reasons(harness) == {id: None}


async def test_a_lap_goes_on_behind_what_is_explained(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        count = 2 * STEP_ROWS + 1
        new = [harness.build_new_instance(next_activation=NOW + place // 300) for place in range(count)]
        await store.instances.create(new, now=NOW)
        reasons = UnservedReasons(store.connections)

        first, second = await run_lap(reasons), await run_lap(reasons)
        later = await harness.create_instance(next_activation=NOW + 1000)
        await run_lap(reasons)

        # Each lap has a step that finds the group, one for instances, and one that finds no further group.
        assert (first, second) == (9, 3)
        assert set((await read_reasons(harness)).values()) == {"no running executor serves the group 'default'"}
        assert later in await read_reasons(harness)


async def test_more_workflows_than_one_step_looks_for_are_all_explained(database_url: str) -> None:
    async with open_store(database_url, schema=find_schema(database_url)) as store:
        harness = StoreHarness(store)
        new = [harness.build_new_instance(type=f"Type{place % 70:02}", priority=place // 70) for place in range(140)]
        await store.instances.create(new, now=NOW)

        await run_lap(UnservedReasons(store.connections))

        assert set((await read_reasons(harness)).values()) == {"no running executor serves the group 'default'"}
