"""From what a handler returned to its transition."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flowlet.clock import to_datetime
from flowlet.definition.definition import Definition
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.instance.transition import Transition
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, end, error, manual, state
from flowlet.workflow.workflow import Workflow
from tests.engine.activation.activation_harness import (
    SECOND_MICROSECONDS,
    START_TIME,
    ActivationHarness,
    build_leased_instance,
    get_only_action,
    list_action_kinds,
)

OTHER_MODULE_END = end("Of another workflow.")


@pytest.fixture
def harness() -> ActivationHarness:
    return ActivationHarness()


def build_shop_definition(harness: ActivationHarness, answer: Any, *, loop_limit: int = 10_000) -> Definition:
    """Return a definition whose start state, ``check``, may go anywhere but to ``locked``, and answers as told."""
    done, broken, quiet = end("All is well."), error("The shop is shut."), error()

    @state(next=["check", "done"])
    async def ship() -> Next:
        return done

    @manual(next=["done", "locked"], deadline="3 days", on_deadline="done")
    async def review() -> None:
        return None

    @manual(next=["done"])
    async def muse() -> None:
        return None

    @state(next=["done"])
    async def locked() -> None:
        return None

    @state(start=True, next=["ship", "review", "muse", "done", "broken", "quiet"])
    async def check() -> Any:
        harness.clock.advance(SECOND_MICROSECONDS)
        return answer(locals_) if callable(answer) else answer

    members = {
        "ship": ship, "review": review, "muse": muse, "locked": locked, "check": check,
        "done": done, "broken": broken, "quiet": quiet,
    }  # fmt: skip
    locals_ = members
    return harness.add_definition(workflow=Workflow("Orders", loop_limit=loop_limit), **members)


async def run_with_answer(harness: ActivationHarness, answer: Any, **changes: Any) -> Transition:
    return await harness.run_first_activation(build_shop_definition(harness, answer), **changes)


async def read_outcome_error(harness: ActivationHarness, answer: Any) -> str:
    """Return why an answer is refused, without the place of the state."""
    transition = await run_with_answer(harness, answer)
    text = get_only_action(transition, ActionKind.ERROR).text or ""
    assert (transition.state, transition.visit, transition.attempt) == ("check", 1, 1)
    assert text.startswith("OutcomeError: tests/engine/activation/test_results.py:")
    return text.split(": ", 2)[2]


async def test_a_wrong_result_fails_at_once_because_no_attempt_can_heal_it(harness: ActivationHarness) -> None:
    transition = await run_with_answer(harness, 3)

    assert (transition.status, transition.state) == (Status.FAILED, "check")
    assert list_action_kinds(transition) == [ActionKind.ERROR, ActionKind.FAILED]


async def test_a_wrong_result_follows_on_error_at_once(harness: ActivationHarness) -> None:
    @state(start=True, next=["check", "broken"], on_error="broken")
    async def check() -> Any:
        return object()

    transition = await harness.run_first_activation(harness.add_definition(check=check, broken=error()))

    assert (transition.status, transition.state) == (Status.FAILED, "broken")
    assert list_action_kinds(transition) == [ActionKind.ERROR, ActionKind.TRANSITION]


@pytest.mark.parametrize("answer", [lambda states: states["ship"], lambda states: states["ship"].log(""), "ship"])
async def test_a_state_an_outcome_and_a_name_all_say_where_to_go(harness: ActivationHarness, answer: Any) -> None:
    transition = await run_with_answer(harness, answer)

    assert (transition.state, transition.status) == ("ship", Status.EXECUTING)
    assert get_only_action(transition, ActionKind.TRANSITION).to_state == "ship"


async def test_nothing_is_enough_where_one_next_state_is_declared(harness: ActivationHarness) -> None:
    transition = await run_with_answer(harness, None, state="locked")

    assert (transition.state, transition.status) == ("done", Status.FINISHED)


async def test_nothing_is_refused_where_several_are_declared(harness: ActivationHarness) -> None:
    assert await read_outcome_error(harness, None) == (
        "state 'check' returned nothing, which is enough only where exactly one next state is declared. "
        "Permitted: ship, review, muse, done, broken, quiet."
    )


async def test_a_misspelt_name_is_refused_with_the_nearest(harness: ActivationHarness) -> None:
    assert await read_outcome_error(harness, "shipp") == (
        "state 'check' returned 'shipp', which is no state here. Did you mean 'ship'? "
        "Permitted: ship, review, muse, done, broken, quiet."
    )


@pytest.mark.parametrize("answer", ["locked", lambda states: states["locked"]])
async def test_a_state_that_next_does_not_list_is_refused(harness: ActivationHarness, answer: Any) -> None:
    assert await read_outcome_error(harness, answer) == (
        "state 'check' returned 'locked', which its next states do not list. "
        "Permitted: ship, review, muse, done, broken, quiet."
    )


@pytest.mark.parametrize("answer", [lambda _: OTHER_MODULE_END, lambda _: OTHER_MODULE_END.log("over")])
async def test_a_state_of_another_module_is_refused(harness: ActivationHarness, answer: Any) -> None:
    assert "which is a state of another module. Permitted:" in await read_outcome_error(harness, answer)


async def test_a_value_that_is_no_state_is_refused_without_being_shown(harness: ActivationHarness) -> None:
    text = await read_outcome_error(harness, {"card": "4111"})

    assert text.startswith("state 'check' returned a value of type dict, not a state. Permitted: ship,")


async def test_a_fault_of_the_outcome_has_no_traceback(harness: ActivationHarness) -> None:
    transition = await run_with_answer(harness, "shipp")

    assert get_only_action(transition, ActionKind.ERROR).detail is None


async def test_an_end_state_finishes_the_instance(harness: ActivationHarness) -> None:
    transition = await run_with_answer(harness, "done", streak=4)

    assert (transition.status, transition.next_activation_us, transition.streak) == (Status.FINISHED, None, 0)
    assert transition.reason is None


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("broken", "The shop is shut."),
        (lambda states: states["broken"].log("no one\x00 came"), "no one� came"),
        ("quiet", "it reached the error state 'quiet'"),
    ],
)
async def test_an_error_state_fails_the_instance_and_says_why(
    harness: ActivationHarness, answer: Any, reason: str
) -> None:
    transition = await run_with_answer(harness, answer)

    assert (transition.status, transition.next_activation_us, transition.reason) == (Status.FAILED, None, reason)
    assert list_action_kinds(transition) == [ActionKind.TRANSITION]


async def test_a_manual_state_waits_until_its_deadline(harness: ActivationHarness) -> None:
    transition = await run_with_answer(harness, "review", streak=4)

    assert (transition.status, transition.streak) == (Status.WAITING, 0)
    assert transition.next_activation_us == harness.get_time_after(days=3)


async def test_a_manual_state_without_a_deadline_waits_for_ever(harness: ActivationHarness) -> None:
    transition = await run_with_answer(harness, "muse")

    assert (transition.status, transition.next_activation_us) == (Status.WAITING, None)


async def test_a_delay_counts_from_the_end_of_the_attempt(harness: ActivationHarness) -> None:
    transition = await run_with_answer(
        harness, lambda states: states["ship"].after("10 minutes").log("packed"), streak=4
    )

    assert (transition.status, transition.streak) == (Status.IN_PROGRESS, 0)
    assert transition.next_activation_us == START_TIME + SECOND_MICROSECONDS + 600 * SECOND_MICROSECONDS
    assert get_only_action(transition, ActionKind.TRANSITION).text == "packed"


async def test_a_moment_says_when_a_state_is_entered(harness: ActivationHarness) -> None:
    when = to_datetime(START_TIME) + timedelta(days=1)

    transition = await run_with_answer(harness, lambda states: states["ship"].at(when))

    assert (transition.status, transition.next_activation_us) == (
        Status.IN_PROGRESS,
        START_TIME + 86_400 * SECOND_MICROSECONDS,
    )


@pytest.mark.parametrize("answer", [lambda s: s["ship"].at(to_datetime(START_TIME)), lambda s: s["ship"].after("0s")])
async def test_a_moment_that_has_come_means_at_once(harness: ActivationHarness, answer: Any) -> None:
    transition = await run_with_answer(harness, answer, streak=4)

    assert (transition.status, transition.next_activation_us, transition.streak) == (Status.EXECUTING, START_TIME, 5)


@pytest.mark.parametrize(("target", "waits"), [("review", "a person"), ("done", "nothing"), ("broken", "nothing")])
@pytest.mark.parametrize(
    "wait", [lambda s: s.after("1h"), lambda s: s.at(to_datetime(START_TIME)), lambda s: s.when_children_end()]
)
async def test_a_wait_before_a_state_that_is_not_run_is_refused(
    harness: ActivationHarness, target: str, waits: str, wait: Any
) -> None:
    text = await read_outcome_error(harness, lambda states: wait(states[target]))

    assert f"state {target!r} waits for {waits}. Put a state between the two." in text


async def test_children_may_be_waited_for(harness: ActivationHarness) -> None:
    transition = await run_with_answer(
        harness, lambda s: s["ship"].when_children_end(within="14 days"), streak=4, open_children=2
    )

    assert (transition.status, transition.wake_at_open_children, transition.streak) == (Status.IN_PROGRESS, 0, 0)
    assert transition.next_activation_us == harness.get_time_after(days=14)


async def test_children_may_be_waited_for_without_a_limit(harness: ActivationHarness) -> None:
    transition = await run_with_answer(harness, lambda s: s["ship"].spawn(child("Orders")).when_children_end())

    assert (transition.wake_at_open_children, transition.next_activation_us, transition.streak) == (0, None, 0)


async def test_waiting_for_children_that_do_not_exist_counts_as_going_straight_on(harness: ActivationHarness) -> None:
    transition = await run_with_answer(harness, lambda states: states["ship"].when_children_end(), streak=4)

    assert (transition.status, transition.streak) == (Status.IN_PROGRESS, 5)


async def test_a_transition_may_wake_the_parent(harness: ActivationHarness) -> None:
    assert (await run_with_answer(harness, lambda states: states["done"].wake_parent())).wakes_parent
    assert not (await run_with_answer(ActivationHarness(), "done")).wakes_parent


async def test_an_instance_that_runs_in_circles_fails_where_it_is(harness: ActivationHarness) -> None:
    definition = build_shop_definition(harness, lambda states: states["ship"].spawn(child("Orders")), loop_limit=20)

    transition = await harness.run_activation(build_leased_instance(definition, streak=20, visit=21))

    assert (transition.state, transition.status, transition.visit) == ("check", Status.FAILED, 21)
    assert (transition.streak, transition.next_activation_us, transition.children) == (0, None, ())
    assert list_action_kinds(transition) == [ActionKind.FAILED]
    assert transition.reason == (
        "it made 20 transitions without any wait: is it running in circles? "
        "Put a wait into the circle (after, at), or raise loop_limit of its Workflow."
    )


@pytest.mark.parametrize(("answer", "streak"), [("ship", 19), ("done", 20), ("review", 20)])
async def test_an_instance_at_the_loop_limit_may_still_stop(
    harness: ActivationHarness, answer: str, streak: int
) -> None:
    transition = await harness.run_activation(
        build_leased_instance(build_shop_definition(harness, answer, loop_limit=20), streak=streak)
    )

    assert transition.state == answer


async def test_a_long_text_is_cut_for_the_history_and_for_the_reason(harness: ActivationHarness) -> None:
    transition = await run_with_answer(harness, lambda states: states["broken"].log("x" * 9_000))

    assert len(get_only_action(transition, ActionKind.TRANSITION).text or "") <= 8_000
    assert len(transition.reason or "") <= 2_000
