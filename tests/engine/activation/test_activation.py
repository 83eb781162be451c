"""Running a handler: what it is given, and where it runs."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from flowlet.definition.dependencies import Dependencies
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.workflow.context import Context, Relatives
from flowlet.workflow.states import Next, State, end, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import (
    EXECUTOR_ID,
    SECOND_MICROSECONDS,
    START_TIME,
    ActivationHarness,
    build_leased_instance,
    build_single_state,
    get_only_action,
    list_action_kinds,
)

REQUEST_ID: contextvars.ContextVar[str] = contextvars.ContextVar("REQUEST")


class Order(BaseModel):
    amount: int = 1


class Mailer:
    """A resource."""


@pytest.fixture
def harness() -> ActivationHarness:
    return ActivationHarness()


async def test_an_activation_is_one_line_of_history(harness: ActivationHarness) -> None:
    async def check() -> str:
        harness.clock.advance(3 * SECOND_MICROSECONDS)
        return "check"

    definition = harness.add_definition(workflow=Workflow("Orders", version=4), **build_single_state(check))
    transition = await harness.run_first_activation(definition, attempt=2)

    action = get_only_action(transition, ActionKind.TRANSITION)
    assert (action.from_state, action.to_state, action.at_us) == (
        "check",
        "check",
        START_TIME + 3 * SECOND_MICROSECONDS,
    )
    assert (action.attempt, action.duration_ms, action.executor_id, action.version) == (3, 3_000, EXECUTOR_ID, 4)
    assert (action.text, action.username, action.changes_json, action.detail) == (None, None, None, None)


async def test_the_next_state_is_entered_with_the_lease_kept(harness: ActivationHarness) -> None:
    async def check() -> str:
        return "check"

    instance = build_leased_instance(
        harness.add_definition(**build_single_state(check)), attempt=2, visit=5, streak=3, reason="ValueError: late"
    )
    transition = await harness.run_activation(instance)

    assert transition.instance is instance
    assert (transition.state, transition.status, transition.vars_json) == ("check", Status.EXECUTING, None)
    assert (transition.attempt, transition.visit, transition.streak) == (0, 6, 4)
    assert (transition.reason, transition.answer_json, transition.next_activation_us) == (None, None, START_TIME)


async def test_a_handler_is_given_what_its_annotations_ask_for() -> None:
    mailer = Mailer()
    given: list[object] = []

    async def check(order: Order, post: Mailer, ctx: Context, mode: str = "quick") -> str:
        given.extend((order, post, ctx.workflow.external_id, mode))
        return "done"

    provided = Dependencies()
    provided.provide_value(Mailer, mailer)
    bench = ActivationHarness(provided=provided)
    definition = bench.add_definition(workflow=Workflow("Orders", vars=Order), **build_single_state(check))
    await bench.run_first_activation(definition, vars_json='{"amount":7}')

    assert given == [Order(amount=7), mailer, "order-1", "quick"]


async def test_a_resource_that_is_not_open_is_a_failed_attempt() -> None:
    async def check(post: Mailer) -> str:
        return "done"

    async def mailer() -> AsyncIterator[Mailer]:
        yield Mailer()

    provided = Dependencies()
    provided.provide(mailer)
    bench = ActivationHarness(provided=provided)
    transition = await bench.run_first_activation(bench.add_definition(**build_single_state(check)))

    assert (
        get_only_action(transition, ActionKind.ERROR).text
        == "RuntimeError: Mailer is not open: call 'await dependencies.open()' first"
    )


async def test_the_context_tells_about_the_activation(harness: ActivationHarness) -> None:
    seen: list[Context] = []

    async def check(ctx: Context) -> str:
        seen.append(ctx)
        return "done"

    definition = harness.add_definition(**build_single_state(check))
    instance = build_leased_instance(definition, attempt=1, visit=3)
    child, parent = build_leased_instance(definition, id=42), build_leased_instance(definition, id=7)
    await harness.run_activation(instance, relatives=Relatives((child,), parent))

    (ctx,) = seen
    assert (ctx.workflow, ctx.attempt, ctx.children, ctx.parent) == (instance, 2, (child,), parent)
    assert (ctx.choice, ctx.username) == (None, None)


async def test_the_idempotency_key_is_the_same_over_the_attempts_of_a_visit_only(harness: ActivationHarness) -> None:
    keys: list[str] = []

    async def check(ctx: Context) -> str:
        keys.append(ctx.idempotency_key)
        return "check"

    instance = build_leased_instance(harness.add_definition(**build_single_state(check)))
    for changed in (instance, replace(instance, attempt=1), replace(instance, visit=2)):
        await harness.run_activation(changed)

    assert keys == ["order-1/1", "order-1/1", "order-1/2"]


async def test_what_a_handler_logs_precedes_its_transition(harness: ActivationHarness) -> None:
    async def check(ctx: Context) -> str:
        ctx.log("looked")
        harness.clock.advance(SECOND_MICROSECONDS)
        ctx.log("found\x00")
        return "done"

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check)))

    assert list_action_kinds(transition) == [ActionKind.LOG, ActionKind.LOG, ActionKind.TRANSITION]
    assert [(action.at_us - START_TIME, action.text) for action in transition.actions[:2]] == [
        (0, "looked"),
        (SECOND_MICROSECONDS, "found�"),
    ]
    assert {(action.from_state, action.attempt, action.executor_id) for action in transition.actions[:2]} == {
        ("check", 1, EXECUTOR_ID)
    }


async def test_an_attempt_keeps_a_thousand_lines_and_counts_the_others(harness: ActivationHarness) -> None:
    async def check(ctx: Context) -> str:
        for number in range(1_003):
            ctx.log(f"line {number}")
        return "done"

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check)))

    texts = [action.text for action in transition.actions if action.kind is ActionKind.LOG]
    assert texts[-2:] == ["line 999", "3 more lines were dropped: an attempt keeps 1,000."]
    assert len(texts) == 1_001


async def test_a_plain_handler_runs_in_a_thread_with_its_callers_context(harness: ActivationHarness) -> None:
    seen: list[object] = []

    def check(ctx: Context) -> str:
        seen.extend((threading.current_thread() is threading.main_thread(), REQUEST_ID.get()))
        ctx.log("from a thread")
        return "done"

    REQUEST_ID.set("r-1")
    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check)))

    assert seen == [False, "r-1"]
    assert list_action_kinds(transition) == [ActionKind.LOG, ActionKind.TRANSITION]


async def test_a_plain_handler_that_returns_an_awaitable_has_it_awaited(harness: ActivationHarness) -> None:
    async def read_request() -> str:
        return "done"

    def check() -> Any:
        return read_request()

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check)))

    assert transition.state == "done"


async def test_a_plain_handler_that_raises_stop_iteration_fails_its_attempt(harness: ActivationHarness) -> None:
    def check() -> str:
        return next(iter(()))

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check)))

    action = get_only_action(transition, ActionKind.ERROR)
    assert action.text == "RuntimeError: coroutine raised StopIteration"
    assert "next(iter(()))" in str(action.detail)


async def test_a_transaction_is_the_one_that_was_passed_in(harness: ActivationHarness) -> None:
    seen: list[object] = []

    async def check(ctx: Context) -> str:
        async with ctx.transaction() as connection:
            seen.append(connection)
        return "done"

    await harness.run_first_activation(harness.add_definition(**build_single_state(check)))

    assert seen == [harness.transaction]


async def test_a_plain_handler_is_told_that_it_has_no_transaction(harness: ActivationHarness) -> None:
    def check(ctx: Context) -> str:
        ctx.transaction()
        return "done"

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check)))

    text = get_only_action(transition, ActionKind.ERROR).text
    assert text is not None
    assert text.startswith("RuntimeError: ctx.transaction() belongs to the event loop")


async def test_an_instance_in_a_state_that_is_gone_waits_for_another_version(harness: ActivationHarness) -> None:
    async def check() -> str:
        return "done"

    transition = await harness.run_first_activation(
        harness.add_definition(workflow=Workflow("Orders", version=2), **build_single_state(check)),
        state="chek",
        attempt=1,
    )

    action = get_only_action(transition, ActionKind.GATED)
    assert action.text == transition.reason == "waits for another version: Orders version 2 has no state 'chek'"
    assert (action.from_state, action.version, action.attempt) == ("chek", 2, None)
    assert (transition.state, transition.attempt) == ("chek", 1)
    assert (transition.status, transition.next_activation_us) == (Status.IN_PROGRESS, START_TIME)
    assert str(transition.gate).startswith("version:")


async def test_an_instance_of_a_workflow_that_is_not_loaded_has_a_failed_attempt(harness: ActivationHarness) -> None:
    async def check() -> str:
        return "done"

    instance = build_leased_instance(harness.add_definition(**build_single_state(check)), type="Ordres")
    transition = await harness.run_activation(instance)

    text = get_only_action(transition, ActionKind.ERROR).text
    assert text == "UnknownWorkflowError: no workflow is called 'Ordres'. Did you mean 'Orders'? Loaded: Orders."
    assert transition.status is Status.IN_PROGRESS


async def test_an_instance_whose_state_has_become_an_end_ends_there(harness: ActivationHarness) -> None:
    async def check() -> str:
        return "done"

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check)), state="done")

    assert (transition.status, transition.state, transition.visit) == (Status.FINISHED, "done", 1)
    assert (
        get_only_action(transition, ActionKind.LOG).text
        == "'done' is an end state in version 1: the instance ends here."
    )


async def test_a_state_is_planned_once_and_a_new_definition_anew(harness: ActivationHarness) -> None:
    def build_returning_state(target: str) -> State[..., Any]:
        async def check() -> str:
            return target

        made: State[..., Any] = state(start=True, next=["done", "over"])(check)
        return made

    other = ActivationHarness()
    first = harness.add_definition(check=build_returning_state("done"), done=end(), over=end())
    second = other.add_definition(check=build_returning_state("over"), done=end(), over=end())
    definitions = [first, first, second]
    harness.activations._find_definition = lambda _: definitions.pop(0)
    states = [(await harness.run_activation(build_leased_instance(first))).state for _ in range(3)]

    assert states == ["done", "done", "over"]


async def test_closing_leaves_no_thread_behind() -> None:
    bench = ActivationHarness()
    threads: list[threading.Thread] = []

    def check() -> Next | str:
        threads.append(threading.current_thread())
        return "done"

    await bench.run_first_activation(bench.add_definition(**build_single_state(check)))
    bench.activations.close()

    threads[0].join(timeout=10)
    assert not threads[0].is_alive()
