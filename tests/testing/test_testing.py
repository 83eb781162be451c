"""The harness: a user's test moves time by hand, and sees what production would do."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flowlet.clock import to_datetime
from flowlet.definition.dependencies import Dependencies
from flowlet.errors import (
    FlowletError,
    NotEndedError,
    RefusedError,
    UnknownInstanceError,
    UnknownWorkflowError,
    VariablesError,
)
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.testing import Harness, VirtualClock
from flowlet.workflow.states import Next, end, manual, state
from tests.docs.pages import read_block_text
from tests.engine.activation.activation_harness import build_workflow_module
from tests.testing import parcel, shop

GUIDE_PAGE = "docs/how-to/test-a-workflow.md"


class FlakyBank:
    """Charges customers, after so many failures."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures
        self.keys: list[str] = []

    async def charge(self, amount: int, key: str) -> str:
        self.keys.append(key)
        if len(self.keys) <= self.failures:
            raise ConnectionError("the bank is closed")
        return f"charge of {amount}"


def build_harness(bank: FlakyBank | None = None, **options: Any) -> Harness:
    return Harness([shop, parcel], provide={shop.Charges: bank or FlakyBank()}, **options)


async def test_an_order_runs_from_start_to_end() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 5}, key="customer-1", external_id="order-1")

        ended = await flow.run_to_end(id)

        assert ended.succeeded
        assert (ended.key, ended.external_id) == ("customer-1", "order-1")
        assert await flow.path(id) == ["check", "charge", "ship", "deliver", "done"]


async def test_starting_runs_what_is_due_and_stops_at_the_first_wait() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 5})

        instance = await flow.get(id)

        assert (instance.state, instance.status) == ("ship", Status.IN_PROGRESS)
        assert to_datetime(instance.next_activation_us or 0) == flow.now() + timedelta(minutes=10)


async def test_nothing_runs_where_the_test_wants_to_settle_itself() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 5}, settle=False)
        assert (await flow.get(id)).status is Status.NEW

        await flow.settle()

        assert (await flow.get(id)).state == "ship"


async def test_a_question_is_answered_with_its_form() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 2000})
        assert (await flow.get(id)).status is Status.WAITING

        await flow.answer(id, "charge", form={"comment": "known"}, username="anna")

        assert await flow.path(id) == ["check", "review", "charge", "ship"]
        (line,) = await flow.history(id, ActionKind.LOG)
        assert line.text == "anna: known"


async def test_an_answer_may_be_a_form_object_and_wait_to_be_settled() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 2000})

        await flow.answer(id, "charge", form=shop.Decision(comment="known"), settle=False)

        assert await flow.path(id) == ["check", "review"]


async def test_an_answer_that_is_none_of_the_choices_is_refused() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 2000})

        with pytest.raises(RefusedError) as refused:
            await flow.answer(id, "ship")

        assert set(refused.value.permitted) >= {"charge", "rejected"}


async def test_a_deadline_passes_with_the_time() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 2000})

        await flow.advance(timedelta(days=3) - timedelta(seconds=1))
        assert (await flow.get(id)).status is Status.WAITING
        await flow.advance("1 second")

        assert (await flow.path(id))[-1] == "rejected"


async def test_what_becomes_due_on_the_way_runs_at_its_own_time() -> None:
    @state(start=True, next=["second"])
    async def first() -> Next:
        return second.after("1 minute")

    @state(next=["third"])
    async def second() -> Next:
        return third.after("2 minutes")

    @state(next=["done"])
    async def third() -> None: ...

    module = build_workflow_module(first=first, second=second, third=third, done=end())
    async with Harness(module) as flow:
        began = flow.now()
        id = await flow.start("Orders")

        await flow.advance("5 minutes")

        moves = await flow.history(id, ActionKind.TRANSITION)
        assert [to_datetime(move.at_us) - began for move in moves] == [timedelta(minutes=n) for n in (0, 1, 3)]
        assert flow.now() - began == timedelta(minutes=5)


async def test_retries_come_at_their_own_time_under_one_key() -> None:
    bank = FlakyBank(failures=2)
    async with build_harness(bank) as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 5})

        assert (await flow.run_to_end(id)).succeeded

        assert len(await flow.history(id, ActionKind.ERROR)) == 2
        assert len(bank.keys) == 3
        assert len(set(bank.keys)) == 1


async def test_delays_between_attempts_are_the_same_for_the_same_seed() -> None:
    @state(start=True, next=["done"])
    async def check() -> None:
        raise ValueError("late")

    due = []
    for seed in (1, 1, 2):
        async with Harness(build_workflow_module(check=check, done=end()), seed=seed) as flow:
            id = await flow.start("Orders")
            due.append((await flow.get(id)).next_activation_us)

    assert due[0] == due[1] != due[2]


async def test_children_run_too_in_whichever_group_they_are() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 5})

        await flow.advance("10 minutes")

        (child,) = await flow.children(id)
        assert (child.type, child.group, child.state) == ("ParcelWorkflow", "parcels", "arrive")
        assert (await flow.get(id)).waits_for_children


async def test_variables_are_read_as_their_model() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars=shop.Order(amount=5))

        assert await flow.vars(id) == shop.Order(amount=5, charge_id="charge of 5")


