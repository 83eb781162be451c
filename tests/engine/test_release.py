"""What surrounds activations: continuing under the same lease, and giving it up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowlet.definition.definition import Definition
from flowlet.engine.release import apply_transition, build_release
from flowlet.instance.action import ActionKind
from flowlet.instance.instance import Status
from flowlet.workflow.outcome import child
from flowlet.workflow.states import Next, State, end, state
from tests.engine.activation.activation_harness import (
    EXECUTOR_ID,
    SECOND_MICROSECONDS,
    START_TIME,
    ActivationHarness,
    build_leased_instance,
    get_only_action,
)


def build_circling_definition(harness: ActivationHarness) -> Definition:
    @state(start=True, next=["check", "done"])
    async def check() -> Next:
        harness.clock.advance(SECOND_MICROSECONDS)
        again: State[[], object] = check  # type: ignore[assignment]  # its own type is not known inside
        return again.spawn([child("Orders"), child("Orders")])

    return harness.add_definition(check=check, done=end())


async def test_an_instance_continues_as_its_commit_left_it() -> None:
    bench = ActivationHarness()
    instance = build_leased_instance(
        build_circling_definition(bench),
        attempt=2,
        visit=3,
        streak=4,
        version=8,
        crashes=1,
        children=5,
        open_children=1,
        reason="late",
    )

    transition = await bench.run_activation(instance)
    after = apply_transition(instance, replace(transition, vars_json='{"a":1}'))

    assert after == replace(
        instance,
        vars_json='{"a":1}',
        attempt=0,
        visit=4,
        streak=5,
        version=9,
        crashes=0,
        children=7,
        open_children=3,
        reason=None,
        modified_us=START_TIME + SECOND_MICROSECONDS,
    )


async def test_unchanged_variables_are_carried_on() -> None:
    bench = ActivationHarness()
    instance = build_leased_instance(build_circling_definition(bench), vars_json='{"a":1}')

    assert apply_transition(instance, await bench.run_activation(instance)).vars_json == '{"a":1}'


async def test_a_transition_that_gave_up_the_lease_cannot_be_continued() -> None:
    instance = build_leased_instance(build_circling_definition(ActivationHarness()))
    released = build_release(instance, now=START_TIME, executor_id=EXECUTOR_ID, reason="stopping")

    with pytest.raises(ValueError, match="a transition to IN_PROGRESS gave up the lease"):
        apply_transition(instance, released)


def test_an_instance_handed_back_is_due_at_once_and_otherwise_as_it_was() -> None:
    instance = build_leased_instance(
        build_circling_definition(ActivationHarness()),
        attempt=2,
        visit=3,
        streak=4,
        answer_json='{"choice":"done"}',
        reason="ValueError: late",
    )

    transition = build_release(
        instance, now=START_TIME + SECOND_MICROSECONDS, executor_id=EXECUTOR_ID, reason="the executor is stopping"
    )

    assert (transition.state, transition.status, transition.vars_json) == ("check", Status.IN_PROGRESS, None)
    assert (transition.next_activation_us, transition.at_us) == (
        START_TIME + SECOND_MICROSECONDS,
        START_TIME + SECOND_MICROSECONDS,
    )
    assert (transition.attempt, transition.visit, transition.streak) == (2, 3, 4)
    assert (transition.answer_json, transition.reason) == (instance.answer_json, instance.reason)
    action = get_only_action(transition, ActionKind.RELEASED)
    assert (action.text, action.executor_id, action.from_state) == ("the executor is stopping", EXECUTOR_ID, "check")
