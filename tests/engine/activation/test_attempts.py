"""Failed attempts: another one, the way of ``on_error``, or the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowlet.clock import to_datetime, to_microseconds
from flowlet.definition.definition import Definition
from flowlet.errors import Fail, StoreError
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.workflow.context import Context
from flowlet.workflow.retry import Retry
from flowlet.workflow.states import Next, end, error, manual, state
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

LINEAR_RETRY = Retry(limit=3, min="10s", max="1m", backoff="linear", never=(PermissionError,))


class UnspeakableError(Exception):
    """An error whose text cannot be made."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.fixture
def harness() -> ActivationHarness:
    return ActivationHarness()


def build_failing_definition(
    harness: ActivationHarness, fault: BaseException, *, retry: Retry = LINEAR_RETRY, **options: Any
) -> Definition:
    """Return a definition whose start state logs a line, takes a second, and raises."""

    @state(start=True, next=["done", "lost", "asked", "check"], **options)
    async def check(ctx: Context) -> str:
        ctx.log("trying")
        harness.clock.advance(SECOND_MICROSECONDS)
        raise fault

    @manual(next=["done"], deadline="1h", on_deadline="done")
    async def asked() -> None:
        return None

    members = {"check": check, "asked": asked, "done": end(), "lost": error("Nobody could help.")}
    return harness.add_definition(workflow=Workflow("Orders", version=3, retry=retry), **members)


async def test_a_failed_attempt_is_made_again_later(harness: ActivationHarness) -> None:
    transition = await harness.run_first_activation(
        build_failing_definition(harness, ValueError("no bank")), visit=2, streak=4
    )

    assert (transition.state, transition.status) == ("check", Status.IN_PROGRESS)
    assert (transition.attempt, transition.visit, transition.streak, transition.vars_json) == (1, 2, 0, None)
    assert transition.next_activation_us == START_TIME + SECOND_MICROSECONDS + 10 * SECOND_MICROSECONDS
    assert transition.reason == "ValueError: no bank (attempt 1 of 4, again at 2030-01-01 00:00:11 UTC)"


async def test_a_failed_attempt_keeps_its_lines_and_its_error(harness: ActivationHarness) -> None:
    transition = await harness.run_first_activation(build_failing_definition(harness, ValueError("no bank")), attempt=1)

    assert list_action_kinds(transition) == [ActionKind.LOG, ActionKind.ERROR]
    action = get_only_action(transition, ActionKind.ERROR)
    assert (action.text, action.attempt, action.duration_ms) == ("ValueError: no bank", 2, 1_000)
    assert (action.from_state, action.to_state, action.executor_id, action.version) == ("check", None, EXECUTOR_ID, 3)
    assert action.at_us == START_TIME + SECOND_MICROSECONDS


async def test_the_delay_is_drawn_within_the_bounds_of_the_policy(harness: ActivationHarness) -> None:
    retry = Retry(limit=5, min="10s", max="1m")

    transition = await harness.run_first_activation(
        build_failing_definition(harness, ValueError(), retry=retry), attempt=4
    )

    due = transition.next_activation_us
    assert due is not None
    assert START_TIME + SECOND_MICROSECONDS <= due <= START_TIME + SECOND_MICROSECONDS + 60 * SECOND_MICROSECONDS


async def test_a_states_own_policy_comes_before_the_workflows(harness: ActivationHarness) -> None:
    definition = build_failing_definition(harness, ValueError("no bank"), retry=Retry(limit=0))
    own = ActivationHarness()

    @state(start=True, next=["done"], retry=LINEAR_RETRY)
    async def check() -> str:
        raise ValueError("no bank")

    other = own.add_definition(workflow=Workflow("Orders", retry=Retry(limit=0)), check=check, done=end())

    assert (await harness.run_first_activation(definition)).status is Status.FAILED
    assert (await own.run_first_activation(other)).status is Status.IN_PROGRESS


async def test_an_instance_out_of_attempts_fails_where_it_is(harness: ActivationHarness) -> None:
    transition = await harness.run_first_activation(
        build_failing_definition(harness, ValueError("no bank")), attempt=3, visit=2
    )

    assert (transition.state, transition.status, transition.visit) == ("check", Status.FAILED, 2)
    assert (transition.attempt, transition.next_activation_us) == (4, None)
    assert list_action_kinds(transition) == [ActionKind.LOG, ActionKind.ERROR, ActionKind.FAILED]
    assert transition.reason == "ValueError: no bank (attempt 4, no other follows)"
    assert get_only_action(transition, ActionKind.FAILED).text == transition.reason


