"""Running instances: from the start state along the graph, whatever the handlers do."""

from __future__ import annotations

import asyncio
import threading

import pytest

from flowlet.definition.definition import Definition
from flowlet.errors import NotEndedError
from flowlet.instance.action import Action, ActionKind
from flowlet.instance.instance import Status
from flowlet.testing import Harness
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, error, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import run_executor, wait_for

NO_RETRY = Workflow("Orders", retry=Retry(limit=0))


def is_path(definition: Definition, history: list[Action]) -> bool:
    """Return whether the moves of a history follow the edges of the graph, from the start."""
    here = definition.start
    for action in history:
        if action.kind is not ActionKind.TRANSITION:
            continue
        if action.from_state != here or not definition.states[here].has_transition_to(str(action.to_state)):
            return False
        here = str(action.to_state)
    return True


async def test_an_instance_runs_from_its_start_to_an_end(database_url: str) -> None:
    @state(start=True, next=["pack", "done"])
    async def check(ctx: Context) -> Next:
        ctx.vars["checked"] = True
        return pack.log("in stock")

    @state(next=["done", "check"])
    async def pack(ctx: Context) -> str:
        ctx.vars["packed"] = True
        return "done"

    async with Harness(build_workflow_module(check=check, pack=pack, done=end()), database_url=database_url) as flow:
        id = await flow.start("Orders")

        ended = await flow.get(id)
        assert (ended.status, ended.state, ended.ended_us) == (Status.FINISHED, "done", flow.clock.now())
        assert await flow.vars(id) == {"checked": True, "packed": True}
        assert await flow.path(id) == ["check", "pack", "done"]
        assert is_path(flow.registry.get_definition("Orders"), await flow.history(id))


async def test_an_error_state_ends_as_failed_with_its_description(database_url: str) -> None:
    @state(start=True, next=["broken"])
    async def check() -> None: ...

    module = build_workflow_module(check=check, broken=error("The customer could not be charged."))
    async with Harness(module, database_url=database_url) as flow:
        failed = await flow.run_to_end(await flow.start("Orders"))

        assert (failed.status, failed.reason) == (Status.FAILED, "The customer could not be charged.")


async def test_a_plain_function_runs_in_a_thread_and_does_not_hold_up_the_others(database_url: str) -> None:
    async_has_run = threading.Event()

    @state(start=True, next=["done"])
    def waiting() -> None:
        assert async_has_run.wait(20), "the async handler was held up"

    async def count_up_in_thread() -> str:
        async_has_run.set()
        return "done"

    plain = build_workflow_module(workflow=Workflow("Plain", retry=Retry(limit=0)), waiting=waiting, done=end())
    modules = [plain, build_workflow_module(**build_single_state(count_up_in_thread))]
    async with Harness(modules, database_url=database_url) as flow:
        first = await flow.start("Plain", settle=False)
        await flow.start("Orders")

        assert (await flow.run_to_end(first)).succeeded


async def test_a_handler_that_exits_the_program_fails_its_attempt_only(database_url: str) -> None:
    async def check() -> str:
        raise SystemExit(3)

    async with Harness(
        build_workflow_module(workflow=NO_RETRY, **build_single_state(check)), database_url=database_url
    ) as flow:
        id = await flow.start("Orders")

        assert (await flow.get(id)).reason == "SystemExit: 3 (attempt 1, no other follows)"


async def test_a_failed_attempt_saves_its_lines_and_its_traceback_but_no_variables(database_url: str) -> None:
    async def check(ctx: Context) -> str:
        ctx.vars["spoiled"] = True
        ctx.log("looking")
        raise ValueError("out of stock")

    async with Harness(
        build_workflow_module(workflow=NO_RETRY, **build_single_state(check)), database_url=database_url
    ) as flow:
        id = await flow.start("Orders", vars={"a": 1})

        _, logged, failure, _ = await flow.history(id)
        assert (logged.kind, logged.text) == (ActionKind.LOG, "looking")
        assert (failure.kind, failure.text) == (ActionKind.ERROR, "ValueError: out of stock")
        assert 'raise ValueError("out of stock")' in (failure.detail or "")
        assert await flow.vars(id) == {"a": 1}


