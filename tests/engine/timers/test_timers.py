"""What brings an instance back: timers, and attempts after failures."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from flowlet.clock import to_datetime
from flowlet.errors import Fail, RefusedError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, error, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module

LINEAR_RETRY = Retry(limit=3, min="10s", max="30s", backoff="linear")


def build_retrying_module(retry: Retry, handler: Any, **options: Any) -> Any:
    return build_workflow_module(workflow=Workflow("Orders", retry=retry), **build_single_state(handler, **options))


def build_waiting_module(outcome: Any) -> Any:
    """Return a module whose start state enters ``later`` as the function says."""

    @state(start=True, next=["later"])
    async def begin() -> Next:
        answer: Next = outcome(later)
        return answer

    @state(next=["done"])
    async def later() -> None: ...

    return build_workflow_module(begin=begin, later=later, done=end())


async def test_a_state_is_entered_after_its_delay(database_url: str) -> None:
    async with Harness(
        build_waiting_module(lambda later: later.after("90 minutes")), database_url=database_url
    ) as flow:
        id = await flow.start("Orders")

        await flow.advance("89 minutes")
        assert await flow.path(id) == ["begin", "later"]
        assert (await flow.get(id)).status is Status.IN_PROGRESS
        await flow.advance("1 minute")

        assert (await flow.get(id)).status is Status.FINISHED


async def test_a_state_is_entered_at_its_moment(database_url: str) -> None:
    moment_ = datetime(2030, 1, 1, 8, tzinfo=UTC)
    async with Harness(build_waiting_module(lambda later: later.at(moment_)), database_url=database_url) as flow:
        id = await flow.start("Orders")

        ended = await flow.run_to_end(id)

        assert to_datetime(ended.ended_us or 0) == moment_


@pytest.mark.parametrize("outcome", ["after nothing", "at a past moment"])
async def test_a_time_that_has_come_is_no_wait(database_url: str, outcome: str) -> None:
    past = datetime(2029, 12, 31, tzinfo=UTC)
    module = build_waiting_module(lambda later: later.after("0s") if outcome == "after nothing" else later.at(past))
    async with Harness(module, database_url=database_url) as flow:
        assert (await flow.get(await flow.start("Orders"))).status is Status.FINISHED


async def test_many_timers_come_in_the_order_of_their_times(database_url: str) -> None:
    order: list[int] = []

    @state(start=True, next=["later"])
    async def begin(ctx: Context) -> Next:
        return later.after(timedelta(minutes=ctx.vars["minutes"]))

    @state(next=["done"])
    async def later(ctx: Context) -> None:
        order.append(ctx.vars["minutes"])

    async with Harness(build_workflow_module(begin=begin, later=later, done=end()), database_url=database_url) as flow:
        for minutes in (3, 1, 2):
            await flow.start("Orders", vars={"minutes": minutes})
        await flow.advance("1 hour")

    assert order == [1, 2, 3]


async def test_failed_attempts_are_made_again_after_their_delays_and_then_no_more(database_url: str) -> None:
    async def check() -> str:
        raise ConnectionError("closed")

    async with Harness(build_retrying_module(LINEAR_RETRY, check), database_url=database_url) as flow:
        began = flow.now()
        id = await flow.start("Orders")
        assert (
            await flow.get(id)
        ).reason == "ConnectionError: closed (attempt 1 of 4, again at 2030-01-01 00:00:10 UTC)"

        failed = await flow.run_to_end(id)

        errors = await flow.history(id, ActionKind.ERROR)
        assert [(to_datetime(line.at_us) - began).total_seconds() for line in errors] == [0, 10, 30, 60]
        assert [line.attempt for line in errors] == [1, 2, 3, 4]
        assert (failed.status, failed.state, failed.attempt) == (Status.FAILED, "check", 4)


async def test_delays_with_jitter_come_from_the_engines_random(database_url: str) -> None:
    async def check() -> str:
        raise ConnectionError("closed")

    retry = Retry(limit=2, min="10s", max="1h")
    async with Harness(build_retrying_module(retry, check), database_url=database_url, seed=5) as flow:
        began = flow.now()
        id = await flow.start("Orders")
        await flow.run_to_end(id)

        random = Random(5)
        first = retry.draw_delay(1, random)
        second = first + retry.draw_delay(2, random)
        errors = await flow.history(id, ActionKind.ERROR)
        assert [to_datetime(line.at_us) - began for line in errors] == [timedelta(0), first, second]


async def test_an_attempt_that_succeeds_begins_the_next_state_with_a_clean_slate(database_url: str) -> None:
    attempts: list[tuple[str, int, str]] = []

    @state(start=True, next=["second"])
    async def first(ctx: Context) -> None:
        attempts.append(("first", ctx.attempt, ctx.idempotency_key))
        if ctx.attempt < 3:
            raise ConnectionError("closed")

    @state(next=["done"])
    async def second(ctx: Context) -> None:
        attempts.append(("second", ctx.attempt, ctx.idempotency_key))

    module = build_workflow_module(
        workflow=Workflow("Orders", retry=LINEAR_RETRY), first=first, second=second, done=end()
    )
    async with Harness(module, database_url=database_url) as flow:
        ended = await flow.run_to_end(await flow.start("Orders"))

        assert [(name, attempt) for name, attempt, _ in attempts] == [
            *(("first", attempt) for attempt in (1, 2, 3)),
            ("second", 1),
        ]
        assert [key for *_, key in attempts[:3]] == [attempts[0][2]] * 3
        assert attempts[3][2] != attempts[0][2]
        assert (ended.attempt, ended.reason) == (0, None)


@pytest.mark.parametrize("failure", [Fail("no such customer"), KeyError("customer")], ids=["Fail", "Retry.never"])
async def test_a_failure_that_no_attempt_can_help_is_final_at_once(database_url: str, failure: Exception) -> None:
    async def check() -> str:
        raise failure

    retry = Retry(never=(LookupError,))
    async with Harness(build_retrying_module(retry, check), database_url=database_url) as flow:
        failed = await flow.get(await flow.start("Orders"))

        assert (failed.status, failed.attempt) == (Status.FAILED, 1)


async def test_an_error_state_takes_what_has_run_out_of_attempts(database_url: str) -> None:
    @state(start=True, next=["done", "broken"], on_error="broken")
    async def check() -> str:
        raise Fail("no such customer")

    module = build_workflow_module(check=check, done=end(), broken=error("It broke."))
    async with Harness(module, database_url=database_url) as flow:
        id = await flow.start("Orders")

        failed = await flow.get(id)
        assert (failed.status, failed.state, failed.reason) == (Status.FAILED, "broken", "Fail: no such customer")
        assert await flow.path(id) == ["check", "broken"]


async def test_a_handler_that_takes_too_long_is_stopped_and_tried_again(database_url: str) -> None:
    was_cancelled = []

    async def check(ctx: Context) -> str:
        if ctx.attempt == 1:
            try:
                await asyncio.Event().wait()
            finally:
                was_cancelled.append(True)
        return "done"

    async with Harness(build_retrying_module(LINEAR_RETRY, check, timeout="20ms"), database_url=database_url) as flow:
        id = await flow.start("Orders")

        assert (await flow.run_to_end(id)).succeeded
        (failure,) = await flow.history(id, ActionKind.ERROR)
        assert failure.text == "TimeoutError: the attempt took longer than 20 milliseconds"
        assert was_cancelled == [True]


async def test_an_instance_out_of_attempts_goes_on_exactly_there_when_it_is_retried(database_url: str) -> None:
    runs: list[str] = []

    @state(start=True, next=["second"])
    async def first(ctx: Context) -> None:
        runs.append("first")
        ctx.vars["first"] = "ran"

    @state(next=["done"])
    async def second(ctx: Context) -> None:
        runs.append("second")
        if len(runs) < 3:
            raise Fail("closed")

    async with Harness(
        build_workflow_module(first=first, second=second, done=end()), database_url=database_url
    ) as flow:
        id = await flow.start("Orders")
        assert (await flow.get(id)).status is Status.FAILED

        await flow.operations.retry(id, username="anna")
        await flow.settle()

        ended = await flow.get(id)
        assert (ended.status, runs) == (Status.FINISHED, ["first", "second", "second"])
        assert await flow.vars(id) == {"first": "ran"}
        assert await flow.store.queries.count_by_type_and_status() == {("Orders", "FINISHED"): 1}


async def test_a_retry_that_fails_again_has_all_its_attempts(database_url: str) -> None:
    async def check() -> str:
        raise ConnectionError("closed")

    async with Harness(build_retrying_module(LINEAR_RETRY, check), database_url=database_url) as flow:
        id = await flow.start("Orders")
        await flow.run_to_end(id)

        await flow.operations.retry(id, username="anna")
        await flow.run_to_end(id)

        assert len(await flow.history(id, ActionKind.ERROR)) == 8


async def test_a_finished_instance_cannot_be_retried(database_url: str) -> None:
    async def check() -> str:
        return "done"

    async with Harness(build_retrying_module(LINEAR_RETRY, check), database_url=database_url) as flow:
        id = await flow.start("Orders")

        with pytest.raises(RefusedError):
            await flow.operations.retry(id, username="anna")