@pytest.mark.parametrize(
    "fault",
    [
        Fail("the customer does not exist"),
        PermissionError("not yours"),
        ExceptionGroup("two", [ValueError("first"), ExceptionGroup("inner", [Fail("second")])]),
        ExceptionGroup("one", [PermissionError("not yours")]),
    ],
)
async def test_some_errors_mean_that_no_other_attempt_follows(harness: ActivationHarness, fault: Exception) -> None:
    transition = await harness.run_first_activation(build_failing_definition(harness, fault))

    assert transition.status is Status.FAILED
    assert str(transition.reason).endswith("(attempt 1, no other follows)")


async def test_a_group_of_errors_tells_what_it_holds(harness: ActivationHarness) -> None:
    group = ExceptionGroup("two", [ValueError("first"), ExceptionGroup("inner", [KeyError("second")])])

    transition = await harness.run_first_activation(build_failing_definition(harness, group))

    text = get_only_action(transition, ActionKind.ERROR).text
    assert text == "ExceptionGroup: two (2 sub-exceptions): ValueError: first; KeyError: 'second'"


async def test_on_error_is_an_ordinary_transition(harness: ActivationHarness) -> None:
    definition = build_failing_definition(harness, Fail("no bank"), on_error="check")

    transition = await harness.run_first_activation(definition, visit=2, streak=4)

    assert (transition.state, transition.status, transition.visit) == ("check", Status.EXECUTING, 3)
    assert (transition.attempt, transition.streak, transition.reason) == (0, 5, None)
    assert list_action_kinds(transition) == [ActionKind.LOG, ActionKind.ERROR, ActionKind.TRANSITION]
    action = get_only_action(transition, ActionKind.TRANSITION)
    assert (action.from_state, action.to_state, action.text) == ("check", "check", "Fail: no bank")


@pytest.mark.parametrize(
    ("target", "status", "reason"),
    [
        ("lost", Status.FAILED, "ValueError: no bank"),
        ("done", Status.FINISHED, None),
        ("asked", Status.WAITING, None),
    ],
)
async def test_on_error_may_be_of_any_kind(
    harness: ActivationHarness, target: str, status: Status, reason: str | None
) -> None:
    definition = build_failing_definition(harness, ValueError("no bank"), on_error=target)

    transition = await harness.run_first_activation(definition, attempt=3)

    assert (transition.state, transition.status, transition.reason) == (target, status, reason)
    assert transition.next_activation_us == (harness.get_time_after(hours=1) if target == "asked" else None)


async def test_on_error_in_a_circle_is_stopped_by_the_loop_guard(harness: ActivationHarness) -> None:
    definition = build_failing_definition(harness, Fail("no bank"), on_error="check")

    transition = await harness.run_first_activation(definition, streak=10_000)

    assert list_action_kinds(transition) == [ActionKind.LOG, ActionKind.ERROR, ActionKind.FAILED]
    assert "is it running in circles?" in str(transition.reason)


async def test_a_traceback_begins_in_the_handler(harness: ActivationHarness) -> None:
    transition = await harness.run_first_activation(build_failing_definition(harness, ValueError("no bank")))

    lines = str(get_only_action(transition, ActionKind.ERROR).detail).splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith("in check")
    assert lines[-1] == "ValueError: no bank"
    assert not any("flowlet/engine" in line for line in lines)


async def test_a_traceback_of_a_mistake_in_an_outcome_shows_the_users_line(harness: ActivationHarness) -> None:
    done = end()

    @state(start=True, next=["done"])
    async def check() -> Any:
        return done.after("10 minuts")

    transition = await harness.run_first_activation(harness.add_definition(check=check, done=done))

    action = get_only_action(transition, ActionKind.ERROR)
    assert str(action.text).startswith("DurationError: '10 minuts' is not a duration.")
    assert 'done.after("10 minuts")' in str(action.detail)


