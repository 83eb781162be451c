"""Creating and claiming: one instance for each external id, one lease for each instance, the right ones first."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from flowlet.clock import VirtualClock
from flowlet.definition.definition import Definition
from flowlet.definition.registry import Registry
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Instance, Status
from flowlet.store.dialects.batch import ClaimRequest
from flowlet.store.opening import open_store
from flowlet.workflow.states import Next, end, manual, state
from tests.databases import find_schema
from tests.engine.activation.activation_harness import SECOND_MICROSECONDS, build_single_state, build_workflow_module
from tests.engine.manual_executor import EngineHarness, open_engine


async def finish() -> str:
    return "done"


@manual(start=True, next=["done"], deadline="1 hour", on_deadline="done")
async def asking() -> None: ...


ORDERS_MODULE = build_workflow_module(**build_single_state(finish))
QUESTIONS_MODULE = build_workflow_module(asking=asking, done=end())


def build_definition() -> Definition:
    return Registry().add(ORDERS_MODULE)


def list_ids(instances: list[Instance]) -> list[int]:
    return [instance.id for instance in instances]


async def test_what_is_due_is_leased_under_a_new_token(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        id = await hands.create_instance()
        before = await hands.get_instance(id)

        (claimed,) = await hand.claim_due()

        assert claimed.id == id
        assert (claimed.status, claimed.executor_id) == (Status.EXECUTING, "executor-a")
        assert claimed.token == before.token + 1
        assert (claimed.started_us, claimed.created_us) == (hands.clock.now(), before.created_us)


async def test_a_claim_returns_rows_as_it_has_left_them(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        id = await hands.create_instance(vars={"a": 1}, key="k", priority=3)

        claimed = await hand.claim_instance(id)

        assert claimed == await hands.get_instance(id)


async def test_an_instance_is_claimed_once(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        first, second = await hands.add_executor("executor-a"), await hands.add_executor("executor-b")
        id = await hands.create_instance()

        assert list_ids(await first.claim_due()) == [id]
        assert await second.claim_due() == []


async def test_claims_that_race_share_what_is_due(database_url: str) -> None:
    clock = VirtualClock()
    async with (
        open_engine(database_url, ORDERS_MODULE, clock=clock) as hands,
        open_store(database_url, schema=find_schema(database_url), clock=clock) as other,
    ):
        created = [await hands.create_instance() for _ in range(20)]
        claims = [
            store.instances.claim(ClaimRequest(f"executor-{number}", ("default",), ("Orders",), 7, clock.now()))
            for number in range(3)
            for store in (hands.store, other)
        ]

        shares = await asyncio.gather(*claims)

        leased = [id for share in shares for id in list_ids(share.instances)]
        assert sorted(leased) == created
        assert max(map(len, shares)) <= 7


async def test_no_more_is_claimed_than_asked_for(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        created = [await hands.create_instance() for _ in range(5)]

        first, second = await hand.claim_due(3), await hand.claim_due(3)

        assert sorted(list_ids(first) + list_ids(second)) == created
        assert (len(first), len(second)) == (3, 2)


async def test_the_higher_priority_comes_first_then_the_longer_due(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        order = []
        for priority in (0, 5, 0, 9, 5):
            order.append(await hands.create_instance(priority=priority))
            hands.clock.advance(SECOND_MICROSECONDS)

        claimed = [list_ids(await hand.claim_due(1))[0] for _ in order]

        assert claimed == [order[3], order[1], order[4], order[0], order[2]]


async def test_a_claim_takes_of_the_highest_priority_only(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        low = [await hands.create_instance(priority=0) for _ in range(3)]
        high = [await hands.create_instance(priority=9) for _ in range(3)]

        claimed = [sorted(list_ids(await hand.claim_due(4))) for _ in range(3)]

        assert claimed == [high, low, []]


async def test_fewer_of_a_lower_priority_are_claimed_where_that_is_asked_for(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        low = [await hands.create_instance(priority=0) for _ in range(3)]
        high = [await hands.create_instance(priority=5) for _ in range(3)]
        request = ClaimRequest(
            *("executor-1", ["default"], ["Orders"], 4), now=hands.clock.now(), full_priority=5, limit_below=2
        )

        claimed = [(await hands.store.instances.claim(request)).instances for _ in range(3)]

        assert [sorted(list_ids(one)) for one in claimed] == [high, low[:2], low[2:]]


async def test_only_the_groups_that_an_executor_serves_are_claimed(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        plain, mail, pdf = [await hands.create_instance(group=group) for group in ("default", "mail", "pdf")]

        assert list_ids(await hand.claim_due()) == [plain]
        assert sorted(list_ids(await hand.claim_due(groups=("mail", "pdf")))) == [mail, pdf]


async def test_only_workflows_that_an_executor_knows_are_claimed(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        await hands.create_instance()
        request = ClaimRequest("executor-a", ("default",), ("Another",), 10, hands.clock.now())

        assert await hands.store.instances.claim(request) == ([], None)


async def test_a_timer_is_claimed_when_it_is_due_and_not_before(database_url: str) -> None:
    @state(start=True, next=["check"])
    async def begin() -> Next:
        return check.after("1 minute")

    @state(next=["done"])
    async def check() -> None: ...

    async with open_engine(database_url, build_workflow_module(begin=begin, check=check, done=end())) as hands:
        hand = await hands.add_executor()
        id = await hands.create_instance()
        await hand.run_due_instance(id)

        hands.clock.advance(60 * SECOND_MICROSECONDS - 1)
        assert await hand.claim_due() == []
        hands.clock.advance(1)
        assert list_ids(await hand.claim_due()) == [id]


async def test_a_question_is_claimed_when_its_deadline_has_come(database_url: str) -> None:
    async with open_engine(database_url, QUESTIONS_MODULE) as hands:
        hand = await hands.add_executor()
        id = await hands.create_instance()
        assert await hand.claim_due() == []

        hands.clock.advance(3600 * SECOND_MICROSECONDS)

        assert list_ids(await hand.claim_due()) == [id]


async def test_a_claim_that_leases_nothing_says_when_to_claim_again(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        now, store = hands.clock.now(), hands.store
        for seconds, priority, group in [(3, 0, "default"), (2, 5, "default"), (1, 0, "mail")]:
            id = await hands.create_instance(priority=priority, group=group)
            due = {"id": id, "due": now + seconds * SECOND_MICROSECONDS}
            await hands.execute_sql("UPDATE flowlet_workflow SET next_activation = :due WHERE id = :id", due)
        request = ClaimRequest("executor-a", ("default",), ("Orders",), 10, now)

        assert await store.instances.claim(request) == ([], now + 2 * SECOND_MICROSECONDS)
        await hands.create_instance()
        claimed, next_due = await store.instances.claim(request)
        assert (len(claimed), next_due) == (1, None)
        assert await store.instances.claim(replace(request, types=("Another",))) == ([], None)


async def test_the_earliest_due_time_is_that_of_the_next_instance_of_these_groups(database_url: str) -> None:
    async with open_engine(database_url, QUESTIONS_MODULE) as hands:
        now = hands.clock.now()
        await hands.create_instance(priority=0)
        hands.clock.advance(SECOND_MICROSECONDS)
        await hands.create_instance(priority=9)
        await hands.create_instance(group="mail")

        earliest = hands.store.instances.find_next_due

        types = hands.registry.names
        assert await earliest(("default", "mail"), types, now=now) == now + 3600 * SECOND_MICROSECONDS
        assert await earliest(("mail",), types, now=now) == now + 3601 * SECOND_MICROSECONDS
        assert await earliest(("default", "mail"), types, now=now + 3601 * SECOND_MICROSECONDS) is None
        assert await earliest(("default", "mail"), ["Others"], now=now) is None


async def test_what_is_not_to_run_is_not_claimed(database_url: str, subtests: pytest.Subtests) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        hand = await hands.add_executor()
        await hands.create_instance()

        for status in ("FINISHED", "FAILED", "CANCELLED", "PAUSED", "EXECUTING"):
            with subtests.test(status):
                await hands.execute_sql("UPDATE flowlet_workflow SET status = :status", {"status": status})

                assert await hand.claim_due() == []


async def test_creating_twice_with_one_external_id_gives_the_first_instance(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        first = await hands.create_instance(external_id="order-1", vars={"a": 1})

        second = await hands.create_instance(external_id="order-1", vars={"a": 2})

        assert second == first
        assert (await hands.get_instance(first)).vars == {"a": 1}
        assert len(await hands.read_history(first, ActionKind.CREATED)) == 1


async def test_one_external_id_twice_in_one_create_gives_one_instance(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        names = ("order-1", "order-2", "order-1")
        news = [build_definition().build_instance(None, now=0, external_id=name) for name in names]

        created = await hands.store.instances.create(news, now=0)

        assert [one.is_new for one in created] == [True, True, False]
        assert created[0].id == created[2].id != created[1].id


async def test_clients_that_race_with_one_external_id_get_one_instance(database_url: str) -> None:
    async with (
        open_engine(database_url, ORDERS_MODULE) as hands,
        open_store(database_url, schema=find_schema(database_url), clock=hands.clock) as other,
    ):
        new = build_definition().build_instance(None, now=0, external_id="order-1")

        created = await asyncio.gather(
            *(store.instances.create([new], now=0) for _ in range(10) for store in (hands.store, other))
        )

        assert len({one.id for (one,) in created}) == 1
        assert sum(one.is_new for (one,) in created) == 1
        assert await count_rows(hands, "flowlet_workflow") == await count_rows(hands, "flowlet_action") == 1


async def test_names_differ_by_case_and_by_accents(database_url: str) -> None:
    async with open_engine(database_url, ORDERS_MODULE) as hands:
        created = {await hands.create_instance(external_id=name) for name in ("order", "Order", "ördér")}

        assert len(created) == 3


async def count_rows(engine: EngineHarness, table: str) -> Any:
    return (await engine.fetch_rows(f"SELECT COUNT(*) FROM {table}"))[0][0]