async def test_variables_without_a_model_are_a_dict() -> None:
    async with build_harness() as flow:
        assert await flow.vars(await flow.start("ParcelWorkflow", vars={"weight": 3})) == {"weight": 3}


async def test_operations_are_at_hand() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 5})

        await flow.operations.cancel(id, username="anna")

        assert (await flow.run_to_end(id)).status is Status.CANCELLED


async def test_an_instance_that_waits_for_a_person_does_not_end_and_the_message_says_so() -> None:
    @state(start=True, next=["review"])
    async def check() -> None: ...

    @manual(next=["charge", "rejected"])
    async def review() -> None: ...

    asking = build_workflow_module(check=check, review=review, charge=end(), rejected=end())
    async with Harness(asking) as flow:
        id = await flow.start("Orders", external_id="order-1")

        with pytest.raises(NotEndedError) as raised:
            await flow.run_to_end(id)

    message = str(raised.value)
    assert f"Orders {id} (order-1) has not ended within 30 days: it is WAITING in state 'review'" in message
    assert "an answer (charge, rejected)" in message
    assert "2030-01-01 00:00:00 TRANSITION check -> review" in message
    assert isinstance(raised.value, AssertionError)
    assert isinstance(raised.value, FlowletError)


async def test_an_instance_that_is_due_later_does_not_end_in_time() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 5})

        with pytest.raises(NotEndedError, match=r"IN_PROGRESS in state 'ship', due at 2030-01-01 00:10:00 UTC"):
            await flow.run_to_end(id, within="9 minutes")


async def test_an_instance_in_a_group_that_is_not_run_does_not_end_and_the_message_has_the_cure() -> None:
    async with build_harness() as flow:
        id = await flow.start("ParcelWorkflow", group="elsewhere")

        with pytest.raises(NotEndedError, match=r"its executor group 'elsewhere' is not run: pass Harness\(groups"):
            await flow.run_to_end(id)


async def test_other_groups_can_be_run_too() -> None:
    async with build_harness(groups=["elsewhere"]) as flow:
        id = await flow.start("ParcelWorkflow", group="elsewhere")

        assert (await flow.run_to_end(id)).succeeded


async def test_an_instance_that_waits_for_children_tells_how_many() -> None:
    async with build_harness() as flow:
        id = await flow.start("OrderWorkflow", vars={"amount": 5})

        with pytest.raises(NotEndedError, match="waiting for 1 children"):
            await flow.run_to_end(id, within="1 hour")


async def test_faults_of_the_test_itself_are_told() -> None:
    async with build_harness() as flow:
        with pytest.raises(UnknownWorkflowError, match="Did you mean 'OrderWorkflow'"):
            await flow.start("OrderWorkflo")
        with pytest.raises(VariablesError, match="amount"):
            await flow.start("OrderWorkflow")
        with pytest.raises(UnknownInstanceError):
            await flow.run_to_end(7)


async def test_a_harness_outside_of_its_block_says_how_it_is_used() -> None:
    with pytest.raises(RuntimeError, match="async with Harness"):
        await build_harness().start("OrderWorkflow")


def test_a_harness_is_refused_in_another_event_loop() -> None:
    with asyncio.Runner() as opener, asyncio.Runner() as other:
        flow = build_harness()
        opener.run(flow.__aenter__())
        for use in (flow.start("OrderWorkflow"), flow.settle(), flow.get(1), flow.__aexit__(None, None, None)):
            with pytest.raises(RuntimeError, match="opened in another event loop.* the same loop_scope"):
                other.run(use)
        opener.run(flow.__aexit__(None, None, None))


async def test_resources_are_opened_and_closed_with_the_harness() -> None:
    provided, events = Dependencies(), []

    @provided.provide
    async def provide_charges() -> AsyncIterator[shop.Charges]:
        events.append("opened")
        yield FlakyBank()
        events.append("closed")

    async with Harness([shop, parcel], provide=provided) as flow:
        await flow.start("OrderWorkflow", vars={"amount": 5})
        assert events == ["opened"]

    assert events == ["opened", "closed"]


async def test_a_workflow_may_be_named_by_its_module() -> None:
    async with Harness("tests.testing.parcel") as flow:
        assert flow.registry.names == ("ParcelWorkflow",)


async def test_time_begins_where_the_clock_says() -> None:
    begin = datetime(2031, 5, 1, 12, tzinfo=UTC)

    async with Harness(parcel, clock=VirtualClock(begin)) as flow:
        assert flow.now() == begin


async def test_a_database_may_be_used_again(empty_database_url: str) -> None:
    async with Harness(parcel, database_url=empty_database_url) as flow:
        id = await flow.start("ParcelWorkflow")

    async with Harness(parcel, database_url=empty_database_url) as flow:
        assert (await flow.run_to_end(id)).succeeded


async def test_the_guide_s_test_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text(read_block_text(GUIDE_PAGE, "orders.py"))
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, Any] = {}
    exec(read_block_text(GUIDE_PAGE, "test_orders.py"), names)

    found = [one for name, one in names.items() if name.startswith("test_")]
    for one in found:
        assert inspect.iscoroutinefunction(one)
        await one()

    assert len(found) == 2