async def test_a_long_traceback_keeps_its_begin_and_its_end(harness: ActivationHarness) -> None:
    transition = await harness.run_first_activation(
        build_failing_definition(harness, ValueError("x" * 50_000 + " at last\x00"))
    )

    action = get_only_action(transition, ActionKind.ERROR)
    detail = str(action.detail)
    assert detail.startswith("Traceback (most recent call last):")
    assert "characters left out" in detail
    assert detail.endswith(" at last�\n")
    assert len(detail) <= 16_000
    assert len(str(action.text)) <= 8_000
    assert len(str(transition.reason)) <= 2_000
    assert str(transition.reason).endswith("(attempt 1 of 4, again at 2030-01-01 00:00:11 UTC)")


async def test_an_error_that_cannot_be_shown_is_a_failed_attempt_all_the_same(harness: ActivationHarness) -> None:
    transition = await harness.run_first_activation(build_failing_definition(harness, UnspeakableError()))

    action = get_only_action(transition, ActionKind.ERROR)
    assert action.text == "UnspeakableError: (its text cannot be shown)"
    assert "in check" in str(action.detail)


async def test_an_error_without_a_text_is_called_by_its_type(harness: ActivationHarness) -> None:
    transition = await harness.run_first_activation(build_failing_definition(harness, asyncio.QueueEmpty()))

    assert get_only_action(transition, ActionKind.ERROR).text == "QueueEmpty"


async def test_a_transition_that_the_store_refuses_is_a_failed_attempt(harness: ActivationHarness) -> None:
    definition = build_failing_definition(harness, ValueError("no bank"))
    instance = build_leased_instance(definition)
    refused = await harness.run_activation(instance)

    transition = harness.activations.build_rejection(instance, StoreError("a value is too long"), refused=refused)

    assert (transition.instance, transition.status, transition.attempt) == (instance, Status.IN_PROGRESS, 1)
    assert [(action.kind, action.text, action.at_us) for action in transition.actions] == [
        (ActionKind.LOG, "trying", START_TIME),
        (ActionKind.ERROR, "StoreError: a value is too long", START_TIME + SECOND_MICROSECONDS),
    ]
    assert get_only_action(transition, ActionKind.ERROR).detail is None


async def test_what_the_store_refuses_again_and_again_ends_as_any_failure(harness: ActivationHarness) -> None:
    instance = build_leased_instance(
        build_failing_definition(harness, ValueError("no bank"), on_error="lost"), attempt=3
    )

    transition = harness.activations.build_rejection(instance, StoreError("a value is too long"))

    assert (transition.state, transition.status) == ("lost", Status.FAILED)


async def test_the_reason_names_the_moment_in_utc(harness: ActivationHarness) -> None:
    transition = await harness.run_first_activation(build_failing_definition(harness, ValueError("no bank")))

    due = to_datetime(transition.next_activation_us or 0)
    assert f"again at {due:%Y-%m-%d %H:%M:%S} UTC" in str(transition.reason)
    assert to_microseconds(due) == transition.next_activation_us


async def test_no_secret_of_a_handler_reaches_the_history(harness: ActivationHarness) -> None:
    url = "postgresql://app:s3cret@db/shop"

    async def check(ctx: Context) -> Next:
        ctx.log(f"connecting to {url}")
        raise ExceptionGroup(f"no {url}", [ConnectionError(f"{url} is away")])

    transition = await harness.run_first_activation(harness.add_definition(**build_single_state(check)))

    assert "s3cret" not in repr(transition.actions) + str(transition.reason)
    assert get_only_action(transition, ActionKind.LOG).text == "connecting to postgresql://app:***@db/shop"
    error = get_only_action(transition, ActionKind.ERROR)
    assert str(error.text).count("postgresql://app:***@db/shop") == 2
    assert "ConnectionError: postgresql://app:***@db/shop is away" in str(error.detail)


async def test_no_secret_of_an_outcome_reaches_the_history(harness: ActivationHarness) -> None:
    async def check() -> Next:
        outcome: Next = done.log("sent to https://ada:s3cret@bank.example")
        return outcome

    members = build_single_state(check)
    done = members["done"]
    transition = await harness.run_first_activation(harness.add_definition(**members))

    assert get_only_action(transition, ActionKind.TRANSITION).text == "sent to https://ada:***@bank.example"