async def test_a_state_that_the_definition_no_longer_has_waits_for_another_version(database_url: str) -> None:
    async def check() -> str:
        return "done"

    async with Harness(
        build_workflow_module(workflow=NO_RETRY, **build_single_state(check)), database_url=database_url
    ) as flow:
        id = await flow.start("Orders", settle=False)
        rename = "UPDATE flowlet_workflow SET state = 'gone'"
        await flow.store.connections.write(lambda session: session.execute(rename))

        with pytest.raises(NotEndedError, match="waits for another version: Orders version 1 has no state 'gone'"):
            await flow.run_to_end(id)

        waiting = await flow.get(id)
        assert (waiting.status, waiting.attempt, waiting.state) == (Status.IN_PROGRESS, 0, "gone")
        assert [action.kind for action in await flow.history(id)] == [ActionKind.CREATED, ActionKind.GATED]


async def test_an_unknown_workflow_waits_untouched_while_others_run(database_url: str) -> None:
    async def check() -> str:
        return "done"

    async with Harness(build_workflow_module(**build_single_state(check)), database_url=database_url) as flow:
        stranger = await flow.start("Orders", settle=False)
        rename = "UPDATE flowlet_workflow SET workflow_type = 'Unknown'"
        await flow.store.connections.write(lambda session: session.execute(rename))
        known = await flow.start("Orders")

        assert (await flow.get(known)).status is Status.FINISHED
        assert (await flow.get(stranger)).status is Status.NEW
        with pytest.raises(NotEndedError, match="no module here has the workflow; those here: Orders"):
            await flow.run_to_end(stranger)


async def test_the_higher_priority_runs_first(database_url: str) -> None:
    order = []

    async def check(ctx: Context) -> str:
        order.append(ctx.workflow.priority)
        return "done"

    async with Harness(build_workflow_module(**build_single_state(check)), database_url=database_url, slots=1) as flow:
        for priority in (1, 9, 0, 5):
            await flow.start("Orders", priority=priority, settle=False)
        await flow.settle()

    assert order == [9, 5, 1, 0]


async def test_an_instance_that_runs_in_circles_fails_with_the_cure(database_url: str) -> None:
    @state(start=True, next=["ping", "done"])
    async def ping() -> str:
        return "ping"

    module = build_workflow_module(workflow=Workflow("Orders", loop_limit=150), ping=ping, done=end())
    async with Harness(module, database_url=database_url) as flow:
        id = await flow.start("Orders")

        failed = await flow.get(id)
        assert failed.status is Status.FAILED
        assert "it made 150 transitions without any wait" in str(failed.reason)
        assert len(await flow.history(id, ActionKind.TRANSITION)) == 150


async def test_a_circle_with_a_wait_in_it_is_none(database_url: str) -> None:
    @state(start=True, next=["ping", "done"])
    async def ping(ctx: Context) -> Next:
        if ctx.workflow.visit == 30:
            return done
        return ping.after("1 minute") if ctx.workflow.visit % 3 == 0 else ping.log("again")

    done = end()
    module = build_workflow_module(workflow=Workflow("Orders", loop_limit=3), ping=ping, done=done)
    async with Harness(module, database_url=database_url) as flow:
        assert (await flow.run_to_end(await flow.start("Orders"))).succeeded


async def test_an_instance_with_much_to_do_lets_the_others_have_their_turn(database_url: str) -> None:
    order: list[str] = []
    both_created, both_ended = asyncio.Event(), asyncio.Event()

    @state(start=True, next=["again", "done"])
    async def again(ctx: Context) -> str:
        await both_created.wait()
        order.append(ctx.workflow.external_id)
        if len(order) == 12:
            both_ended.set()
        return "done" if order.count(ctx.workflow.external_id) == 6 else "again"

    async with run_executor(
        database_url, build_workflow_module(again=again, done=end()), slots=1, max_transitions_per_lease=3
    ) as run:
        for name in ("a", "b"):
            await run.create_instance(external_id=name)
        both_created.set()
        await wait_for(both_ended.wait())

    assert "".join(order) == "aaabbbaaabbb"


async def test_a_question_in_the_start_state_waits_before_anything_runs(database_url: str) -> None:
    @manual(start=True, next=["done"])
    async def ask() -> None: ...

    async with Harness(build_workflow_module(ask=ask, done=end()), database_url=database_url) as flow:
        id = await flow.start("Orders")
        assert (await flow.get(id)).status is Status.WAITING

        await flow.answer(id, "done")

        assert (await flow.get(id)).status is Status.FINISHED
